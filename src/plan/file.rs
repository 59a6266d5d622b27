//! `plan.json`: what is kept, as data.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Allocation, Budget, PlanError, Rounding};
use crate::channels::{Block, Channels, Cut, Group, Scope};

/// Version of the file's form where no block goes; such files are as before there were blocks.
pub const PLAN_SCHEMA_VERSION: u32 = 1;

/// Version of the file's form where blocks go.
pub const BLOCKS_SCHEMA_VERSION: u32 = 2;

/// Which channels of which group are kept, and how that was decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    /// [`PLAN_SCHEMA_VERSION`], or [`BLOCKS_SCHEMA_VERSION`] where blocks go.
    pub schema_version: u32,
    /// Version of this crate.
    pub tool_version: String,
    /// SHA-256 of the model file that the plan is for.
    pub model_sha256: String,
    /// Name of the criterion.
    pub criterion: String,
    /// What bounded the plan.
    pub budget: Budget,
    /// How the widths were shared out.
    #[serde(default)]
    pub allocation: Allocation,
    /// Channel block.
    pub rounding: Rounding,
    /// Seed of every random choice.
    pub seed: u64,
    /// Node names or patterns that were ignored.
    pub ignore: Vec<String>,
    /// One entry per group of the analysis, in its order.
    pub groups: Vec<PlannedGroup>,
    /// Blocks that go whole, in the order of the graph.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocks: Vec<PlannedBlock>,
}

/// A block that a plan leaves out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedBlock {
    /// Name of the node behind it.
    pub name: String,
    /// Name of that node's output.
    pub output: String,
    /// Name of the value that is passed on without the block; of a branch the value that is joined no more.
    pub shortcut: String,
}

/// One group of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedGroup {
    /// Name of the first node that makes the channels.
    pub name: String,
    /// Inner or residual stream.
    pub scope: Scope,
    /// Pruning units before the cut.
    pub width: usize,
    /// Indices of the pruning units that stay, ascending.
    pub kept: Vec<usize>,
}

impl PlannedGroup {
    /// An entry for `group`.
    pub fn new(group: &Group, kept: Vec<usize>) -> Self {
        Self { name: group.name.clone(), scope: group.scope, width: group.width(), kept }
    }
}

impl PlannedBlock {
    /// An entry for `block`.
    pub fn new(block: &Block) -> Self {
        Self { name: block.name.clone(), output: block.output.clone(), shortcut: block.shortcut.clone() }
    }
}

/// Channels of a group that a wider plan keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wider {
    /// Place of the group.
    pub group: usize,
    /// Pruning units that stay.
    pub kept: Vec<usize>,
}

impl Plan {
    /// Whether two plans leave the same.
    pub fn same_cut(&self, other: &Self) -> bool {
        self.groups == other.groups && self.blocks == other.blocks
    }

    /// For every group that is cut the channels of the next wider form that some other plan has, else all of them; the
    /// groups that gain fewest come first.
    pub fn wider(&self, others: &[&Self]) -> Vec<Wider> {
        let mut found: Vec<Wider> = Vec::new();
        for (group, own) in self.groups.iter().enumerate().filter(|(_, own)| own.kept.len() < own.width) {
            let others = others.iter().map(|other| &other.groups[group].kept);
            let next = others.filter(|kept| kept.len() > own.kept.len()).min_by_key(|kept| kept.len());
            found.push(Wider { group, kept: next.cloned().unwrap_or_else(|| (0..own.width).collect()) });
        }
        found.sort_by_key(|own| own.kept.len() - self.groups[own.group].kept.len());
        found
    }

    /// The channel indices and blocks that go.
    ///
    /// # Errors
    /// If groups or blocks are not those of the analysis.
    pub fn cut(&self, channels: &Channels) -> Result<Cut, PlanError> {
        let mismatch = |why: String| Err(PlanError::Mismatch { why });
        if self.groups.len() != channels.groups.len() {
            return mismatch(format!("{} groups planned, {} found", self.groups.len(), channels.groups.len()));
        }
        for (planned, group) in self.groups.iter().zip(&channels.groups) {
            if planned.name != group.name || planned.width != group.width() {
                return mismatch(format!("group `{}` of width {} is not there", planned.name, planned.width));
            }
            let valid = planned.kept.windows(2).all(|pair| pair[0] < pair[1])
                && planned.kept.last().is_some_and(|&last| last < planned.width);
            if !valid {
                return mismatch(format!("the kept indices of group `{}` are out of order or range", planned.name));
            }
        }
        let kept: Vec<Vec<usize>> = self.groups.iter().map(|group| group.kept.clone()).collect();
        let mut blocks = Vec::new();
        for own in &self.blocks {
            let Some(place) = channels.blocks.iter().position(|block| PlannedBlock::new(block) == *own) else {
                return mismatch(format!("block `{}` is not there", own.name));
            };
            blocks.push(place);
        }
        Ok(Cut::new(channels, &kept).with_blocks(channels, &blocks))
    }

    /// Reads a plan.
    ///
    /// # Errors
    /// If the file cannot be read, is not a plan, or is of an unknown version.
    pub fn load(path: &Path) -> Result<Self, PlanError> {
        let fail = |why: String| PlanError::File { path: path.display().to_string(), why };
        let text = std::fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
        let plan: Self = serde_json::from_str(&text).map_err(|error| fail(format!("not a plan: {error}")))?;
        if !(PLAN_SCHEMA_VERSION..=BLOCKS_SCHEMA_VERSION).contains(&plan.schema_version) {
            let known = format!("{PLAN_SCHEMA_VERSION} or {BLOCKS_SCHEMA_VERSION}");
            return Err(fail(format!("schema version {} is not {known}", plan.schema_version)));
        }
        Ok(plan)
    }

    /// The plan as JSON, ending in a newline.
    ///
    /// # Errors
    /// If a number cannot be written.
    pub fn to_json(&self) -> Result<String, PlanError> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| PlanError::File { path: "plan".into(), why: error.to_string() })?;
        Ok(text + "\n")
    }
}
