//! Repair without training: the consumers of what was cut are refitted by least squares (`docs/method.md` section 9).
//!
//! Bias correction (`docs/method.md` 9.2), least squares over whole windows (`docs/method.md` 9.4) or over channels
//! (`docs/method.md` 9.3) where windows are too large, from moments of the dense model's activations, gathered in the
//! calibration pass. A consumer that cannot be refitted keeps its weights, and the report says so.

mod changes;
mod draws;
mod error;
pub mod global;
mod local;
mod moments;
mod passing;
mod sequential;

pub use changes::{ChangedLayer, between, changed_layers, with_layers};
pub use error::RepairError;
pub use local::{Method, Refit, refit};
pub use moments::{MomentOptions, Moments, Products, SeenImage, StoredSums};
pub use passing::passed_on;
pub(crate) use sequential::{ActivationCache, BatchRange};
pub use sequential::{Around, LayerFit, Reconstructed, Reconstruction};

use serde::{Deserialize, Serialize};

/// How the consumers are repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compensation {
    /// Not at all.
    None,
    /// Biases only (`docs/method.md` 9.2).
    Bias,
    /// Every consumer of a cut alone, from the dense model's activations: least squares over windows (`docs/method.md`
    /// 9.4), over channels (`docs/method.md` 9.3) where those are too large, biases where neither works.
    Local,
    /// As `Local` first; then layer after layer on the pruned model's own activations ([`Reconstruction`],
    /// `docs/method.md` 9.5 to 9.7).
    #[default]
    Sequential,
}
