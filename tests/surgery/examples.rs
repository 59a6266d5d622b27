//! The programs in `examples/`: what they write is run beside what they read.
#![allow(dead_code, reason = "the examples' main functions")]

use onnx_prune::engine::{CompileOptions, Tensor};
use onnx_prune::model::{LoadOptions, Model, SaveOptions, TensorType};

use crate::{agree, engine, operators, run};

#[path = "../../examples/change_layer.rs"]
mod change_layer;
#[path = "../../examples/clean_up.rs"]
mod clean_up;
#[path = "../../examples/extract_part.rs"]
mod extract_part;
#[path = "../../examples/insert_node.rs"]
mod insert_node;

/// The model as it comes back from a file.
fn written(model: &Model) -> Model {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    model.save(&path, &SaveOptions::default()).unwrap();
    Model::load(&path, &LoadOptions::default()).unwrap()
}

fn tensor(shape: &[usize], value: impl Fn(usize) -> f32) -> Tensor {
    let count = shape.iter().product();
    ndarray::ArrayD::from_shape_vec(shape, (0..count).map(value).collect()).unwrap().into()
}

fn close(a: &Tensor, b: &Tensor) {
    assert_eq!(a.shape(), b.shape());
    let (a, b) = (a.to_f32(), b.to_f32());
    assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() <= 1e-5 * (1.0 + b.abs())), "{a} {b}");
}

#[test]
fn change_layer_makes_a_relu6_of_every_hard_swish() {
    let dense = change_layer::small_model().unwrap();
    let mut edited = dense.clone();
    assert_eq!(change_layer::change(&mut edited).unwrap(), 1);
    let edited = written(&edited);
    assert_eq!(operators(&edited), ["Conv", "Clip"]);
    let x = tensor(&[1, 1, 6, 6], |at| at as f32 / 20.0 - 0.8);
    let mut session =
        engine().compile(&dense, &CompileOptions { outputs: vec!["h".into()], ..Default::default() }).unwrap();
    let h = session.run(&[("x", &x)]).unwrap().remove(0).to_f32();
    assert!(h.iter().any(|&value| value > 6.0) && h.iter().any(|&value| value < 0.0));
    close(&run(&edited, "x", &x)[0], &h.mapv(|value| value.clamp(0.0, 6.0)).into());
}

#[test]
fn insert_node_takes_the_normalization_into_the_model() {
    let dense = insert_node::small_model().unwrap();
    let mut edited = dense.clone();
    assert_eq!(insert_node::normalize(&mut edited).unwrap(), "image");
    let edited = written(&edited);
    let image = |at: usize| (at % 7) as f32 / 7.0;
    let normal = |at: usize| (image(at) - insert_node::MEAN[at / 16]) / insert_node::STD[at / 16];
    let shape = [1, 3, 4, 4];
    let expected = run(&dense, "image", &tensor(&shape, normal)).remove(0);
    close(&run(&edited, "image", &tensor(&shape, image))[0], &expected);
}

#[test]
fn extract_part_takes_batches_of_any_size() {
    let dense = extract_part::small_model().unwrap();
    let part = written(&extract_part::part(&dense, "hidden", "scores").unwrap());
    assert_eq!(operators(&part), ["Relu", "MatMul"]);
    let options = CompileOptions { outputs: vec!["hidden".into(), "scores".into()], ..Default::default() };
    let mut whole = engine().compile(&dense, &options).unwrap();
    let rows = [[0.5f32, -1.0, 2.0, 0.25], [1.0, 0.0, -3.0, 1.5], [0.0, 0.0, 1.0, -1.0]];
    let (mut hidden, mut scores) = (Vec::new(), Vec::new());
    for row in rows {
        let outputs = whole.run(&[("x", &tensor(&[1, 4], |at| row[at]))]).unwrap();
        hidden.extend(outputs[0].to_f32());
        scores.extend(outputs[1].to_f32());
    }
    for batch in [1, 3] {
        let options =
            CompileOptions { input_shapes: [("hidden".to_owned(), vec![batch, 3])].into(), ..Default::default() };
        let mut session = engine().compile(&part, &options).unwrap();
        let outputs = session.run(&[("hidden", &tensor(&[batch, 3], |at| hidden[at]))]).unwrap();
        close(&outputs[0], &tensor(&[batch, 2], |at| scores[at]));
    }
}

#[test]
fn clean_up_leaves_the_layers_that_compute() {
    let dense = clean_up::small_model().unwrap();
    let mut edited = dense.clone();
    clean_up::clean_up(&mut edited, engine().as_ref(), &["logits"]).unwrap();
    let edited = written(&edited);
    assert_eq!(operators(&edited), ["MatMul", "Reshape"]);
    assert_eq!(edited.graph().output[0].name(), "logits");
    let mut renamed = dense.clone();
    renamed.graph_mut().output[0].name = Some("logits".into());
    renamed.graph_mut().node.last_mut().unwrap().output[0] = "logits".into();
    agree(&renamed, &edited);
    let stored: Vec<TensorType> = edited
        .graph()
        .initializer
        .iter()
        .map(|tensor| {
            let data = edited.tensor(tensor).unwrap();
            TensorType::new(data.dtype).shaped(data.dims.iter().map(|&size| size.into()))
        })
        .collect();
    let mut texts: Vec<String> = stored.iter().map(TensorType::to_string).collect();
    texts.sort();
    assert_eq!(texts, ["Float [4, 2]", "Int64 [2]"]);
}
