//! Where models are timed.

use std::path::PathBuf;

use clap::Args;

use super::engine_flags::EngineFlags;
use super::parse;
use crate::device::{DeviceOptions, LIMIT_S, Target};
use crate::engine::EngineOptions;

#[derive(Debug, Args)]
pub(super) struct DeviceFlags {
    /// Time models on this device: local, ssh://[user@]host[:port], exec:CMD (a command whose standard input and output reach
    /// `onnx-prune agent`) or time:CMD (a command that times the file {model} and prints milliseconds). The flags of the
    /// engine are then those of the engine there
    #[arg(long, value_name = "DEVICE", value_parser = parse::device, help_heading = "Device")]
    device: Option<parse::DeviceChoice>,
    /// Where onnx-prune is on a device that ssh reaches [default: in its search path]
    #[arg(long, value_name = "PATH", help_heading = "Device")]
    agent: Option<String>,
    /// Copy this program, or the file, to a device that ssh reaches
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "", help_heading = "Device")]
    install_agent: Option<PathBuf>,
    /// What a time:CMD prints around its milliseconds: a regular expression with one group [default: a number or JSON]
    #[arg(long, value_name = "REGEX", help_heading = "Device")]
    time_pattern: Option<String>,
    /// Seconds that a time:CMD may take for one model
    #[arg(long, value_name = "SECONDS", default_value_t = LIMIT_S, value_parser = parse::seconds, help_heading = "Device")]
    time_limit: f64,
}

impl DeviceFlags {
    /// The engine of this machine, and the device, if there is one: flags of the engine are those of the device's, unless that
    /// is a command, which has none.
    pub(super) fn with(&self, engine: &EngineFlags) -> (EngineOptions, Option<DeviceOptions>) {
        let own = engine.options();
        let Some(parse::DeviceChoice::There(target)) = &self.device else { return (own, None) };
        let here = if matches!(target, Target::Time(_)) { own.clone() } else { EngineOptions::default() };
        let this = |path: &PathBuf| {
            if path.as_os_str().is_empty() { std::env::current_exe().unwrap_or_default() } else { path.clone() }
        };
        let device = DeviceOptions {
            agent: self.agent.clone(),
            install: self.install_agent.as_ref().map(this),
            engine: own,
            pattern: self.time_pattern.clone(),
            limit_s: self.time_limit,
            ..DeviceOptions::new(target.clone())
        };
        (here, Some(device))
    }
}
