//! Where models are timed: here, or on the machine that they will run on.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::comparison::Comparison;
use super::prepared::{Prepared, prepared};
use super::timing::{TimingOptions, time_sessions};
use crate::bench::BenchError;
use crate::engine::{Engine, EngineInfo, Feed, Machine, Session, feed};
use crate::model::Model;

/// A machine and an engine on it that times models.
pub trait Device: Send + Sync {
    /// The engine there: what it is, how it optimises a model, what its nodes take.
    fn engine(&self) -> &dyn Engine;

    /// Loads two models, in this order, and runs each once.
    ///
    /// # Errors
    /// If a model does not run there, or the device is lost.
    fn load<'a>(&'a self, models: [&Model; 2], feed: &Feed) -> Result<Box<dyn Loaded + 'a>, BenchError>;

    /// Its name, where it is not this program.
    fn name(&self) -> Option<&str> {
        None
    }

    /// Bytes that were sent to it.
    fn sent_bytes(&self) -> u64 {
        0
    }
}

/// A device in reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TimedOn {
    /// As it was named: `ssh://host`, or a command.
    pub device: String,
    /// The engine there.
    pub engine: EngineInfo,
    /// What it runs on.
    pub machine: Machine,
    /// Bytes that were sent to it.
    pub sent_bytes: u64,
}

impl TimedOn {
    /// A device, unless it is this program.
    pub fn new(device: &dyn Device) -> Option<Self> {
        let engine = device.engine();
        Some(Self {
            device: device.name()?.to_owned(),
            engine: engine.info().clone(),
            machine: engine.machine(),
            sent_bytes: device.sent_bytes(),
        })
    }

    /// For people, in one line.
    pub fn describe(&self) -> String {
        if !self.engine.runs_models() {
            return self.device.clone();
        }
        format!("{}: {}; {}", self.device, self.engine.describe(), self.machine.describe())
    }
}

/// Two models, ready to run in turn.
pub trait Loaded {
    /// What both took until their first results.
    fn prepared(&self) -> Prepared;

    /// Times both in the order A B B A; the times, and the milliseconds that it took.
    ///
    /// # Errors
    /// If a model does not run, or the device is lost.
    fn time(&mut self, options: &TimingOptions, cancel: &AtomicBool) -> Result<(Comparison, f64), BenchError>;
}

/// This machine.
pub struct Here(pub Arc<dyn Engine>);

impl Device for Here {
    fn engine(&self) -> &dyn Engine {
        self.0.as_ref()
    }

    fn load<'a>(&'a self, models: [&Model; 2], feed: &Feed) -> Result<Box<dyn Loaded + 'a>, BenchError> {
        Ok(Box::new(LoadedHere::new(self.engine(), models, feed)?))
    }
}

/// Sessions of this program.
pub struct LoadedHere {
    sessions: [Box<dyn Session>; 2],
    prepared: Prepared,
    feed: Feed,
}

impl LoadedHere {
    /// Loads two models, in this order, and runs each once.
    ///
    /// # Errors
    /// If the engine does not run a model.
    pub fn new(engine: &dyn Engine, [first, last]: [&Model; 2], feed: &Feed) -> Result<Self, BenchError> {
        let (first, first_ms, first_bytes) = prepared(engine, first, feed)?;
        let (last, last_ms, last_bytes) = prepared(engine, last, feed)?;
        let memory_bytes = first_bytes.zip(last_bytes).map(|(first, last)| [first, last]);
        let prepared = Prepared { ms: [first_ms, last_ms], memory_bytes };
        Ok(Self { sessions: [first, last], prepared, feed: feed.clone() })
    }
}

impl Loaded for LoadedHere {
    fn prepared(&self) -> Prepared {
        self.prepared
    }

    fn time(&mut self, options: &TimingOptions, cancel: &AtomicBool) -> Result<(Comparison, f64), BenchError> {
        let begin = Instant::now();
        let [first, last] = &mut self.sessions;
        let found = time_sessions(first.as_mut(), last.as_mut(), &feed::pairs(&self.feed), options, cancel)?;
        Ok((found, 1e3 * begin.elapsed().as_secs_f64()))
    }
}
