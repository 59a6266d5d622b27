//! Everything a check found out: the one source of all its formats.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Gate, Machine, Outcome};
use crate::bench::latency::{Comparison, Interval};
use crate::bench::profile::Profile;
use crate::engine::EngineInfo;
use crate::evaluate::{DetectionFigures, MetricChange};
use crate::report::{AccuracyChange, Change, Figures, FileInfo, LatencyChange};

/// Version of the form of [`Checked`].
pub const CHECK_SCHEMA_VERSION: u32 = 1;

/// A check of a new model against a base.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Checked {
    /// [`CHECK_SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Version of this crate.
    pub tool_version: String,
    /// The verdict over all bounds.
    pub outcome: Outcome,
    /// One per bound, in the order of the flags.
    pub gates: Vec<Gate>,
    /// The model that is compared with.
    pub base: FileInfo,
    /// The model that is checked.
    pub new: FileInfo,
    /// Where it was measured.
    pub machine: Machine,
    /// Its name, if it is not the machine of the program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// What ran.
    pub engine: EngineInfo,
    /// Multiply-accumulates of one run.
    pub macs: Change,
    /// Stored parameters.
    pub params: Change,
    /// Bytes of the files.
    pub bytes: Change,
    /// Blocks that can be left out whole, where the models differ in their number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocks: Option<Change>,
    /// Time of one run, if it was measured.
    pub latency_ms: Option<LatencyChange>,
    /// The base against itself, in two sessions: what differs there is noise.
    pub noise: Option<Interval>,
    /// Milliseconds until the engine gave its first result of each model.
    pub prepare_ms: Option<[f64; 2]>,
    /// Bytes of memory that the session of each model holds, where that can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_bytes: Option<[u64; 2]>,
    /// Single times, if they were measured here: not in the JSON.
    #[serde(skip)]
    pub samples: Option<Comparison>,
    /// Where the time goes, if it was measured and the engine can tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Profile>,
    /// Top-1 on labelled images, if there were any.
    pub accuracy: Option<AccuracyChange>,
    /// Share of images on which both models answer alike.
    pub agreement: Option<f64>,
    /// What becomes of the base's detections, if there were images and it has boxes and scores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detections: Option<DetectionFigures>,
    /// A metric of the user's own, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<MetricChange>,
    /// What disturbed the measurement, and what could not be judged.
    pub warnings: Vec<String>,
    /// Seconds of the whole check.
    pub seconds: f64,
    /// The command line that was given.
    #[serde(default)]
    pub command: Vec<String>,
}

/// A model, counted.
#[derive(Debug, Clone, PartialEq)]
pub struct Counted {
    /// Its file.
    pub file: FileInfo,
    /// Multiply-accumulates of one run.
    pub macs: u64,
    /// Stored parameters.
    pub params: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// Blocks that can be left out whole.
    pub blocks: usize,
}

impl Checked {
    /// A report with what needs no run.
    pub fn new([base, new]: [Counted; 2], engine: EngineInfo, machine: Machine) -> Self {
        Self {
            schema_version: CHECK_SCHEMA_VERSION,
            tool_version: env!("CARGO_PKG_VERSION").into(),
            outcome: Outcome::Passed,
            gates: Vec::new(),
            base: base.file,
            new: new.file,
            machine,
            device: None,
            engine,
            macs: Change { before: base.macs, after: new.macs },
            params: Change { before: base.params, after: new.params },
            bytes: Change { before: base.bytes, after: new.bytes },
            blocks: (base.blocks != new.blocks)
                .then_some(Change { before: base.blocks as u64, after: new.blocks as u64 }),
            latency_ms: None,
            noise: None,
            prepare_ms: None,
            session_bytes: None,
            samples: None,
            profile: None,
            accuracy: None,
            agreement: None,
            detections: None,
            metric: None,
            warnings: Vec::new(),
            seconds: 0.0,
            command: Vec::new(),
        }
    }

    /// The verdict over some bounds: the worst. What is inconclusive fails if `strict`.
    pub fn verdict(gates: &[Gate], strict: bool) -> Outcome {
        let worst = |a: Outcome, b: Outcome| match (a, b) {
            (Outcome::Failed, _) | (_, Outcome::Failed) => Outcome::Failed,
            (Outcome::Inconclusive, _) | (_, Outcome::Inconclusive) => Outcome::Inconclusive,
            _ => Outcome::Passed,
        };
        match gates.iter().map(|gate| gate.outcome).fold(Outcome::Passed, worst) {
            Outcome::Inconclusive if strict => Outcome::Failed,
            outcome => outcome,
        }
    }

    pub(crate) fn figures(&self) -> Figures<'_> {
        Figures {
            latency: self.latency_ms.as_ref(),
            macs: Some(self.macs),
            params: Some(self.params),
            bytes: self.bytes,
            blocks: self.blocks,
            accuracy: self.accuracy.as_ref(),
            agreement: self.agreement,
            shift_consistency: None,
            detections: self.detections.as_ref(),
            metric: self.metric.as_ref(),
        }
    }

    /// Bounds that are exceeded.
    pub fn failed(&self) -> impl Iterator<Item = &Gate> {
        self.gates.iter().filter(|gate| gate.outcome == Outcome::Failed)
    }
}
