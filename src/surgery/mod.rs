//! Graph edits: look up, insert, replace, remove, rename, find patterns, extract a part, fold constants, inline functions
//! and decided branches.
//!
//! A [`Graph`] opens the main graph of a [`Model`](crate::model::Model). Makers and readers of a value are found in
//! constant time. Every edit leaves a valid graph, nodes in topological order included, or returns a [`SurgeryError`] and
//! changes nothing. Which channels can be cut is the business of [`channels`](crate::channels), cutting them that of
//! [`rewrite`](crate::rewrite).
//!
//! ```no_run
//! use std::path::Path;
//!
//! use onnx_prune::model::{LoadOptions, Model, SaveOptions, TensorData};
//! use onnx_prune::surgery::{Graph, Node, extract};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut model = Model::load(Path::new("model.onnx"), &LoadOptions::default())?;
//! let mut graph = Graph::of(&mut model)?;
//! // Walk: every HardSwish becomes a Relu, every Identity goes.
//! for id in graph.walk() {
//!     match graph.node(id).map(Node::op_type) {
//!         Some("HardSwish") => graph.update(id, |node| node.op_type = Some("Relu".into()))?,
//!         Some("Identity") => drop(graph.bypass(id)?),
//!         _ => {}
//!     }
//! }
//! // Behind a value, its double.
//! graph.add_initializer("two", &TensorData::from_vec(vec![], &[2.0f32])?)?;
//! graph.insert_after("features", Node::new("Mul").input("features").input("two").output("doubled"))?;
//! graph.rename("output", "logits")?;
//! graph.remove_unused();
//! graph.finish();
//! model.save(Path::new("edited.onnx"), &SaveOptions::default())?;
//! // A model of its own for the part between two values.
//! extract(&model, &["features"], &["logits"])?.save(Path::new("head.onnx"), &SaveOptions::default())?;
//! # Ok(())
//! # }
//! ```
//!
//! Longer examples are in the folder `examples/` of the repository.

mod edit;
mod error;
mod extract;
mod find;
mod fold;
mod graph;
mod held;
mod index;
mod inline;
mod order;
mod pattern;
mod rules;
mod store;
#[cfg(test)]
mod tests;
mod types;
mod upgrade;
mod uses;
mod values;

pub(crate) use find::{Names, add_initializer, captured, references, topological_order};
pub(crate) use fold::{computes_weights, fold_weights};
pub(crate) use uses::{Uses, variable};

pub use crate::proto::onnx::NodeProto as Node;
pub use error::SurgeryError;
pub use extract::extract;
pub use fold::{Folded, fold_constants};
pub use graph::{Begun, Graph};
pub use index::{NodeId, Reader};
pub use inline::{inline_branches, inline_functions};
pub use pattern::{Match, Pattern};
pub use upgrade::upgrade;
