//! The other commands: inspect, apply, verify, bench.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::check::Timing;
use super::explain::analyse_options;
use super::timing::{Pairing, time};
use super::{ModelOptions, writing};
use crate::bench::latency::{Comparison, throughput};
use crate::channels::analyse;
use crate::engine::{CompileOptions, Engine, EngineInfo, EngineOptions, Session, Tensor, open};
use crate::error::Error;
use crate::evaluate::{Agreement, compare, input_specs, random_inputs};
use crate::model::{Model, SaveOptions};
use crate::plan::{Plan, PlanError};
use crate::report::{Inspection, LatencyChange};
use crate::rewrite;

/// Analyses a model.
///
/// # Errors
/// If the model cannot be loaded.
pub fn inspect(options: &ModelOptions) -> Result<Inspection, Error> {
    let mut model = writing::load(options)?;
    let sha256 = model.sha256().to_owned();
    let analysis = analyse_options(&options.sizes, &options.ignore)?;
    writing::write_out(&mut model, &analysis);
    let channels = analyse(&model, &analysis);
    Ok(Inspection { model_sha256: sha256, ..Inspection::new(&model, &channels) })
}

/// `onnx-prune apply`.
#[derive(Debug, Clone, Default)]
pub struct ApplyOptions {
    /// The model that the plan was made for.
    pub model: ModelOptions,
    /// The plan.
    pub plan: PathBuf,
    /// Where the result goes.
    pub output: PathBuf,
    /// Write the masked original in place of the sliced model.
    pub masked: bool,
    /// Replace an existing file.
    pub force: bool,
}

/// Applies a plan: the same model and plan give the same bytes.
///
/// # Errors
/// If the plan is for another model or a file cannot be read or written.
pub fn apply(options: &ApplyOptions) -> Result<(), Error> {
    writing::check(&options.model.path, &options.output, options.force)?;
    let plan = Plan::load(&options.plan)?;
    let mut model = writing::load(&options.model)?;
    if model.sha256() != plan.model_sha256 {
        let why = format!("the plan is for the file with SHA-256 {}, this is {}", plan.model_sha256, model.sha256());
        return Err(PlanError::Mismatch { why }.into());
    }
    let analysis = analyse_options(&options.model.sizes, &plan.ignore)?;
    writing::write_out(&mut model, &analysis);
    let channels = analyse(&model, &analysis);
    let cut = plan.cut(&channels)?;
    let result =
        if options.masked { rewrite::mask(&model, &channels, &cut)? } else { rewrite::slice(&model, &channels, &cut)? };
    result.save(&options.output, &SaveOptions { force: options.force, ..SaveOptions::default() })?;
    Ok(())
}

/// `onnx-prune verify`.
#[derive(Debug, Clone, Default)]
pub struct VerifyOptions {
    /// First model.
    pub a: ModelOptions,
    /// Second model.
    pub b: ModelOptions,
    /// Engine.
    pub engine: EngineOptions,
    /// Random inputs to compare on.
    pub runs: u64,
    /// Seed of the inputs.
    pub seed: u64,
}

/// Whether two models compute the same numbers on random inputs.
///
/// # Errors
/// If they do not, or one does not run.
pub fn verify(options: &VerifyOptions) -> Result<Agreement, Error> {
    let (a, b) = (writing::load(&options.a)?, writing::load(&options.b)?);
    let opened = open(&options.engine)?;
    let specs = input_specs(&a);
    let feeds: Vec<_> = (0..options.runs.max(1))
        .map(|number| random_inputs(&specs, &options.a.sizes, 1 + usize::from(number > 0), options.seed + number))
        .collect();
    Ok(compare(opened.engine.as_ref(), &a, &b, &feeds)?)
}

/// `onnx-prune bench`.
#[derive(Debug, Clone, Default)]
pub struct BenchOptions {
    /// First model.
    pub a: ModelOptions,
    /// Second model; the first against itself if not given, which shows the noise.
    pub b: Option<ModelOptions>,
    /// Engine.
    pub engine: EngineOptions,
    /// How to time.
    pub timing: Timing,
    /// Requests at a time whose throughput is measured too; 0: none.
    pub streams: usize,
    /// Seed of the inputs.
    pub seed: u64,
}

/// What timing two models found.
#[derive(Debug, Clone)]
pub struct Benched {
    /// What ran.
    pub engine: EngineInfo,
    /// Time of a run.
    pub latency: LatencyChange,
    /// Runs a second of several streams together, of each model.
    pub throughput: Option<[f64; 2]>,
    /// Milliseconds until the engine gave its first result of each model.
    pub prepare_ms: [f64; 2],
    /// Single times.
    pub samples: Comparison,
    /// What disturbed the measurement, and what the times leave out.
    pub disturbed: Vec<String>,
}

/// Times two models in turn.
///
/// # Errors
/// If a model does not run.
pub fn bench(options: &BenchOptions, cancel: &AtomicBool) -> Result<Benched, Error> {
    options.timing.keep_to_cores()?;
    let a = writing::load(&options.a)?;
    let b = options.b.as_ref().map(writing::load).transpose()?;
    let opened = open(&options.engine)?;
    let engine = opened.engine.as_ref();
    let feed = random_inputs(&input_specs(&a), &options.a.sizes, options.timing.batch.max(1), options.seed);
    let models = (&a, b.as_ref().unwrap_or(&a));
    let pairing = Pairing { engine, before: models.0, after: models.1, feed: &feed, cancel };
    let timed = time(&pairing, &options.timing.options)?;
    let throughput = match options.streams {
        0 => None,
        streams => Some(streamed(engine, models, &feed, (streams, options.timing.options.most_ms), cancel)?),
    };
    Ok(Benched {
        engine: engine.info().clone(),
        latency: timed.change,
        throughput,
        prepare_ms: timed.prepare_ms,
        samples: timed.samples,
        disturbed: timed.remarks,
    })
}

/// Runs a second of so many streams together: both models in the order A B B A.
fn streamed(
    engine: &dyn Engine,
    (a, b): (&Model, &Model),
    feed: &[(String, Tensor)],
    (streams, most_ms): (usize, f64),
    cancel: &AtomicBool,
) -> Result<[f64; 2], Error> {
    let inputs: Vec<(&str, &Tensor)> = feed.iter().map(|(name, value)| (name.as_str(), value)).collect();
    let sessions = |model: &Model| -> Result<Vec<Box<dyn Session>>, Error> {
        (0..streams).map(|_| Ok(engine.compile(model, &CompileOptions::default())?)).collect()
    };
    let mut both = [sessions(a)?, sessions(b)?];
    let each = Duration::from_secs_f64(most_ms / 1e3 / 4.0);
    let mut found = [0.0; 2];
    for at in [0, 1, 1, 0] {
        found[at] += throughput(&mut both[at], &inputs, each, cancel)? / 2.0;
    }
    Ok(found)
}
