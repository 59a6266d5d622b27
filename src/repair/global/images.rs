//! Images of a round: draws, mirrors and small shifts. Targets come from the dense model, so any such image serves.

use std::borrow::Borrow;

use ndarray::{ArrayD, Axis};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use super::ops::Array;
use crate::calibration::mirrored;

/// Images are moved by at most this part of their size.
const REACH: usize = 8;

/// One image as it enters a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pick {
    pub(super) image: usize,
    /// Mirrored along the last axis.
    pub(super) mirror: bool,
    /// Rows and columns by which it is moved; its border is continued.
    pub(super) shift: [i32; 2],
}

impl Pick {
    /// An image as it is.
    pub(super) fn plain(image: usize) -> Self {
        Self { image, mirror: false, shift: [0, 0] }
    }
}

/// Images in batches `[N, ...]`, counted through.
pub(super) struct Images<'a> {
    batches: Vec<&'a ArrayD<f32>>,
    /// Batch and row of every image.
    places: Vec<(usize, usize)>,
}

impl<'a> Images<'a> {
    pub(super) fn new(batches: &'a [impl Borrow<ArrayD<f32>>]) -> Self {
        let batches: Vec<&ArrayD<f32>> = batches.iter().map(Borrow::borrow).collect();
        let shape = batches.first().map(|batch| batch.shape().get(1..).unwrap_or_default());
        let places = batches
            .iter()
            .enumerate()
            .filter(|(_, batch)| batch.ndim() > 0 && batch.shape().get(1..) == shape)
            .flat_map(|(number, batch)| (0..batch.shape()[0]).map(move |row| (number, row)))
            .collect();
        Self { batches, places }
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Shape of one image.
    pub(super) fn shape(&self) -> &[usize] {
        self.batches.first().and_then(|batch| batch.shape().get(1..)).unwrap_or_default()
    }

    /// A batch of picked images, `[picks, ...]`.
    pub(super) fn batch(&self, picks: &[Pick]) -> Array {
        let shape: Vec<usize> = [picks.len()].iter().chain(self.shape()).copied().collect();
        let mut out = Array::zeros(shape);
        for (pick, mut target) in picks.iter().zip(out.axis_iter_mut(Axis(0))) {
            let Some(&(batch, row)) = self.places.get(pick.image) else { continue };
            let source = self.batches[batch].index_axis(Axis(0), row);
            let &[.., rows, columns] = source.shape() else {
                target.assign(&source);
                continue;
            };
            let last = source.ndim() - 1;
            let source = if pick.mirror { mirrored(source, last) } else { source };
            let moved = |at: usize, shift: i32, size: usize| at.saturating_add_signed(shift as isize).min(size - 1);
            for (to, mut line) in target.axis_iter_mut(Axis(source.ndim() - 2)).enumerate() {
                let from = source.index_axis(Axis(source.ndim() - 2), moved(to, pick.shift[0], rows));
                let axis = Axis(from.ndim() - 1);
                for (to, mut cell) in line.axis_iter_mut(axis).enumerate() {
                    cell.assign(&from.index_axis(axis, moved(to, pick.shift[1], columns)));
                }
            }
        }
        out
    }

    /// `count` of the images `from`, drawn without repetition as long as there are enough, mirrored and shifted at
    /// random where they are planes.
    pub(super) fn draw(&self, from: &[usize], count: usize, rng: &mut ChaCha8Rng) -> Vec<Pick> {
        let planes = self.shape().len() >= 3;
        let reach = |axis: usize| {
            let size = self.shape()[self.shape().len() - axis];
            i32::try_from(size / REACH).unwrap_or(0)
        };
        let mut left: Vec<usize> = Vec::new();
        (0..count)
            .map(|_| {
                if left.is_empty() {
                    left = from.to_vec();
                }
                let image = left.swap_remove(rng.random_range(0..left.len()));
                let mirror = rng.random::<bool>();
                // Where channels come last there are too few to be columns.
                if !planes || reach(1) == 0 {
                    return Pick::plain(image);
                }
                let shift = [2, 1].map(|axis| rng.random_range(-reach(axis)..=reach(axis)));
                Pick { image, mirror, shift }
            })
            .collect()
    }
}
