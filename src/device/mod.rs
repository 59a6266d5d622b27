//! Devices: models timed where they will run.
//!
//! A device is reached by a process whose standard input and output lead to `onnx-prune agent` there ([`serve`]), or is a
//! command of the user's own that times a file. Both are a [`Device`] to everything that times.

mod agent;
mod alone;
mod command;
mod install;
mod kept;
mod life;
mod link;
mod message;
mod packed;
mod remote;
mod target;
mod wire;

use std::sync::atomic::AtomicBool;

pub use agent::{AgentOptions, serve};
#[cfg(feature = "cli")]
pub(crate) use alone::end;
pub use alone::run_agent;
pub use target::{DeviceOptions, LIMIT_S, Target};

use crate::bench::BenchError;
use crate::bench::latency::{Device, Here, Loaded};
use crate::engine::{Engine, EngineError, Feed, Opened, open};
use crate::model::Model;

/// This program as one device of several.
struct Local(Here);

impl Device for Local {
    fn engine(&self) -> &dyn Engine {
        self.0.engine()
    }

    fn load<'a>(&'a self, models: [&Model; 2], feed: &Feed) -> Result<Box<dyn Loaded + 'a>, BenchError> {
        self.0.load(models, feed)
    }

    fn name(&self) -> Option<&str> {
        Some("local")
    }
}

/// A device that is ready, and what its engine said.
pub struct Connected<'a> {
    /// The device.
    pub device: Box<dyn Device + 'a>,
    /// Fall-backs there and why they were needed.
    pub notes: Vec<String>,
}

/// Reaches a device. What waits for it ends on `cancel`.
///
/// # Errors
/// If it cannot be reached, has no agent of this version, or no engine that was asked for.
pub fn connect<'a>(options: &DeviceOptions, cancel: &'a AtomicBool) -> Result<Connected<'a>, EngineError> {
    if let Target::Time(command) = &options.target {
        let device = Box::new(command::Timed::new(command, options, cancel)?);
        return Ok(Connected { device, notes: Vec::new() });
    }
    if options.target == Target::Local {
        let Opened { engine, notes } = open(&options.engine)?;
        return Ok(Connected { device: Box::new(Local(Here(engine.into()))), notes });
    }
    match remote::Remote::open(&install::installed(options)?, cancel)? {
        Some((remote, notes)) => Ok(Connected { device: Box::new(remote), notes }),
        None => Err(EngineError::Device {
            what: format!("`{}` cannot be reached", options.target),
            why: "it has no agent".into(),
            help: "give `ssh://`, `exec:` or `time:`".into(),
        }),
    }
}
