//! Runs over data sets, proof that a cut did what it should (masked = sliced), and what it did to the outputs.

mod accuracy;
mod class_weights;
mod classes;
mod data;
mod equivalence;
mod error;
mod fidelity;
mod group_weights;
mod held_out;
mod inputs;
mod kept;
mod memory;
mod observation;
mod paired;
mod proof;
mod scoring;
mod sensitivity;
mod source;
mod watched;

pub use crate::model::{InputSpec, input_specs};
pub use accuracy::{Accuracy, ClassAccuracy, Predictions, wilson};
pub use class_weights::{weights_of_images, weights_of_outputs};
pub use classes::{Classes, class_scores};
pub use data::DataOptions;
pub use equivalence::{Agreement, compare, tolerance};
pub use error::EvaluateError;
pub use fidelity::Fidelity;
pub use held_out::{SetAside, set_aside};
pub use inputs::{random_feeds, random_inputs};
pub use memory::Shares;
pub use observation::{Observed, Wanted};
pub use paired::{CONFIDENCE, Paired};
pub use proof::{BrokenGroup, Proof, runnable};
pub use scoring::{ClassContext, Scorer};
pub use sensitivity::Sensitivity;
pub use source::{FirstOutputs, Pass, Source, outputs_on};
