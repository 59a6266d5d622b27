//! Inserts nodes: the normalization of images, `(x - mean) / std` by channel, moves from the caller into the model.
//!
//! `cargo run --example insert_node [MODEL OUT]`; without a model it builds a small one.
#![allow(clippy::print_stdout, reason = "an example")]

use std::error::Error;
use std::path::Path;

use onnx_prune::model::{DataType, LoadOptions, Model, SaveOptions, TensorData, TensorType};
use onnx_prune::surgery::{Graph, Node};

/// Mean and standard deviation of ImageNet's channels, for values between 0 and 1.
pub(crate) const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
pub(crate) const STD: [f32; 3] = [0.229, 0.224, 0.225];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut model = match arguments.first() {
        Some(path) => Model::load(Path::new(path), &LoadOptions::default())?,
        None => small_model()?,
    };
    println!("`{}` is normalized inside the model now", normalize(&mut model)?);
    if let Some(out) = arguments.get(1) {
        model.save(Path::new(out), &SaveOptions::default())?;
    }
    Ok(())
}

/// Inserts the normalization behind the first input `[N, 3, H, W]`; returns its name.
pub(crate) fn normalize(model: &mut Model) -> Result<String, Box<dyn Error>> {
    let mut graph = Graph::of(model)?;
    let image = graph.inputs().first().map(|name| (*name).to_owned()).ok_or("the model has no input")?;
    let names = ["mean", "std", "centred", "normalized"].map(|name| graph.fresh_name(name));
    let [mean, std, centred, normalized] = &names;
    graph.add_initializer(mean, &TensorData::from_vec(vec![1, 3, 1, 1], &MEAN)?)?;
    graph.add_initializer(std, &TensorData::from_vec(vec![1, 3, 1, 1], &STD)?)?;
    graph.insert_after(&image, Node::new("Sub").input(&image).input(mean).output(centred))?;
    graph.insert_after(centred, Node::new("Div").input(centred).input(std).output(normalized))?;
    Ok(image)
}

/// A mean over pixels, read by a linear layer.
pub(crate) fn small_model() -> Result<Model, Box<dyn Error>> {
    let mut model = Model::new(17);
    let mut graph = Graph::of(&mut model)?;
    graph.add_input("image", &TensorType::new(DataType::Float).shaped([1.into(), 3.into(), 4.into(), 4.into()]))?;
    graph.add_initializer("w", &TensorData::from_vec(vec![3, 2], &[1.0f32, -2.0, 0.5, 3.0, -1.0, 0.25])?)?;
    graph.insert(Node::new("GlobalAveragePool").input("image").output("pooled"))?;
    graph.insert(Node::new("Flatten").input("pooled").output("features"))?;
    graph.insert(Node::new("Gemm").input("features").input("w").output("logits"))?;
    graph.set_outputs(&["logits"])?;
    graph.set_info("logits", &TensorType::new(DataType::Float).shaped([1.into(), 2.into()]))?;
    graph.finish();
    Ok(model)
}
