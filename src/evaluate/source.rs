//! Runs of models over the images of a data set.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ndarray::{Array2, ArrayD, Axis, concatenate};

use super::accuracy::answer;
use super::classes::rows;
use super::{DataOptions, EvaluateError, KeptImages, Predictions, StatisticsHead, Tally, input_specs};
use crate::calibration::{ArrayInputs, Batch, Dataset, Inputs, PipelineOptions, Skipped, for_each_batch};
use crate::engine::{CompileOptions, Engine, Feed, Session, Tensor, feed};
use crate::model::Model;

/// Images per engine call where the model leaves it open: a few megabytes of input, so that the activations that are
/// fetched stay within a gigabyte.
const BATCH: usize = 32;
const BATCH_OF_LARGE: usize = 8;

/// Input values per image from which an image counts as large.
const LARGE: usize = 3 * 96 * 96;

/// Images beyond a batch that are read for examples, since some may be unreadable.
const SPARE: usize = 4;

/// An opened data set with the way from its samples to a model's inputs.
#[derive(Debug)]
pub struct Source {
    /// The samples.
    pub dataset: Dataset,
    /// From a sample to the model's inputs.
    pub inputs: Inputs,
    /// Samples per run.
    pub batch: usize,
    /// Whether a run takes neither more nor fewer.
    pub fixed: bool,
    /// Whether an unreadable image is an error.
    pub strict: bool,
}

impl Source {
    /// Opens a data set for the inputs of a model.
    ///
    /// # Errors
    /// If there are no samples at `path`, they do not fit the model's inputs, or the preprocessing cannot be told.
    pub fn open(model: &Model, path: &Path, options: &DataOptions) -> Result<Self, EvaluateError> {
        let specs = input_specs(model);
        let dataset = options.open(path, specs.clone())?;
        let inputs = Inputs::resolve(&dataset, &specs, &options.preprocess)?;
        let own = match &inputs {
            Inputs::Pictures(_) => specs.first().and_then(|spec| spec.shape.first().copied().flatten()),
            Inputs::Arrays(_) => dataset.fixed_run(),
        };
        let mut source = Self { dataset, inputs, batch: 1, fixed: own.is_some(), strict: options.strict };
        let open = if source.volume() < LARGE { BATCH } else { BATCH_OF_LARGE };
        source.batch = own.unwrap_or(open);
        Ok(source)
    }

    /// The images that statistics keep.
    pub fn kept(head: &StatisticsHead, images: KeptImages) -> Self {
        let KeptImages { batches, labels } = images;
        let StatisticsHead { settings, data, .. } = head;
        Self {
            dataset: Dataset::of_batches(batches, settings.batch, labels, data.classes.clone()),
            inputs: Inputs::Arrays(ArrayInputs { described: data.preprocessing.clone(), columns: settings.columns }),
            batch: settings.batch,
            fixed: settings.fixed,
            strict: true,
        }
    }

    /// How the samples become inputs, in one line.
    pub fn describe(&self) -> String {
        self.inputs.describe()
    }

    /// Values of the inputs per sample.
    pub fn volume(&self) -> usize {
        match &self.inputs {
            Inputs::Pictures(picture) => {
                let (height, width) = picture.preprocess.size;
                height * width * picture.preprocess.color.channels()
            }
            Inputs::Arrays(_) => {
                let one = self.dataset.feed(&[0]).unwrap_or_default();
                one.values().map(|value| value.shape().iter().product::<usize>()).sum()
            }
        }
    }

    /// Number of distinct labels.
    pub fn class_count(&self) -> usize {
        let labels: std::collections::BTreeSet<usize> =
            (0..self.dataset.len()).filter_map(|index| self.dataset.label(index)).collect();
        labels.len()
    }

