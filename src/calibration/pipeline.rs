//! Batches of input tensors, decoded on all cores while the caller works on the batch before.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};

use ndarray::{ArrayD, IxDyn};
use rayon::prelude::*;

use super::tensor::fill;
use super::{CalibrationError, Dataset, Inputs, PictureInput};
use crate::engine::Feed;

/// Batches that wait for the caller at most.
const AHEAD: usize = 2;

/// Images ready for the model.
#[derive(Debug, Clone)]
pub struct Batch {
    /// All inputs of the run, `[N, ...]` each: pictures as the preprocessing says, arrays as they are.
    pub inputs: Feed,
    /// Output index of each image's class, where known.
    pub labels: Vec<Option<usize>>,
    /// Each image's number in the data set.
    pub items: Vec<usize>,
}

/// How batches are made.
#[derive(Debug, Clone)]
pub struct PipelineOptions {
    /// Images per batch, at least 1; the last batch may be smaller.
    pub batch: usize,
    /// An unreadable image is an error, not skipped.
    pub strict: bool,
}

impl Default for PipelineOptions {
    fn default() -> Self {
        Self { batch: 32, strict: false }
    }
}

/// Images that could not be used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Skipped {
    /// `file: what is wrong with it`, in the order of the indices.
    pub names: Vec<String>,
}

impl Skipped {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether every image could be used.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

/// Calls `f` with the images `indices` of `dataset`, in this order, in batches.
///
/// Batches are filled up past unreadable images, so that only the last one can be smaller. Once `cancel` is set no
/// further batch is handed out and the result is `Ok`; the caller checks the flag. The results do not depend on the
/// number of threads.
///
/// Decoding uses rayon's global pool. Call this from an ordinary thread: a worker of that pool that waits here is one
/// that does not decode, and where it is the only one nothing would ever arrive.
///
/// # Errors
/// What `f` returns; [`CalibrationError::Image`] for an unreadable image with `strict`;
/// [`CalibrationError::Unreadable`] where no image at all can be used.
pub fn for_each_batch<E: From<CalibrationError>>(
    dataset: &Dataset,
    indices: &[u32],
    inputs: &Inputs,
    options: &PipelineOptions,
    cancel: &AtomicBool,
    mut f: impl FnMut(Batch) -> Result<(), E>,
) -> Result<Skipped, E> {
    let picture = match inputs {
        Inputs::Pictures(picture) => picture,
        Inputs::Arrays(_) => return arrays(dataset, indices, options, cancel, f),
    };
    let (sender, receiver) = sync_channel(AHEAD);
    std::thread::scope(|scope| {
        let producer = scope.spawn(move || {
            let mut producer = Producer { dataset, picture, options, sender, pending: Vec::new(), skipped: Vec::new() };
            producer.run(indices, cancel).map(|()| producer.skipped)
        });
        // Dropping the receiver makes the producer's next send fail, which ends it.
        let receiver = receiver;
        let mut result = Ok(());
        while let Ok(batch) = receiver.recv() {
            if cancel.load(Ordering::Relaxed) {
                break;
            }
            result = f(batch);
            if result.is_err() {
                break;
            }
        }
        drop(receiver);
        let produced = producer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        result?;
        let names = produced?;
        Ok(Skipped { names })
    })
}

/// Hands out arrays, which are in memory.
fn arrays<E: From<CalibrationError>>(
    dataset: &Dataset,
    indices: &[u32],
    options: &PipelineOptions,
    cancel: &AtomicBool,
    mut f: impl FnMut(Batch) -> Result<(), E>,
) -> Result<Skipped, E> {
    for chunk in indices.chunks(options.batch.max(1)) {
        if cancel.load(Ordering::Relaxed) {
            break;
        }
        let items: Vec<usize> = chunk.iter().map(|&item| item as usize).collect();
        let Some(inputs) = dataset.feed(&items) else { continue };
        let labels = items.iter().map(|&item| dataset.label(item)).collect();
        f(Batch { inputs, labels, items })?;
    }
    Ok(Skipped::default())
}

/// One decoded image: its number and its tensor, or what is wrong with it.
type Decoded = (usize, Result<Vec<f32>, String>);

struct Producer<'a> {
    dataset: &'a Dataset,
    picture: &'a PictureInput,
    options: &'a PipelineOptions,
    sender: SyncSender<Batch>,
    pending: Vec<(usize, Vec<f32>)>,
    skipped: Vec<String>,
}

