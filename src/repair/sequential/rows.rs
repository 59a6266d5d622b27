//! Rows (image, position) of a layer's problem, drawn from the activations of both models.

use faer::MatRef;
use rayon::prelude::*;

use super::fit::Rows;
use super::layers::Layer;
use super::matrix::Matrix;
use super::patches::Reads;
use crate::engine::Tensor;
use crate::repair::draws::positions;

/// Rows of one problem: so many per weight of an output, within these bounds.
const ROWS_PER_COLUMN: usize = 128;
const LEAST_ROWS: usize = 8_000;
const LEAST_ROWS_PER_COLUMN: usize = 16;
const MOST_ROWS: usize = 40_000;

/// The same where weights stay near what they are.
const QUICK_ROWS_PER_COLUMN: usize = 16;
const QUICK_LEAST_ROWS: usize = 2_000;
const QUICK_MOST_ROWS: usize = 5_000;

/// Positions per image at least, where there are so many and memory holds them.
const LEAST_POSITIONS: usize = 8;

/// Positions of one image that are looked at rather than more images.
const MOST_POSITIONS: usize = 256;

/// Every so many-th image is held out.
pub(super) const HELD_OUT: usize = 5;

/// How rows are cut out of the values.
pub(super) struct Shape {
    reads: Reads,
    /// Channels that the layer reads, and outputs that it has.
    channels: usize,
    outputs: usize,
    /// Which of the dense outputs those are, and how many there are.
    kept: Vec<usize>,
    of: usize,
    /// Channels come last.
    last: bool,
}

impl Shape {
    /// `None` if the values are not what the layer should read and give. `batch`: images of the batch.
    pub(super) fn of(layer: &Layer, x: &[usize], target: &[usize], kept: &[usize], batch: usize) -> Option<Self> {
        if x.first() != Some(&batch) || target.first() != Some(&batch) || x.len() < 2 || x.len() != target.len() {
            return None;
        }
        let (reads, channels, of, last) = if let Some(window) = &layer.map.window {
            (Reads::of(window, &x[2..], &target[2..])?, x[1], target[1], false)
        } else {
            let axis = x.len() - 1;
            let inner: usize = x[1..axis].iter().product();
            if x[1..axis] != target[1..axis] {
                return None;
            }
            (Reads::plain(inner), x[axis], target[axis], true)
        };
        let inside = kept.iter().all(|&channel| channel < of);
        inside.then(|| Self { reads, channels, outputs: kept.len(), kept: kept.to_vec(), of, last })
    }

    pub(super) fn columns(&self) -> usize {
        self.channels * self.reads.kernel_size
    }
}

fn rows_for(columns: usize, quick: bool) -> usize {
    if quick {
        return (columns * QUICK_ROWS_PER_COLUMN).clamp(QUICK_LEAST_ROWS, QUICK_MOST_ROWS);
    }
    (columns * ROWS_PER_COLUMN).clamp(LEAST_ROWS, MOST_ROWS.max(columns * LEAST_ROWS_PER_COLUMN))
}

/// Images that have the rows for so many weights per output.
pub(super) fn images_for(columns: usize, positions: usize, quick: bool) -> usize {
    rows_for(columns, quick).div_ceil(positions.clamp(1, MOST_POSITIONS))
}

/// Images that rows come from, bytes that rows may take, and whether a part of the usual number suffices.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowLimits {
    pub(super) images: usize,
    pub(super) memory: u64,
    pub(super) quick: bool,
}

#[derive(Default)]
struct Part {
    x: Vec<f32>,
    target: Vec<f32>,
    shortcut: Vec<f32>,
}

/// The rows of all images so far.
pub(super) struct Collected {
    shape: Shape,
    wanted: usize,
    shortcut: bool,
    seed: u64,
    fit: Part,
    hold: Part,
}

impl Collected {
    /// `columns`: weights per output;
    pub(super) fn new(shape: Shape, columns: usize, limits: RowLimits, shortcut: bool, seed: u64) -> Self {
        let bytes = 4 * (shape.columns() + 3 * shape.outputs) as u64;
        let most = usize::try_from(limits.memory / bytes.max(1)).unwrap_or(usize::MAX);
        let images = limits.images.max(1);
        let rows = rows_for(columns, limits.quick).min(most);
        let wanted = LEAST_POSITIONS.max(rows / images).min((most / images).max(1)).min(shape.reads.positions);
        Self { shape, wanted, shortcut, seed, fit: Part::default(), hold: Part::default() }
    }

