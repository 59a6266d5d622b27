//! Each command: options in, results printed.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::console::{Console, complain};
use super::exit::ExitStatus;
use super::flags::{Cli, Command, Prune};
use super::generated;
use super::other_flags::{Apply, Inspect, Score, Setup, Verify};
use super::output_flags::OutputFlags;
use super::targets::Targets;
use crate::calibration::PreprocessOptions;
use crate::engine::{SetupReport, setup_report};
use crate::error::Error;
use crate::model::{replaceable, write_atomically};
use crate::pipeline::{self, ApplyOptions, PruneOptions, VerifyOptions};
use crate::report::{Dot, Drawing, Format, Html, Json, Markdown, Members, Svg, Terminal, Times, classes_svg};

/// Runs the parsed command line on a terminal.
pub(super) fn run(cli: &Cli) -> ExitStatus {
    let outcome = interruptible().and_then(|cancel| dispatch(cli, &Console::terminal(&cancel)));
    outcome.unwrap_or_else(|error| complain(&error))
}

/// Runs the parsed command line.
pub(super) fn dispatch(cli: &Cli, console: &Console<'_>) -> Result<ExitStatus, Error> {
    match &cli.command {
        Some(Command::Check(flags)) => return super::check::run(flags, console),
        None => prune(&cli.prune, console),
        Some(Command::Inspect(flags)) => inspect(flags, console),
        Some(Command::Score(flags)) => score(flags, console),
        Some(Command::Apply(flags)) => apply(flags, console),
        Some(Command::Verify(flags)) => verify(flags, console),
        Some(Command::Bench(flags)) => super::bench::run(flags, console),
        Some(Command::Calibrate(flags)) => super::calibrate::run(flags, console),
        Some(Command::Evaluate(flags)) => super::evaluate::run(flags, console),
        Some(Command::Merge(flags)) => super::evaluate::merge(flags, console),
        Some(Command::Sweep(flags)) => super::jobs::run(flags, console),
        Some(Command::Quantize(flags)) => super::quantize::run(flags, console),
        Some(Command::Operators(flags)) => super::operators::run(flags, console),
        Some(Command::Agent(flags)) => super::agent::run(flags),
        Some(Command::Setup(flags)) => setup(flags, console),
        Some(Command::Completions(flags)) => generated::completions(flags, console),
        Some(Command::Man(flags)) => generated::man(flags, console),
        Some(Command::Schema(flags)) => generated::schema(flags, console),
    }?;
    Ok(ExitStatus::Done)
}

/// The first Ctrl-C asks the run to stop and clean up; the second ends it at once.
fn interruptible() -> Result<Arc<AtomicBool>, Error> {
    let cancel = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&cancel);
    #[allow(clippy::exit, reason = "the user asked twice")]
    let handler = move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    };
    ctrlc::set_handler(handler).map_err(|error| Error::Usage {
        what: format!("cannot listen to Ctrl-C: {error}"),
        help: "start the program in an ordinary shell".into(),
    })?;
    Ok(cancel)
}

fn prune(flags: &Prune, console: &Console<'_>) -> Result<(), Error> {
    let file = flags.preprocess_file().map(|path| PreprocessOptions::from_file(path)).transpose()?;
    let mut options = flags.options(file.unwrap_or_default())?;
    options.metric = console.metric().or(options.metric);
    if options.data.data.is_some() || options.data.statistics.is_some() {
        super::memory::keep_blocks();
    }
    if let Some(shares) = &flags.budget.sweep {
        return super::sweep::run(flags, &options, &shares.0, console);
    }
    if let Some(report) = flags.results.report.as_ref().filter(|_| flags.results.skip_done)
        && pipeline::finished(report, &console.command).is_some()
    {
        return Ok(());
    }
    check_targets(flags, &options)?;
    let bar = console.progress(flags.results.quiet || flags.results.json);
    let result = pipeline::prune(&options, &bar, console.cancel);
    bar.clear();
    let mut summary = result?;
    summary.command.clone_from(&console.command);
    let json = Json.render(&summary).map_err(unprintable)?;
    for (path, format, _) in reports(&flags.results) {
        let text = format.render(&summary).map_err(unprintable)?;
        write_atomically(path, |file| file.write_all(text.as_bytes()))?;
    }
    if let (Some(path), Some(classwise)) = (&flags.results.classes_svg, &summary.classwise) {
        let text = classes_svg(classwise).map_err(|error| unprintable(error.to_string()))?;
        write_atomically(path, |file| file.write_all(text.as_bytes()))?;
    }
    if flags.results.json {
        return console.print(&json);
    }
    if flags.results.quiet {
        return Ok(());
    }
    let terminal = Terminal { style: console.style() };
    console.print(&terminal.render(&summary).map_err(unprintable)?)
}

/// Fails before the work if a result would be lost or would replace something else.
fn check_targets(flags: &Prune, options: &PruneOptions) -> Result<(), Error> {
    let targets = Targets::default().input(&options.model.path);
    let mut targets = targets.output(&options.output_path(), "the pruned model")?;
    if let Some(plan) = options.plan_path() {
        targets = targets.output(&plan, "the plan")?;
    }
    let picture = flags.results.classes_svg.as_ref().map(|path| (path, "the picture of the classes"));
    let reports = reports(&flags.results);
    for (path, name) in reports.iter().map(|(path, _, name)| (*path, *name)).chain(picture) {
        targets = targets.output(path, name)?;
        replaceable(path, flags.results.force)?;
    }
    Ok(())
}