impl Producer<'_> {
    fn run(&mut self, indices: &[u32], cancel: &AtomicBool) -> Result<(), CalibrationError> {
        let batch = self.options.batch.max(1);
        for chunk in indices.chunks(batch) {
            if cancel.load(Ordering::Relaxed) {
                return Ok(());
            }
            let decoded: Vec<Decoded> =
                chunk.par_iter().map(|&item| item as usize).map(|item| (item, self.decode(item))).collect();
            for (item, image) in decoded {
                self.take(item, image)?;
            }
            while self.pending.len() >= batch {
                let rest = self.pending.split_off(batch);
                let full = std::mem::replace(&mut self.pending, rest);
                if !self.send(&full)? {
                    return Ok(());
                }
            }
        }
        if !indices.is_empty() && self.skipped.len() == indices.len() {
            let why = self.skipped.swap_remove(0);
            return Err(CalibrationError::Unreadable { count: indices.len(), why });
        }
        let last = std::mem::take(&mut self.pending);
        if !last.is_empty() {
            self.send(&last)?;
        }
        Ok(())
    }

    fn decode(&self, item: usize) -> Result<Vec<f32>, String> {
        let preprocess = &self.picture.preprocess;
        let mut values = vec![0.0; preprocess.volume()];
        fill(self.dataset.load(item)?, preprocess, &mut values)?;
        Ok(values)
    }

    fn take(&mut self, item: usize, image: Result<Vec<f32>, String>) -> Result<(), CalibrationError> {
        match image {
            Ok(values) => self.pending.push((item, values)),
            Err(why) if self.options.strict => return Err(CalibrationError::image(self.dataset.name(item), why)),
            Err(why) => self.skipped.push(format!("{}: {why}", self.dataset.name(item))),
        }
        Ok(())
    }

    /// Whether the caller still takes batches.
    fn send(&self, images: &[(usize, Vec<f32>)]) -> Result<bool, CalibrationError> {
        let items: Vec<usize> = images.iter().map(|(item, _)| *item).collect();
        let labels = items.iter().map(|&item| self.dataset.label(item)).collect();
        let mut data = Vec::with_capacity(images.len() * self.picture.preprocess.volume());
        for (_, values) in images {
            data.extend_from_slice(values);
        }
        let shape = self.picture.preprocess.shape(items.len());
        let values = ArrayD::from_shape_vec(IxDyn(&shape), data).map_err(|error| error.to_string());
        let values = values.and_then(|values| self.picture.encode(values));
        let values = values.map_err(|why| CalibrationError::image(self.dataset.name(items[0]), why))?;
        let inputs = Feed::from([(self.picture.name.clone(), Arc::new(values))]);
        Ok(self.sender.send(Batch { inputs, labels, items }).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibration::{DatasetOptions, Preprocess, PreprocessOptions};
    use crate::model::DataType;

    /// The producer runs inside a pool of each size, so that decoding really is spread over that many threads.
    #[test]
    fn the_number_of_threads_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        for i in 0..12_u8 {
            let path = folder.path().join(format!("{i:02}.png"));
            // Sizes differ widely, so that later images are done before earlier ones.
            let side = if i % 2 == 0 { 300 } else { 4 };
            image::RgbImage::from_pixel(side, side, image::Rgb([i, 0, 0])).save(path).unwrap();
        }
        std::fs::write(folder.path().join("05.png"), "broken").unwrap();
        let dataset = Dataset::open(folder.path(), &DatasetOptions::default()).unwrap();
        let scale = PreprocessOptions { scale: Some(1.0), ..PreprocessOptions::default() };
        let preprocess = Preprocess::resolve(&[None, Some(3), Some(4), Some(4)], &scale).unwrap();
        let picture = PictureInput { name: "x".into(), element: DataType::Float, preprocess };
        let options = PipelineOptions { batch: 5, ..PipelineOptions::default() };
        let indices: Vec<u32> = (0..12).rev().collect();
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let (sender, receiver) = sync_channel(indices.len());
            let (dataset, picture, options) = (&dataset, &picture, &options);
            let mut producer = Producer { dataset, picture, options, sender, pending: Vec::new(), skipped: Vec::new() };
            pool.install(|| producer.run(&indices, &AtomicBool::new(false))).unwrap();
            let skipped = std::mem::take(&mut producer.skipped);
            drop(producer);
            (receiver.iter().map(|batch| (batch.items, batch.inputs)).collect::<Vec<_>>(), skipped)
        };
        let one = run(1);
        assert_eq!(one.0.iter().map(|(items, _)| items.len()).collect::<Vec<_>>(), [5, 5, 1]);
        assert_eq!(one.1.len(), 1);
        assert_eq!(one, run(4));
    }
}