    /// Adds a batch whose first image has the number `first`; false if a value has an unexpected size.
    pub(super) fn add(&mut self, first: usize, x: &Tensor, target: &Tensor, shortcut: Option<&Tensor>) -> bool {
        let (x, target, shortcut) = (x.as_f32(), target.as_f32(), shortcut.map(Tensor::as_f32));
        let images = x.shape()[0];
        let shape = &self.shape;
        let positions_of = shape.reads.positions;
        let (Some(x), Some(target)) = (x.as_slice(), target.as_slice()) else { return false };
        let other = shortcut.as_ref().map(|value| value.as_slice().unwrap_or(&[]));
        let sizes = [
            (x.len(), shape.channels * shape.reads.area),
            (target.len(), shape.of * positions_of),
            other.map_or((0, 0), |value| (value.len(), shape.outputs * positions_of)),
        ];
        if sizes.iter().any(|&(length, each)| length != images * each) || other.is_some() != self.shortcut {
            return false;
        }
        let cut = |image: usize| {
            let mut part = Part::default();
            let picked = positions(self.seed, first + image, positions_of, self.wanted);
            part.x.resize(picked.len() * shape.columns(), 0.0);
            let own = &x[image * sizes[0].1..][..sizes[0].1];
            for (&position, row) in picked.iter().zip(part.x.chunks_exact_mut(shape.columns().max(1))) {
                if shape.last {
                    row.copy_from_slice(&own[position * shape.channels..][..shape.channels]);
                } else {
                    shape.reads.patch(own, position, row);
                }
            }
            let pick = |values: &[f32], channel: usize, of: usize, position: usize| {
                values[if shape.last { position * of + channel } else { channel * positions_of + position }]
            };
            let aim = &target[image * sizes[1].1..][..sizes[1].1];
            for &position in &picked {
                part.target.extend(shape.kept.iter().map(|&channel| pick(aim, channel, shape.of, position)));
                if let Some(values) = other {
                    let own = &values[image * sizes[2].1..][..sizes[2].1];
                    part.shortcut.extend((0..shape.outputs).map(|channel| pick(own, channel, shape.outputs, position)));
                }
            }
            part
        };
        let parts: Vec<Part> = (0..images).into_par_iter().map(cut).collect();
        for (image, part) in parts.into_iter().enumerate() {
            let held = (first + image) % HELD_OUT == HELD_OUT - 1;
            let all = if held { &mut self.hold } else { &mut self.fit };
            all.x.extend(part.x);
            all.target.extend(part.target);
            all.shortcut.extend(part.shortcut);
        }
        true
    }

    /// Rows in all.
    pub(super) fn count(&self) -> usize {
        (self.fit.target.len() + self.hold.target.len()) / self.shape.outputs.max(1)
    }

    /// Whether the rows are those of these weights.
    pub(super) fn fits(&self, matrix: &Matrix) -> bool {
        self.shape.columns() == matrix.layout.columns * matrix.layout.groups
            && self.shape.outputs == matrix.layout.outputs
    }

    /// Rows of a group: to fit on, and held out.
    pub(super) fn group(&self, group: usize, groups: usize) -> (Rows<'_>, Rows<'_>) {
        let of = |part| Part::rows(part, &self.shape, group, groups);
        (of(&self.fit), of(&self.hold))
    }

    /// Squared spread of the held-out targets behind an activation, summed over rows and outputs.
    pub(super) fn spread(&self, bounds: Option<(f32, f32)>) -> f64 {
        let (low, high) = bounds.unwrap_or((f32::NEG_INFINITY, f32::INFINITY));
        let outputs = self.shape.outputs.max(1);
        let seen = |value: &f32| f64::from(value.max(low).min(high));
        let rows = (self.hold.target.len() / outputs).max(1) as f64;
        let spread = |output: usize| {
            let values = || self.hold.target.iter().skip(output).step_by(outputs).map(seen);
            let mean = values().sum::<f64>() / rows;
            values().map(|value| (value - mean).powi(2)).sum::<f64>()
        };
        (0..outputs).map(spread).sum::<f64>().max(f64::MIN_POSITIVE)
    }
}

impl Part {
    fn rows(&self, shape: &Shape, group: usize, groups: usize) -> Rows<'_> {
        let n = self.target.len() / shape.outputs.max(1);
        let of = |values, height: usize| {
            let all = MatRef::from_column_major_slice(values, height, n);
            all.subrows(group * (height / groups), height / groups)
        };
        Rows {
            x: of(&self.x, shape.columns()),
            target: of(&self.target, shape.outputs),
            shortcut: (!self.shortcut.is_empty()).then(|| of(&self.shortcut, shape.outputs)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_bounds_the_rows() {
        let wanted = |memory: u64| {
            let kept = (0..10).collect();
            let shape = Shape { reads: Reads::plain(64), channels: 100, outputs: 10, kept, of: 10, last: true };
            Collected::new(shape, 100, RowLimits { images: 5_000, memory, quick: false }, false, 0).wanted
        };
        // 520 bytes a row.
        assert_eq!([1 << 30, 5_000 * 520 * 3, 520].map(wanted), [8, 3, 1]);
    }
}
