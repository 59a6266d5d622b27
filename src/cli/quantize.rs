//! `onnx-prune quantize`.

use std::io::Write as _;

use super::commands::unprintable;
use super::console::Console;
use super::quantize_flags::Quantize;
use super::targets::Targets;
use crate::calibration::PreprocessOptions;
use crate::error::Error;
use crate::model::{replaceable, write_atomically};
use crate::pipeline;
use crate::report::{QuantizeSummary, quantize_html, quantize_markdown};

/// A form of the report.
type Form = fn(&QuantizeSummary) -> Result<String, std::fmt::Error>;

fn json(summary: &QuantizeSummary) -> Result<String, std::fmt::Error> {
    serde_json::to_string_pretty(summary).map(|text| text + "\n").map_err(|_| std::fmt::Error)
}

pub(super) fn run(flags: &Quantize, console: &Console<'_>) -> Result<(), Error> {
    let file = flags.preprocess.file.as_ref().map(|path| PreprocessOptions::from_file(path)).transpose()?;
    let options = flags.options(file.unwrap_or_default())?;
    let targets = Targets::default().input(&options.model.path);
    let mut targets = targets.output(&options.quantized_path(), "the model in integers")?;
    let reports = [
        (&flags.report, json as Form, "the report"),
        (&flags.html, quantize_html, "the page"),
        (&flags.markdown, quantize_markdown, "the Markdown file"),
    ];
    for (path, _, name) in &reports {
        if let Some(path) = path {
            targets = targets.output(path, name)?;
            replaceable(path, flags.force)?;
        }
    }
    super::memory::keep_blocks();
    let bar = console.progress(flags.quiet || flags.json);
    let result = pipeline::quantize(&options, &bar, console.cancel);
    bar.clear();
    let mut summary = result?;
    summary.command.clone_from(&console.command);
    for (path, form, _) in reports {
        if let Some(path) = path {
            let text = form(&summary).map_err(|error| unprintable(error.to_string()))?;
            write_atomically(path, |file| file.write_all(text.as_bytes()))?;
        }
    }
    if flags.json {
        return console.print(&json(&summary).map_err(|error| unprintable(error.to_string()))?);
    }
    if flags.quiet {
        return Ok(());
    }
    console.print(&summary.render(console.style()).map_err(|error| unprintable(error.to_string()))?)
}
