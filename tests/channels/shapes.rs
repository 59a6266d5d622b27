//! Shapes that the analysis cannot find are those of a run.

use std::collections::BTreeMap;

use onnx_prune::channels::{AnalyseOptions, analyse};
use onnx_prune::engine::Engine;
use onnx_prune::evaluate::analyse_with;
use onnx_prune::model::Model;
use onnx_prune::proto::onnx::tensor_shape_proto::dimension::Value as Size;
use onnx_prune::proto::onnx::{ValueInfoProto, type_proto};

use crate::support::{Builder, Need, onnx_runtime, skip};

/// ONNX Runtime, which alone knows the operators here.
fn runtime(test: &str) -> Option<Box<dyn Engine>> {
    onnx_runtime().map_err(|why| skip(test, Need::OnnxRuntime, &why)).ok()
}

/// A declared value; sizes are numbers or symbols.
fn declared(name: &str, sizes: &[&str]) -> ValueInfoProto {
    let mut info = crate::support::info(name, &vec![1; sizes.len()]);
    let Some(type_proto::Value::TensorType(tensor)) = info.r#type.as_mut().unwrap().value.as_mut() else { panic!() };
    for (dim, size) in tensor.shape.as_mut().unwrap().dim.iter_mut().zip(sizes) {
        let symbol = |_| Size::DimParam((*size).to_owned());
        dim.value = Some(size.parse().map_or_else(symbol, Size::DimValue));
    }
    info
}

/// A convolution, an operator without a rule, two more convolutions.
fn behind_an_unknown_operator() -> (Model, String) {
    let mut b = Builder::new(&[1, 4, 6, 6]);
    let first = b.conv("x", 4, 8, 1);
    let lengths = b.ints(&[1; 8]);
    let turned = b.node("ReverseSequence", &[&first, &lengths], &[]);
    for (name, value) in [("batch_axis", 1_i64), ("time_axis", 0)] {
        b.graph.node.last_mut().unwrap().set(name, value);
    }
    let second = b.conv(&turned, 8, 12, 1);
    let third = b.conv(&second, 12, 5, 1);
    (b.model(&third), turned)
}

const ALL: u64 = 36 * 9 * (4 * 8 + 8 * 12 + 12 * 5);

#[test]
fn what_is_behind_an_unknown_operator_is_counted_and_cut() {
    let Some(engine) = runtime("what_is_behind_an_unknown_operator_is_counted_and_cut") else { return };
    let (model, turned) = behind_an_unknown_operator();
    let alone = analyse(&model, &AnalyseOptions::default());
    assert!(alone.unknown_shapes().contains(&turned));
    assert_eq!(alone.uncounted.len(), 2, "{:?}", alone.uncounted);
    let found = analyse_with(engine.as_ref(), &model, &AnalyseOptions::default()).channels;
    assert_eq!((found.macs(None), found.uncounted.len(), found.unknown_shapes().len()), (ALL, 0, 0));
    assert_eq!(found.groups.iter().map(|group| group.width()).collect::<Vec<_>>(), [12]);
    let given = AnalyseOptions::default();
    let shapes = BTreeMap::from([(turned, vec![1, 8, 6, 6])]);
    let mut options = given;
    options.shapes = shapes;
    assert_eq!(analyse(&model, &options).macs(None), ALL);
}

#[test]
fn sizes_that_a_file_leaves_open_are_guesses() {
    let Some(engine) = runtime("sizes_that_a_file_leaves_open_are_guesses") else { return };
    let (mut model, turned) = behind_an_unknown_operator();
    model.graph_mut().value_info.push(declared(&turned, &["1", "8", "rows", "columns"]));
    let guessed = analyse(&model, &AnalyseOptions::default());
    assert_eq!(guessed.unknown_shapes(), [turned]);
    assert!(guessed.macs(None) > ALL);
    assert_eq!(analyse_with(engine.as_ref(), &model, &AnalyseOptions::default()).channels.macs(None), ALL);
}

#[test]
fn symbols_mean_what_they_mean_at_the_inputs() {
    let (mut model, turned) = behind_an_unknown_operator();
    model.graph_mut().input[0] = declared("x", &["1", "4", "side", "side"]);
    model.graph_mut().value_info.push(declared(&turned, &["1", "8", "side", "side"]));
    let mut options = AnalyseOptions::default();
    options.sizes.insert("x:2".into(), 6);
    options.sizes.insert("x:3".into(), 6);
    let found = analyse(&model, &options);
    assert_eq!((found.macs(None), found.unknown_shapes().len()), (ALL, 0));
}

#[test]
fn convolutions_that_are_not_analysed_are_counted() {
    let mut b = Builder::new(&[1, 4, 6, 6]);
    let w = b.node("Reshape", &["x", "shape"], &[]);
    let shape = onnx_prune::model::TensorData::from_i64(vec![4], &[4, 4, 3, 3]).to_proto("shape");
    b.graph.initializer.push(shape);
    let y = b.node("Conv", &["x", &w], &[]);
    let model = b.model(&y);
    let declared = crate::support::info(&y, &[1, 4, 4, 4]);
    let mut model = model;
    model.graph_mut().value_info.push(declared);
    let found = analyse(&model, &AnalyseOptions::default());
    assert_eq!((found.macs(None), found.uncounted.len()), (16 * 4 * 36, 0));
}
