//! The whole run: load, analyse, calibrate, score, plan, cut, repair, evaluate, time, save, report.
//!
//! A `session::Session` is made once and then only read. The steps are functions from it and values to values; what a
//! step tells comes back with its result (`record::Told`), and the commands merge it in order.

mod commands;
mod options;
mod progress;
mod reading;
mod record;
mod search;
mod session;
mod sizes;
mod steps;
#[cfg(test)]
mod tests;
mod writing;

pub use crate::bench::latency::Timing;
pub use crate::check::Bounds;
pub use crate::evaluate::{DataOptions, Metric, MetricFunction, NamedOutputs};
pub use crate::plan::{Deployed, Goals, LatencyTarget, RoundTo};
pub use commands::{
    ApplyOptions, BenchOptions, Benched, CheckOptions, EvaluateOptions, JOBS_SCHEMA_VERSION, Job, Jobs, StudyBase,
    StudyEntry, StudyRow, SweepOptions, VerifyOptions, apply, bench, calibrate, check, evaluate, finished, inspect,
    inspect_timed, kept_tensors, merge, merge_parts, prune, quantize, score, study, sweep, verify,
};
pub use options::{Criteria, Depth, Effort, ModelOptions, PlanFile, PruneOptions, QuantizeOptions};
pub use progress::{Progress, Silent};
pub use reading::analyse_model;
