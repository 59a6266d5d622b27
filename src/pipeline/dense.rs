//! One pass of the dense model over the calibration images, serving all observers at once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use ndarray::{Array2, ArrayD, Axis, concatenate};

use super::{DataOptions, Progress};
use crate::calibration::{
    Batch, Dataset, DatasetOptions, PipelineOptions, Preprocess, Skipped, for_each_batch, sample,
};
use crate::channels::Channels;
use crate::compensate::Moments;
use crate::engine::{CompileOptions, Engine, Session, Tensor};
use crate::error::Error;
use crate::model::{DataType, Model};
use crate::statistics::{FeatureCollector, TapFeatures, TapLayout};
use crate::verify::{InputSpec, Judge, input_specs};

/// Images per engine call where the model leaves it open: a few megabytes of input, so that the activations that are
/// fetched stay within a gigabyte.
const BATCH: usize = 32;
const BATCH_OF_LARGE: usize = 8;

/// Input values per image from which an image counts as large.
const LARGE: usize = 3 * 96 * 96;

/// An opened data set with the model's preprocessing.
pub(super) struct Source {
    pub(super) dataset: Dataset,
    pub(super) preprocess: Preprocess,
    pub(super) input: InputSpec,
    pub(super) batch: usize,
}

impl Source {
    pub(super) fn open(model: &Model, path: &std::path::Path, options: &DataOptions) -> Result<Self, Error> {
        let dataset =
            Dataset::open(path, &DatasetOptions { classes: options.classes.clone(), strict: options.strict })?;
        let specs = input_specs(model);
        let [input] = &specs[..] else {
            let why = format!("the model has {} inputs; images feed models with one", specs.len());
            let help = "use a norm criterion without `--data` (`--criterion l2`)".into();
            return Err(crate::calibration::CalibrationError::Preprocess { setting: "data", why, help }.into());
        };
        let preprocess = Preprocess::resolve(&input.shape, &options.preprocess)?;
        let batch = input
            .shape
            .first()
            .copied()
            .flatten()
            .unwrap_or_else(|| if preprocess.volume() < LARGE { BATCH } else { BATCH_OF_LARGE });
        Ok(Self { dataset, preprocess, input: input.clone(), batch })
    }

    /// Feeds images to a session and hands the outputs on, `[N, ...]` each.
    pub(super) fn run(
        &self,
        session: &mut dyn Session,
        indices: &[usize],
        options: &DataOptions,
        cancel: &AtomicBool,
        mut each: impl FnMut(&Batch, Vec<ArrayD<f32>>) -> Result<(), Error>,
    ) -> Result<Skipped, Error> {
        let pipeline = PipelineOptions { batch: self.batch, strict: options.strict, mirrored: false };
        let fixed = self.input.shape.first().copied().flatten();
        let skipped = for_each_batch(&self.dataset, indices, &self.preprocess, &pipeline, cancel, |batch| {
            let count = batch.items.len();
            // A model with a fixed batch gets the last images repeated; the surplus is dropped.
            let images = match fixed {
                Some(size) if size > count => {
                    let rows: Vec<usize> = (0..size).map(|row| row % count).collect();
                    batch.images.select(Axis(0), &rows)
                }
                _ => batch.images.clone(),
            };
            let input = cast(images, self.input.dtype);
            let outputs = session.run(&[(self.input.name.as_str(), &input)])?;
            let outputs = outputs
                .iter()
                .map(|output| {
                    let mut values = output.to_f32();
                    if values.ndim() > 0 && values.len_of(Axis(0)) > count {
                        values.slice_axis_inplace(Axis(0), (0..count).into());
                    }
                    values
                })
                .collect();
            if cancel.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { each(&batch, outputs) }
        })?;
        if cancel.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        Ok(skipped)
    }

