//! How far a model's outputs are from those of the dense model on inputs that nothing was fitted on.

use std::sync::atomic::{AtomicBool, Ordering};

use ndarray::{ArrayD, ArrayViewD, Axis};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{EvaluateError, Pass, compared_values};
use crate::calibration::Skipped;
use crate::engine::{CompileOptions, Engine, Feed, Tensor, feed};
use crate::model::Model;

/// Sees the number of a value, the dense model's numbers and the other model's.
type Look<'a> = &'a mut dyn FnMut(usize, &ArrayD<f32>, &ArrayD<f32>);

/// Numbers of outputs that are held.
const MOST_NUMBERS: usize = 1 << 26;

/// Error of one output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OutputError {
    /// Name of the value.
    pub name: String,
    /// Squared error, summed over the inputs, relative to the squared deviation of the dense model's values from their
    /// mean over the inputs.
    pub error: f64,
}

/// Errors of all outputs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OutputErrors {
    /// Output by output.
    pub outputs: Vec<OutputError>,
}

impl OutputErrors {
    /// The mean: every output counts on its own scale. Infinite where one is no number.
    pub fn mean(&self) -> f64 {
        let sum: f64 = self.outputs.iter().map(|own| own.error).sum();
        let mean = sum / self.outputs.len().max(1) as f64;
        if mean.is_nan() { f64::INFINITY } else { mean }
    }
}

/// Inputs that nothing is fitted on, and what the dense model gives for them.
pub struct Reference {
    batches: Vec<HeldBatch>,
    names: Vec<String>,
    /// Of every compared value.
    scales: Vec<Scale>,
    /// Images that could not be read.
    pub skipped: Skipped,
}

/// One run of the dense model.
struct HeldBatch {
    feed: Feed,
    /// Samples of the run.
    rows: usize,
    dense: Vec<ArrayD<f32>>,
}

impl Reference {
    /// Runs the dense model over the inputs of a pass; fewer of them where their outputs would take too much memory.
    ///
    /// # Errors
    /// As [`Pass::run`].
    pub fn gather(pass: &Pass<'_>, model: &Model) -> Result<Self, EvaluateError> {
        let (batches, skipped) = pass.batches()?;
        let runs = batches.into_iter().map(|own| (own.inputs, own.items.len()));
        Ok(Self { skipped, ..Self::of(pass.engine, model, runs, pass.cancel)? })
    }

    /// Runs the dense model over some inputs, each with the number of its samples.
    ///
    /// # Errors
    /// If the engine fails, or on interruption.
    pub fn of(
        engine: &dyn Engine,
        model: &Model,
        runs: impl Iterator<Item = (Feed, usize)>,
        cancel: &AtomicBool,
    ) -> Result<Self, EvaluateError> {
        let names = compared_values(model);
        let mut session = engine.compile(model, &options(&names))?;
        let (mut batches, mut numbers) = (Vec::new(), 0);
        for (feed, rows) in runs {
            if cancel.load(Ordering::Relaxed) {
                return Err(EvaluateError::Interrupted);
            }
            let dense: Vec<ArrayD<f32>> = session.run(&feed::pairs(&feed))?.iter().map(Tensor::to_f32).collect();
            numbers += dense.iter().map(ArrayD::len).sum::<usize>();
            if numbers <= MOST_NUMBERS || batches.is_empty() {
                batches.push(HeldBatch { feed, rows, dense });
            }
        }
        let skipped = Skipped::default();
        let scale = |at| Scale::of(batches.iter().map(|batch: &HeldBatch| &batch.dense[at]));
        let scales = (0..names.len()).map(scale).collect();
        Ok(Self { batches, names, scales, skipped })
    }

    /// Inputs of every run, and how many samples they are.
    pub(super) fn runs(&self) -> impl Iterator<Item = (&Feed, usize)> {
        self.batches.iter().map(|batch| (&batch.feed, batch.rows))
    }

    /// Inputs that are held.
    pub fn len(&self) -> usize {
        self.batches.iter().map(|batch| batch.rows).sum()
    }

    /// The inputs, run by run.
    pub fn feeds(&self) -> Vec<Feed> {
        self.runs().map(|(feed, _)| feed.clone()).collect()
    }

