//! `onnx-prune inspect`.

use crate::engine::{EngineOptions, open};
use crate::error::Error;
use crate::evaluate::analyse_with;
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
    let analysis = analyse_options(&options.sizes, &options.ignore)?;
    let mut channels = analysed(&mut model, &analysis, None).channels;
    if !channels.unknown_shapes().is_empty() {
        // Where no engine is found, the inspection says what is not known.
        if let Ok(opened) = open(&EngineOptions::default()) {
            channels = analyse_with(opened.engine.as_ref(), &model, &analysis).channels;
        }
    }
    check_ignored(&model, &options.ignore)?;
    Ok(Inspection { model_sha256: sha256, ..Inspection::new(&model, &channels) })
}
