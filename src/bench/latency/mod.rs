//! Interleaved timing of two models in one process.

mod change;
mod comparison;
mod device;
mod disturbed;
mod interval;
mod models;
mod parts;
mod pinning;
mod prepared;
mod throughput;
mod timing;

pub use change::LatencyChange;
pub use comparison::Comparison;
pub use device::{Device, Here, Loaded, LoadedHere, TimedOn};
pub use disturbed::disturbances;
pub use interval::{Interval, paired_interval, percentile};
pub use models::{Pairing, Timed};
pub use parts::{InParts, Measure, Part, Sides, compare_in_parts};
pub use pinning::pin;
pub use prepared::Prepared;
pub use throughput::throughput;
pub use timing::{Clock, MonotonicClock, Timing, TimingOptions, WARM_MS, take_turns, time_pair, time_sessions};
