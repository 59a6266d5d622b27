//! The program copied to a machine that `ssh` reaches.

use std::fs::File;
use std::process::Stdio;

use super::link::ssh;
use super::target::DeviceOptions;
use crate::engine::EngineError;
use crate::shell;

/// Where it goes by default, below the user's folder.
const PLACE: &str = concat!(".cache/onnx-prune/onnx-prune-", env!("CARGO_PKG_VERSION"));

/// Copies the program, and gives the options with the place where it is. Nothing is done where no copy is asked for.
pub(super) fn installed(options: &DeviceOptions) -> Result<DeviceOptions, EngineError> {
    let Some(file) = &options.install else { return Ok(options.clone()) };
    let failed = |why: String| EngineError::Device {
        what: format!("the agent cannot be copied to `{}`", options.target),
        why,
        help: "copy the program there yourself and say where it is with `--agent PATH`".into(),
    };
    let Some(mut command) = ssh(&options.target) else {
        return Err(failed("only a machine that `ssh` reaches is copied to".into()));
    };
    let place = options.agent.clone().unwrap_or_else(|| PLACE.into());
    let to = shell::quoted(&place, false);
    let part = shell::quoted(&format!("{place}.part"), false);
    // Moved into its place when it is whole.
    command.arg(format!("mkdir -p \"$(dirname {to})\" && cat > {part} && chmod 755 {part} && mv {part} {to}"));
    let program = File::open(file).map_err(|error| failed(format!("`{}`: {error}", file.display())))?;
    let ended = command.stdin(program).stdout(Stdio::null()).output().map_err(|error| failed(error.to_string()))?;
    if !ended.status.success() {
        let text = String::from_utf8_lossy(&ended.stderr).into_owned();
        let status = shell::describe(ended.status);
        return Err(failed(shell::last_line(&text).map_or(status, ToOwned::to_owned)));
    }
    let there = if place.starts_with('/') { place } else { format!("./{place}") };
    Ok(DeviceOptions { agent: Some(there), install: None, ..options.clone() })
}
