//! Structured pruning of ONNX models without training.
//!
//! Takes a trained ONNX file, finds which channels must be cut together, chooses by class-wise information measured on
//! calibration images, removes them physically, repairs what reads them by least squares, proves that the result
//! computes what the masked original computes, and reports accuracy and latency before and after.
//!
//! The command line does it in one go; here are the steps as a library:
//!
//! ```no_run
//! use std::path::Path;
//!
//! use onnx_prune::channels::{AnalyseOptions, Cut, analyse};
//! use onnx_prune::engine::{EngineOptions, open};
//! use onnx_prune::model::{LoadOptions, Model, SaveOptions};
//! use onnx_prune::rewrite::{mask, slice};
//! use onnx_prune::evaluate::{compare, input_specs, random_inputs};
//!
//! # fn main() -> Result<(), onnx_prune::Error> {
//! let model = Model::load(Path::new("model.onnx"), &LoadOptions::default())?;
//! let channels = analyse(&model, &AnalyseOptions::default());
//! // Keep the first half of every group; scores and plans choose better.
//! let kept: Vec<Vec<usize>> =
//!     channels.groups.iter().map(|group| (0..group.width().div_ceil(2)).collect()).collect();
//! let cut = Cut::new(&channels, &kept);
//! let (sliced, masked) = (slice(&model, &channels, &cut)?, mask(&model, &channels, &cut)?);
//! let engine = open(&EngineOptions::default())?.engine;
//! let feed = random_inputs(&input_specs(&model), &Default::default(), 1, 0);
//! compare(engine.as_ref(), &masked, &sliced, &[feed])?;
//! println!("MACs {} -> {}", channels.macs(None), channels.macs(Some(&cut)));
//! sliced.save(Path::new("smaller.onnx"), &SaveOptions::default())?;
//! # Ok(())
//! # }
//! ```
//!
//! [`pipeline::prune`] runs all of it with calibration, scores and reports.
//!
//! A module uses only modules before it: [`proto`], [`model`], [`surgery`], [`channels`], [`engine`], [`calibration`],
//! [`statistics`], [`score`], [`plan`], [`rewrite`], [`quantize`], [`repair`], [`repair::global`], [`evaluate`], [`bench::latency`],
//! [`device`], [`report`],
//! [`pipeline`], `cli`.

pub mod bench;
pub mod calibration;
pub mod channels;
pub mod check;
#[cfg(feature = "cli")]
pub mod cli;
pub mod device;
pub mod engine;
mod error;
pub mod evaluate;
mod explain;
pub mod model;
mod number;
pub mod ops;
pub mod pipeline;
pub mod plan;
pub mod proto;
pub mod quantize;
pub mod repair;
pub mod report;
pub mod rewrite;
pub mod score;
mod shell;
pub mod statistics;
pub mod surgery;

pub use error::{Error, ErrorKind, ErrorParts};
pub use explain::Explain;
