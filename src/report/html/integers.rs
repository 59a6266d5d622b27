//! A model in integers: what was done, and the page of `onnx-prune quantize`.

use std::fmt;

use super::page::{Cell, Page};
use super::run::again;
use super::{class_by_class, headline};
use crate::report::text::plural;
use crate::report::{QuantizeStep, QuantizeSummary, Quantized, bytes};

/// How the model was written in integers.
pub(super) fn write(page: &mut Page, quantized: Option<&Quantized>) -> fmt::Result {
    let Some(own) = quantized else { return Ok(()) };
    page.title(own.title())?;
    page.list(&own.entries())?;
    if own.steps.is_empty() {
        return Ok(());
    }
    let most = own.steps.iter().map(|step| step.error).fold(f64::MIN_POSITIVE, f64::max);
    let row = |step: &QuantizeStep| -> Vec<Cell> {
        vec![
            step.what.as_str().into(),
            format!("{:.2e}", step.error).into(),
            if step.kept { Cell::Marked("good", "taken".into()) } else { Cell::Marked("soft", "left".into()) },
            Cell::Bars(0.0, step.error / most),
        ]
    };
    let rows: Vec<Vec<Cell>> = own.steps.iter().map(row).collect();
    page.table(&["name", "n", "", "bars"], &["what was tried", "error of the outputs", "", ""], &rows)
}

/// The report of `onnx-prune quantize` as one self-contained HTML file.
///
/// # Errors
/// If the text cannot be written.
pub fn quantize_html(summary: &QuantizeSummary) -> Result<String, fmt::Error> {
    let mut page = Page::new(&format!("onnx-prune quantize: {}", summary.model.path.display()))?;
    headline::write(&mut page, [&summary.model, &summary.output], &summary.warnings, &summary.figures())?;
    write(&mut page, Some(&summary.quantized))?;
    class_by_class(&mut page, summary.accuracy.as_ref())?;
    page.title("How it was done")?;
    let own = &summary.calibration;
    let images = format!("{} of {} classes from {}", plural(own.images, "image"), own.classes, own.path.display());
    let mut entries = vec![
        ("engine", summary.engine.describe()),
        ("calibration", images),
        ("preprocessing", own.preprocessing.clone()),
        ("seconds", crate::report::terminal::seconds(&summary.timings_s)),
    ];
    entries.extend(summary.peak_memory_bytes.map(|peak| ("peak memory", bytes(peak as f64))));
    entries.extend(summary.notes.iter().map(|note| ("note", note.clone())));
    page.list(&entries)?;
    let files = [("before", summary.model.sha256.as_str()), ("after", summary.output.sha256.as_str())];
    again(&mut page, &summary.command, &summary.tool_version, &[("seed", summary.seed.to_string())], files)?;
    Ok(page.finish())
}
