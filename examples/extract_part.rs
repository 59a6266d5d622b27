//! Extracts a part between two values as a model of its own, for batches of any size.
//!
//! `cargo run --example extract_part [MODEL OUT FROM TO]`; without a model it builds a small one.
#![allow(clippy::print_stdout, reason = "an example")]

use std::error::Error;
use std::path::Path;

use onnx_prune::model::{DataType, Dimension, LoadOptions, Model, SaveOptions, TensorData, TensorType};
use onnx_prune::surgery::{Graph, Node, extract};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |at: usize, default: &'static str| arguments.get(at).map_or(default, String::as_str);
    let model = match arguments.first() {
        Some(path) => Model::load(Path::new(path), &LoadOptions::default())?,
        None => small_model()?,
    };
    let part = part(&model, argument(2, "hidden"), argument(3, "scores"))?;
    println!("{} of {} nodes", part.graph().node.len(), model.graph().node.len());
    if let Some(out) = arguments.get(1) {
        part.save(Path::new(out), &SaveOptions::default())?;
    }
    Ok(())
}

/// The part of a model between two values. The first size of both is the batch.
pub(crate) fn part(model: &Model, from: &str, to: &str) -> Result<Model, Box<dyn Error>> {
    let mut part = extract(model, &[from], &[to])?;
    let mut graph = Graph::of(&mut part)?;
    for value in [from, to] {
        let mut kind = graph.info(value).ok_or_else(|| format!("nothing is declared of `{value}`"))?;
        if let Some(batch) = kind.shape.as_mut().and_then(|shape| shape.first_mut()) {
            *batch = Dimension::Named("batch".into());
        }
        println!("{value}: {kind}");
        graph.set_info(value, &kind)?;
    }
    graph.finish();
    Ok(part)
}

/// Two linear layers.
pub(crate) fn small_model() -> Result<Model, Box<dyn Error>> {
    let mut model = Model::new(17);
    let mut graph = Graph::of(&mut model)?;
    graph.add_input("x", &TensorType::new(DataType::Float).shaped([1.into(), 4.into()]))?;
    for (name, dims) in [("w1", vec![4, 3]), ("w2", vec![3, 2])] {
        let values: Vec<f32> =
            (0..12u8).take(dims.iter().product()).map(|value| f32::from(value) / 8.0 - 0.5).collect();
        graph.add_initializer(name, &TensorData::from_vec(dims, &values)?)?;
    }
    graph.insert(Node::new("MatMul").input("x").input("w1").output("hidden"))?;
    graph.insert(Node::new("Relu").input("hidden").output("positive"))?;
    graph.insert(Node::new("MatMul").input("positive").input("w2").output("scores"))?;
    graph.insert(Node::new("Softmax").input("scores").output("probabilities"))?;
    for (value, size) in [("hidden", 3), ("scores", 2), ("probabilities", 2)] {
        graph.set_info(value, &TensorType::new(DataType::Float).shaped([1.into(), Dimension::Size(size)]))?;
    }
    graph.set_outputs(&["probabilities"])?;
    graph.finish();
    Ok(model)
}
