//! Channel indices of values: which channel index stands at which place of a value.
//!
//! A value of shape `[N, C, H, W]` has one channel index per channel and nothing that varies along the other axes, so only
//! the axes along which channel indices vary are stored (a [`Factor`]). A weight `[O, I, kh, kw]` has two independent
//! factors, one over axis 0 and one over axis 1. Data movement is executed on every factor with the index
//! arithmetic of the numbers.

use std::sync::Arc;

use super::factor::{Factor, Unsupported, for_each_index, segments, unsupported};
use super::indices::{ChannelIndex, ChannelIndices};

/// Shape and channel indices of a value.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Ids {
    pub(crate) shape: Vec<usize>,
    pub(crate) factors: Vec<Factor>,
    /// Channel indices that no axis shows any more: what is left is one channel, or one channel repeated. They must stay.
    pub(crate) lost: Vec<ChannelIndex>,
}

impl Ids {
    /// A value without channel indices.
    pub(crate) fn plain(shape: Vec<usize>) -> Self {
        Self { shape, factors: Vec::new(), lost: Vec::new() }
    }

    /// A value whose channel indices vary along one axis only.
    pub(crate) fn along(shape: Vec<usize>, axis: usize, ids: Vec<ChannelIndex>) -> Self {
        let mut value = Self::plain(shape);
        value.set_axis(axis, ids);
        value
    }

    /// Adds a factor along one axis. Axes of size 1 carry no channel indices.
    pub(crate) fn set_axis(&mut self, axis: usize, ids: Vec<ChannelIndex>) {
        if self.shape[axis] > 1 && ids.len() == self.shape[axis] {
            self.factors.push(Factor { axes: vec![axis], ids: Arc::new(ids) });
        }
    }

    pub(crate) fn rank(&self) -> usize {
        self.shape.len()
    }

    /// Number of elements of the value.
    pub(crate) fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether some factor varies along `axis`.
    pub(crate) fn varies(&self, axis: usize) -> bool {
        self.factors.iter().any(|factor| factor.axes.contains(&axis))
    }

