//! Graph edits: walk, find, rename, insert, replace, remove, extract a part, fold constants,
//! inline functions and decided branches.
//!
//! Edits work on the main graph of a [`Model`](crate::model::Model) and keep it valid: names stay unique, readers
//! follow their values. Which channels can be cut is the business of [`channels`](crate::channels), cutting them that
//! of [`rewrite`](crate::rewrite).
//!
//! ```no_run
//! use std::path::Path;
//!
//! use onnx_prune::model::{LoadOptions, Model, SaveOptions};
//! use onnx_prune::proto::onnx::NodeProto;
//! use onnx_prune::surgery::{Graph, extract};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut model = Model::load(Path::new("model.onnx"), &LoadOptions::default())?;
//! let mut graph = Graph::of(&mut model);
//! // Walk: every HardSwish becomes a Relu.
//! for index in graph.walk() {
//!     let node = graph.node(index).clone();
//!     if node.op_type() == "HardSwish" {
//!         graph.replace(index, NodeProto { op_type: Some("Relu".into()), ..node })?;
//!     }
//! }
//! graph.rename("output", "logits")?;
//! graph.remove_unused();
//! model.save(Path::new("edited.onnx"), &SaveOptions::default())?;
//! // A model of its own for the part between two tensors.
//! extract(&model, &["features"], &["logits"])?.save(Path::new("head.onnx"), &SaveOptions::default())?;
//! # Ok(())
//! # }
//! ```

mod edit;
mod extract;
mod find;
mod fold;
mod inline;

pub(crate) use find::{Names, add_initializer, captured, references, topological_order};

pub use edit::{Graph, SurgeryError};
pub use extract::extract;
pub use fold::{Folded, fold_constants};
pub use inline::{inline_branches, inline_functions};
