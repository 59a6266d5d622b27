//! Timing: interleaved comparison of two models, and where the time goes.

mod error;
pub mod latency;
pub mod profile;

pub use error::BenchError;
