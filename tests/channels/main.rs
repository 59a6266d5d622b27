//! Channel analysis and the cuts that follow from it, judged by the engine.
#![allow(
    missing_docs,
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test binary"
)]

mod blocks;
mod kept;
mod operators;
mod random_graphs;
mod shapes;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;

use onnx_prune::channels::{Channels, Cut};
use onnx_prune::engine::feed::pairs;
use onnx_prune::engine::{CompileOptions, Engine, EngineChoice, EngineOptions, Feed, open};
use onnx_prune::evaluate::{compare, input_specs, random_inputs};
use onnx_prune::model::Model;
use onnx_prune::rewrite::{mask, slice};

fn embedded() -> Box<dyn Engine> {
    open(&EngineOptions { engine: EngineChoice::Tract, ..EngineOptions::default() }).unwrap().engine
}

/// ONNX Runtime where it is found, since it knows every operator; else the embedded engine.
fn engine() -> Box<dyn Engine> {
    support::onnx_runtime().unwrap_or_else(|_| embedded())
}

/// What an engine refused of `all` random graphs: nothing if it is ONNX Runtime, else they are skipped.
fn refused_graphs(test: &str, engine: &dyn Engine, refused: u32, all: u32) {
    if engine.info().name == "onnxruntime" {
        assert_eq!(refused, 0, "ONNX Runtime refuses some of the graphs");
    } else if refused > 0 {
        let why = format!("the embedded engine refuses {refused} of {all} graphs");
        support::skip(test, support::Need::OnnxRuntime, &why);
    }
}

/// Shapes of the outputs, or why there are none.
fn shapes(engine: &dyn Engine, model: &Model, feed: &Feed) -> Result<Vec<Vec<usize>>, String> {
    let explain = |error| onnx_prune::Error::from(error).render();
    let mut session = engine.compile(model, &CompileOptions::default()).map_err(explain)?;
    let outputs = session.run(&pairs(feed)).map_err(explain)?;
    Ok(outputs.iter().map(|output| output.shape().to_vec()).collect())
}

/// Whether the model still runs and computes what its masked form computes, in the original's output shapes.
fn survives(engine: &dyn Engine, model: &Model, channels: &Channels, cut: &Cut, seed: u64) -> Result<(), String> {
    let sliced = slice(model, channels, cut).map_err(|error| error.to_string())?;
    let masked = mask(model, channels, cut).map_err(|error| error.to_string())?;
    let feed = random_inputs(&input_specs(model), &BTreeMap::new(), 1, seed);
    if shapes(engine, &sliced, &feed)? != shapes(engine, model, &feed)? {
        return Err("the interface changed".into());
    }
    compare(engine, &masked, &sliced, &[feed]).map(|_| ()).map_err(|error| onnx_prune::Error::from(error).render())
}
