//! The commands: options in, results out.

mod apply;
mod bench;
mod calibrate;
mod check;
mod evaluate;
mod finish;
mod inspect;
mod jobs;
mod prune;
mod quantize;
mod score;
mod study;
mod sweep;

pub use apply::{ApplyOptions, VerifyOptions, apply, kept_tensors, verify};
pub use bench::{BenchOptions, Benched, bench};
pub use calibrate::{calibrate, merge_parts};
pub use check::{CheckOptions, check};
pub use evaluate::{EvaluateOptions, evaluate, merge};
pub use inspect::{inspect, inspect_timed};
pub use jobs::{JOBS_SCHEMA_VERSION, Job, Jobs, SweepOptions, finished};
pub use prune::prune;
#[cfg(test)]
pub(super) use prune::prune_watched;
pub use quantize::quantize;
pub use score::score;
pub use study::{StudyBase, StudyEntry, StudyRow, study};
pub use sweep::sweep;
