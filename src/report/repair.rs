//! What was done to repair a model.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::repair::Refit;
use crate::repair::global::Refined;

/// Compensation and refinement of a pruned model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Repair {
    /// Consumers, and layers behind a cut.
    #[serde(flatten)]
    pub refit: Refit,
    /// All layers at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refined: Option<Refined>,
}
