//! What a run measures beside its own work.

use std::sync::atomic::AtomicBool;

use super::dense::Observed;
use crate::engine::{CompileOptions, Engine, Tensor};
use crate::error::Error;
use crate::latency::{Comparison, TimingOptions, calm_interval, disturbances, percentile, time_sessions};
use crate::model::Model;
use crate::report::LatencyChange;
use crate::verify::{Accuracy, VerifyError};

/// Times two models on one feed.
pub(super) fn compared(
    engine: &dyn Engine,
    (before, after): (&Model, &Model),
    feed: &[(String, Tensor)],
    options: &TimingOptions,
    cancel: &AtomicBool,
) -> Result<Comparison, Error> {
    let inputs: Vec<(&str, &Tensor)> = feed.iter().map(|(name, value)| (name.as_str(), value)).collect();
    let mut a = engine.compile(before, &CompileOptions::default())?;
    let mut b = engine.compile(after, &CompileOptions::default())?;
    Ok(time_sessions(a.as_mut(), b.as_mut(), &inputs, options, cancel)?)
}

/// Latency of two models, and what disturbed its measurement.
pub(super) struct Timed {
    pub(super) change: LatencyChange,
    pub(super) disturbed: Vec<String>,
}

/// Times two models on one feed, for the report.
pub(super) fn time(
    engine: &dyn Engine,
    models: (&Model, &Model),
    feed: &[(String, Tensor)],
    options: &TimingOptions,
    cancel: &AtomicBool,
) -> Result<Timed, Error> {
    let found = compared(engine, models, feed, options, cancel)?;
    let batch = feed.first().and_then(|(_, value)| value.shape().first().copied()).unwrap_or(1);
    let change = latency(&found, batch);
    let width = (change.ratio_high - change.ratio_low) / change.ratio;
    Ok(Timed { change, disturbed: disturbances(&found.before_ms, &found.after_ms, (width, options.width)) })
}

/// What a comparison says.
pub(super) fn latency(found: &Comparison, batch: usize) -> LatencyChange {
    let at = |samples: &[f64], p: f64| percentile(samples, p);
    let (before, after) = (&found.before_ms, &found.after_ms);
    // On a busy machine the median of paired ratios jumps, and a target that was met would seem missed.
    let ratio = calm_interval(before, after, 0);
    LatencyChange {
        before: at(before, 0.5),
        after: at(after, 0.5),
        before_p95: at(before, 0.95),
        after_p95: at(after, 0.95),
        before_tail: [at(before, 0.9), at(before, 0.99)],
        after_tail: [at(after, 0.9), at(after, 0.99)],
        ratio: ratio.median,
        ratio_low: ratio.low,
        ratio_high: ratio.high,
        pairs: before.len(),
        batch,
    }
}

/// Number of distinct labels.
pub(super) fn class_count(dataset: &crate::calibration::Dataset) -> usize {
    let labels: std::collections::BTreeSet<usize> =
        (0..dataset.len()).filter_map(|index| dataset.label(index)).collect();
    labels.len()
}

pub(super) fn near_chance(observed: &Observed, classes: usize) -> Result<(), Error> {
    match observed.judge.accuracy() {
        Some(accuracy) if accuracy.near_chance(classes) => {
            let Accuracy { percent, images, .. } = accuracy;
            Err(VerifyError::NearChance { percent, images, classes }.into())
        }
        _ => Ok(()),
    }
}

/// Elements of stored weights with at least two elements, each stored tensor once.
pub(super) fn count_params(model: &Model) -> u64 {
    model.weight_count()
}
