//! The steps of a run: each a function from the session and values to values, with what it tells.

mod accept;
mod calibrate;
mod class_report;
mod cut;
mod depth;
mod evaluate;
mod metric;
mod plan;
mod quantize;
mod repair;
mod save;
mod score;
mod time;

pub(super) use calibrate::{
    Calibration, Observation, calibrate, check_labels, kept_images, observe, open_data, open_source,
};
pub(super) use class_report::class_report;
pub(super) use cut::{CandidateError, CutModel, cut};
pub(super) use depth::{can_try_blocks, removals};
pub(super) use evaluate::{DenseAnswers, Evaluated, detections, evaluate, output_figures};
pub(super) use metric::metric;
pub(super) use plan::{Planned, Proposal, plan};
pub(super) use quantize::{QuantizedModel, Rough, quantize, wants_data};
pub(super) use repair::{Repaired, refine, refit};
pub(super) use save::save;
pub(super) use score::{Scored, criterion, score};
pub(super) use time::{TimedModels, time};
