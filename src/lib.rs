//! Structured pruning of ONNX models without training.
//!
//! The road, one room after the other; a room uses only rooms before it:
//! `proto, model, surgery, channels, engine, calibration, statistics, score, plan, rewrite, compensate, verify,
//! latency, report, pipeline, cli`.

pub mod calibration;
pub mod channels;
#[cfg(feature = "cli")]
pub mod cli;
pub mod compensate;
pub mod engine;
mod error;
pub mod latency;
pub mod model;
pub mod pipeline;
pub mod plan;
pub mod proto;
pub mod report;
pub mod rewrite;
pub mod score;
pub mod statistics;
pub mod surgery;
pub mod verify;

pub use error::{Error, ErrorKind, Explain};
