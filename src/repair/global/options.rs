//! How to refine, and what came of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How long and on what to refine.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RefineOptions {
    /// Rounds at most; `None`: as many as the time holds. Steps shrink towards the last one, and after each held-out images
    /// decide.
    pub rounds: Option<usize>,
    /// Draws of images, and steps, in a round at most. Where rounds are counted, large models take fewer, by their
    /// multiply-accumulates and `seconds`, so that every machine takes the same steps until the time is up.
    pub draws: usize,
    /// Images of a draw; fewer where `memory` does not hold what is compared of them.
    pub images_per_draw: usize,
    /// Images of a draw at least: where memory holds fewer, nothing is refined, for steps would overfit the draw
    /// (with 13 images of MobileNetV2's 3.5 million weights no round helped).
    pub least_draw: usize,
    /// Bytes for values of the images. Where they do not hold all that derivatives of a draw need, passes are made again
    /// instead of held.
    pub memory: usize,
    /// Time after which no new step starts, in seconds.
    pub seconds: f64,
    /// Seed of draws, mirrors and shifts.
    pub seed: u64,
}

impl Default for RefineOptions {
    fn default() -> Self {
        Self {
            rounds: Some(6),
            draws: 25,
            images_per_draw: 64,
            least_draw: 16,
            memory: 1 << 29,
            seconds: 120.0,
            seed: 0,
        }
    }
}

/// Why refinement ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// There was nothing to adjust, or no room to.
    #[default]
    Nothing,
    /// All rounds were made.
    Rounds,
    /// The time was up.
    Time,
    /// Three rounds one after the other were undone: held-out images said that they harm.
    NoGain,
    /// The caller cancelled.
    Cancelled,
}

/// What refinement did.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Refined {
    /// Rounds that came nearer than all before them.
    pub kept: usize,
    /// Rounds that were made.
    pub rounds: usize,
    /// Images that steps were taken on, each time that it was drawn.
    #[serde(default)]
    pub drawn: usize,
    /// The objective on held-out images before the first round and after every round; a sum of squared errors relative to
    /// the variance of the dense model's values.
    pub errors: Vec<f64>,
    /// Numbers that were adjusted.
    pub parameters: usize,
    /// Nodes whose weights were adjusted.
    pub nodes: usize,
    /// Images that steps were fitted on, and images that decided whether steps are kept.
    pub images: [usize; 2],
    /// Values that were compared with the dense model's.
    pub compared: Vec<String>,
    /// Nodes that were left as they are, and why.
    pub left_out: Vec<(String, String)>,
    /// Why it ended.
    pub stopped_by: Stop,
}

impl Refined {
    /// The objective on held-out images before and after, if there was one.
    pub fn error(&self) -> Option<(f64, f64)> {
        Some((*self.errors.first()?, *self.errors.last()?))
    }
}
