//! What statistics are of, and which of them belong together.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::evaluate::{EvaluatedData, Shards, Tally};
use crate::score::Needs;

/// Version of the form of the file.
pub const STATISTICS_SCHEMA_VERSION: u32 = 1;

/// What has to be the same in all parts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GatherSettings {
    /// Calibration images of all shards.
    pub samples: usize,
    /// Of these, images whose inputs are kept for the repair.
    pub kept: usize,
    /// Images that the repair is judged on.
    pub judging: usize,
    /// Whether those would otherwise be calibration images.
    pub held_out: bool,
    /// Seed of every draw.
    pub seed: u64,
    /// What was measured.
    pub needs: Needs,
    /// Bytes that the moments of one part may take.
    pub memory: u64,
    /// Weights of classes, as they were given.
    pub class_weights: Vec<(String, f64)>,
    /// Outputs that each class stands for.
    pub classes: Vec<Vec<usize>>,
    /// Sizes of symbolic axes.
    pub sizes: BTreeMap<String, usize>,
    /// Nodes whose channels stay.
    pub ignore: Vec<String>,
    /// Samples of a run.
    pub batch: usize,
    /// Whether a run takes neither more nor fewer.
    pub fixed: bool,
    /// Axis of the columns of pictures, along which mirror images are made.
    pub columns: Option<usize>,
}

/// Description of statistics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatisticsHead {
    /// [`STATISTICS_SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Version of this crate.
    pub tool_version: String,
    /// What ran: engine, version and provider.
    pub engine: String,
    /// SHA-256 of the model's file in hexadecimal.
    pub model_sha256: String,
    /// The data set.
    pub data: EvaluatedData,
    /// How statistics were gathered.
    pub settings: GatherSettings,
    /// The part of the data set that they are of.
    pub shards: Shards,
    /// The dense model's answers.
    pub answers: Tally,
    /// Items that could not be read, and why.
    pub skipped: Vec<String>,
    /// What a person should know.
    pub notes: Vec<String>,
}

impl StatisticsHead {
    /// Adds the description of another part of the same whole.
    ///
    /// # Errors
    /// What differs, in words, or which shard is in both.
    pub fn merge(&mut self, other: &Self) -> Result<(), String> {
        if let Some(what) = self.differs(other) {
            return Err(format!("it is of another {what}"));
        }
        self.shards.merge(&other.shards)?;
        self.answers.merge(&other.answers);
        self.skipped.extend(other.skipped.iter().cloned());
        self.skipped.sort();
        for note in &other.notes {
            if !self.notes.contains(note) {
                self.notes.push(note.clone());
            }
        }
        self.notes.sort();
        Ok(())
    }

    fn differs(&self, other: &Self) -> Option<String> {
        let differing = [
            ("model", self.model_sha256 != other.model_sha256),
            ("version of onnx-prune", self.tool_version != other.tool_version),
            ("engine", self.engine != other.engine),
            ("number of shards", self.shards.count != other.shards.count),
        ];
        let found = differing.into_iter().find(|own| own.1).map(|own| own.0.to_owned());
        found.or_else(|| self.data.differs(&other.data).map(ToOwned::to_owned)).or_else(|| {
            let fields = |own: &GatherSettings| serde_json::to_value(own).ok();
            let (own, other) = (fields(&self.settings)?, fields(&other.settings)?);
            let differing = own.as_object()?.iter().find(|(name, value)| other.get(name.as_str()) != Some(value));
            differing.map(|(name, _)| match name.as_str() {
                "samples" | "judging" | "held_out" => "number of images (`--samples`)".to_owned(),
                "seed" => "`--seed`".to_owned(),
                "needs" => "`--criterion`".to_owned(),
                "memory" | "kept" => "`--memory`".to_owned(),
                "class_weights" => "`--class-weights`".to_owned(),
                "classes" => "division into classes (`--criterion`, or another engine's outputs)".to_owned(),
                "sizes" => "`--dim`".to_owned(),
                "ignore" => "`--ignore`".to_owned(),
                other => format!("setting of `{other}`"),
            })
        })
    }
}
