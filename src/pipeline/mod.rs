//! The whole road: load, analyse, calibrate, score, plan, rewrite, compensate, verify, save, time, report.

mod apply;
mod check;
mod class_weights;
mod classes;
mod compensating;
mod dense;
mod explain;
mod measure;
mod memory;
mod options;
mod profiling;
mod progress;
mod prune;
mod risk;
mod rollback;
mod run;
mod score;
mod scoring;
mod search;
mod sensitivity;
mod study;
#[cfg(test)]
mod tests;
mod timing;
mod writing;

pub use apply::{ApplyOptions, BenchOptions, Benched, VerifyOptions, apply, bench, inspect, verify};
pub use check::{Bounds, CheckOptions, Timing, check};
pub use options::{Criteria, DataOptions, Effort, ModelOptions, PlanFile, PruneOptions, RoundTo};
pub use progress::{Progress, Silent};
pub use prune::prune;
pub use score::score;
pub use search::{Goals, LatencyTarget, sweep};
pub use study::{Candidate, StudyRow, study};
