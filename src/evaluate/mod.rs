//! Runs over data sets, proof that a cut did what it should (masked = sliced), and what it did to the outputs.

mod accuracy;
mod class_weights;
mod classes;
mod compared;
mod data;
mod depth;
mod detections;
mod equivalence;
mod error;
mod evaluation;
mod fidelity;
mod gathered;
mod group_weights;
mod held_out;
mod inputs;
mod integer_proof;
mod kept;
mod memory;
mod metric;
mod observation;
mod output_error;
mod output_figures;
mod paired;
mod proof;
mod roll;
mod scoring;
mod sensitivity;
mod shapes;
mod source;
mod tally;
mod trials;
mod watched;

pub use crate::model::{InputSpec, input_specs};
pub use accuracy::{Accuracy, ClassAccuracy, Predictions, wilson};
pub use class_weights::{LabelWeights, weights_of_outputs};
pub use classes::{Classes, RELATING, class_scores};
pub use compared::compared_values;
pub use data::{DataOptions, Parted};
pub use depth::{BlockTrials, TrialLimits};
pub use detections::{BoxForm, DenseDetections, DetectionFigures, NamedOutputs};
pub use equivalence::{Agreement, compare, tolerance};
pub use error::EvaluateError;
pub use evaluation::{EVALUATION_SCHEMA_VERSION, EvaluatedData, EvaluatedModel, Evaluation, Shards};
pub use fidelity::Fidelity;
pub use gathered::{
    GatherSettings, Gathered, KeptImages, STATISTICS_SCHEMA_VERSION, StatisticsFile, StatisticsHead, merge_statistics,
    write_statistics,
};
pub use held_out::{SetAside, set_aside};
pub use inputs::{random_feeds, random_inputs};
pub use integer_proof::{IntegerProof, prove_integers};
pub use kept::KeptImage;
pub use memory::Shares;
pub use metric::{Measured, Metric, MetricChange, MetricFunction};
pub use observation::{MOST_SAMPLED, Observed, Wanted};
pub use output_error::{OutputError, OutputErrors, Reference};
pub use output_figures::OutputFigures;
pub use paired::{CONFIDENCE, Paired};
pub use proof::{BrokenGroup, Proof, runnable};
pub use roll::{Chosen, Entry, Roll};
pub use scoring::{ClassContext, Scorer};
pub use sensitivity::Sensitivity;
pub use shapes::{Analysed, analyse_with};
pub use source::{Answers, Pass, Source, outputs_on};
pub use tally::{ClassCount, Tally};
pub use trials::TrialEffort;