    /// Whether nothing can be compared.
    pub fn is_empty(&self) -> bool {
        self.len() == 0 || self.names.is_empty()
    }

    /// Error of each compared value of another model. A value whose shape is another is left out.
    ///
    /// # Errors
    /// If the engine fails, or on interruption.
    pub fn errors(
        &self,
        engine: &dyn Engine,
        model: &Model,
        cancel: &AtomicBool,
    ) -> Result<OutputErrors, EvaluateError> {
        let errors = self.compare(engine, model, cancel, &mut |_, _, _| {})?;
        let named = errors.into_iter().zip(&self.names);
        let error = |(error, name): (Option<f64>, &String)| Some(OutputError { name: name.clone(), error: error? });
        Ok(OutputErrors { outputs: named.filter_map(error).collect() })
    }

    /// What the inputs of every second run add to the mean error, and what the others add: the latter say whether a choice that was made
    /// on the former holds. Infinite where a number is none.
    ///
    /// # Errors
    /// As [`Reference::errors`].
    pub fn halves(&self, engine: &dyn Engine, model: &Model, cancel: &AtomicBool) -> Result<[f64; 2], EvaluateError> {
        let errors = self.by_half(engine, model, cancel, &mut |_, _, _| {})?;
        let found: Vec<[f64; 2]> = errors.into_iter().flatten().collect();
        Ok([0, 1].map(|half| {
            let mean = found.iter().map(|own| own[half]).sum::<f64>() / found.len().max(1) as f64;
            if mean.is_nan() { f64::INFINITY } else { mean }
        }))
    }

    /// Whether there are several runs.
    pub fn has_halves(&self) -> bool {
        self.batches.len() > 1
    }

    /// Error of each compared value; `None` where its shape is another. `each` sees the number of the value, the dense
    /// model's numbers and the other model's.
    pub(super) fn compare(
        &self,
        engine: &dyn Engine,
        model: &Model,
        cancel: &AtomicBool,
        each: Look<'_>,
    ) -> Result<Vec<Option<f64>>, EvaluateError> {
        let halves = self.by_half(engine, model, cancel, each)?;
        Ok(halves.into_iter().map(|own| own.map(|own| own.iter().sum())).collect())
    }

    /// As [`Reference::compare`], what every second run adds and what the others add.
    fn by_half(
        &self,
        engine: &dyn Engine,
        model: &Model,
        cancel: &AtomicBool,
        each: Look<'_>,
    ) -> Result<Vec<Option<[f64; 2]>>, EvaluateError> {
        let mut session = engine.compile(model, &options(&self.names))?;
        let mut sums = vec![Some([0.0; 2]); self.names.len()];
        for (run, batch) in self.batches.iter().enumerate() {
            if cancel.load(Ordering::Relaxed) {
                return Err(EvaluateError::Interrupted);
            }
            let found = session.run(&feed::pairs(&batch.feed))?;
            for (at, (dense, own)) in batch.dense.iter().zip(&found).enumerate() {
                let own = own.to_f32();
                let part = (own.shape() == dense.shape()).then(|| self.scales[at].squared(run, dense, &own));
                if part.is_some() {
                    each(at, dense, &own);
                }
                sums[at] = sums[at].zip(part).map(|(mut sum, part)| {
                    sum[run % 2] += part;
                    sum
                });
            }
        }
        let relative = |sum: f64, spread: f64| if sum > 0.0 { sum / spread } else { sum };
        let each = sums.into_iter().zip(&self.scales);
        Ok(each.map(|(sums, scale)| sums.map(|own| own.map(|sum| relative(sum, scale.spread)))).collect())
    }

    /// Squared deviation of every row of a compared value from the mean row; nothing where there is none of its shape.
    pub(super) fn deviations(&self, at: usize, values: &ArrayD<f32>) -> Vec<f64> {
        let mean = self.scales[at].mean.as_ref().filter(|mean| values.shape().get(1..) == Some(mean.shape()));
        mean.map(|mean| deviations(values, mean)).unwrap_or_default()
    }

