//! The inner loops of direct convolution, in the processor's vector registers.
//!
//! A block of rows of the result stays in registers while all that it is a sum of is read: the loop nest of Georganas et al. 2018
//! (*Anatomy of High-Performance Deep Learning Convolutions on SIMD Architectures*, arXiv:1808.05567). Where a row of the
//! other side starts is told by an offset, so no window is ever copied.

use std::ops::Range;

use pulp::{Simd, WithSimd};

/// Numbers that are read beyond the end of a run at most.
pub(super) const SLACK: usize = 32;

/// Rows of a panel, from the widest on; a matrix is cut into as few as there can be.
const PANELS: [usize; 4] = [8, 4, 2, 1];

/// Numbers of a run that all panels go through before the next, so that what is read stays in the cache.
const TILE: usize = 512;

/// A matrix `[rows, taps]`, stored panel by panel; in each, the rows of a tap stand side by side.
pub(super) struct Panels {
    rows: usize,
    taps: usize,
    elements: Vec<f32>,
}

impl Panels {
    /// From its elements by row and tap.
    pub(super) fn new(rows: usize, taps: usize, element: impl Fn(usize, usize) -> f32) -> Self {
        let mut elements = Vec::with_capacity(rows * taps);
        for (first, height) in panels(rows) {
            for tap in 0..taps {
                elements.extend((first..first + height).map(|row| element(row, tap)));
            }
        }
        Self { rows, taps, elements }
    }
}

/// First row and height of every panel.
fn panels(rows: usize) -> impl Iterator<Item = (usize, usize)> {
    let mut next = 0;
    std::iter::from_fn(move || {
        let height = PANELS.into_iter().find(|height| next + height <= rows)?;
        next += height;
        Some((next - height, height))
    })
}

/// `to[row * stride + i]` becomes the sum over taps of `weights[row, tap] * from[offsets[tap] + i]`, for `count` numbers of
/// every row. Up to [`SLACK`] more are read.
pub(super) fn sum(weights: &Panels, offsets: &[usize], from: &[f32], to: &mut [f32], stride: usize, count: usize) {
    if weights.rows > 0 && count > 0 {
        pulp::Arch::new().dispatch(Sum { weights, offsets, from, to, stride, count });
    }
}

/// Arguments of [`sum`].
struct Sum<'a> {
    weights: &'a Panels,
    offsets: &'a [usize],
    from: &'a [f32],
    to: &'a mut [f32],
    stride: usize,
    count: usize,
}

impl WithSimd for Sum<'_> {
    type Output = ();

    #[allow(clippy::inline_always, reason = "only what is inlined there uses the processor's vector instructions")]
    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let taps = self.weights.taps;
        for tile in (0..self.count).step_by(TILE) {
            let run = tile..self.count.min(tile + TILE);
            for (row, height) in panels(self.weights.rows) {
                let panel = &self.weights.elements[row * taps..][..height * taps];
                match height {
                    8 if S::REGISTER_COUNT >= 32 => self.panel::<S, 8, 8>(simd, panel, (row, 0), run.clone()),
                    8 => {
                        self.panel::<S, 8, 4>(simd, panel, (row, 0), run.clone());
                        self.panel::<S, 8, 4>(simd, panel, (row, 4), run.clone());
                    }
                    4 => self.panel::<S, 4, 4>(simd, panel, (row, 0), run.clone()),
                    2 => self.panel::<S, 2, 2>(simd, panel, (row, 0), run.clone()),
                    _ => self.panel::<S, 1, 1>(simd, panel, (row, 0), run.clone()),
                }
            }
        }
    }
}

impl Sum<'_> {
    /// `ROWS` rows from the `first` on of a panel of `HEIGHT`: two registers of each at a time, one where no more are left.
    #[allow(clippy::inline_always, reason = "only what is inlined there uses the processor's vector instructions")]
    #[inline(always)]
    fn panel<S: Simd, const HEIGHT: usize, const ROWS: usize>(
        &mut self,
        simd: S,
        panel: &[f32],
        (row, first): (usize, usize),
        run: Range<usize>,
    ) {
        let (panel, _) = pulp::as_arrays::<HEIGHT, _>(panel);
        let mut at = run.start;
        while at < run.end {
            let left = run.end - at;
            let to = (row + first, at, left);
            if left > S::F32_LANES {
                self.block::<S, HEIGHT, ROWS, 2>(simd, panel, first, to);
                at += 2 * S::F32_LANES;
            } else {
                self.block::<S, HEIGHT, ROWS, 1>(simd, panel, first, to);
                at += S::F32_LANES;
            }
        }
    }

    /// `VECTORS` registers of `ROWS` rows. `to`: the first row, the first number, and how many there are at most.
    #[allow(clippy::inline_always, reason = "only what is inlined there uses the processor's vector instructions")]
    #[inline(always)]
    fn block<S: Simd, const HEIGHT: usize, const ROWS: usize, const VECTORS: usize>(
        &mut self,
        simd: S,
        panel: &[[f32; HEIGHT]],
        first: usize,
        (row, at, left): (usize, usize, usize),
    ) {
        let width = VECTORS * S::F32_LANES;
        let mut sums = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
        for (weights, &offset) in panel.iter().zip(self.offsets) {
            let (from, _) = S::as_simd_f32s(&self.from[offset + at..][..width]);
            for (row, sums) in sums.iter_mut().enumerate() {
                let weight = simd.splat_f32s(weights[first + row]);
                for (sum, &from) in sums.iter_mut().zip(from) {
                    *sum = simd.mul_add_e_f32s(weight, from, *sum);
                }
            }
        }
        // No pointer to the sums: they would not stay in registers.
        for (own, sums) in sums.into_iter().enumerate() {
            let to = &mut self.to[(row + own) * self.stride + at..][..width.min(left)];
            if let (vectors, []) = S::as_mut_simd_f32s(&mut *to)
                && vectors.len() == VECTORS
            {
                vectors.iter_mut().zip(sums).for_each(|(to, sum)| *to = sum);
            } else {
                to.chunks_mut(S::F32_LANES).zip(sums).for_each(|(to, sum)| simd.partial_store_f32s(to, sum));
            }
        }
    }
}