    /// Top-1 answers of a model.
    pub(super) fn judge(
        &self,
        engine: &dyn Engine,
        model: &Model,
        indices: &[usize],
        options: &DataOptions,
        progress: &dyn Progress,
        cancel: &AtomicBool,
    ) -> Result<Judge, Error> {
        let mut session = engine.compile(model, &CompileOptions::default())?;
        let mut judge = Judge::default();
        self.run(session.as_mut(), indices, options, cancel, |batch, outputs| {
            progress.advance(batch.items.len() as u64);
            if let Some(scores) = outputs.first() {
                judge.add(scores, &batch.labels);
            }
            Ok(())
        })?;
        Ok(judge)
    }
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

/// What the pass found.
pub(super) struct Observed {
    /// Class scores `[n, K]` of the dense model, where its first output has that form.
    pub(super) outputs: Option<Array2<f32>>,
    pub(super) labels: Option<Vec<usize>>,
    /// Features per group and tap.
    pub(super) features: Vec<Vec<TapFeatures>>,
    pub(super) moments: Option<Moments>,
    pub(super) judge: Judge,
    pub(super) images: usize,
    pub(super) skipped: Skipped,
}

/// What the pass is to gather.
pub(super) struct Wanted {
    /// Pool size of features, if a criterion needs them.
    pub(super) pool: Option<usize>,
    pub(super) moments: Option<Moments>,
}

/// Runs the pass.
pub(super) fn observe(
    model: &Model,
    channels: &Channels,
    engine: &dyn Engine,
    source: &Source,
    (indices, options): (&[usize], &DataOptions),
    wanted: Wanted,
    (progress, cancel): (&dyn Progress, &AtomicBool),
) -> Result<Observed, Error> {
    let mut collectors = collectors(channels, wanted.pool);
    let mut moments = wanted.moments;
    let first = model.graph().output.first().map(|output| output.name().to_owned()).unwrap_or_default();
    let mut names = vec![first];
    names.extend(collectors.iter().flatten().map(|(value, _)| value.clone()));
    names.extend(moments.iter().flat_map(Moments::wants));
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    let mut session = engine.compile(model, &CompileOptions { outputs: names.clone(), ..CompileOptions::default() })?;
    let mut judge = Judge::default();
    let mut scores = Vec::new();
    let mut labels = Vec::new();
    progress.phase("calibrate", Some(indices.len() as u64));
    let skipped = source.run(session.as_mut(), indices, options, cancel, |batch, outputs| {
        let values: BTreeMap<String, ArrayD<f32>> = names.iter().cloned().zip(outputs).collect();
        if let Some(output) = values.get(&names[0]) {
            judge.add(output, &batch.labels);
            scores.push(output.clone());
        }
        labels.extend(batch.labels.iter().copied());
        for (value, collector) in collectors.iter_mut().flatten() {
            if let Some(array) = values.get(value) {
                collector.push(&array.view())?;
            }
        }
        if let Some(moments) = &mut moments {
            moments.observe(&values);
        }
        progress.advance(batch.items.len() as u64);
        Ok(())
    })?;
    let features = collectors
        .into_iter()
        .map(|taps| taps.into_iter().map(|(_, collector)| Ok(collector.finish()?)).collect::<Result<_, Error>>())
        .collect::<Result<_, _>>()?;
    let views: Vec<_> = scores.iter().map(|scores| scores.view()).collect();
    let outputs = concatenate(Axis(0), &views).ok().and_then(|all| all.into_dimensionality().ok());
    let images = labels.len();
    Ok(Observed { outputs, labels: labels.into_iter().collect(), features, moments, judge, images, skipped })
}

/// One collector per group and distinct tap. A tap whose atoms own different numbers of channels is left out.
fn collectors(channels: &Channels, pool: Option<usize>) -> Vec<Vec<(String, FeatureCollector)>> {
    channels
        .groups
        .iter()
        .map(|group| {
            let mut seen = std::collections::BTreeSet::new();
            let Some(pool) = pool else { return Vec::new() };
            group
                .taps
                .iter()
                .filter(|tap| seen.insert(tap.value.clone()))
                .filter(|tap| tap.indices.windows(2).all(|pair| pair[0].len() == pair[1].len()))
                .map(|tap| {
                    let layout = TapLayout { channel_axis: tap.axis, atoms: tap.indices.clone(), pool };
                    (tap.value.clone(), FeatureCollector::new(layout))
                })
                .collect()
        })
        .collect()
}

/// Images for calibration.
pub(super) fn chosen(source: &Source, options: &DataOptions, seed: u64) -> Vec<usize> {
    sample(&source.dataset, Some(options.samples.unwrap_or(DataOptions::DEFAULT_SAMPLES)), seed)
}
