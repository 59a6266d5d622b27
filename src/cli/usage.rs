//! What is wrong with the arguments, and help.

use std::ffi::OsString;
use std::io;
use std::path::Path;

use clap::CommandFactory as _;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::console::complain;
use super::exit::ExitStatus;
use super::flags::Cli;
use crate::error::Error;

/// Prints help, the version, or what is wrong.
pub(super) fn report(error: &clap::Error, arguments: &[OsString]) -> ExitStatus {
    if let Some(error) = second_word(error, arguments) {
        return complain(&error);
    }
    match error.print() {
        // Help and the version are results: a reader that has gone away is no error, a full disk is one.
        Ok(()) if !error.use_stderr() => ExitStatus::Done,
        Err(cause) if !error.use_stderr() && cause.kind() == io::ErrorKind::BrokenPipe => ExitStatus::Done,
        _ => ExitStatus::Bad,
    }
}

/// What is wrong, as an error of the library.
pub(super) fn error(error: &clap::Error, arguments: &[OsString]) -> Error {
    second_word(error, arguments).unwrap_or_else(|| {
        let text = error.to_string();
        let (what, rest) = text.split_once("\n\n").unwrap_or((&text, ""));
        let what = what.trim_start_matches("error: ").split_whitespace().collect::<Vec<_>>().join(" ");
        let tip = rest.lines().find_map(|line| line.trim().strip_prefix("tip: "));
        Error::Usage { what, help: tip.unwrap_or("`onnx-prune --help` shows the flags").into() }
    })
}

/// clap takes any second word for a command that came too late; it is a mistyped command or a second model.
fn second_word(error: &clap::Error, arguments: &[OsString]) -> Option<Error> {
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
        let help = format!("commands are {}", names.join(", "));
        return Some(Error::Usage { what: format!("`{first}` is no command and no file"), help });
    }
    let help = "one model is pruned at a time; `onnx-prune --help` shows the commands".into();
    Some(Error::Usage { what: format!("unexpected `{second}`"), help })
}
