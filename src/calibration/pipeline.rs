//! The decoding pipeline: the next batches are decoded while the engine runs on this one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;

use ndarray::{ArrayD, IxDyn};
use rayon::prelude::*;

use super::dataset::Picture;
use super::resample::Pixels;
use super::{CalibrationError, Dataset, Preprocess, decode};

/// Batches that wait for the engine.
const AHEAD: usize = 2;

/// Images ready for the model.
#[derive(Debug, Clone)]
pub struct Batch {
    /// `[N, C, H, W]` or `[N, H, W, C]`, as the preprocessing says.
    pub images: ArrayD<f32>,
    /// Output index per image.
    pub labels: Vec<Option<usize>>,
    /// Index of every image in the data set.
    pub items: Vec<usize>,
}

/// How images are fed.
#[derive(Debug, Clone, Copy)]
pub struct PipelineOptions {
    /// Images per batch.
    pub batch: usize,
    /// Whether an unreadable image ends the run.
    pub strict: bool,
    /// Feed mirror images.
    pub mirrored: bool,
}

/// Images that could not be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Name and reason of each.
    pub images: Vec<String>,
}

/// Feeds the images at `indices` to `f`, batch by batch, in order. Unreadable images are left out and reported.
///
/// Stops early when `cancel` is set; the caller looks at the flag.
///
/// # Errors
/// The first error of `f`; with `strict` the first unreadable image.
pub fn for_each_batch<E: From<CalibrationError>>(
    dataset: &Dataset,
    indices: &[usize],
    preprocess: &Preprocess,
    options: PipelineOptions,
    cancel: &AtomicBool,
    mut f: impl FnMut(Batch) -> Result<(), E>,
) -> Result<Skipped, E> {
    std::thread::scope(|scope| {
        let (sender, receiver) = sync_channel(AHEAD);
        scope.spawn(move || {
            for chunk in indices.chunks(options.batch.max(1)) {
                let batch = load(dataset, chunk, preprocess, options.mirrored);
                if cancel.load(Ordering::Relaxed) || sender.send(batch).is_err() {
                    return;
                }
            }
        });
        let mut skipped = Skipped::default();
        for (batch, bad) in receiver {
            if let (true, Some((image, why))) = (options.strict, bad.first()) {
                return Err(CalibrationError::Image { image: image.clone(), why: why.clone() }.into());
            }
            skipped.images.extend(bad.into_iter().map(|(image, why)| format!("{image}: {why}")));
            if let Some(batch) = batch {
                f(batch)?;
            }
        }
        Ok(skipped)
    })
}

type Bad = Vec<(String, String)>;

fn load(dataset: &Dataset, chunk: &[usize], preprocess: &Preprocess, mirrored: bool) -> (Option<Batch>, Bad) {
    let loaded: Vec<(usize, Result<Vec<f32>, String>)> =
        chunk.par_iter().map(|&index| (index, one(dataset, index, preprocess, mirrored))).collect();
    let (mut values, mut items, mut bad) = (Vec::new(), Vec::new(), Bad::new());
    for (index, result) in loaded {
        match result {
            Ok(image) => {
                values.extend(image);
                items.push(index);
            }
            Err(why) => bad.push((dataset.name(index), why)),
        }
    }
    let mut shape = vec![items.len()];
    shape.extend(preprocess.input_shape());
    let labels = items.iter().map(|&index| dataset.label(index)).collect();
    let images = ArrayD::from_shape_vec(IxDyn(&shape), values).ok().filter(|_| !items.is_empty());
    (images.map(|images| Batch { images, labels, items }), bad)
}

fn one(dataset: &Dataset, index: usize, preprocess: &Preprocess, mirrored: bool) -> Result<Vec<f32>, String> {
    let raster = dataset.raster;
    let channels = preprocess.channels();
    let each = raster.height * raster.width * raster.channels;
    let pixels = match &dataset.items[index].picture {
        Picture::File(path) => decode::decode(path, channels)?,
        Picture::Values { offset } => {
            let wanted: usize = preprocess.input_shape().iter().product();
            if each != wanted {
                return Err(format!("it has {each} values, the model takes {wanted}"));
            }
            return Ok(dataset.values[*offset..offset + each].to_vec());
        }
        Picture::Pixels { buffer, offset } => {
            if raster.channels != channels {
                return Err(format!("it has {} channels, the model takes {channels}", raster.channels));
            }
            let bytes = &dataset.buffers[*buffer][*offset..offset + each];
            let area = raster.height * raster.width;
            let data = if raster.planar {
                (0..each).map(|at| bytes[(at % channels) * area + at / channels]).collect()
            } else {
                bytes.to_vec()
            };
            Pixels { height: raster.height, width: raster.width, channels, data }
        }
    };
    let mut values = Vec::new();
    preprocess.values(&preprocess.fit(pixels)?, mirrored, &mut values);
    Ok(values)
}
