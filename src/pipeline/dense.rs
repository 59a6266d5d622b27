//! One pass of the dense model over the calibration images, serving all observers at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ndarray::{Array2, ArrayD, Axis, concatenate};

use super::classes::{Classes, rows};
use super::{DataOptions, Progress};
use crate::calibration::{
    Batch, Dataset, DatasetOptions, PipelineOptions, Preprocess, Skipped, for_each_batch, sample,
};
use crate::channels::{Channels, Group};
use crate::engine::{CompileOptions, Engine, Session, Tensor};
use crate::error::Error;
use crate::evaluate::{InputSpec, Predictions, input_specs};
use crate::model::{DataType, Model};
use crate::repair::Moments;
use crate::statistics::{FeatureCollector, FeatureLayout, InputFeatures, RankCollector};

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
    ) -> Result<Predictions, Error> {
        let mut session = engine.compile(model, &CompileOptions::default())?;
        let mut judge = Predictions::default();
        self.run(session.as_mut(), indices, options, cancel, |batch, outputs| {
            progress.advance(batch.items.len() as u64);
            if let Some(scores) = outputs.first() {
                judge.add(scores, &batch.labels, &batch.items);
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
    /// First output of the dense model, a row `[K]` for each image (positions averaged).
    pub(super) outputs: Option<Array2<f32>>,
    /// Class of every image, as the criteria see them; in the order of `outputs`.
    pub(super) labels: Vec<usize>,
    /// Features per group and consumer_input.
    pub(super) features: Vec<Vec<InputFeatures>>,
    /// Mean ranks of feature maps per group and pruning unit.
    pub(super) ranks: Vec<Vec<f64>>,
    pub(super) moments: Option<Moments>,
    pub(super) judge: Predictions,
    pub(super) images: usize,
    pub(super) skipped: Skipped,
    /// The images as the model takes them, where they are wanted again.
    pub(super) batches: Vec<Arc<Tensor>>,
}

/// What the pass is to gather.
#[derive(Default)]
pub(super) struct Wanted {
    /// Features of which groups, and their pool size.
    pub(super) features: Vec<Option<usize>>,
    /// Whether the ranks of feature maps are wanted.
    pub(super) ranks: bool,
    pub(super) moments: Option<Moments>,
    /// Bytes of images that are kept for later passes, if any are: beyond, every other batch is, or fewer.
    pub(super) images: Option<u64>,
}

/// Runs the pass over the images in the order of `indices`.
pub(super) fn observe(
    model: &Model,
    channels: &Channels,
    engine: &dyn Engine,
    source: &Source,
    (indices, options, classes): (&[usize], &DataOptions, &Classes),
    wanted: Wanted,
    (progress, cancel): (&dyn Progress, &AtomicBool),
) -> Result<Observed, Error> {
    let mut keeper = wanted.images.map(|most| BatchCache::new(source, indices.len(), most));
    let mut observers = Observers::new(channels, wanted);
    let first = model.graph().output.first().map(|output| output.name().to_owned()).unwrap_or_default();
    let mut names = vec![first];
    names.extend(observers.wants());
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    let mut session = engine.compile(model, &CompileOptions { outputs: names.clone(), ..CompileOptions::default() })?;
    let mut judge = Predictions::default();
    let (mut scores, mut labels) = (Vec::new(), Vec::new());
    progress.phase("calibrate", Some(indices.len() as u64));
    let skipped = source.run(session.as_mut(), indices, options, cancel, |batch, outputs| {
        let values: BTreeMap<String, ArrayD<f32>> = names.iter().cloned().zip(outputs).collect();
        if let Some(output) = values.get(&names[0]) {
            judge.add(output, &batch.labels, &batch.items);
            scores.push(rows(output));
        }
        let own: Vec<usize> = batch.items.iter().map(|item| classes.of.get(item).copied().unwrap_or(0)).collect();
        let weights = classes.image_weights.as_ref();
        let weights: Option<Vec<f64>> =
            weights.map(|weights| batch.items.iter().map(|item| weights.get(item).copied().unwrap_or(1.0)).collect());
        observers.push(&values, &own, weights.as_deref())?;
        if let Some(keeper) = &mut keeper {
            keeper.push(source, batch);
        }
        labels.extend(own);
        progress.advance(batch.items.len() as u64);
        Ok(())
    })?;
    let outputs = stacked(scores);
    let (features, ranks, moments) = observers.finish()?;
    let images = labels.len();
    let batches = keeper.map(|keeper| keeper.batches).unwrap_or_default();
    Ok(Observed { outputs, labels, features, ranks, moments, judge, images, skipped, batches })
}

/// Images for later passes.
struct BatchCache {
    every: usize,
    seen: usize,
    batches: Vec<Arc<Tensor>>,
}

impl BatchCache {
    fn new(source: &Source, images: usize, most: u64) -> Self {
        let bytes = 4 * (images * source.preprocess.volume()) as u64;
        let every = usize::try_from(bytes.div_ceil(most.max(1))).unwrap_or(usize::MAX);
        Self { every: every.max(1), seen: 0, batches: Vec::new() }
    }

    fn push(&mut self, source: &Source, batch: &Batch) {
        // A model with a fixed batch takes no smaller one.
        let whole = source.input.shape.first().copied().flatten().is_none_or(|size| size == batch.items.len());
        if whole && self.seen.is_multiple_of(self.every) {
            self.batches.push(Arc::new(cast(batch.images.clone(), source.input.dtype)));
        }
        self.seen += 1;
    }
}

/// Everything that looks at activations.
struct Observers {
    features: Vec<Vec<(String, FeatureCollector)>>,
    ranks: Vec<Option<(String, RankCollector)>>,
    moments: Option<Moments>,
}

impl Observers {
    fn new(channels: &Channels, wanted: Wanted) -> Self {
        let features = wanted.features.iter().zip(&channels.groups);
        let rank = |group: &Group| {
            let consumer_input = group.consumer_inputs.first().filter(|_| wanted.ranks)?;
            Some((
                consumer_input.value.clone(),
                RankCollector::new(consumer_input.axis, consumer_input.indices.clone()),
            ))
        };
        Self {
            features: features.map(|(pool, group)| collectors(group, *pool)).collect(),
            ranks: channels.groups.iter().map(rank).collect(),
            moments: wanted.moments,
        }
    }

    fn wants(&self) -> Vec<String> {
        let features = self.features.iter().flatten().map(|(value, _)| value.clone());
        let ranks = self.ranks.iter().flatten().map(|(value, _)| value.clone());
        features.chain(ranks).chain(self.moments.iter().flat_map(Moments::wants)).collect()
    }

    fn push(
        &mut self,
        values: &BTreeMap<String, ArrayD<f32>>,
        classes: &[usize],
        weights: Option<&[f64]>,
    ) -> Result<(), Error> {
        for (value, collector) in self.features.iter_mut().flatten() {
            if let Some(array) = values.get(value) {
                collector.push(&array.view())?;
            }
        }
        for (value, collector) in self.ranks.iter_mut().flatten() {
            if let Some(array) = values.get(value) {
                collector.push(&array.view());
            }
        }
        if let Some(moments) = &mut self.moments {
            moments.observe(values, classes, weights);
        }
        Ok(())
    }

    #[allow(clippy::type_complexity, reason = "features, ranks and moments, each as it is kept")]
    fn finish(self) -> Result<(Vec<Vec<InputFeatures>>, Vec<Vec<f64>>, Option<Moments>), Error> {
        let finish = |consumer_inputs: Vec<(String, FeatureCollector)>| {
            consumer_inputs.into_iter().map(|(_, collector)| Ok(collector.finish()?)).collect::<Result<_, Error>>()
        };
        let features = self.features.into_iter().map(finish).collect::<Result<_, _>>()?;
        let ranks = self.ranks.into_iter().map(|own| own.map_or_else(Vec::new, |(_, ranks)| ranks.finish())).collect();
        Ok((features, ranks, self.moments))
    }
}

/// One collector per distinct consumer_input. A consumer_input whose pruning units own different numbers of channels is left out.
fn collectors(group: &Group, pool: Option<usize>) -> Vec<(String, FeatureCollector)> {
    let mut seen = std::collections::BTreeSet::new();
    let Some(pool) = pool else { return Vec::new() };
    group
        .consumer_inputs
        .iter()
        .filter(|consumer_input| seen.insert(consumer_input.value.clone()))
        .filter(|consumer_input| consumer_input.indices.windows(2).all(|pair| pair[0].len() == pair[1].len()))
        .map(|consumer_input| {
            let layout =
                FeatureLayout { channel_axis: consumer_input.axis, units: consumer_input.indices.clone(), pool };
            (consumer_input.value.clone(), FeatureCollector::new(layout))
        })
        .collect()
}

/// First output of the dense model on some images: their numbers in the data set, and a row for each.
pub(super) fn outputs_only(
    model: &Model,
    engine: &dyn Engine,
    source: &Source,
    (indices, options): (&[usize], &DataOptions),
    (progress, cancel): (&dyn Progress, &AtomicBool),
) -> Result<(Vec<usize>, Option<Array2<f32>>), Error> {
    let mut session = engine.compile(model, &CompileOptions::default())?;
    let (mut items, mut all) = (Vec::new(), Vec::new());
    progress.phase("classes", Some(indices.len() as u64));
    source.run(session.as_mut(), indices, options, cancel, |batch, outputs| {
        all.push(outputs.first().and_then(rows));
        items.extend(&batch.items);
        progress.advance(batch.items.len() as u64);
        Ok(())
    })?;
    Ok((items, stacked(all)))
}

/// The rows of all batches; `None` if some batch has none, or they differ in length.
fn stacked(batches: Vec<Option<Array2<f32>>>) -> Option<Array2<f32>> {
    let batches: Vec<Array2<f32>> = batches.into_iter().collect::<Option<_>>()?;
    let views: Vec<_> = batches.iter().map(|rows| rows.view()).collect();
    concatenate(Axis(0), &views).ok()
}

/// Images for calibration.
pub(super) fn chosen(source: &Source, options: &DataOptions, seed: u64) -> Vec<usize> {
    sample(&source.dataset, Some(options.samples.unwrap_or(DataOptions::DEFAULT_SAMPLES)), seed)
}

/// Held-out images of `eval`.
pub(super) fn held_out(source: &Source, options: &DataOptions, seed: u64) -> Vec<usize> {
    let count = options.eval_samples.map(|count| count + options.eval_skip);
    sample(&source.dataset, count, seed).into_iter().skip(options.eval_skip).collect()
}