    /// All channel indices, with repetitions.
    pub(crate) fn channel_indices(&self) -> impl Iterator<Item = ChannelIndex> + '_ {
        self.factors.iter().flat_map(|factor| factor.ids.iter().copied())
    }

    /// Channel indices of the factors that vary along `axis`.
    pub(crate) fn indices_on(&self, axis: usize) -> Vec<ChannelIndex> {
        self.factors.iter().filter(|f| f.axes.contains(&axis)).flat_map(|f| f.ids.iter().copied()).collect()
    }

    /// For every index along `axis` the channel indices that stand there; `None` if nothing varies along it.
    pub(crate) fn columns(&self, axis: usize) -> Option<Vec<Vec<ChannelIndex>>> {
        let mut columns: Option<Vec<Vec<ChannelIndex>>> = None;
        for factor in self.factors.iter().filter(|factor| factor.axes.contains(&axis)) {
            let columns = columns.get_or_insert_with(|| vec![Vec::new(); self.shape[axis]]);
            let (size, inner) = factor.split_at(axis, &self.shape);
            for (at, &id) in factor.ids.iter().enumerate() {
                columns[(at / inner) % size].push(id);
            }
        }
        columns
    }

    /// One channel index for every index along `axis`, after uniting all that share an index.
    pub(crate) fn axis_indices(&self, channel_indices: &mut ChannelIndices, axis: usize) -> Option<Vec<ChannelIndex>> {
        let columns = self.columns(axis)?;
        Some(
            columns
                .into_iter()
                .map(|column| {
                    for pair in column.windows(2) {
                        channel_indices.unite(pair[0], pair[1]);
                    }
                    column[0]
                })
                .collect(),
        )
    }

    pub(crate) fn transpose(&self, perm: &[usize]) -> Self {
        let shape: Vec<_> = perm.iter().map(|&axis| self.shape[axis]).collect();
        let factors = self
            .factors
            .iter()
            .map(|factor| {
                let mut axes: Vec<usize> = (0..perm.len()).filter(|&new| factor.axes.contains(&perm[new])).collect();
                axes.sort_unstable();
                let sizes = factor.sizes(&self.shape);
                let new_sizes: Vec<_> = axes.iter().map(|&axis| shape[axis]).collect();
                let order: Vec<_> =
                    axes.iter().map(|&new| factor.axes.iter().position(|&old| old == perm[new]).unwrap_or(0)).collect();
                let mut strides = vec![1; sizes.len()];
                for i in (0..sizes.len().saturating_sub(1)).rev() {
                    strides[i] = strides[i + 1] * sizes[i + 1];
                }
                let mut ids = Vec::with_capacity(factor.ids.len());
                for_each_index(&new_sizes, |index| {
                    let at: usize = index.iter().zip(&order).map(|(i, &o)| i * strides[o]).sum();
                    ids.push(factor.ids[at]);
                });
                Factor { axes, ids: Arc::new(ids) }
            })
            .collect();
        Self { shape, factors, lost: self.lost.clone() }
    }

    /// The same elements in another shape.
    pub(crate) fn reshape(&self, shape: &[usize]) -> Result<Self, Unsupported> {
        if shape.iter().product::<usize>() != self.elements() {
            return unsupported("the number of elements does not fit the target shape");
        }
        if self.elements() == 0 || self.factors.is_empty() {
            return Ok(Self::plain(shape.to_vec()));
        }
        let segments = segments(&self.shape, shape);
        let mut result = Self { shape: shape.to_vec(), factors: Vec::new(), lost: self.lost.clone() };
        for factor in &self.factors {
            let touched: Vec<_> =
                segments.iter().filter(|(from, _)| factor.axes.iter().any(|axis| from.contains(axis))).collect();
            let from: Vec<_> = touched.iter().flat_map(|(from, _)| from.clone()).collect();
            let to: Vec<_> = touched.iter().flat_map(|(_, to)| to.clone()).collect();
            let ids = factor.spread(&from, &self.shape)?;
            result.take(to, ids);
        }
        Ok(result)
    }

    /// The elements at `indices` of `axis`, in that order (with repetitions if asked).
    pub(crate) fn select(&self, axis: usize, indices: &[usize]) -> Self {
        let mut shape = self.shape.clone();
        shape[axis] = indices.len();
        let mut result = Self { shape, factors: Vec::new(), lost: self.lost.clone() };
        for factor in &self.factors {
            if !factor.axes.contains(&axis) {
                result.factors.push(factor.clone());
                continue;
            }
            let (size, inner) = factor.split_at(axis, &self.shape);
            let outer = factor.ids.len() / (size * inner);
            let ids = (0..outer)
                .flat_map(|o| indices.iter().map(move |&i| (o * size + i) * inner))
                .flat_map(|at| factor.ids[at..at + inner].to_vec())
                .collect();
            result.take(factor.axes.clone(), ids);
        }
        result
    }

    /// Values laid one after the other along `axis`; every part must vary along `axis` or have `missing` channel indices.
    /// `stuck` is told the channel indices that meet an axis of another part along which nothing may be cut.
    pub(crate) fn concat(
        channel_indices: &mut ChannelIndices,
        parts: &[Self],
        axis: usize,
        mut missing: impl FnMut(&mut ChannelIndices, usize, usize) -> Vec<ChannelIndex>,
        stuck: impl FnMut(&mut ChannelIndices, &[ChannelIndex]),
    ) -> Result<Self, Unsupported> {
        let mut shape = parts[0].shape.clone();
        shape[axis] = parts.iter().map(|part| part.shape[axis]).sum();
        let aside: Vec<Self> = parts
            .iter()
            .map(|part| Self {
                // The size along the concatenated axis plays no part for the other factors.
                shape: part.shape.iter().enumerate().map(|(a, &size)| if a == axis { 1 } else { size }).collect(),
                factors: part.factors.iter().filter(|factor| !factor.axes.contains(&axis)).cloned().collect(),
                lost: part.lost.clone(),
            })
            .collect();
        let mut result = unite_elementwise(channel_indices, &aside, stuck)?;
        result.shape.clone_from(&shape);
        if parts.iter().any(|part| part.varies(axis)) {
            let mut axes: Vec<usize> = vec![axis];
            for factor in parts.iter().flat_map(|part| &part.factors).filter(|f| f.axes.contains(&axis)) {
                axes.extend(&factor.axes);
            }
            axes.sort_unstable();
            axes.dedup();
            let mut pieces = Vec::new();
            for (number, part) in parts.iter().enumerate() {
                let factor = match part.factors.iter().find(|factor| factor.axes.contains(&axis)) {
                    Some(factor) => factor.clone(),
                    None => {
                        Factor { axes: vec![axis], ids: Arc::new(missing(channel_indices, number, part.shape[axis])) }
                    }
                };
                pieces.push((factor.spread(&axes, &part.shape)?, part.shape[axis]));
            }
            let inner: usize = axes.iter().filter(|&&a| a > axis).map(|&a| shape[a]).product();
            let outer: usize = axes.iter().filter(|&&a| a < axis).map(|&a| shape[a]).product();
            let mut ids = Vec::with_capacity(outer * shape[axis] * inner);
            for o in 0..outer {
                for (piece, size) in &pieces {
                    ids.extend_from_slice(&piece[o * size * inner..(o + 1) * size * inner]);
                }
            }
            result.take(axes, ids);
        }
        Ok(result)
    }

    /// The value without the given axes (sizes become 1 if `keep`, else the axes go). Their channel indices are dropped.
    pub(crate) fn reduce(&self, axes: &[usize], keep: bool) -> Self {
        let shape = self.shape.iter().enumerate().map(|(a, &size)| if axes.contains(&a) { 1 } else { size }).collect();
        let factors = self.factors.iter().filter(|f| !f.axes.iter().any(|axis| axes.contains(axis))).cloned().collect();
        let kept = Self { shape, factors, lost: self.lost.clone() };
        if keep { kept } else { kept.without(axes) }
    }

    /// Removes axes of size 1.
    pub(crate) fn without(&self, axes: &[usize]) -> Self {
        let renumber = |axis: usize| axis - axes.iter().filter(|&&gone| gone < axis).count();
        Self {
            shape: self.shape.iter().enumerate().filter(|(a, _)| !axes.contains(a)).map(|(_, &s)| s).collect(),
            factors: self
                .factors
                .iter()
                .filter(|factor| !factor.axes.iter().any(|axis| axes.contains(axis)))
                .map(|f| Factor { axes: f.axes.iter().map(|&axis| renumber(axis)).collect(), ids: Arc::clone(&f.ids) })
                .collect(),
            lost: self.lost.clone(),
        }
    }

    /// The value with leading axes of size 1 up to `rank`.
    pub(crate) fn aligned(&self, rank: usize) -> Self {
        let shift = rank.saturating_sub(self.rank());
        let mut shape = vec![1; shift];
        shape.extend(&self.shape);
        let factors = self
            .factors
            .iter()
            .map(|f| Factor { axes: f.axes.iter().map(|axis| axis + shift).collect(), ids: Arc::clone(&f.ids) })
            .collect();
        Self { shape, factors, lost: self.lost.clone() }
    }

    /// Adds a factor as far as its ids vary; one that does not vary at all is lost.
    fn take(&mut self, axes: Vec<usize>, ids: Vec<ChannelIndex>) {
        let first = ids.first().copied();
        match Factor::compressed(axes, &self.shape, ids) {
            Some(factor) => self.factors.push(factor),
            None => self.lost.extend(first),
        }
    }
}

