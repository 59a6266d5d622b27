//! What a run measures beside its own work.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::dense::Observed;
use crate::engine::{CompileOptions, Engine, Tensor};
use crate::error::Error;
use crate::latency::{
    Comparison, TimingOptions, calm_interval, disturbances, percentile, ratio_interval, time_sessions,
};
use crate::model::Model;
use crate::report::{AccuracyChange, ClassChange, LatencyChange, Samples};
use crate::verify::{Accuracy, Judge, VerifyError};

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

/// Parts of a comparison, each with sessions of its own: where the engine happens to put its buffers is worth a percent or
/// two, and would be taken for a difference of the models.
const PARTS: usize = 3;

/// A comparison in parts.
pub(super) struct Afresh {
    pub(super) found: Comparison,
    /// Pairs of each part.
    pub(super) parts: Vec<usize>,
    /// Milliseconds until the engine gave its first result of each model, on average: the session is made, and what the
    /// engine builds or tries out on the first run is done.
    pub(super) prepare_ms: [f64; 2],
}

impl Afresh {
    pub(super) fn samples(self) -> Samples {
        Samples { parts: self.parts, before_ms: self.found.before_ms, after_ms: self.found.after_ms }
    }
}

/// As [`compared`], in parts with fresh sessions.
pub(super) fn compared_afresh(
    engine: &dyn Engine,
    (before, after): (&Model, &Model),
    feed: &[(String, Tensor)],
    options: &TimingOptions,
    cancel: &AtomicBool,
) -> Result<Afresh, Error> {
    let inputs: Vec<(&str, &Tensor)> = feed.iter().map(|(name, value)| (name.as_str(), value)).collect();
    let part = TimingOptions {
        least_ms: options.least_ms / PARTS as f64,
        most_ms: options.most_ms / PARTS as f64,
        least_pairs: options.least_pairs.div_ceil(PARTS),
        // The parts together are as narrow as was asked for.
        width: options.width * (PARTS as f64).sqrt(),
        ..*options
    };
    let (mut all, mut parts, mut prepare_ms) = ((Vec::new(), Vec::new()), Vec::new(), [0.0; 2]);
    for number in 0..PARTS {
        let mut compile = |at: usize, model: &Model| {
            let begin = Instant::now();
            let mut session = engine.compile(model, &CompileOptions::default())?;
            session.bind(&inputs)?.run()?;
            prepare_ms[at] += 1e3 * begin.elapsed().as_secs_f64() / PARTS as f64;
            Ok::<_, Error>(session)
        };
        // Neither model always comes first.
        let (mut a, mut b) = if number % 2 == 0 {
            let a = compile(0, before)?;
            (a, compile(1, after)?)
        } else {
            let b = compile(1, after)?;
            (compile(0, before)?, b)
        };
        let found = time_sessions(a.as_mut(), b.as_mut(), &inputs, &part, cancel)?;
        parts.push(found.before_ms.len());
        all.0.extend(found.before_ms);
        all.1.extend(found.after_ms);
        if cancel.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
    }
    let ratio = ratio_interval(&all.0, &all.1, options.seed);
    Ok(Afresh { found: Comparison { before_ms: all.0, after_ms: all.1, ratio }, parts, prepare_ms })
}

/// Latency of two models, and what a reader should know of its measurement.
pub(super) struct Timed {
    pub(super) change: LatencyChange,
    pub(super) samples: Samples,
    pub(super) prepare_ms: [f64; 2],
    pub(super) remarks: Vec<String>,
}

/// Times two models on one feed, for the report.
pub(super) fn time(
    engine: &dyn Engine,
    models: (&Model, &Model),
    feed: &[(String, Tensor)],
    options: &TimingOptions,
    cancel: &AtomicBool,
) -> Result<Timed, Error> {
    let afresh = compared_afresh(engine, models, feed, options, cancel)?;
    let batch = feed.first().and_then(|(_, value)| value.shape().first().copied()).unwrap_or(1);
    let change = latency(&afresh.found, batch);
    let remarks = remarks(engine, &afresh.found, &change, options);
    Ok(Timed { change, prepare_ms: afresh.prepare_ms, samples: afresh.samples(), remarks })
}

/// What disturbed a comparison, and what its times leave out.
pub(super) fn remarks(
    engine: &dyn Engine,
    found: &Comparison,
    change: &LatencyChange,
    options: &TimingOptions,
) -> Vec<String> {
    let width = (change.ratio_high - change.ratio_low) / change.ratio;
    let mut remarks = disturbances(&found.before_ms, &found.after_ms, (width, options.width));
    if engine.info().provider != "cpu" {
        remarks.push(
            "inputs and outputs stay on the GPU and every run is waited for: the times hold no copies to and from it"
                .into(),
        );
    }
    remarks
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

/// Top-1 of two models on the same images.
pub(super) fn accuracy_change(
    (before, after): (&Judge, &Judge),
    seen_in_calibration: bool,
    classes: Vec<ClassChange>,
) -> Option<AccuracyChange> {
    let (before, after) = before.accuracy().zip(after.accuracy())?;
    Some(AccuracyChange {
        before: before.percent,
        after: after.percent,
        images: before.images,
        before_interval: before,
        after_interval: after,
        seen_in_calibration,
        classes,
    })
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
