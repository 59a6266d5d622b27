//! The command line: flags, progress, exit codes. The only room that prints.

mod commands;
mod exit;
mod flags;
mod parse;
mod progress;

pub use exit::ExitStatus;

use std::ffi::OsString;

use clap::Parser as _;

/// Runs the command line and says how it ended. `arguments` start with the program's name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitStatus {
    match flags::Cli::try_parse_from(arguments) {
        Ok(cli) => commands::run(cli),
        Err(error) => {
            // Help and version are no errors; clap chooses the stream.
            let status = if error.use_stderr() { ExitStatus::Bad } else { ExitStatus::Done };
            if error.print().is_err() && status == ExitStatus::Done {
                return ExitStatus::Done;
            }
            status
        }
    }
}
