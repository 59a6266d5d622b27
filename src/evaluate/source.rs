//! Runs of models over the images of a data set.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ndarray::{Array2, ArrayD, Axis, concatenate};

use super::classes::rows;
use super::{DataOptions, EvaluateError, InputSpec, Predictions, input_specs};
use crate::calibration::{Batch, CalibrationError, Dataset, PipelineOptions, Preprocess, Skipped, for_each_batch};
use crate::engine::{CompileOptions, Engine, Feed, Session, Tensor, feed};
use crate::model::{DataType, Model};

/// Images per engine call where the model leaves it open: a few megabytes of input, so that the activations that are
/// fetched stay within a gigabyte.
const BATCH: usize = 32;
const BATCH_OF_LARGE: usize = 8;

/// Input values per image from which an image counts as large.
const LARGE: usize = 3 * 96 * 96;

/// An opened data set with a model's preprocessing.
#[derive(Debug)]
pub struct Source {
    /// The images.
    pub dataset: Dataset,
    /// From an image to the model's input.
    pub preprocess: Preprocess,
    /// The model's only input.
    pub input: InputSpec,
    /// Images per run.
    pub batch: usize,
    /// Whether an unreadable image is an error.
    pub strict: bool,
}

impl Source {
    /// Opens a data set for the input of a model.
    ///
    /// # Errors
    /// If there are no images at `path`, the model has not one input, or the preprocessing cannot be told.
    pub fn open(model: &Model, path: &Path, options: &DataOptions) -> Result<Self, EvaluateError> {
        let dataset = options.open(path)?;
        let specs = input_specs(model);
        let [input] = &specs[..] else {
            let why = format!("the model has {} inputs; images feed models with one", specs.len());
            let help = "use a norm criterion without `--data` (`--criterion l2`)".into();
            return Err(CalibrationError::Preprocess { setting: "data", why, help }.into());
        };
        let preprocess = Preprocess::resolve(&input.shape, &options.preprocess)?;
        let batch = input
            .shape
            .first()
            .copied()
            .flatten()
            .unwrap_or_else(|| if preprocess.volume() < LARGE { BATCH } else { BATCH_OF_LARGE });
        Ok(Self { dataset, preprocess, input: input.clone(), batch, strict: options.strict })
    }

    /// Number of distinct labels.
    pub fn class_count(&self) -> usize {
        let labels: std::collections::BTreeSet<usize> =
            (0..self.dataset.len()).filter_map(|index| self.dataset.label(index)).collect();
        labels.len()
    }

    /// The inputs of a run on these images.
    pub(super) fn feed(&self, images: ArrayD<f32>) -> Feed {
        Feed::from([(self.input.name.clone(), Arc::new(cast(images, self.input.dtype)))])
    }

    /// As [`Source::feed`], as many as the model takes: where that is fixed, images are repeated; the surplus of outputs
    /// is dropped.
    pub(super) fn filled(&self, images: &ArrayD<f32>) -> Feed {
        let count = images.shape().first().copied().unwrap_or(0).max(1);
        self.feed(match self.fixed_batch() {
            Some(size) if size > count => {
                let rows: Vec<usize> = (0..size).map(|row| row % count).collect();
                images.select(Axis(0), &rows)
            }
            _ => images.clone(),
        })
    }

    /// Images per run, where the model fixes it.
    pub(super) fn fixed_batch(&self) -> Option<usize> {
        self.input.shape.first().copied().flatten()
    }
}

/// A run over some images of a data set.
#[derive(Clone, Copy)]
pub struct Pass<'a> {
    /// What runs the model.
    pub engine: &'a dyn Engine,
    /// The data set.
    pub source: &'a Source,
    /// Numbers of the images.
    pub indices: &'a [usize],
    /// Called with the number of images that were run since the last call.
    pub advance: &'a dyn Fn(u64),
    /// Ends the run.
    pub cancel: &'a AtomicBool,
}

/// A model's first output on some images.
#[derive(Debug, Clone, Default)]
pub struct FirstOutputs {
    /// Numbers of the images in the data set.
    pub items: Vec<usize>,
    /// A row `[K]` for each image; `None` where the output cannot be seen as rows.
    pub rows: Option<Array2<f32>>,
}

