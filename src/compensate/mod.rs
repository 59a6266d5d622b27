//! Repair without training: the consumers of what was cut are refitted by least squares (`compensation.md` section 7).
//!
//! Bias correction (7.2) and channel-level least squares (7.3) from moments of the dense model's activations, gathered
//! in the calibration pass. A consumer that cannot be refitted keeps its weights, and the report says so.

mod geometry;
mod moments;
mod refit;

pub use moments::{Moments, Products, TapMoments};
pub use refit::{Method, Refit, refit};

use serde::{Deserialize, Serialize};

/// How the consumers are repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compensation {
    /// Not at all.
    None,
    /// Biases only (7.2).
    Bias,
    /// Channel-level least squares with bias correction (7.3), bias where that is not possible.
    #[default]
    Auto,
}
