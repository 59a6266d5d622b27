//! Everything a run found out: the one source of all report formats.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Classwise, Searched};
use super::{Quantized, Repair};
use crate::bench::latency::{Comparison, LatencyChange, TimedOn};
use crate::bench::profile::Profile;
use crate::channels::{Block, Channels, Cut, Group, GroupId, Protected, Scope};
use crate::engine::EngineInfo;
use crate::evaluate::{
    Accuracy, Agreement, ClassAccuracy, DetectionFigures, EvaluateError, MetricChange, OutputFigures, Predictions,
    weights_of_outputs,
};
use crate::explain::path_text;
use crate::plan::{Allocation, Plan, PlannedGroup, Rounding};
use crate::score::GroupScores;

/// Version of the form of [`Summary`]. Grows when a field changes its meaning or goes; new fields may appear.
pub const REPORT_SCHEMA_VERSION: u32 = 1;

/// A number before and after pruning.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// Of the dense model.
    pub before: u64,
    /// Of the pruned model.
    pub after: u64,
}

impl Change {
    /// What remains, as a share.
    pub fn ratio(&self) -> f64 {
        if self.before == 0 { 1.0 } else { self.after as f64 / self.before as f64 }
    }
}

/// Time of one run on one of several devices.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DeviceLatency {
    /// The device.
    pub device: TimedOn,
    /// Both models there.
    pub latency_ms: LatencyChange,
}

/// A model file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileInfo {
    /// Path as given.
    #[serde(serialize_with = "path_text")]
    #[schemars(with = "PathBuf")]
    pub path: PathBuf,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
}

/// Top-1 on labelled images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AccuracyChange {
    /// Of the dense model, in percent.
    pub before: f64,
    /// Of the pruned model, in percent.
    pub after: f64,
    /// Images classified.
    pub images: usize,
    /// The dense model with its 95 % interval.
    pub before_interval: Accuracy,
    /// The pruned model with its 95 % interval.
    pub after_interval: Accuracy,
    /// Whether the images were also used for calibration.
    pub seen_in_calibration: bool,
    /// Class by class, in the order of the outputs.
    #[serde(default)]
    pub classes: Vec<ClassChange>,
}

impl AccuracyChange {
    /// Two models on the same images; `None` without labels. `weights`: what the user gave to classes, by name.
    ///
    /// # Errors
    /// If a class is weighted that there is not.
    pub fn between(
        before: &Predictions,
        after: &Predictions,
        names: &[String],
        weights: &[(String, f64)],
    ) -> Result<Option<Self>, EvaluateError> {
        let classes = ClassChange::all(before, after, names, weights)?;
        let Some((before, after)) = before.accuracy().zip(after.accuracy()) else { return Ok(None) };
        Ok(Some(Self {
            before: before.percent,
            after: after.percent,
            images: before.images,
            before_interval: before,
            after_interval: after,
            seen_in_calibration: false,
            classes,
        }))
    }

    /// The class with the smallest recall after pruning, where classes have at least ten images.
    pub fn worst(&self) -> Option<&ClassChange> {
        let told = self.classes.iter().filter(|own| own.before.images >= 10);
        told.min_by(|a, b| a.after.recall.total_cmp(&b.after.recall))
    }
}

/// One class before and after.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClassChange {
    /// Output of the class.
    pub output: usize,
    /// Its name, or the number of its output.
    pub name: String,
    /// Weight that the user gave it, if any were given.
    pub weight: Option<f64>,
    /// Of the dense model.
    pub before: ClassAccuracy,
    /// Of the pruned model.
    pub after: ClassAccuracy,
}

impl ClassChange {
    fn all(
        before: &Predictions,
        after: &Predictions,
        names: &[String],
        weights: &[(String, f64)],
    ) -> Result<Vec<Self>, EvaluateError> {
        let (before, after) = (before.by_class(), after.by_class());
        let weights = weights_of_outputs(weights, before.keys().copied(), names)?;
        let name = |output: usize| match names.get(output) {
            Some(name) if !name.is_empty() => name.clone(),
            _ => output.to_string(),
        };
        let changes = before.into_iter().zip(weights).filter_map(|((output, before), weight)| {
            Some(Self { output, name: name(output), weight, before, after: *after.get(&output)? })
        });
        Ok(changes.collect())
    }
}

/// One group of coupled channels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GroupChange {
    /// Name of the first node that makes the channels.
    pub name: String,
    /// Inner or residual stream.
    pub scope: Scope,
    /// Pruning units (units that are cut together) before.
    pub width_before: usize,
    /// Pruning units after.
    pub width_after: usize,
    /// Number of weights that make, carry and read the channels.
    pub members: usize,
    /// What the scores are and how they came about.
    #[serde(default)]
    pub scores: String,
}

impl GroupChange {
    /// The groups of a plan; nothing is left of those that are `gone` with a block.
    pub fn all(groups: &[Group], plan: &Plan, scores: &[GroupScores], gone: &[GroupId]) -> Vec<Self> {
        let change = |(at, ((group, planned), own)): (usize, ((&Group, &PlannedGroup), &GroupScores))| Self {
            name: group.name.clone(),
            scope: group.scope,
            width_before: group.width(),
            width_after: if gone.contains(&at) { 0 } else { planned.kept.len() },
            members: group.producers.len() + group.parameters.len() + group.consumers.len(),
            scores: own.explanation.clone(),
        };
        groups.iter().zip(&plan.groups).zip(scores).enumerate().map(change).collect()
    }
}