impl Pass<'_> {
    /// Feeds the images to a session and hands the outputs on, `[N, ...]` each.
    ///
    /// # Errors
    /// If an image or the engine is unusable, on interruption, and what `each` returns.
    pub fn run(
        &self,
        session: &mut dyn Session,
        mut each: impl FnMut(&Batch, Vec<ArrayD<f32>>) -> Result<(), EvaluateError>,
    ) -> Result<Skipped, EvaluateError> {
        let Source { dataset, preprocess, .. } = self.source;
        let options = PipelineOptions { batch: self.source.batch, strict: self.source.strict };
        let interrupted = || self.cancel.load(Ordering::Relaxed);
        let skipped = for_each_batch(dataset, self.indices, preprocess, &options, self.cancel, |batch| {
            let count = batch.items.len();
            let outputs = session.run(&feed::pairs(&self.source.filled(&batch.images)))?;
            let outputs = outputs.iter().map(|output| first_rows(output, count)).collect();
            if interrupted() {
                return Err(EvaluateError::Interrupted);
            }
            each(&batch, outputs)?;
            (self.advance)(count as u64);
            Ok(())
        })?;
        if interrupted() { Err(EvaluateError::Interrupted) } else { Ok(skipped) }
    }

    /// Top-1 answers of a model.
    ///
    /// # Errors
    /// As [`Pass::run`].
    pub fn predictions(&self, model: &Model) -> Result<Predictions, EvaluateError> {
        let mut session = self.engine.compile(model, &CompileOptions::default())?;
        let mut predictions = Predictions::default();
        self.run(session.as_mut(), |batch, outputs| {
            if let Some(scores) = outputs.first() {
                predictions.add(scores, &batch.labels, &batch.items);
            }
            Ok(())
        })?;
        Ok(predictions)
    }

    /// First output of a model.
    ///
    /// # Errors
    /// As [`Pass::run`].
    pub fn first_outputs(&self, model: &Model) -> Result<FirstOutputs, EvaluateError> {
        let mut session = self.engine.compile(model, &CompileOptions::default())?;
        let (mut items, mut all) = (Vec::new(), Vec::new());
        self.run(session.as_mut(), |batch, outputs| {
            all.push(outputs.first().and_then(rows));
            items.extend(&batch.items);
            Ok(())
        })?;
        Ok(FirstOutputs { items, rows: stacked(all) })
    }
}

/// All outputs of a model on batches of its inputs.
///
/// # Errors
/// If the model does not run, or on interruption.
pub fn outputs_on<'a>(
    engine: &dyn Engine,
    model: &Model,
    batches: impl Iterator<Item = &'a Feed>,
    cancel: &AtomicBool,
) -> Result<Vec<Vec<ArrayD<f32>>>, EvaluateError> {
    let mut session = engine.compile(model, &CompileOptions::default())?;
    let mut all = Vec::new();
    for batch in batches {
        if cancel.load(Ordering::Relaxed) {
            return Err(EvaluateError::Interrupted);
        }
        let outputs = session.run(&feed::pairs(batch))?;
        all.push(outputs.iter().map(Tensor::to_f32).collect());
    }
    Ok(all)
}

pub(super) fn first_rows(output: &Tensor, count: usize) -> ArrayD<f32> {
    let mut values = output.to_f32();
    if values.ndim() > 0 && values.len_of(Axis(0)) > count {
        values.slice_axis_inplace(Axis(0), (0..count).into());
    }
    values
}

fn cast(images: ArrayD<f32>, dtype: DataType) -> Tensor {
    match dtype {
        DataType::Float16 => Tensor::F16(images.mapv(half::f16::from_f32)),
        DataType::Double => Tensor::F64(images.mapv(f64::from)),
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "pixels fit a byte")]
        DataType::Uint8 => Tensor::U8(images.mapv(|value| value as u8)),
        _ => Tensor::F32(images),
    }
}

/// The rows of all batches; `None` if some batch has none, or they differ in length.
pub(super) fn stacked(batches: Vec<Option<Array2<f32>>>) -> Option<Array2<f32>> {
    let batches: Vec<Array2<f32>> = batches.into_iter().collect::<Option<_>>()?;
    let views: Vec<_> = batches.iter().map(|rows| rows.view()).collect();
    concatenate(Axis(0), &views).ok()
}