    /// Names of the compared values.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// Name of a compared value.
    pub(super) fn name(&self, at: usize) -> &str {
        &self.names[at]
    }
}

/// Squared difference; an infinity that both have is none.
fn squared<'a>(pairs: impl Iterator<Item = (&'a f32, &'a f32)>) -> f64 {
    let square = |(dense, own): (&f32, &f32)| {
        if dense.to_bits() == own.to_bits() { 0.0 } else { (f64::from(*dense) - f64::from(*own)).powi(2) }
    };
    pairs.map(square).sum()
}

pub(super) fn options(names: &[String]) -> CompileOptions {
    CompileOptions { outputs: names.to_vec(), ..CompileOptions::default() }
}

/// What errors of a value are relative to.
struct Scale {
    /// Squared deviation of the rows (axis 0) of all batches from their mean row, each times its weight; from one mean number where rows
    /// differ in shape or there is only one. Never 0.
    spread: f64,
    /// Weights of the rows, run by run: below 1 for those of which one would count for more than [`MOST_OF_ALL`]. Empty where all are 1.
    weights: Vec<Vec<f64>>,
    /// The mean row, where there is one.
    mean: Option<ArrayD<f64>>,
}

/// Share of the whole that one row counts for at most: on an empty picture a network may answer with numbers hundreds of times as large
/// as on all others, which would decide alone.
pub(super) const MOST_OF_ALL: f64 = 0.125;

impl Scale {
    fn of<'a>(batches: impl Iterator<Item = &'a ArrayD<f32>> + Clone) -> Self {
        let mean = mean_row(batches.clone());
        let rows = |batch| mean.as_ref().map(|mean| deviations(batch, mean)).unwrap_or_default();
        let deviations: Vec<Vec<f64>> = batches.clone().map(rows).collect();
        let all: Vec<f64> = deviations.iter().flatten().copied().collect();
        let most = most_of_one(&all);
        let found = match &all[..] {
            [] => about_one_number(batches.clone()),
            all => all.iter().map(|own| own.min(most)).sum(),
        };
        // Outputs that never change are compared on the scale of their numbers.
        let squares: f64 = numbers(batches).map(|value| value * value).sum();
        let spread = found.max(1e-9 * squares).max(f64::MIN_POSITIVE);
        let weight = |own: &f64| if *own > most { most / own } else { 1.0 };
        let weights = || deviations.iter().map(|run| run.iter().map(weight).collect()).collect();
        let weights = if all.iter().any(|&own| own > most) { weights() } else { Vec::new() };
        Self { spread, weights, mean }
    }

    /// Squared difference of the values of a run.
    fn squared(&self, run: usize, dense: &ArrayD<f32>, own: &ArrayD<f32>) -> f64 {
        let Some(weights) = self.weights.get(run) else { return squared(dense.iter().zip(own)) };
        let rows = dense.outer_iter().zip(own.outer_iter()).zip(weights);
        rows.map(|((dense, own), weight)| weight * squared(dense.iter().zip(&own))).sum()
    }
}

/// The largest deviation that is no more than [`MOST_OF_ALL`] of all, where larger ones count as this; infinite where none is larger or
/// there are too few for any to be smaller.
fn most_of_one(deviations: &[f64]) -> f64 {
    let mut sorted = deviations.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let mut below: f64 = sorted.iter().sum();
    for (at, own) in sorted.iter().enumerate().rev() {
        let above = (sorted.len() - 1 - at) as f64;
        // Those above count as this one.
        if *own <= MOST_OF_ALL * (below + above * own) {
            return if above > 0.0 { MOST_OF_ALL * below / (1.0 - MOST_OF_ALL * above) } else { f64::INFINITY };
        }
        below -= own;
    }
    f64::INFINITY
}

/// Squared deviation of every row from the mean row.
fn deviations(batch: &ArrayD<f32>, mean: &ArrayD<f64>) -> Vec<f64> {
    let deviation = |row: ArrayViewD<'_, f32>| {
        row.iter().zip(mean).map(|(value, mean)| (finite(*value) - mean).powi(2)).sum::<f64>()
    };
    batch.outer_iter().map(deviation).collect()
}

