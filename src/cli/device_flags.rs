//! Where models are timed.

use std::path::{Path, PathBuf};

use clap::Args;

use super::engine_flags::EngineFlags;
use super::parse;
use crate::device::{DeviceOptions, LIMIT_S, Target};
use crate::engine::EngineOptions;
use crate::error::Error;

/// `--install-agent` without a file.
const THIS: &str = "this program";

#[derive(Debug, Args)]
pub(super) struct DeviceFlags {
    /// Time models on this device: local, ssh://[user@]host[:port], exec:CMD (a command whose standard input and output reach
    /// `onnx-prune agent`) or time:CMD (a command that times the file {model} and prints milliseconds). The flags of the
    /// engine are then those of the engine there. Pruning takes several: a model is then fast enough on all
    #[arg(long, value_name = "DEVICE", value_parser = str::parse::<Target>, help_heading = "Device")]
    device: Vec<Target>,
    /// Where onnx-prune is on a device that ssh reaches [default: in its search path]
    #[arg(long, value_name = "PATH", help_heading = "Device")]
    agent: Option<String>,
    /// Copy this program, or the file, to a device that ssh reaches
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = THIS, help_heading = "Device")]
    install_agent: Option<PathBuf>,
    /// What a time:CMD prints around its milliseconds: a regular expression with one group [default: a number or JSON]
    #[arg(long, value_name = "REGEX", help_heading = "Device")]
    time_pattern: Option<String>,
    /// Seconds that a time:CMD may take for one model
    #[arg(long, value_name = "SECONDS", default_value_t = LIMIT_S, value_parser = parse::seconds, help_heading = "Device")]
    time_limit: f64,
}

impl DeviceFlags {
    /// The engine of this machine, and the device, if there is one.
    ///
    /// # Errors
    /// If there are several.
    pub(super) fn one(&self, engine: &EngineFlags) -> Result<(EngineOptions, Option<DeviceOptions>), Error> {
        let (here, mut devices) = self.all(engine, &[])?;
        if devices.len() > 1 {
            return Err(Error::Usage {
                what: format!("`--device` names {} devices", devices.len()),
                help: "give one; pruning alone takes several".into(),
            });
        }
        Ok((here, devices.pop()))
    }

    /// The engine of this machine, and the devices with the times that are asked for on each. Flags of the engine are those of
    /// the devices', unless these are commands, which have none.
    ///
    /// # Errors
    /// If a time is that of a device that is not among them.
    pub(super) fn all(
        &self,
        engine: &EngineFlags,
        latencies: &[parse::DeviceLatency],
    ) -> Result<(EngineOptions, Vec<DeviceOptions>), Error> {
        let own = engine.options();
        if let Some(stray) =
            latencies.iter().filter_map(|own| own.device.as_ref()).find(|own| !self.device.contains(own))
        {
            return Err(Error::Usage {
                what: format!("`--target-latency` is for `{stray}`, which is no device of this run"),
                help: format!("add `--device {stray}`"),
            });
        }
        if self.device.iter().all(|target| *target == Target::Local) {
            return Ok((own, Vec::new()));
        }
        let commands = self.device.iter().all(|target| matches!(target, Target::Time(_)));
        let here = if commands { own.clone() } else { EngineOptions::default() };
        let install = self.install_agent.as_deref().map(program).transpose()?;
        let device = |target: &Target| DeviceOptions {
            agent: self.agent.clone(),
            install: install.clone().filter(|_| matches!(target, Target::Ssh { .. })),
            engine: own.clone(),
            latency: latencies.iter().find(|own| own.device.as_ref() == Some(target)).map(|own| own.latency),
            pattern: self.time_pattern.clone(),
            limit_s: self.time_limit,
            ..DeviceOptions::new(target.clone())
        };
        Ok((here, self.device.iter().map(device).collect()))
    }
}

/// The file that is copied to a device; this program where none is named.
///
/// # Errors
/// If this program runs within another.
fn program(path: &Path) -> Result<PathBuf, Error> {
    if path.as_os_str() != THIS {
        return Ok(path.to_owned());
    }
    let own = |path: &PathBuf| path.file_stem().is_some_and(|name| name.to_string_lossy().starts_with("onnx-prune"));
    std::env::current_exe().ok().filter(own).ok_or_else(|| Error::Usage {
        what: "`--install-agent` does not know which file this program is".into(),
        help: "give the file: `--install-agent FILE`".into(),
    })
}
