//! Graph edits, judged by the engine.
#![allow(
    missing_docs,
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test binary"
)]

mod edits;
mod examples;
mod extraction;
mod folding;
mod inlining;
mod patterns;
mod random;
#[path = "../support/mod.rs"]
mod support;

use onnx_prune::engine::{CompileOptions, Engine, EngineChoice, EngineError, EngineOptions, Tensor, open};
use onnx_prune::evaluate::{compare, input_specs, random_inputs};
use onnx_prune::model::{DataType, Model, TensorData, TensorType};
use onnx_prune::surgery::Graph;

fn engine() -> Box<dyn Engine> {
    open(&EngineOptions { engine: EngineChoice::Tract, ..EngineOptions::default() }).unwrap().engine
}

fn agree(a: &Model, b: &Model) {
    let feed = random_inputs(&input_specs(a), &Default::default(), 1, 7);
    compare(engine().as_ref(), a, b, &[feed]).unwrap();
}

/// The outputs of a model for one input.
fn run(model: &Model, name: &str, value: &Tensor) -> Vec<Tensor> {
    engine().compile(model, &CompileOptions::default()).unwrap().run(&[(name, value)]).unwrap()
}

/// Runs a model without inputs; what it computes keeps its type.
fn evaluate(model: &Model, outputs: &[String]) -> Result<Vec<TensorData>, EngineError> {
    let mut session = engine().compile(model, &CompileOptions { outputs: outputs.to_vec(), ..Default::default() })?;
    Ok(session.run(&[])?.iter().map(TensorData::from).collect())
}

fn floats(dims: &[usize]) -> TensorType {
    TensorType::new(DataType::Float).shaped(dims.iter().map(|&size| size.into()))
}

/// A model with an input `x` of two floats; `build` gives the names of the outputs.
fn model(build: impl FnOnce(&mut Graph) -> Vec<&'static str>) -> Model {
    let mut model = Model::new(17);
    let mut graph = Graph::of(&mut model).unwrap();
    graph.add_input("x", &floats(&[2])).unwrap();
    let outputs = build(&mut graph);
    graph.set_outputs(&outputs).unwrap();
    for output in outputs {
        graph.set_info(output, &floats(&[2])).unwrap();
    }
    graph.finish();
    model
}

/// Operators in the model's order.
fn operators(model: &Model) -> Vec<&str> {
    model.graph().node.iter().map(|node| node.op_type()).collect()
}
