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

pub(super) fn run(flags: &Quantize, cancel: &AtomicBool) -> Result<(), Error> {
    let file = flags.preprocess.file.as_ref().map(|path| PreprocessOptions::from_file(path)).transpose()?;
    let options = flags.options(file.unwrap_or_default());
    let targets = Targets::default().input(&options.model.path);
    let targets = targets.output(&options.quantized_path(), "the model in integers")?;
    if let Some(path) = &flags.report {
        targets.output(path, "the report")?;
        replaceable(path, flags.force)?;
    }
    super::memory::keep_blocks();
    let bar = Bar::new(flags.quiet || flags.json);
    let result = pipeline::quantize(&options, &bar, cancel);
    bar.clear();
    let mut summary = result?;
    summary.command = std::env::args_os().map(|own| own.to_string_lossy().into_owned()).collect();
    let json = || serde_json::to_string_pretty(&summary).map_err(|error| unprintable(error.to_string()));
    if let Some(path) = &flags.report {
        let text = json()? + "\n";
        write_atomically(path, |file| file.write_all(text.as_bytes()))?;
    }
    if flags.json {
        return print(&(json()? + "\n"));
    }
    if flags.quiet {
        return Ok(());
    }
    print(&summary.render(style()).map_err(|error| unprintable(error.to_string()))?)
}
