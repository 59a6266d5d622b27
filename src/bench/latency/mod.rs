//! Interleaved timing of two models in one process.

mod comparison;
mod disturbed;
mod interval;
mod parts;
mod pinning;
mod throughput;
mod timing;

pub use comparison::Comparison;
pub use disturbed::disturbances;
pub use interval::{Interval, paired_interval, percentile};
pub use parts::{InParts, Measure, Part, Sides, compare_in_parts};
pub use pinning::pin;
pub use throughput::throughput;
pub use timing::{Clock, MonotonicClock, TimingOptions, WARM_MS, time_pair, time_sessions};