    /// Inputs of two runs on the first samples: of one, and of two where a run takes any number.
    ///
    /// # Errors
    /// If no sample can be read.
    pub fn examples(&self, indices: &[u32], cancel: &AtomicBool) -> Result<Vec<Feed>, EvaluateError> {
        if let Inputs::Arrays(_) = &self.inputs {
            let runs: Vec<usize> = self.runs(indices).iter().map(|&item| item as usize).collect();
            let sizes = if self.fixed { vec![self.batch] } else { vec![1, 2.min(runs.len())] };
            return Ok(sizes.into_iter().filter_map(|size| self.dataset.feed(runs.get(..size)?)).collect());
        }
        let size = if self.fixed { self.batch } else { 1 };
        let mut feeds = Vec::new();
        let options = PipelineOptions { batch: size, strict: self.strict };
        let picked = self.runs(&indices[..indices.len().min(size + SPARE)]);
        for_each_batch(&self.dataset, &picked, &self.inputs, &options, cancel, |batch| {
            feeds.push(if self.fixed { repeated(batch, size).inputs } else { batch.inputs });
            Ok::<(), EvaluateError>(())
        })?;
        if let (false, [first, second, third, ..]) = (self.fixed, &feeds[..]) {
            return Ok([first.clone()].into_iter().chain(feed::joined(&[second.clone(), third.clone()])).collect());
        }
        feeds.truncate(1);
        Ok(feeds)
    }

    /// Whether a model that names no number of samples runs with two; else runs are of one from now on.
    ///
    /// # Errors
    /// If no sample can be read.
    pub fn settle(
        &mut self,
        engine: &dyn Engine,
        model: &Model,
        indices: &[u32],
        cancel: &AtomicBool,
    ) -> Result<bool, EvaluateError> {
        let feeds = self.examples(indices, cancel)?;
        if self.fixed || feeds.len() < 2 || super::runnable(engine, model, &feeds[1..]).is_ok() {
            return Ok(true);
        }
        if super::runnable(engine, model, &feeds[..1]).is_ok() {
            (self.batch, self.fixed) = (1, true);
        }
        Ok(!self.fixed)
    }

    /// Shapes of the inputs of one sample.
    pub fn shapes(&self) -> BTreeMap<String, Vec<usize>> {
        match &self.inputs {
            Inputs::Pictures(picture) => [(picture.name.clone(), picture.preprocess.shape(1).to_vec())].into(),
            Inputs::Arrays(_) => {
                let one = self.dataset.feed(&[0]).unwrap_or_default();
                one.into_iter().map(|(name, value)| (name, value.shape().to_vec())).collect()
            }
        }
    }

    /// The samples of all runs: where a run takes a number of samples, the last is filled with some from all over.
    fn runs<'a>(&self, indices: &'a [u32]) -> Cow<'a, [u32]> {
        let lacking = if self.fixed { (self.batch - indices.len() % self.batch) % self.batch } else { 0 };
        if lacking == 0 || indices.is_empty() {
            return Cow::Borrowed(indices);
        }
        let filling = (0..lacking).map(|at| indices[at * indices.len() / lacking]);
        Cow::Owned(indices.iter().copied().chain(filling).collect())
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
    pub indices: &'a [u32],
    /// Called with the number of images that were run since the last call.
    pub advance: &'a dyn Fn(u64),
    /// Ends the run.
    pub cancel: &'a AtomicBool,
}

/// What a model's first output says of some images.
#[derive(Debug, Clone, Default)]
pub struct Answers {
    /// Number in the data set and answer of every image, ascending.
    answers: Vec<(u32, u32)>,
    /// A row `[K]` for each image of which it was asked for; `None` where the output cannot be seen as rows.
    pub rows: Option<Array2<f32>>,
}

impl Answers {
    /// The output of the largest score of an image.
    pub fn answer(&self, item: usize) -> Option<usize> {
        let at = self.answers.binary_search_by_key(&item, |own| own.0 as usize).ok()?;
        Some(self.answers[at].1 as usize)
    }
}

