//! Channel analysis: which channels must be cut together, which may not be cut, and why.
//!
//! The analysis runs the graph once, not on numbers but on channel indices (see [`analyse`]): every index of every
//! prunable axis is a channel index, operators move and unite channel indices, and what ends up in one class is cut together. Nothing
//! here knows about architectures; an operator is one small rule in `ops/`, and an operator without a rule
//! protects what reaches it.
//!
//! Find the groups, cut channels of your own choice, and see who stands in the way:
//!
//! ```no_run
//! use std::path::Path;
//!
//! use onnx_prune::channels::{AnalyseOptions, Cut, analyse};
//! use onnx_prune::model::{LoadOptions, Model, SaveOptions};
//! use onnx_prune::rewrite::{slice, tidy};
//!
//! # fn main() -> Result<(), onnx_prune::Error> {
//! let model = Model::load(Path::new("model.onnx"), &LoadOptions::default())?;
//! let channels = analyse(&model, &AnalyseOptions::default());
//! for group in &channels.groups {
//!     println!("{}: {} channels, {} readers", group.name, group.width(), group.consumers.len());
//! }
//! for protected in &channels.protected {
//!     println!("{} stays: {}", protected.node, protected.reasons[0]);
//! }
//! // One filter of one node, with everything that goes with it...
//! if let Some(filter) = channels.coupled(4, 17).filter(|filter| filter.reasons.is_empty()) {
//!     let smaller = slice(&model, &channels, &filter.cut)?;
//!     smaller.save(Path::new("one_less.onnx"), &SaveOptions::default())?;
//! }
//! // ... or a choice for every group: here the even channels of the first, all of the others.
//! let kept: Vec<Vec<usize>> = channels
//!     .groups
//!     .iter()
//!     .enumerate()
//!     .map(|(number, group)| (0..group.width()).step_by(if number == 0 { 2 } else { 1 }).collect())
//!     .collect();
//! let smaller = slice(&model, &channels, &Cut::new(&channels, &kept))?;
//! // A block: what a sum adds to its shortcut, a layer, a branch of a Concat. `tidy` takes out the Identity that it leaves.
//! if !channels.blocks.is_empty() {
//!     let cut = Cut::block(&channels, 0);
//!     tidy(slice(&model, &channels, &cut)?, &channels, &cut)?.save(Path::new("shallower.onnx"), &SaveOptions::default())?;
//! }
//! println!("{} of {} MACs", analyse(&smaller, &AnalyseOptions::default()).macs(None), channels.macs(None));
//! # Ok(())
//! # }
//! ```

mod analysis;
mod blocks;
mod context;
mod cost;
mod coupled;
mod cut;
mod factor;
mod groups;
pub(crate) mod ids;
pub(crate) mod indices;
mod kept;
pub(crate) mod numbers;
pub(crate) mod ops;
pub(crate) mod propagation;
mod repeated;
mod sizes;

pub(crate) use analysis::small_values;
pub use analysis::{AnalyseOptions, Channels, analyse, decided_conditions};
pub use blocks::{Block, BlockKind};
pub use cost::{CostModel, Measure};
pub use coupled::Coupled;
pub use cut::Cut;
pub use groups::{ConsumerInput, Group, GroupId, Protected, Scope, Slices};
pub use indices::{Reason, Role};
pub use kept::KeptTensor;
pub use propagation::Opaque;
