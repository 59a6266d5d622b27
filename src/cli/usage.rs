//! What is wrong with the arguments, and help.

use std::ffi::OsString;
use std::io;
use std::path::Path;

use clap::CommandFactory as _;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::exit::ExitStatus;
use super::flags::Cli;

/// Prints help, the version, or what is wrong.
#[allow(clippy::print_stderr, reason = "errors go to stderr")]
pub(super) fn report(error: &clap::Error, arguments: &[OsString]) -> ExitStatus {
    if let Some(text) = second_word(error, arguments) {
        eprintln!("error: {text}");
        return ExitStatus::Bad;
    }
    match error.print() {
        // Help and the version are results: a reader that has gone away is no error, a full disk is one.
        Ok(()) if !error.use_stderr() => ExitStatus::Done,
        Err(cause) if !error.use_stderr() && cause.kind() == io::ErrorKind::BrokenPipe => ExitStatus::Done,
        _ => ExitStatus::Bad,
    }
}

/// clap takes any second word for a command that came too late; it is a mistyped command or a second model.
fn second_word(error: &clap::Error, arguments: &[OsString]) -> Option<String> {
    let (ErrorKind::ArgumentConflict, ContextValue::String(second)) =
        (error.kind(), error.get(ContextKind::InvalidSubcommand)?)
    else {
        return None;
    };
    let command = Cli::command();
    if command.find_subcommand(second).is_some() {
        return None;
    }
    let first = arguments.get(1)?.to_str()?;
    let mistyped = !first.starts_with('-') && Path::new(first).components().count() == 1 && !first.contains('.');
    if mistyped && !Path::new(first).exists() {
        let names: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
        return Some(format!("`{first}` is no command and no file\n  help:  commands are {}", names.join(", ")));
    }
    Some(format!(
        "unexpected `{second}`\n  help:  one model is pruned at a time; `onnx-prune --help` shows the commands"
    ))
}
