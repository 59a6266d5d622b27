//! The numbers of an array that one axis, or several side by side, hold together.

/// Segments of equal length: `outer` blocks of `length * inner` numbers, in which a segment takes every `inner`-th.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segments {
    outer: usize,
    pub(super) length: usize,
    inner: usize,
}

impl Segments {
    /// Along one axis.
    pub(super) fn along(shape: &[usize], axis: usize) -> Self {
        Self { outer: shape[..axis].iter().product(), length: shape[axis], inner: shape[axis + 1..].iter().product() }
    }

    /// Over all axes from one on.
    pub(super) fn from_axis(shape: &[usize], axis: usize) -> Self {
        Self { outer: shape[..axis].iter().product(), length: shape[axis..].iter().product(), inner: 1 }
    }

    /// So many segments of numbers side by side.
    pub(super) fn blocks(shape: &[usize], count: usize) -> Option<Self> {
        let all: usize = shape.iter().product();
        (count > 0 && all.is_multiple_of(count)).then(|| Self { outer: count, length: all / count, inner: 1 })
    }

    /// Calls `f` with the indices of every segment.
    pub(super) fn each(&self, mut f: impl FnMut(std::iter::StepBy<std::ops::Range<usize>>)) {
        let block = self.length * self.inner;
        for outer in 0..self.outer {
            for inner in 0..self.inner {
                let start = outer * block + inner;
                f((start..(outer + 1) * block).step_by(self.inner.max(1)));
            }
        }
    }
}
