//! Interleaved timing of two models in one process.

mod interval;
mod timing;

pub use interval::{Interval, calm_interval, percentile, ratio_interval};
pub use timing::{Clock, Comparison, MonotonicClock, TimingOptions, time_pair, time_sessions};