impl Pass<'_> {
    /// Feeds the images to a session and hands the outputs on, `[N, ...]` each.
    ///
    /// # Errors
    /// If an image or the engine is unusable, on interruption, and what `each` returns.
    pub fn run(
        &self,
        session: &mut dyn Session,
        each: impl FnMut(&Batch, Vec<ArrayD<f32>>) -> Result<(), EvaluateError>,
    ) -> Result<Skipped, EvaluateError> {
        self.run_on(session, |own| Cow::Borrowed(own), each)
    }

    /// As [`Pass::run`], on what `change` makes of the inputs.
    fn run_on(
        &self,
        session: &mut dyn Session,
        change: impl Fn(&Feed) -> Cow<'_, Feed>,
        mut each: impl FnMut(&Batch, Vec<ArrayD<f32>>) -> Result<(), EvaluateError>,
    ) -> Result<Skipped, EvaluateError> {
        let interrupted = || self.cancel.load(Ordering::Relaxed);
        self.each_batch(|batch, count| {
            let outputs = session.run(&feed::pairs(&change(&batch.inputs)))?;
            let outputs = outputs.iter().map(Tensor::to_f32).collect();
            if interrupted() {
                return Err(EvaluateError::Interrupted);
            }
            each(&batch, outputs)?;
            (self.advance)(count as u64);
            Ok(())
        })
    }

    /// Hands on the images batch by batch, with the number of those that are not there to fill a run.
    fn each_batch(
        &self,
        mut each: impl FnMut(Batch, usize) -> Result<(), EvaluateError>,
    ) -> Result<Skipped, EvaluateError> {
        let Source { dataset, inputs, batch: size, strict, fixed } = self.source;
        let options = PipelineOptions { batch: *size, strict: *strict };
        let mut left = self.indices.len();
        let runs = self.source.runs(self.indices);
        let skipped = for_each_batch(dataset, &runs, inputs, &options, self.cancel, |batch| {
            let batch = if *fixed { repeated(batch, *size) } else { batch };
            let count = batch.items.len().min(left);
            left -= count;
            each(batch, count)
        })?;
        if self.cancel.load(Ordering::Relaxed) { Err(EvaluateError::Interrupted) } else { Ok(skipped) }
    }

    /// Top-1 answers of a model.
    ///
    /// # Errors
    /// As [`Pass::run`].
    pub fn predictions(&self, model: &Model) -> Result<Predictions, EvaluateError> {
        self.predictions_on(model, |own| Cow::Borrowed(own))
    }

    /// As [`Pass::predictions`], of pictures that are moved by one pixel to the right, along the axis of their columns.
    ///
    /// # Errors
    /// As [`Pass::run`].
    pub fn moved_predictions(&self, model: &Model, columns: usize) -> Result<Predictions, EvaluateError> {
        let picture = |value: &Tensor| columns < value.shape().len();
        let moved = |value: &Arc<Tensor>| {
            if picture(value) { Arc::new(value.moved_by_one(columns)) } else { value.clone() }
        };
        let move_all = |own: &Feed| own.iter().map(|(name, value)| (name.clone(), moved(value))).collect();
        self.predictions_on(model, |own| Cow::Owned(move_all(own)))
    }

    /// Top-1 answers of a model to what `change` makes of the inputs.
    fn predictions_on(
        &self,
        model: &Model,
        change: impl Fn(&Feed) -> Cow<'_, Feed>,
    ) -> Result<Predictions, EvaluateError> {
        let mut session = self.engine.compile(model, &CompileOptions::default())?;
        let mut predictions = Predictions::default();
        self.run_on(session.as_mut(), change, |batch, outputs| {
            if let Some(scores) = outputs.first() {
                predictions.add(scores, &batch.labels, &batch.items);
            }
            Ok(())
        })?;
        Ok(predictions)
    }

    /// Top-1 answers of several models, counted; each image is decoded once.
    ///
    /// # Errors
    /// As [`Pass::run`].
    pub fn tallies(&self, models: &[Model]) -> Result<(Vec<Tally>, Skipped), EvaluateError> {
        let compiled = models.iter().map(|model| self.engine.compile(model, &CompileOptions::default()));
        let mut sessions = compiled.collect::<Result<Vec<_>, _>>()?;
        let mut tallies = vec![Tally::default(); models.len()];
        // Runs of a fixed size are filled with samples that were run before.
        let mut seen = vec![false; self.source.dataset.len()];
        let Some((first, others)) = sessions.split_first_mut().filter(|_| !self.indices.is_empty()) else {
            return Ok((tallies, Skipped::default()));
        };
        let skipped = self.run(first.as_mut(), |batch, outputs| {
            let mut scores: Vec<ArrayD<f32>> = outputs.into_iter().take(1).collect();
            for own in others.iter_mut() {
                scores.extend(own.run(&feed::pairs(&batch.inputs))?.first().map(Tensor::to_f32));
            }
            for (row, (&item, &label)) in batch.items.iter().zip(&batch.labels).enumerate() {
                if std::mem::replace(&mut seen[item], true) {
                    continue;
                }
                let answers: Vec<usize> = scores.iter().map(|own| answer(&own.index_axis(Axis(0), row))).collect();
                let each = tallies.iter_mut().zip(&answers);
                each.for_each(|(tally, &answer)| tally.add(answer, answers[0], label));
            }
            Ok(())
        })?;
        Ok((tallies, skipped))
    }

    /// Answers of a model, and its first output on the images of which `with_row` says so.
    ///
    /// # Errors
    /// As [`Pass::run`].
    #[allow(clippy::cast_possible_truncation, reason = "numbers of images and classes")]
    pub fn answers(&self, model: &Model, with_row: impl Fn(u32) -> bool) -> Result<Answers, EvaluateError> {
        let mut session = self.engine.compile(model, &CompileOptions::default())?;
        let (mut answers, mut all) = (Vec::new(), Vec::new());
        self.run(session.as_mut(), |batch, outputs| {
            let Some(found) = outputs.first().and_then(rows) else {
                all.push(None);
                return Ok(());
            };
            let each = batch.items.iter().zip(found.outer_iter());
            answers.extend(each.map(|(&item, row)| (item as u32, answer(&row.into_dyn()) as u32)));
            let wanted: Vec<usize> = (0..batch.items.len()).filter(|&row| with_row(batch.items[row] as u32)).collect();
            if !wanted.is_empty() {
                all.push(Some(found.select(Axis(0), &wanted)));
            }
            Ok(())
        })?;
        answers.sort_unstable();
        Ok(Answers { answers, rows: stacked(all) })
    }

    /// The images as the model takes them; nothing is run.
    ///
    /// # Errors
    /// If an image is unusable, or on interruption.
    pub fn batches(&self) -> Result<(Vec<Batch>, Skipped), EvaluateError> {
        let mut batches = Vec::new();
        let skipped = self.each_batch(|batch, _| {
            batches.push(batch);
            Ok(())
        })?;
        Ok((batches, skipped))
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

/// A batch that lacks samples, as where some could not be read, with its own repeated.
fn repeated(batch: Batch, size: usize) -> Batch {
    let count = batch.items.len();
    if count == 0 || count >= size {
        return batch;
    }
    let rows: Vec<usize> = (0..size).map(|row| row % count).collect();
    Batch {
        inputs: feed::rows(&batch.inputs, &rows),
        labels: rows.iter().map(|&row| batch.labels[row]).collect(),
        items: rows.iter().map(|&row| batch.items[row]).collect(),
    }
}

/// The rows of all batches; `None` if some batch has none, or they differ in length.
pub(super) fn stacked(batches: Vec<Option<Array2<f32>>>) -> Option<Array2<f32>> {
    let batches: Vec<Array2<f32>> = batches.into_iter().collect::<Option<_>>()?;
    let views: Vec<_> = batches.iter().map(|rows| rows.view()).collect();
    concatenate(Axis(0), &views).ok()
}
