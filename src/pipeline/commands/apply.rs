//! `onnx-prune apply`.

use std::path::PathBuf;

use crate::error::Error;
use crate::model::SaveOptions;
use crate::pipeline::reading::{analyse_options, analysed, load};
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
    let plan = Plan::load(&options.plan)?;
    let mut model = load(&options.model)?;
    if model.sha256() != plan.model_sha256 {
        let why = format!("the plan is for the file with SHA-256 {}, this is {}", plan.model_sha256, model.sha256());
        return Err(PlanError::Mismatch { why }.into());
    }
    let (channels, _) = analysed(&mut model, &analyse_options(&options.model.sizes, &plan.ignore)?);
    let cut = plan.cut(&channels)?;
    let result =
        if options.masked { rewrite::mask(&model, &channels, &cut)? } else { rewrite::slice(&model, &channels, &cut)? };
    result.save(&options.output, &SaveOptions { force: options.force, ..SaveOptions::default() })?;
    Ok(())
}
