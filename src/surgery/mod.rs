//! Graph edits: find, rename, insert, replace, remove, fold constants.
//!
//! Edits work on the main graph of a [`Model`](crate::model::Model) and keep it valid: names stay unique, readers follow their values.

mod edit;
mod find;
mod fold;

pub(crate) use find::{Names, add_initializer, captured, references, topological_order};

pub use edit::{Graph, SurgeryError};
pub use fold::{Folded, fold_constants};