/// A block that could be left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BlockChange {
    /// Name of the node behind it.
    pub name: String,
    /// Whether it was left out.
    pub gone: bool,
    /// Multiply-accumulates of the dense model's block.
    pub macs: u64,
    /// Stored parameters that only it reads.
    pub params: u64,
}

impl BlockChange {
    /// All blocks, if any goes.
    pub fn all(channels: &Channels, cut: &Cut) -> Vec<Self> {
        let gone: Vec<usize> = cut.blocks().collect();
        let change = |(at, block): (usize, &Block)| Self {
            name: block.name.clone(),
            gone: gone.contains(&at),
            macs: block.macs,
            params: block.params,
        };
        channels.blocks.iter().enumerate().filter(|_| !gone.is_empty()).map(change).collect()
    }
}

/// What was calibrated on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Calibrated {
    /// Folder or file.
    #[serde(serialize_with = "path_text")]
    #[schemars(with = "PathBuf")]
    pub path: PathBuf,
    /// Kind of source.
    pub source: String,
    /// Images used.
    pub images: usize,
    /// Distinct labels.
    pub classes: usize,
    /// Images that could not be read.
    pub skipped: Vec<String>,
    /// Preprocessing in words.
    pub preprocessing: String,
}

/// Masked = sliced.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Verified {
    /// Error and tolerance.
    #[serde(flatten)]
    pub agreement: Agreement,
    /// Runs compared.
    pub runs: usize,
}

/// A pruning run.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// [`REPORT_SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Version of this crate.
    pub tool_version: String,
    /// The dense model.
    pub model: FileInfo,
    /// The pruned model.
    pub output: FileInfo,
    /// What ran.
    pub engine: EngineInfo,
    /// Where models were timed, if that was another machine than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<TimedOn>,
    /// Times on the devices beside that one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_devices: Vec<DeviceLatency>,
    /// Multiply-accumulates of one run.
    pub macs: Change,
    /// Stored parameters.
    pub params: Change,
    /// Bytes of the files.
    pub bytes: Change,
    /// Time of one run, if it was measured.
    pub latency_ms: Option<LatencyChange>,
    /// Milliseconds until the engine gave its first result of each model: session, engine build, first run.
    #[serde(default)]
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
    /// Top-1, if there were labelled images.
    pub accuracy: Option<AccuracyChange>,
    /// Share of images on which the pruned model answers as the dense one.
    pub agreement: Option<f64>,
    /// Share of images on which the dense model answers the same when they are moved by one pixel (the consistency of Zhang, arXiv
    /// 1904.11486): how firm its answers are, to hold the agreement against. Of pictures alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shift_consistency: Option<f64>,
    /// What becomes of the dense model's detections, if it has boxes and scores, on inputs that nothing was fitted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detections: Option<DetectionFigures>,
    /// A metric of the user's own, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<MetricChange>,
    /// Every output beside the dense model's, on inputs that nothing was fitted on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<OutputFigures>,
    /// Name of the criterion.
    pub criterion: String,
    /// The budget in words.
    pub budget: String,
    /// What was tried to find the budget of the plan, where it follows from bounds that take measuring.
    #[serde(default)]
    pub searched: Option<Searched>,
    /// How the widths were shared out.
    #[serde(default)]
    pub allocation: Allocation,
    /// Channel block: preferred step and finest step of a width.
    pub rounding: Rounding,
    /// Groups in the order of the graph.
    pub groups: Vec<GroupChange>,
    /// All blocks that could be left out, in the order of the graph, where some were.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocks: Vec<BlockChange>,
    /// How the classes are related and what the cuts take from each, for the class-wise criteria.
    #[serde(default)]
    pub classwise: Option<Classwise>,
    /// Channels that were not cut, with reasons.
    pub protected: Vec<ProtectedChannels>,
    /// What was calibrated on.
    pub calibration: Option<Calibrated>,
    /// Masked = sliced.
    pub verification: Option<Verified>,
    /// What was done to the consumers of cut channels.
    pub compensation: Repair,
    /// How it was written in integers, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantized: Option<Quantized>,
    /// What a person should know before anything else: what could not be done, and why.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// What a person should know.
    pub notes: Vec<String>,
    /// Seed of every random choice.
    pub seed: u64,
    /// The command line that was given, if one was.
    #[serde(default)]
    pub command: Vec<String>,
    /// Seconds per phase.
    pub timings_s: BTreeMap<String, f64>,
    /// Largest resident size of the process in bytes, if the system tells.
    pub peak_memory_bytes: Option<u64>,
}

/// Channels that stay whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProtectedChannels {
    /// Node that makes them.
    pub node: String,
    /// Its operator type.
    pub op: String,
    /// How many of its channels.
    pub channels: usize,
    /// Out of.
    pub of: usize,
    /// Why, in words.
    pub reasons: Vec<String>,
}

impl From<&Protected> for ProtectedChannels {
    fn from(found: &Protected) -> Self {
        Self {
            node: found.node.clone(),
            op: found.op.clone(),
            channels: found.channels,
            of: found.of,
            reasons: found.reasons.iter().map(ToString::to_string).collect(),
        }
    }
}
