//! What was done to write a model in integers.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AccuracyChange, Calibrated, Change, FileInfo};
use crate::bench::latency::{LatencyChange, TimedOn};
use crate::engine::{EngineInfo, IntegerOperators};
use crate::evaluate::{DetectionFigures, IntegerProof, OutputFigures};
use crate::quantize::{Activations, Precision, Readied};

/// A model in integers or in half precision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Quantized {
    /// Which of both.
    pub precision: Precision,
    /// Integers of activations.
    pub activations: Option<Activations>,
    /// Bits of weights: 16, 8, or 7 where a processor would add two products in 16 bits.
    pub weight_bits: u8,
    /// Nodes with products on integers or in half precision.
    pub products: usize,
    /// Nodes with products that stay as they were.
    pub float: Vec<FloatProduct>,
    /// Values that are rounded.
    pub values: usize,
    /// How the ranges of values were chosen, of integers.
    pub ranges: Option<String>,
    /// What was measured on the way, in order.
    pub steps: Vec<QuantizeStep>,
    /// Operators as the engine runs them, where it shows that.
    pub operators: Option<IntegerOperators>,
    /// Whether the engine computes what the file says, operator by operator.
    pub proof: IntegerProof,
    /// What was done to make the graph ready.
    pub readied: Readied,
}

/// A node with a product that stays as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FloatProduct {
    /// Name of the node.
    pub name: String,
    /// Why.
    pub why: String,
}

/// Error of the outputs with one way of writing the model, on inputs that nothing was fitted on: mean over the outputs of the squared
/// error relative to the variance of those of the model in real numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct QuantizeStep {
    /// What was tried.
    pub what: String,
    /// The error.
    pub error: f64,
    /// Whether it was kept.
    pub kept: bool,
}

/// Version of the form of [`QuantizeSummary`].
pub const QUANTIZE_SCHEMA_VERSION: u32 = 1;

/// Everything that `onnx-prune quantize` found out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct QuantizeSummary {
    /// [`QUANTIZE_SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Version of the tool.
    pub tool_version: String,
    /// The model in real numbers.
    pub model: FileInfo,
    /// The model in integers.
    pub output: FileInfo,
    /// What ran.
    pub engine: EngineInfo,
    /// Where models were timed, if that was another machine than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<TimedOn>,
    /// Sizes of the files.
    pub bytes: Change,
    /// Times of a run, if they were measured.
    pub latency_ms: Option<LatencyChange>,
    /// Top-1, if there are labels.
    pub accuracy: Option<AccuracyChange>,
    /// Share of images with the same answer as in real numbers.
    pub agreement: Option<f64>,
    /// Share of images on which the dense model answers the same when they are moved by one pixel (the consistency of Zhang, arXiv
    /// 1904.11486): how firm its answers are, to hold the agreement against. Of pictures alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shift_consistency: Option<f64>,
    /// How near the outputs are to those in real numbers.
    #[serde(default)]
    pub outputs: Vec<OutputFigures>,
    /// What became of detections, if the model makes some.
    #[serde(default)]
    pub detections: Option<DetectionFigures>,
    /// How the integers were chosen.
    pub quantized: Quantized,
    /// Calibration images.
    pub calibration: Calibrated,
    /// What to know first.
    pub warnings: Vec<String>,
    /// What to know.
    pub notes: Vec<String>,
    /// Seed of random choices.
    pub seed: u64,
    /// The command line.
    pub command: Vec<String>,
    /// Seconds by phase.
    pub timings_s: BTreeMap<String, f64>,
    /// Most memory the run took, if the system tells.
    pub peak_memory_bytes: Option<u64>,
}
