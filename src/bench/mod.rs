//! Timing: interleaved comparison of two models, and where the time goes.

pub mod latency;
pub mod profile;
