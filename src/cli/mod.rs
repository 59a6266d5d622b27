//! The command line: flags, progress, exit codes. The only module that prints.

mod agent;
mod bench;
mod budget_flags;
mod calibrate;
mod check;
mod check_flags;
mod commands;
mod console;
mod criterion_flags;
mod device_flags;
mod embedded;
mod engine_flags;
mod evaluate;
mod exit;
mod flags;
mod generated;
mod jobs;
mod memory;
mod metric_flags;
mod operators;
mod other_flags;
mod output_flags;
mod parse;
mod preprocess_flags;
mod progress;
mod quantize;
mod quantize_flags;
mod settings;
mod sweep;
mod targets;
mod timing_flags;
mod usage;

pub use console::Host;
pub use embedded::{Called, call};
pub use exit::ExitStatus;

use std::ffi::OsString;

use clap::Parser as _;

/// Runs the command line and says how it ended. `arguments` start with the program's name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitStatus {
    memory::return_large_blocks();
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let arguments = match settings::with_settings(arguments) {
        Ok((arguments, file)) => {
            let quiet = arguments.iter().any(|own| own == "-q" || own == "--quiet");
            if let Some(file) = file.filter(|_| !quiet) {
                console::remark(&format!("settings: {}", file.display()));
            }
            arguments
        }
        Err(error) => return console::complain(&error),
    };
    match flags::Cli::try_parse_from(&arguments) {
        Ok(cli) => commands::run(&cli),
        Err(error) => usage::report(&error, &arguments),
    }
}
