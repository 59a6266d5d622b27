//! Interleaved timing of two models in one process.

mod disturbed;
mod interval;
mod pinning;
mod throughput;
mod timing;

pub use disturbed::disturbances;
pub use interval::{Interval, calm_interval, percentile, ratio_interval};
pub use pinning::pin;
pub use throughput::throughput;
pub use timing::{Clock, Comparison, MonotonicClock, TimingOptions, time_pair, time_sessions};
