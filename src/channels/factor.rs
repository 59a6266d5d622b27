//! Channel indices over just the axes along which they vary, and the arithmetic of positions.

use std::sync::Arc;

use super::indices::ChannelIndex;

/// No tensor of channel indices is materialised beyond this many elements.
const MOST_ELEMENTS: usize = 1 << 24;

/// An axis longer than this has no channel indices that anybody would cut.
const LONGEST_AXIS: usize = 1 << 22;

/// Values with more elements than this are beyond any engine.
const LARGEST_VALUE: usize = 1 << 36;

/// Channel indices that vary together along some axes of a value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Factor {
    /// Ascending; never an axis of size 1.
    pub(crate) axes: Vec<usize>,
    /// Row-major over `axes`.
    pub(crate) ids: Arc<Vec<ChannelIndex>>,
}

/// Whether a shape is of a size that arithmetic on it cannot overflow and lists along its axes can be held.
pub(crate) fn is_tractable(shape: &[usize]) -> bool {
    shape.iter().all(|&size| size <= LONGEST_AXIS)
        && shape.iter().try_fold(1usize, |all, &size| all.checked_mul(size)).is_some_and(|all| all <= LARGEST_VALUE)
        // Zero sizes hide the others from the product.
        && shape.iter().filter(|&&size| size > 0).try_fold(1usize, |all, &size| all.checked_mul(size)).is_some()
}

/// The movement is not expressible on channel indices; the caller protects what reaches it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unsupported(pub(crate) String);

pub(super) fn unsupported<T>(why: &str) -> Result<T, Unsupported> {
    Err(Unsupported(why.to_owned()))
}

impl Factor {
    pub(super) fn sizes(&self, shape: &[usize]) -> Vec<usize> {
        self.axes.iter().map(|&axis| shape[axis]).collect()
    }

    /// Ids over `axes` (a superset of the factor's, ascending), repeated along the others.
    pub(super) fn spread(&self, axes: &[usize], shape: &[usize]) -> Result<Vec<ChannelIndex>, Unsupported> {
        if axes == self.axes {
            return Ok(self.ids.to_vec());
        }
        let total = axes.iter().try_fold(1usize, |all, &axis| all.checked_mul(shape[axis]));
        let Some(total) = total.filter(|&total| total <= MOST_ELEMENTS) else {
            return unsupported("the tensor of channel indices would be too large");
        };
        let mut strides = vec![0; axes.len()];
        let mut stride = 1;
        for &axis in self.axes.iter().rev() {
            let Some(at) = axes.iter().position(|&other| other == axis) else {
                return unsupported("axes do not contain the factor");
            };
            strides[at] = stride;
            stride *= shape[axis];
        }
        let sizes: Vec<_> = axes.iter().map(|&axis| shape[axis]).collect();
        let mut out = Vec::with_capacity(total);
        for_each_index(&sizes, |index| {
            let at: usize = index.iter().zip(&strides).map(|(i, s)| i * s).sum();
            out.push(self.ids[at]);
        });
        Ok(out)
    }

    /// The factor without the axes along which its ids do not vary; `None` if none is left or there is nothing.
    pub(super) fn compressed(axes: Vec<usize>, shape: &[usize], mut ids: Vec<ChannelIndex>) -> Option<Self> {
        if ids.is_empty() {
            return None;
        }
        let mut kept = axes;
        let mut position = 0;
        while position < kept.len() {
            let outer: usize = kept[..position].iter().map(|&axis| shape[axis]).product();
            let size = shape[kept[position]];
            let inner: usize = kept[position + 1..].iter().map(|&axis| shape[axis]).product();
            let at = |o: usize, i: usize| (o * size + i) * inner;
            let constant = (0..outer)
                .all(|o| (1..size).all(|i| ids[at(o, i)..at(o, i) + inner] == ids[at(o, 0)..at(o, 0) + inner]));
            if constant {
                ids = (0..outer).flat_map(|o| ids[at(o, 0)..at(o, 0) + inner].to_vec()).collect();
                kept.remove(position);
            } else {
                position += 1;
            }
        }
        (!kept.is_empty()).then(|| Self { axes: kept, ids: Arc::new(ids) })
    }
}

impl Factor {
    /// Size of `axis` and number of elements per index of it, in this factor's layout.
    pub(super) fn split_at(&self, axis: usize, shape: &[usize]) -> (usize, usize) {
        (shape[axis], self.axes.iter().filter(|&&other| other > axis).map(|&other| shape[other]).product())
    }
}

/// Calls `f` with every index of a row-major array of the given sizes.
pub(super) fn for_each_index(sizes: &[usize], mut f: impl FnMut(&[usize])) {
    if sizes.contains(&0) {
        return;
    }
    let mut index = vec![0; sizes.len()];
    loop {
        f(&index);
        let mut axis = sizes.len();
        loop {
            if axis == 0 {
                return;
            }
            axis -= 1;
            index[axis] += 1;
            if index[axis] < sizes[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
}

/// Splits two shapes with equal products into the shortest runs of axes with equal products.
pub(super) fn segments(from: &[usize], to: &[usize]) -> Vec<(Vec<usize>, Vec<usize>)> {
    let mut result = Vec::new();
    let (mut i, mut j) = (0, 0);
    while i < from.len() || j < to.len() {
        let (i0, j0) = (i, j);
        let (mut a, mut b) = (1, 1);
        if i < from.len() {
            a *= from[i];
            i += 1;
        }
        if j < to.len() {
            b *= to[j];
            j += 1;
        }
        while a != b {
            if (a < b && i < from.len()) || j >= to.len() {
                a *= from[i];
                i += 1;
            } else {
                b *= to[j];
                j += 1;
            }
        }
        result.push(((i0..i).collect(), (j0..j).collect()));
    }
    result
}
