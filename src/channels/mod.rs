//! Channel analysis: which channels must be cut together, which may not be cut, and why.
//!
//! The analysis runs the graph once, not on numbers but on identities (see [`analyse`]): every index of every
//! prunable axis is a lane, operators move and unite lanes, and what ends up in one class is cut together. Nothing
//! here knows about architectures; an operator is one small rule in `ops/`, and an operator without a rule
//! protects what reaches it.

mod analysis;
mod cost;
mod coupled;
mod cut;
mod flow;
mod groups;
pub(crate) mod identity;
pub(crate) mod lanes;
mod numbers;
pub(crate) mod ops;
pub(crate) mod run;

pub(crate) use analysis::small_values;
pub use analysis::{AnalyseOptions, Channels, analyse, decided_conditions};
pub use cost::{CostModel, Measure};
pub use coupled::Coupled;
pub use cut::Cut;
pub use groups::{Group, GroupId, Protected, Scope, Slices, Tap};
pub use lanes::{Reason, Role};
pub use run::Opaque;