/// The shape that `shapes` broadcast to (numpy rules); `None` if they do not.
pub(crate) fn broadcast_shape(shapes: &[&[usize]]) -> Option<Vec<usize>> {
    let rank = shapes.iter().map(|shape| shape.len()).max()?;
    (0..rank)
        .map(|axis| {
            let mut size = 1;
            for shape in shapes {
                let Some(at) = (axis + shape.len()).checked_sub(rank) else { continue };
                match (size, shape[at]) {
                    (1, other) => size = other,
                    (_, 1) => {}
                    (a, b) if a == b => {}
                    _ => return None,
                }
            }
            Some(size)
        })
        .collect()
}

/// Unites the channel indices that meet when values are combined element by element, with broadcasting.
///
/// `stuck` is told the channel indices that meet an axis of another operand along which nothing may be cut.
pub(crate) fn unite_elementwise(
    channel_indices: &mut ChannelIndices,
    parts: &[Ids],
    mut stuck: impl FnMut(&mut ChannelIndices, &[ChannelIndex]),
) -> Result<Ids, Unsupported> {
    let shapes: Vec<&[usize]> = parts.iter().map(|part| part.shape.as_slice()).collect();
    let Some(shape) = broadcast_shape(&shapes) else {
        return unsupported("the shapes of the operands do not broadcast");
    };
    let parts: Vec<Ids> = parts.iter().map(|part| part.aligned(shape.len())).collect();
    let mut factors: Vec<Factor> = Vec::new();
    for (number, part) in parts.iter().enumerate() {
        for factor in &part.factors {
            let held = parts.iter().enumerate().any(|(other_number, other)| {
                let meets = factor.axes.iter().any(|&axis| other.shape[axis] > 1);
                let known = factor.axes.iter().any(|&axis| other.varies(axis));
                other_number != number && meets && !known
            });
            if held {
                // Nothing along these axes can be cut from here on, so that no later node need keep it apart: positions
                // of a stored embedding are folded into batches and channels.
                stuck(channel_indices, &factor.ids);
                continue;
            }
            let mut merged = false;
            for known in &mut factors {
                if !known.axes.iter().any(|axis| factor.axes.contains(axis)) {
                    continue;
                }
                merged = true;
                let mut axes: Vec<usize> = known.axes.iter().chain(&factor.axes).copied().collect();
                axes.sort_unstable();
                axes.dedup();
                let (a, b) = (known.spread(&axes, &shape)?, factor.spread(&axes, &shape)?);
                for (&a, &b) in a.iter().zip(&b) {
                    channel_indices.unite(a, b);
                }
                if factor.axes.len() < known.axes.len() {
                    *known = factor.clone();
                }
            }
            if !merged {
                factors.push(factor.clone());
            }
        }
    }
    let lost = parts.iter().flat_map(|part| part.lost.iter().copied()).collect();
    Ok(Ids { shape, factors, lost })
}

#[cfg(test)]
mod tests;
