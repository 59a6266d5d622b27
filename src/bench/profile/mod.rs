//! Where the time goes: the engine's node times joined to the layers of two models, with what each layer computes and
//! moves, and a word on layers that did not get faster.

mod join;
mod measure;
mod notes;
mod origin;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::engine::Convolutions;
pub use join::{Measured, join, layer_times};
pub use measure::{profile, profiled};

/// Time, work and traffic of a layer in one run of the model.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LayerCost {
    /// Milliseconds, with what the engine fused into it.
    pub ms: f64,
    /// Multiply-accumulates.
    pub macs: u64,
    /// Bytes of weights, input and output, each moved once.
    pub bytes: u64,
    /// Channels that it reads and makes.
    pub widths: Option<(usize, usize)>,
    /// Whether the engine ran it in its blocked layout, where it has one.
    pub blocked: Option<bool>,
}

impl LayerCost {
    /// Billions of multiply-accumulates a second.
    pub fn gmacs(&self) -> f64 {
        self.macs as f64 / (self.ms * 1e6).max(f64::MIN_POSITIVE)
    }

    /// Billions of bytes a second.
    pub fn gbytes(&self) -> f64 {
        self.bytes as f64 / (self.ms * 1e6).max(f64::MIN_POSITIVE)
    }
}

/// One layer of both models.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Layer {
    /// Name of the node that does the work, in the model's file; in parentheses what the engine added on its own.
    pub name: String,
    /// Its operator type.
    pub op: String,
    /// In the first model.
    pub before: Option<LayerCost>,
    /// In the second.
    pub after: Option<LayerCost>,
    /// Why the time did not fall as the work did, where it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Where the time of two models goes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Profile {
    /// Layers in the order of the first model.
    pub layers: Vec<Layer>,
    /// Convolutions of both models, where the engine has a blocked layout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub convolutions: Option<[Convolutions; 2]>,
}

impl Profile {
    /// Milliseconds of all layers of the first and of the second model.
    pub fn total_ms(&self) -> [f64; 2] {
        let sum = |cost: fn(&Layer) -> Option<LayerCost>| self.layers.iter().filter_map(cost).map(|own| own.ms).sum();
        [sum(|own| own.before), sum(|own| own.after)]
    }

    /// Layers with a note, the slowest first.
    pub fn noted(&self) -> Vec<&Layer> {
        let mut noted: Vec<&Layer> = self.layers.iter().filter(|own| own.note.is_some()).collect();
        let ms = |own: &Layer| own.after.map_or(0.0, |cost| cost.ms);
        noted.sort_by(|a, b| ms(b).total_cmp(&ms(a)));
        noted
    }
}
