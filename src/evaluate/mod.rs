//! Proof that a cut did what it should: masked = sliced, and what it did to the outputs.

mod accuracy;
mod equivalence;
mod fidelity;
mod inputs;
mod paired;

pub use accuracy::{Accuracy, ClassAccuracy, Predictions, wilson};
pub use equivalence::{Agreement, VerifyError, compare, tolerance};
pub use fidelity::Fidelity;
pub use inputs::{InputSpec, input_specs, random_inputs};
pub use paired::{CONFIDENCE, Paired};
