//! `onnx-prune quantize`.

use std::io::Write as _;
use std::sync::atomic::AtomicBool;

use super::commands::{print, style, unprintable};
use super::progress::Bar;
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

pub(super) fn run(flags: &Quantize, cancel: &AtomicBool) -> Result<(), Error> {
    let file = flags.preprocess.file.as_ref().map(|path| PreprocessOptions::from_file(path)).transpose()?;
    let options = flags.options(file.unwrap_or_default());
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
    let bar = Bar::new(flags.quiet || flags.json);
    let result = pipeline::quantize(&options, &bar, cancel);
    bar.clear();
    let mut summary = result?;
    summary.command = std::env::args_os().map(|own| own.to_string_lossy().into_owned()).collect();
    for (path, form, _) in reports {
        if let Some(path) = path {
            let text = form(&summary).map_err(|error| unprintable(error.to_string()))?;
            write_atomically(path, |file| file.write_all(text.as_bytes()))?;
        }
    }
    if flags.json {
        return print(&json(&summary).map_err(|error| unprintable(error.to_string()))?);
    }
    if flags.quiet {
        return Ok(());
    }
    print(&summary.render(style()).map_err(|error| unprintable(error.to_string()))?)
}
