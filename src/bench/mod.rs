//! Timing: interleaved comparison of two models, and where the time goes.

mod binding;
mod blocks;
mod error;
pub mod latency;
pub mod profile;
mod staircase;

pub use binding::{TimedCut, binding};
pub use blocks::block_times;
pub use error::BenchError;
pub use staircase::{integer_staircase, staircase};
