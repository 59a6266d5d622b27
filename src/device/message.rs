//! What program and agent say to each other: one reply to every request.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::kept::Kept;
use crate::bench::latency::{Comparison, Prepared, TimingOptions};
use crate::engine::{EngineError, EngineInfo, EngineOptions, Machine, NodeTime};

/// What an agent is asked for. Numbers of models, inputs and sessions are the program's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Request {
    /// I am here: no reply.
    Beat,
    /// Open this engine.
    Open { engine: EngineOptions },
    /// A model: the payload is its graph of `graph` bytes, then the numbers that are sent.
    Model { number: u32, graph: usize, tensors: Vec<Stored> },
    /// Forget a model.
    Forget { number: u32 },
    /// Inputs: the payload is a `TensorProto` of every input, of these lengths.
    Inputs { number: u32, lengths: Vec<usize> },
    /// Load two models, in this order, and run each once.
    Load { models: [u32; 2], inputs: u32 },
    /// Time the two in turn.
    Time { options: TimingOptions },
    /// How long the nodes take.
    Profile { model: u32, inputs: u32, runs: usize },
    /// The engine's optimised graph.
    Optimised { model: u32 },
    /// A session.
    Compile { session: u32, model: u32, outputs: Vec<String>, shapes: BTreeMap<String, Vec<usize>>, plain: bool },
    /// Run it.
    Run { session: u32, inputs: u32 },
    /// End it.
    Close { session: u32 },
}

/// An initializer of a model's graph, by its place, and where its numbers come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Stored {
    pub(super) place: usize,
    pub(super) numbers: Numbers,
}

/// Where the numbers of a tensor come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Numbers {
    /// The next so many bytes of the payload.
    Sent { bytes: usize },
    /// Those of an initializer of a model that is held, at some indices.
    Kept { model: u32, place: usize, kept: Kept },
}

/// What an agent answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reply {
    /// I am here: no answer to anything.
    Beat,
    /// It is done.
    Done,
    /// The engine there cannot do it.
    Nothing,
    /// The engine that is open, and what it runs on.
    Opened { engine: EngineInfo, machine: Machine, notes: Vec<String> },
    /// What each model took until its first result.
    Loaded { prepared: Prepared },
    /// Times, and milliseconds that it took.
    Timed { found: Comparison, elapsed_ms: f64 },
    /// Times of the nodes.
    Profiled { nodes: Vec<NodeTime> },
    /// A graph as payload, without numbers.
    Graph,
    /// Names of outputs.
    Compiled { outputs: Vec<String> },
    /// Values as payload: a `TensorProto` of each, of these lengths.
    Values { lengths: Vec<usize> },
    /// It cannot be done.
    Failed { failure: Failure },
}

/// Why something cannot be done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Failure {
    Unavailable {
        engine: String,
        why: String,
        help: String,
    },
    Compile {
        engine: String,
        why: String,
    },
    Run {
        engine: String,
        why: String,
    },
    /// The request does not suit what was said before, or is too large.
    Request {
        why: String,
    },
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Unavailable { engine, why, help } => Self::Unavailable { engine, why, help },
            EngineError::Compile { engine, why } => Self::Compile { engine, why },
            EngineError::Run { engine, why } => Self::Run { engine, why },
            EngineError::Device { why, .. } => Self::Request { why },
            EngineError::Interrupted => Self::Request { why: "it was interrupted".into() },
        }
    }
}

impl Failure {
    /// The error of a device of this name.
    pub(super) fn on(self, device: &str) -> EngineError {
        let named = |engine: String| format!("{engine} on `{device}`");
        match self {
            Self::Unavailable { engine, why, help } => EngineError::Unavailable { engine: named(engine), why, help },
            Self::Compile { engine, why } => EngineError::Compile { engine: named(engine), why },
            Self::Run { engine, why } => EngineError::Run { engine: named(engine), why },
            Self::Request { why } => EngineError::Device {
                what: format!("the agent on `{device}` refuses a request"),
                why,
                help: "use the same version of onnx-prune there".into(),
            },
        }
    }
}
