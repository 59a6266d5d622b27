//! Changes a layer: every `HardSwish` becomes a `Clip` between 0 and 6 (`Relu6`).
//!
//! `cargo run --example change_layer [MODEL OUT]`; without a model it builds a small one.
#![allow(clippy::print_stdout, reason = "an example")]

use std::error::Error;
use std::path::Path;

use onnx_prune::model::{DataType, LoadOptions, Model, SaveOptions, TensorData, TensorType};
use onnx_prune::surgery::{Graph, Node};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut model = match arguments.first() {
        Some(path) => Model::load(Path::new(path), &LoadOptions::default())?,
        None => small_model()?,
    };
    println!("{} layers changed", change(&mut model)?);
    if let Some(out) = arguments.get(1) {
        model.save(Path::new(out), &SaveOptions::default())?;
    }
    Ok(())
}

/// Changes the layers; returns how many.
pub(crate) fn change(model: &mut Model) -> Result<usize, Box<dyn Error>> {
    let mut graph = Graph::of(model)?;
    let (least, most) = (graph.fresh_name("relu6_min"), graph.fresh_name("relu6_max"));
    graph.add_initializer(&least, &TensorData::from_vec(vec![], &[0.0f32])?)?;
    graph.add_initializer(&most, &TensorData::from_vec(vec![], &[6.0f32])?)?;
    let mut changed = 0;
    for id in graph.walk() {
        let Some(node) = graph.node(id).filter(|node| node.op_type() == "HardSwish") else { continue };
        let clip = Node::new("Clip").named(node.name()).input(&node.input[0]).output(&node.output[0]);
        graph.replace(id, clip.input(&least).input(&most))?;
        changed += 1;
    }
    graph.remove_unused();
    Ok(changed)
}

/// A convolution and a `HardSwish`.
pub(crate) fn small_model() -> Result<Model, Box<dyn Error>> {
    let mut model = Model::new(17);
    let mut graph = Graph::of(&mut model)?;
    graph.add_input("x", &TensorType::new(DataType::Float).shaped([1.into(), 1.into(), 6.into(), 6.into()]))?;
    let weight: Vec<f32> = (0..18u8).map(|value| f32::from(value) - 8.0).collect();
    graph.add_initializer("w", &TensorData::from_vec(vec![2, 1, 3, 3], &weight)?)?;
    graph.insert(Node::new("Conv").named("conv").input("x").input("w").output("h").attr("pads", [1, 1, 1, 1]))?;
    graph.insert(Node::new("HardSwish").named("act").input("h").output("y"))?;
    graph.set_outputs(&["y"])?;
    graph.set_info("y", &TensorType::new(DataType::Float).shaped([1.into(), 2.into(), 6.into(), 6.into()]))?;
    graph.finish();
    Ok(model)
}
