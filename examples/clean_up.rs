//! Cleans a model up: `Identity` and `Dropout` go, what depends on constants alone is stored, outputs get new names.
//!
//! `cargo run --example clean_up [MODEL OUT [NAME..]]`; without a model it builds a small one.
#![allow(clippy::print_stdout, reason = "an example")]

use std::error::Error;
use std::path::Path;

use onnx_prune::engine::{CompileOptions, Engine, EngineError, EngineOptions, open};
use onnx_prune::model::{DataType, LoadOptions, Model, SaveOptions, TensorData, TensorType};
use onnx_prune::surgery::{Graph, Node, fold_constants};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut model = match arguments.first() {
        Some(path) => Model::load(Path::new(path), &LoadOptions::default())?,
        None => small_model()?,
    };
    let before = model.graph().node.len();
    let names: Vec<&str> = arguments.iter().skip(2).map(String::as_str).collect();
    clean_up(&mut model, open(&EngineOptions::default())?.engine.as_ref(), &names)?;
    println!("{before} nodes before, {} after", model.graph().node.len());
    if let Some(out) = arguments.get(1) {
        model.save(Path::new(out), &SaveOptions::default())?;
    }
    Ok(())
}

/// Cleans up; the first outputs get the names that are given.
pub(crate) fn clean_up(model: &mut Model, engine: &dyn Engine, names: &[&str]) -> Result<(), Box<dyn Error>> {
    let mut graph = Graph::of(model)?;
    for id in graph.walk() {
        if graph.node(id).is_some_and(|node| matches!(node.op_type(), "Identity" | "Dropout"))
            && let Err(why) = graph.bypass(id)
        {
            println!("left: {why}");
        }
    }
    graph.finish();
    fold_constants(model, |part, outputs| -> Result<Vec<TensorData>, EngineError> {
        let options = CompileOptions { outputs: outputs.to_vec(), ..CompileOptions::default() };
        Ok(engine.compile(part, &options)?.run(&[])?.iter().map(TensorData::from).collect())
    })?;
    let mut graph = Graph::of(model)?;
    let outputs: Vec<String> = graph.outputs().into_iter().map(str::to_owned).collect();
    for (output, name) in outputs.iter().zip(names) {
        graph.rename(output, name)?;
    }
    graph.remove_unused();
    Ok(())
}

/// A linear layer whose weight is computed, between an `Identity` and a `Dropout`.
pub(crate) fn small_model() -> Result<Model, Box<dyn Error>> {
    let mut model = Model::new(17);
    let mut graph = Graph::of(&mut model)?;
    graph.add_input("x", &TensorType::new(DataType::Float).shaped([1.into(), 4.into()]))?;
    graph.add_initializer("w", &TensorData::from_vec(vec![2, 4], &[1.0f32, 2.0, 3.0, 4.0, -1.0, 0.5, 0.0, 2.0])?)?;
    graph.add_initializer("rest", &TensorData::from_vec(vec![1], &[-1i64])?)?;
    graph.add_initializer("width", &TensorData::from_vec(vec![1], &[2i64])?)?;
    graph.insert(Node::new("Identity").input("x").output("same"))?;
    graph.insert(Node::new("Transpose").input("w").output("turned"))?;
    graph.insert(Node::new("MatMul").input("same").input("turned").output("h"))?;
    graph.insert(Node::new("Concat").input("rest").input("width").output("shape").attr("axis", 0))?;
    graph.insert(Node::new("Reshape").input("h").input("shape").output("r"))?;
    graph.insert(Node::new("Dropout").input("r").output("132"))?;
    graph.set_outputs(&["132"])?;
    graph.set_info("132", &TensorType::new(DataType::Float).shaped([1.into(), 2.into()]))?;
    graph.finish();
    Ok(model)
}
