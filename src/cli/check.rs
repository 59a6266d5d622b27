//! `onnx-prune check`.

use std::io::Write as _;
use std::path::Path;

use super::check_flags::Check;
use super::commands::unprintable;
use super::console::Console;
use super::exit::ExitStatus;
use super::targets::Targets;
use crate::calibration::PreprocessOptions;
use crate::check::{
    Bencher, CheckFormat, CheckHtml, CheckJson, CheckMarkdown, CheckTerminal, CheckTimes, CodeQuality,
    GithubAnnotations, Junit, OpenMetrics, Outcome,
};
use crate::error::Error;
use crate::model::replaceable;
use crate::model::{ModelError, write_atomically};
use crate::pipeline;

/// The file to which GitHub Actions lets a step add its summary.
const STEP_SUMMARY: &str = "GITHUB_STEP_SUMMARY";

/// Checks, writes every form that was asked for, and says by the exit code whether all bounds hold.
pub(super) fn run(flags: &Check, console: &Console<'_>) -> Result<ExitStatus, Error> {
    let file = flags.preprocess.file.as_ref().map(|path| PreprocessOptions::from_file(path)).transpose()?;
    let options = flags.options(file.unwrap_or_default())?;
    let wanted: Vec<(&Path, &dyn CheckFormat, &'static str)> = [
        (&flags.report, &CheckJson as &dyn CheckFormat, "the report"),
        (&flags.junit, &Junit, "the JUnit file"),
        (&flags.markdown, &CheckMarkdown, "the Markdown file"),
        (&flags.html, &CheckHtml, "the page"),
        (&flags.times, &CheckTimes, "the table of times"),
        (&flags.bencher, &Bencher, "the Bencher file"),
        (&flags.gitlab_codequality, &CodeQuality, "the code quality report"),
        (&flags.gitlab_metrics, &OpenMetrics, "the metrics report"),
    ]
    .into_iter()
    .filter_map(|(path, format, name)| Some((path.as_deref()?, format, name)))
    .collect();
    let mut targets = Targets::default().input(&flags.base).input(&flags.new);
    if let Some(path) = &flags.baseline {
        targets = targets.input(path);
    }
    for (path, _, name) in &wanted {
        targets = targets.output(path, name)?;
        replaceable(path, flags.force)?;
    }
    let bar = console.progress(flags.quiet || flags.json || flags.github);
    let result = pipeline::check(&options, &bar, console.cancel);
    bar.clear();
    let mut checked = result?;
    checked.command.clone_from(&console.command);
    for (path, format, _) in wanted {
        let text = format.render(&checked).map_err(unprintable)?;
        write_atomically(path, |file| file.write_all(text.as_bytes()))?;
    }
    if flags.github {
        console.print(&GithubAnnotations.render(&checked).map_err(unprintable)?)?;
        add_to_summary(&CheckMarkdown.render(&checked).map_err(unprintable)?)?;
    } else if flags.json {
        console.print(&CheckJson.render(&checked).map_err(unprintable)?)?;
    } else if !flags.quiet {
        console.print(&CheckTerminal { style: console.style() }.render(&checked).map_err(unprintable)?)?;
    }
    Ok(if checked.outcome == Outcome::Failed { ExitStatus::Failed } else { ExitStatus::Done })
}

/// Other steps' words in the file stay.
fn add_to_summary(text: &str) -> Result<(), Error> {
    let Some(path) = std::env::var_os(STEP_SUMMARY).filter(|path| !path.is_empty()) else { return Ok(()) };
    let open = std::fs::OpenOptions::new().append(true).create(true).open(&path);
    let written = open.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| {
        ModelError::Write { path: Path::new(&path).display().to_string(), why: error.to_string() }.into()
    })
}
