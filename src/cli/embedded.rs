//! Commands for a program that runs them in itself: one set of flags, one meaning.

use std::ffi::OsString;

use clap::Parser as _;
use clap::error::ErrorKind;

use super::console::{Console, Host};
use super::exit::ExitStatus;
use super::flags::Cli;
use super::{commands, settings, usage};
use crate::error::Error;

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Called {
    /// Whether a check failed; errors are errors.
    pub status: ExitStatus,
    /// What it printed: the report with `--json`.
    pub printed: String,
}

/// Runs a command as [`super::run`] does, but prints nothing and listens to no Ctrl-C. `arguments` start with the program's
/// name.
///
/// # Errors
/// If the arguments are wrong, the command fails, or it is interrupted.
pub fn call(arguments: impl IntoIterator<Item = OsString>, host: &Host<'_>) -> Result<Called, Error> {
    let (arguments, _) = settings::with_settings(arguments.into_iter().collect())?;
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            return Ok(Called { status: ExitStatus::Done, printed: error.to_string() });
        }
        Err(error) => return Err(usage::error(&error, &arguments)),
    };
    let command = arguments.iter().map(|own| own.to_string_lossy().into_owned()).collect();
    let console = Console::host(host, command);
    let status = commands::dispatch(&cli, &console)?;
    Ok(Called { status, printed: console.printed() })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::pipeline::Silent;

    fn called(arguments: &[&str]) -> Result<Called, Error> {
        let cancel = AtomicBool::new(false);
        let host = Host { progress: &Silent, cancel: &cancel, metric: None };
        call(["onnx-prune"].iter().chain(arguments).chain(&["--config", "none"]).map(OsString::from), &host)
    }

    #[test]
    fn what_is_printed_is_given() {
        let table = called(&["operators", "--json"]).unwrap();
        assert_eq!(table.status, ExitStatus::Done);
        assert!(serde_json::from_str::<serde_json::Value>(&table.printed).unwrap().as_array().unwrap().len() > 100);
        assert!(called(&["--version"]).unwrap().printed.starts_with("onnx-prune "));
    }

    #[test]
    fn wrong_arguments_say_what_is_right() {
        let parts = called(&["model.onnx", "--target-mac", "0.5"]).unwrap_err().parts();
        assert_eq!(parts.what, "unexpected argument '--target-mac' found");
        assert_eq!(parts.help.as_deref(), Some("a similar argument exists: '--target-macs'"));
        let missing = called(&["no.onnx", "--criterion", "l2"]).unwrap_err().parts();
        assert!(missing.what.contains("no.onnx") && missing.why.is_some(), "{missing:?}");
    }
}