/// Runs that are multiplied with each other: image by image, from these offsets on.
pub(super) struct Runs<'a> {
    pub(super) numbers: &'a [f32],
    /// Numbers from one image to the next.
    pub(super) stride: usize,
    pub(super) offsets: &'a [usize],
}

/// `sums[row, tap]`, in row-major order: what the runs `left[row]` and `right[tap]` of all images have as inner product. They
/// have `count` numbers, and up to [`SLACK`] more are read, which are zeros on the left.
pub(super) fn products(left: &Runs<'_>, right: &Runs<'_>, images: usize, count: usize) -> Vec<f32> {
    let mut sums = vec![0.0; left.offsets.len() * right.offsets.len()];
    pulp::Arch::new().dispatch(Products { left, right, images, count, sums: &mut sums });
    sums
}

/// Arguments of [`products`].
struct Products<'a> {
    left: &'a Runs<'a>,
    right: &'a Runs<'a>,
    images: usize,
    count: usize,
    sums: &'a mut [f32],
}

impl WithSimd for Products<'_> {
    type Output = ();

    #[allow(clippy::inline_always, reason = "only what is inlined there uses the processor's vector instructions")]
    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let rows = self.left.offsets.len();
        let mut row = 0;
        while row < rows {
            row += match rows - row {
                4.. if S::REGISTER_COUNT >= 32 => self.rows::<S, 4>(simd, row),
                2.. => self.rows::<S, 2>(simd, row),
                _ => self.rows::<S, 1>(simd, row),
            };
        }
    }
}

impl Products<'_> {
    /// `ROWS` rows with all taps; returns how many there were.
    #[allow(clippy::inline_always, reason = "only what is inlined there uses the processor's vector instructions")]
    #[inline(always)]
    fn rows<S: Simd, const ROWS: usize>(&mut self, simd: S, row: usize) -> usize {
        let taps = self.right.offsets.len();
        let whole = taps / 4 * 4;
        for tap in (0..whole).step_by(4) {
            self.block::<S, ROWS, 4>(simd, row, tap);
        }
        for tap in whole..taps {
            self.block::<S, ROWS, 1>(simd, row, tap);
        }
        ROWS
    }

    /// `ROWS` rows with `TAPS` taps.
    #[allow(clippy::inline_always, reason = "only what is inlined there uses the processor's vector instructions")]
    #[inline(always)]
    fn block<S: Simd, const ROWS: usize, const TAPS: usize>(&mut self, simd: S, row: usize, tap: usize) {
        let padded = self.count.next_multiple_of(S::F32_LANES);
        let mut sums = [[simd.splat_f32s(0.0); TAPS]; ROWS];
        for image in 0..self.images {
            let left: [&[S::f32s]; ROWS] = std::array::from_fn(|own| self.left.run::<S>(image, row + own, padded));
            let right: [&[S::f32s]; TAPS] = std::array::from_fn(|own| self.right.run::<S>(image, tap + own, padded));
            for at in 0..padded / S::F32_LANES {
                let right: [S::f32s; TAPS] = std::array::from_fn(|own| right[own][at]);
                for (sums, left) in sums.iter_mut().zip(&left) {
                    let left = left[at];
                    for (sum, &right) in sums.iter_mut().zip(&right) {
                        *sum = simd.mul_add_e_f32s(left, right, *sum);
                    }
                }
            }
        }
        for (own, sums) in sums.iter().enumerate() {
            let to = &mut self.sums[(row + own) * self.right.offsets.len() + tap..][..TAPS];
            to.iter_mut().zip(sums).for_each(|(to, &sum)| *to = simd.reduce_sum_f32s(sum));
        }
    }
}

impl Runs<'_> {
    /// The numbers of a run, `padded` of them.
    #[allow(clippy::inline_always, reason = "only what is inlined there uses the processor's vector instructions")]
    #[inline(always)]
    fn run<S: Simd>(&self, image: usize, index: usize, padded: usize) -> &[S::f32s] {
        S::as_simd_f32s(&self.numbers[image * self.stride + self.offsets[index]..][..padded]).0
    }
}
