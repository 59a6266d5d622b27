//! What an ONNX operator is, in one place: windows, linear maps, scale and shift, scalar functions, where constants are
//! stored, and which family an operator belongs to.
//!
//! The analysis, the repair, the derivatives and the reports ask here; none of them reads a window's attributes, a stored
//! weight or an activation's parameters on its own. [`OPERATORS`] says of every operator what is supported;
//! `onnx-prune operators` prints it.

pub(crate) mod constant;
pub(crate) mod linear;
pub(crate) mod macs;
pub(crate) mod normalization;
pub(crate) mod quantised;
pub(crate) mod real;
pub(crate) mod scalar;
mod table;
pub(crate) mod vector;
pub(crate) mod window;

pub use table::{Family, Int8, OPERATORS, Operator, Refit, markdown, operator};
