//! Models in integers: form, places, truth of what the engine computes.
#![allow(
    missing_docs,
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::string_slice,
    reason = "a test binary"
)]

#[path = "../support/mod.rs"]
mod support;

mod bound;
mod command;
mod form;
mod half;
mod random_graphs;

use std::collections::BTreeMap;

use ndarray::ArrayD;
use onnx_prune::channels::{AnalyseOptions, analyse};
use onnx_prune::engine::{CompileOptions, Engine, EngineOptions, Feed, Machine, feed, open};
use onnx_prune::evaluate::{input_specs, random_inputs};
use onnx_prune::model::Model;
use onnx_prune::quantize::{Histograms, Kernels, QuantizeError, QuantizeForm, Quantizer, RangeMethod, Written};

fn engine() -> Box<dyn Engine> {
    open(&EngineOptions { threads: Some(1), ..EngineOptions::default() }).unwrap().engine
}

/// Whether the engine computes on integers and shows what it makes of a model; else a part of the test is skipped.
fn fuses(engine: &dyn Engine, test: &str) -> bool {
    let fuses = engine.info().name == "onnxruntime";
    if !fuses {
        support::skip(test, support::Need::OnnxRuntime, "the embedded engine computes in real numbers");
    }
    fuses
}

fn outputs(engine: &dyn Engine, model: &Model, feed: &Feed, options: &CompileOptions) -> Vec<ArrayD<f32>> {
    let found = engine.compile(model, options).unwrap().run(&feed::pairs(feed)).unwrap();
    found.iter().map(|own| own.to_f32().into_owned()).collect()
}

fn inputs(model: &Model, seed: u64) -> Feed {
    random_inputs(&input_specs(model), &BTreeMap::new(), 1, seed)
}

fn quantizer(model: &Model) -> Result<Quantizer, QuantizeError> {
    let channels = analyse(model, &AnalyseOptions::default());
    Quantizer::new(model.clone(), &|name| channels.shape(name).map(<[usize]>::len))
}

fn kernels() -> Kernels {
    let machine = Machine::here();
    Kernels { x86: machine.is_x86(), sums_bytes: machine.sums_bytes() }
}

fn form() -> QuantizeForm {
    QuantizeForm::of(kernels(), None)
}

/// A model in integers, with ranges of what it computes on a few inputs.
fn written(engine: &dyn Engine, model: &Model, form: &QuantizeForm) -> Result<Written, QuantizeError> {
    let quantizer = quantizer(model)?;
    let mut histograms = Histograms::new(quantizer.values());
    let options = CompileOptions { outputs: histograms.names().to_vec(), ..CompileOptions::default() };
    for seed in 0..4 {
        histograms.add(&outputs(engine, quantizer.model(), &inputs(model, seed), &options));
    }
    quantizer.write(&histograms.ranges(RangeMethod::MinMax), form)
}