/// The reports that are asked for: where, in which form, and their names.
fn reports(flags: &OutputFlags) -> Vec<(&PathBuf, &'static dyn Format, &'static str)> {
    [
        (&flags.report, &Json as &dyn Format, "the report"),
        (&flags.html, &Html, "the page"),
        (&flags.markdown, &Markdown, "the Markdown file"),
        (&flags.times, &Times, "the table of times"),
    ]
    .into_iter()
    .filter_map(|(path, format, name)| Some((path.as_ref()?, format, name)))
    .collect()
}

fn inspect(flags: &Inspect, console: &Console<'_>) -> Result<(), Error> {
    let drawings: [(&Option<PathBuf>, &dyn Drawing, &'static str); 2] =
        [(&flags.dot, &Dot, "the Graphviz file"), (&flags.svg, &Svg, "the picture")];
    let mut targets = Targets::default().input(&flags.model);
    for (path, _, name) in &drawings {
        if let Some(path) = path {
            targets = targets.output(path, name)?;
            replaceable(path, flags.force)?;
        }
    }
    let options = flags.flags.options(&flags.model);
    let found = if flags.time {
        let (engine, device) = flags.device.one(&flags.engine)?;
        pipeline::inspect_timed(&options, &engine, device.as_ref(), console.cancel)?
    } else {
        pipeline::inspect(&options)?
    };
    for (path, drawing, _) in drawings {
        if let Some(path) = path {
            let text = drawing.draw(&found).map_err(|error| unprintable(error.to_string()))?;
            write_atomically(path, |file| file.write_all(text.as_bytes()))?;
        }
    }
    if flags.json {
        let text = serde_json::to_string_pretty(&found).map_err(|error| unprintable(error.to_string()))?;
        return console.print(&(text + "\n"));
    }
    let members = if flags.members { Members::Shown } else { Members::Counted };
    console.print(&found.render(console.style(), members).map_err(|error| unprintable(error.to_string()))?)
}

fn score(flags: &Score, console: &Console<'_>) -> Result<(), Error> {
    let file = flags.preprocess.file.as_ref().map(|path| PreprocessOptions::from_file(path)).transpose()?;
    let options = flags.options(file.unwrap_or_default());
    let mut targets = Targets::default().input(&options.model.path);
    for (path, name) in [(&flags.output, "the scores"), (&flags.classes_svg, "the picture of the classes")] {
        if let Some(path) = path {
            targets = targets.output(path, name)?;
            replaceable(path, flags.force)?;
        }
    }
    let bar = console.progress(flags.quiet || flags.output.is_none());
    let result = pipeline::score(&options, &bar, console.cancel);
    bar.clear();
    let scored = result?;
    if let (Some(path), Some(classwise)) = (&flags.classes_svg, &scored.classwise) {
        let text = classes_svg(classwise).map_err(|error| unprintable(error.to_string()))?;
        write_atomically(path, |file| file.write_all(text.as_bytes()))?;
    }
    let json = || scored.to_json().map_err(unprintable);
    match &flags.output {
        None => console.print(&json()?),
        Some(path) if path.extension().is_some_and(|extension| extension == "npz") => {
            let bytes = scored.to_npz().map_err(unprintable)?;
            Ok(write_atomically(path, |file| file.write_all(&bytes))?)
        }
        Some(path) => {
            let text = json()?;
            Ok(write_atomically(path, |file| file.write_all(text.as_bytes()))?)
        }
    }
}

fn apply(flags: &Apply, console: &Console<'_>) -> Result<(), Error> {
    let inputs = Targets::default().input(&flags.model).input(&flags.plan);
    inputs.output(&flags.output, "the result")?;
    pipeline::apply(&ApplyOptions {
        model: flags.flags.options(&flags.model),
        plan: flags.plan.clone(),
        output: flags.output.clone(),
        masked: flags.masked,
        force: flags.force,
    })?;
    console.print(&format!("{}\n", flags.output.display()))
}

fn verify(flags: &Verify, console: &Console<'_>) -> Result<(), Error> {
    let (engine, device) = flags.device.one(&flags.engine)?;
    let options = VerifyOptions {
        a: flags.flags.options(&flags.a),
        b: flags.flags.options(&flags.b),
        engine,
        device,
        runs: flags.runs,
        seed: flags.seed,
    };
    let agreement = pipeline::verify(&options, console.cancel)?;
    console.print(&format!(
        "equal: largest difference {:.1e} of the output's scale, {:.0e} allowed\n",
        agreement.max_error, agreement.tolerance
    ))
}

fn setup(flags: &Setup, console: &Console<'_>) -> Result<(), Error> {
    let report = setup_report(&flags.engine.options());
    if flags.json {
        let text = serde_json::to_string_pretty(&report).map_err(|error| unprintable(error.to_string()))?;
        return console.print(&(text + "\n"));
    }
    console.print(&describe(&report))
}

fn describe(report: &SetupReport) -> String {
    let mut lines = Vec::new();
    if report.libraries.is_empty() {
        lines.push("ONNX Runtime: no library found".to_owned());
    }
    for library in &report.libraries {
        let state = match (&library.version, &library.problem) {
            (Some(version), _) => format!("version {version}"),
            (None, problem) => format!("cannot be used: {}", problem.as_deref().unwrap_or_default()),
        };
        lines.push(format!("ONNX Runtime: {} ({}), {state}", library.path.display(), library.origin));
    }
    for (name, problem) in &report.providers {
        lines.push(format!("  {name:<9} {}", problem.as_deref().unwrap_or("works")));
    }
    lines.push(format!("tract: {}", if report.tract { "built in" } else { "not built in" }));
    lines.extend(report.advice.iter().map(|advice| format!("to do: {advice}")));
    lines.join("\n") + "\n"
}

#[allow(clippy::needless_pass_by_value, reason = "used as `map_err(unprintable)`")]
pub(super) fn unprintable(why: String) -> Error {
    Error::Usage { what: format!("cannot write the report: {why}"), help: "please report this".into() }
}
