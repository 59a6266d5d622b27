//! `onnx-prune apply` and `onnx-prune verify`.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use crate::channels::{Channels, Cut, KeptTensor};
use crate::device::DeviceOptions;
use crate::engine::EngineOptions;
use crate::error::Error;
use crate::evaluate::{Agreement, EvaluateError, compare, random_feeds, runnable};
use crate::model::{Model, SaveOptions};
use crate::pipeline::reading::{analyse_options, analysed_as_in_a_run, load};
use crate::pipeline::session::device_or_here;
use crate::pipeline::{ModelOptions, writing};
use crate::plan::{Plan, PlanError};
use crate::rewrite;

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
    let Planned { model, channels, cut } = planned(&options.model, &options.plan)?;
    let result = if options.masked {
        rewrite::mask(&model, &channels, &cut)?
    } else {
        rewrite::tidy(rewrite::slice(&model, &channels, &cut)?, &channels, &cut)?
    };
    result.save(&options.output, &SaveOptions { force: options.force, ..SaveOptions::default() })?;
    Ok(())
}

/// What a plan leaves of the stored tensors of the model it was made for, with the first output of each node that reads one.
///
/// # Errors
/// If the plan is for another model or a file cannot be read.
pub fn kept_tensors(model: &ModelOptions, plan: &Path) -> Result<Vec<(String, KeptTensor)>, Error> {
    let Planned { model, channels, cut } = planned(model, plan)?;
    let output = |node: usize| model.graph().node[node].output.first().cloned().unwrap_or_default();
    Ok(channels.kept_tensors(&model, &cut).into_iter().map(|own| (output(own.node), own)).collect())
}

/// A model and what a plan takes from it.
struct Planned {
    model: Model,
    channels: Channels,
    cut: Cut,
}

fn planned(options: &ModelOptions, plan: &Path) -> Result<Planned, Error> {
    let plan = Plan::load(plan)?;
    let mut model = load(options)?;
    if model.sha256() != plan.model_sha256 {
        let why = format!("the plan is for the file with SHA-256 {}, this is {}", plan.model_sha256, model.sha256());
        return Err(PlanError::Mismatch { why }.into());
    }
    let channels = analysed_as_in_a_run(&mut model, &analyse_options(&options.sizes, &plan.ignore)?);
    let cut = plan.cut(&channels)?;
    Ok(Planned { model, channels, cut })
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
    /// Where both run, if not here.
    pub device: Option<DeviceOptions>,
    /// Random inputs to compare on.
    pub runs: u64,
    /// Seed of the inputs.
    pub seed: u64,
}

/// Whether two models compute the same numbers on random inputs.
///
/// # Errors
/// If they do not, or one does not run.
pub fn verify(options: &VerifyOptions, cancel: &AtomicBool) -> Result<Agreement, Error> {
    let (a, b) = (load(&options.a)?, load(&options.b)?);
    let device = device_or_here(options.device.as_ref(), &options.engine, cancel)?.device;
    let engine = device.engine();
    let feeds = random_feeds(&a, &options.a.sizes, options.runs.max(1), options.seed);
    let feeds = runnable(engine, &a, &feeds)?;
    compare(engine, &a, &b, &feeds).map_err(|error| match error {
        EvaluateError::Differs { output, error, tolerance } => {
            EvaluateError::Disagree { output, error, tolerance }.into()
        }
        other => other.into(),
    })
}