/// The mean row of all batches; `None` where rows differ in shape or there is only one.
fn mean_row<'a>(batches: impl Iterator<Item = &'a ArrayD<f32>> + Clone) -> Option<ArrayD<f64>> {
    let rows = batches.clone().map(|batch| batch.shape().first().copied().unwrap_or(1)).sum::<usize>();
    let shape = |batch: &ArrayD<f32>| batch.shape().get(1..).map(<[usize]>::to_vec);
    let first = batches.clone().next().and_then(shape);
    if first.is_none() || rows < 2 || !batches.clone().all(|batch| shape(batch) == first) {
        return None;
    }
    let sums = batches.map(|batch| batch.mapv(finite).sum_axis(Axis(0)));
    Some(sums.reduce(|all, own| all + own)? / rows as f64)
}

fn about_one_number<'a>(batches: impl Iterator<Item = &'a ArrayD<f32>> + Clone) -> f64 {
    let (sum, count) = numbers(batches.clone()).fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    numbers(batches).map(|value| (value - sum / f64::max(count, 1.0)).powi(2)).sum()
}

fn numbers<'a>(batches: impl Iterator<Item = &'a ArrayD<f32>>) -> impl Iterator<Item = f64> {
    batches.flat_map(|batch| batch.iter().map(|value| finite(*value)))
}

fn finite(value: f32) -> f64 {
    if value.is_finite() { f64::from(value) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    fn spread(batches: &[&ArrayD<f32>]) -> f64 {
        Scale::of(batches.iter().copied()).spread
    }

    #[test]
    fn spread_is_about_the_mean_row() {
        let (a, b) = (array![[1.0_f32, 10.0]].into_dyn(), array![[3.0_f32, 10.0]].into_dyn());
        assert!((spread(&[&a, &b]) - 2.0).abs() < 1e-12);
        // One row alone: about the mean number.
        assert!((spread(&[&a]) - 40.5).abs() < 1e-12);
        // Rows of other lengths.
        let c = array![[3.0_f32]].into_dyn();
        assert!((spread(&[&a, &c]) - (110.0 - 14.0 * 14.0 / 3.0)).abs() < 1e-9);
        // Constant outputs have the scale of their numbers.
        assert!(spread(&[&b, &b]) > 0.0);
    }

    #[test]
    fn one_row_is_no_more_than_an_eighth_of_all() {
        let capped = |all: &[f64]| {
            let most = most_of_one(all);
            all.iter().map(|own| own.min(most)).collect::<Vec<f64>>()
        };
        let share = |all: &[f64]| all.iter().copied().fold(0.0, f64::max) / all.iter().sum::<f64>();
        let usual: Vec<f64> = (10..30).map(f64::from).collect();
        assert_eq!(capped(&usual), usual);
        for outliers in [&[1e6][..], &[1e6, 1e3], &[1e5, 1e5, 1e5, 200.0]] {
            let found = capped(&[&usual[..], outliers].concat());
            assert_eq!(found[..20], usual[..]);
            assert!((share(&found) - MOST_OF_ALL).abs() < 1e-9, "{found:?}");
        }
        // Too few rows, and all alike.
        assert!(most_of_one(&[1.0, 1.0, 100.0]).is_infinite());
        assert_eq!(capped(&[2.0; 8]), [2.0; 8]);

        // The error of the row that stands out counts as little as it does.
        let mut dense = ArrayD::from_shape_fn(vec![16, 1], |at| (at[0] % 2) as f32);
        dense[[0, 0]] = 1000.0;
        let scale = Scale::of([&dense].into_iter());
        let mut own = dense.clone();
        own[[0, 0]] = 0.0;
        let error = scale.squared(0, &dense, &own) / scale.spread;
        assert!((error - MOST_OF_ALL).abs() < 0.03, "{error}");
    }

    #[test]
    fn a_number_that_is_none_is_worst() {
        let of = |error| OutputErrors { outputs: vec![OutputError { name: "y".into(), error }] };
        assert!(of(f64::NAN).mean().is_infinite());
        assert!((of(0.5).mean() - 0.5).abs() < 1e-12);
    }
}
