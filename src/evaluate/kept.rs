//! The calibration images that are kept, as later passes take them.

use std::sync::Arc;

use ndarray::ArrayD;

use super::Observed;
use super::roll::Entry;
use crate::calibration::Batch;
use crate::engine::{Feed, Tensor, feed};

/// Mirror images are added while all images stay below this.
const MOST_MIRRORED: u64 = 256 << 20;

impl Observed {
    /// Bytes of the kept images.
    fn kept_bytes(&self) -> u64 {
        self.batches.iter().map(feed::bytes).sum()
    }

    /// The kept batches where the only input is single precision.
    pub fn floats(&self) -> Vec<&ArrayD<f32>> {
        self.batches.iter().filter_map(only_floats).collect()
    }

    /// The kept images and behind them their mirror images (`docs/method.md` 9.8), where those are small or take at most
    /// `bytes`; `columns`: the axis that is turned round, if the samples are pictures.
    pub fn mirrored(&self, columns: Option<usize>, bytes: u64) -> Vec<Feed> {
        let mut batches = self.batches.clone();
        if let Some(columns) = columns.filter(|_| self.kept_bytes() <= MOST_MIRRORED.max(bytes)) {
            batches.extend(self.batches.iter().filter_map(|batch| mirror(batch, columns)));
        }
        batches
    }
}

fn only_floats(batch: &Feed) -> Option<&ArrayD<f32>> {
    match batch.values().next()?.as_ref() {
        Tensor::F32(values) if batch.len() == 1 => Some(values),
        _ => None,
    }
}

/// Left and right exchanged along the axis of the columns of a single input.
fn mirror(batch: &Feed, columns: usize) -> Option<Feed> {
    let (name, images) = batch.iter().next().filter(|_| batch.len() == 1)?;
    (columns < images.shape().len()).then(|| Feed::from([(name.clone(), Arc::new(images.reversed(columns)))]))
}

/// Inputs of some images, put aside as they come.
pub(super) struct KeptInputs {
    most: usize,
    batches: Batches,
    images: Vec<KeptImage>,
}

/// An image whose inputs are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeptImage {
    /// [`Entry::key`].
    pub key: u64,
    /// Its label in the data set, where it is known.
    pub label: Option<usize>,
}

impl KeptInputs {
    /// Of the first `most` images in the seeded order; `batch`: samples of a run.
    pub(super) fn new(most: usize, batch: usize) -> Self {
        Self { most, batches: Batches { size: batch, ..Batches::default() }, images: Vec::new() }
    }

    /// Keeps of a batch the images at `rows` that are among those; `entries`: what is known of each.
    pub(super) fn push(&mut self, batch: &Batch, rows: &[usize], entries: &[Entry]) {
        let kept = rows.iter().zip(entries).filter(|(_, own)| (own.place as usize) < self.most);
        let image = |(&row, entry): (&usize, &Entry)| (row, KeptImage { key: entry.key(), label: batch.labels[row] });
        let (rows, images): (Vec<usize>, Vec<KeptImage>) = kept.map(image).unzip();
        if !rows.is_empty() {
            let whole = rows.len() == batch.items.len();
            self.batches.push(if whole { batch.inputs.clone() } else { feed::rows(&batch.inputs, &rows) });
            self.images.extend(images);
        }
    }

    /// Batches of one size, and their images; `fixed`: a run takes neither more nor fewer.
    pub(super) fn finish(self, fixed: bool) -> (Vec<Feed>, Vec<KeptImage>) {
        (self.batches.finish(fixed), self.images)
    }
}

/// Samples put together to batches of one size as they come.
#[derive(Default)]
struct Batches {
    size: usize,
    full: Vec<Feed>,
    waiting: Option<Feed>,
}

impl Batches {
    fn push(&mut self, piece: Feed) {
        if self.size <= 1 {
            self.full.push(piece);
            return;
        }
        let mut all = piece;
        if let Some(before) = self.waiting.take() {
            match feed::joined(&[before.clone(), all.clone()]) {
                Some(joined) => all = joined,
                // They do not go together.
                None => self.full.push(before),
            }
        }
        let mut count = feed::samples(&all);
        while count > self.size {
            self.full.push(feed::rows(&all, &(0..self.size).collect::<Vec<_>>()));
            all = feed::rows(&all, &(self.size..count).collect::<Vec<_>>());
            count -= self.size;
        }
        if count == self.size {
            self.full.push(all);
        } else {
            self.waiting = Some(all);
        }
    }

    /// The batches; the last may be smaller, or repeats its samples where batches are `fixed`.
    fn finish(mut self, fixed: bool) -> Vec<Feed> {
        if let Some(last) = self.waiting {
            let count = feed::samples(&last).max(1);
            let rows: Vec<usize> = (0..self.size).map(|row| row % count).collect();
            self.full.push(if fixed { feed::rows(&last, &rows) } else { last });
        }
        self.full
    }
}

/// Places of `count` of `all`, from all over them.
pub(crate) fn evenly(count: usize, all: usize) -> impl Iterator<Item = usize> {
    let count = count.min(all);
    (0..count).map(move |at| at * all / count)
}

/// `wanted` samples from all over the batches, in batches of the same size. `divisible`: whether a run may have any
/// number of samples; else whole batches are taken.
pub(super) fn spread(batches: &[Feed], wanted: usize, divisible: bool) -> Vec<Feed> {
    let sizes: Vec<usize> = batches.iter().map(feed::samples).collect();
    let size = sizes.first().copied().unwrap_or(0).max(1);
    if !divisible {
        return evenly(wanted.div_ceil(size), batches.len()).map(|batch| batches[batch].clone()).collect();
    }
    let places: Vec<(usize, usize)> =
        sizes.iter().enumerate().flat_map(|(batch, &rows)| (0..rows).map(move |row| (batch, row))).collect();
    let picked: Vec<(usize, usize)> = evenly(wanted, places.len()).map(|at| places[at]).collect();
    let join = |part: &[(usize, usize)]| {
        let rows: Vec<Feed> = part.iter().map(|&(batch, row)| feed::rows(&batches[batch], &[row])).collect();
        feed::joined(&rows)
    };
    picked.chunks(size).filter_map(join).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::ArrayD;

    fn batch(first: u8, rows: usize) -> Feed {
        #[allow(clippy::cast_possible_truncation, reason = "small")]
        let values = ArrayD::from_shape_fn(vec![rows, 2], |at| first + at[0] as u8);
        Feed::from([("x".to_owned(), Arc::new(Tensor::U8(values)))])
    }

    #[test]
    fn samples_of_any_type_come_from_all_over() {
        let batches = [batch(0, 4), batch(4, 4), batch(8, 2)];
        let found = spread(&batches, 5, true);
        let firsts: Vec<f32> = found.iter().flat_map(|own| own["x"].to_f32().into_iter().step_by(2)).collect();
        assert_eq!(firsts, [0.0, 2.0, 4.0, 6.0, 8.0]);
        assert_eq!(found.iter().map(feed::samples).collect::<Vec<_>>(), [4, 1]);
        assert_eq!(spread(&batches, 5, false), [batches[0].clone(), batches[1].clone()]);
        assert!(spread(&[], 5, true).is_empty());
    }
}
