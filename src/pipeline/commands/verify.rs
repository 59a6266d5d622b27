//! `onnx-prune verify`.

use crate::engine::{EngineOptions, open};
use crate::error::Error;
use crate::evaluate::{Agreement, compare, random_feeds};
use crate::pipeline::ModelOptions;
use crate::pipeline::reading::load;

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
    let (a, b) = (load(&options.a)?, load(&options.b)?);
    let opened = open(&options.engine)?;
    let feeds = random_feeds(&a, &options.a.sizes, options.runs.max(1), options.seed);
    Ok(compare(opened.engine.as_ref(), &a, &b, &feeds)?)
}
