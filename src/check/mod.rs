//! A gate for continuous integration: two models, bounds on what may change between them, and a verdict for each bound.
//!
//! A bound on time fails only if the interval of what was measured lies beyond it and the excess is larger than the noise
//! that the same model shows against itself on the spot. What is neither met nor exceeded for certain is inconclusive.

mod baseline;
mod bounds;
mod checked;
mod confirm;
mod error;
mod formats;
mod gate;
#[cfg(test)]
mod simulated;

pub use crate::engine::Machine;
pub use baseline::{Regression, comparable, latency_regression, noise_share, read_baseline, size_regressions};
pub use bounds::Bounds;
pub use checked::{CHECK_SCHEMA_VERSION, Checked, Counted};
pub use confirm::confirmed;
pub use error::CheckError;
pub use formats::{
    Bencher, CheckFormat, CheckHtml, CheckJson, CheckMarkdown, CheckTerminal, CheckTimes, CodeQuality,
    GithubAnnotations, Junit, OpenMetrics,
};
pub use gate::{Gate, Outcome, Quantity, timed};
