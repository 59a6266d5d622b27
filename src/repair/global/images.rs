//! Images of a round: draws, mirrors and small shifts. Targets come from the dense model, so any such image serves.

use std::borrow::Borrow;

use ndarray::{ArrayD, Axis};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::ops::Array;

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
        let size: usize = self.shape().iter().product();
        let mut out = vec![0.0; picks.len() * size];
        out.par_chunks_exact_mut(size.max(1)).zip(picks).for_each(|(to, pick)| {
            if let Some(&(batch, row)) = self.places.get(pick.image) {
                let source = self.batches[batch].index_axis(Axis(0), row);
                copy(source.as_standard_layout().as_slice().unwrap_or_default(), self.shape(), pick, to);
            }
        });
        Array::from_shape_vec(shape, out).unwrap_or_default()
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

/// One image of a shape as it enters a round.
fn copy(from: &[f32], shape: &[usize], pick: &Pick, to: &mut [f32]) {
    let &[.., rows, columns] = shape else {
        to.copy_from_slice(from);
        return;
    };
    let moved = |at: usize, shift: i32, size: usize| at.saturating_add_signed(shift as isize).min(size - 1);
    let column = |at: usize| {
        let at = moved(at, pick.shift[1], columns);
        if pick.mirror { columns - 1 - at } else { at }
    };
    let read: Vec<usize> = (0..columns).map(column).collect();
    for (number, to) in to.chunks_exact_mut(columns.max(1)).enumerate() {
        let row = number / rows * rows + moved(number % rows, pick.shift[0], rows);
        let from = &from[row * columns..][..columns];
        to.iter_mut().zip(&read).for_each(|(to, &at)| *to = from[at]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_mirrored_and_moved_with_their_border_continued() {
        // Two channels of 2 x 3, counted from 0; the second image of the second batch is picked.
        let batch = |from: usize| {
            ArrayD::from_shape_fn(vec![2, 2, 2, 3], |at| (from + at[0] * 12 + at[1] * 6 + at[2] * 3 + at[3]) as f32)
        };
        let batches = [batch(1000), batch(0)];
        let images = Images::new(&batches);
        let moved = Pick { image: 3, mirror: true, shift: [1, -1] };
        let found = images.batch(&[Pick::plain(3), moved]);
        assert_eq!(found.index_axis(Axis(0), 0), batches[1].index_axis(Axis(0), 1));
        // Row 1 is read twice; columns 0, 0, 1 of the mirrored image.
        let row = |first: f32| [first + 2.0, first + 2.0, first + 1.0];
        let expected = [row(15.0), row(15.0), row(21.0), row(21.0)].concat();
        assert_eq!(found.index_axis(Axis(0), 1).iter().copied().collect::<Vec<f32>>(), expected);
    }
}
