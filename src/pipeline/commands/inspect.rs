//! `onnx-prune inspect`.

use crate::error::Error;
use crate::pipeline::ModelOptions;
use crate::pipeline::reading::{analyse_options, analysed, check_ignored, load};
use crate::report::Inspection;

/// Analyses a model.
///
/// # Errors
/// If the model cannot be loaded.
pub fn inspect(options: &ModelOptions) -> Result<Inspection, Error> {
    let mut model = load(options)?;
    let sha256 = model.sha256().to_owned();
    let (channels, _) = analysed(&mut model, &analyse_options(&options.sizes, &options.ignore)?);
    check_ignored(&model, &options.ignore)?;
    Ok(Inspection { model_sha256: sha256, ..Inspection::new(&model, &channels) })
}
