//! Where the time of two models goes.

use std::collections::BTreeMap;

use super::{Measured, Profile, join};
use crate::bench::BenchError;
use crate::channels::AnalyseOptions;
use crate::engine::{Engine, EngineError, Feed, NodeTime, blocked, channel_block, feed};
use crate::evaluate::analyse_with;
use crate::model::Model;

/// Seconds of profiled runs of one model, about, and how many runs that may be.
const SECONDS: f64 = 1.0;
const RUNS: (usize, usize) = (10, 200);

/// Profiles both models on one feed; `ms`: what a run takes, about. `None` where the engine cannot tell.
///
/// # Errors
/// If the engine fails.
pub fn profile(
    engine: &dyn Engine,
    models: [&Model; 2],
    feed: &Feed,
    sizes: &BTreeMap<String, usize>,
    ms: [f64; 2],
) -> Result<Option<Profile>, BenchError> {
    let batch = feed::samples(feed).max(1);
    let mut times: Vec<Vec<NodeTime>> = Vec::new();
    for (model, ms) in models.into_iter().zip(ms) {
        let Some(found) = engine.profile(model, &feed::pairs(feed), runs(ms)) else { return Ok(None) };
        times.push(found?);
    }
    let layouts = models.map(|model| blocked(engine, model).and_then(Result::ok));
    let options = AnalyseOptions { sizes: sizes.clone(), ..AnalyseOptions::default() };
    let analyses = models.map(|model| analyse_with(engine, model, &options).channels);
    let measured = |at: usize| Measured {
        model: models[at],
        channels: &analyses[at],
        times: &times[at],
        blocked: layouts[at].as_ref(),
        batch,
    };
    let block = channel_block(engine);
    Ok(Some(join(&measured(0), &measured(1), block)))
}

/// What every node of the engine's own graph takes; `None` where the engine cannot tell.
pub fn profiled(engine: &dyn Engine, model: &Model, feed: &Feed) -> Option<Result<Vec<NodeTime>, EngineError>> {
    let inputs = feed::pairs(feed);
    let few = match engine.profile(model, &inputs, RUNS.0)? {
        Ok(few) => few,
        Err(error) => return Some(Err(error)),
    };
    let runs = runs(few.iter().map(|own| own.ms).sum());
    if runs <= RUNS.0 { Some(Ok(few)) } else { engine.profile(model, &inputs, runs) }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
fn runs(ms: f64) -> usize {
    ((1e3 * SECONDS / ms.max(0.01)) as usize).clamp(RUNS.0, RUNS.1)
}
