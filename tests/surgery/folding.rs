//! Constant folding.

use onnx_prune::model::{DataType, Model, TensorData};
use onnx_prune::surgery::{Graph, Node, fold_constants};

use crate::support::Builder;
use crate::{agree, evaluate, model, operators, support};

/// The second convolution's weight is computed: transposed, then scaled.
fn with_computed_weight() -> Model {
    let mut b = Builder::new(&[1, 3, 6, 6]);
    let a = b.conv("x", 3, 4, 1);
    let raw = b.weight(&[4, 5, 3, 3]);
    let turned = b.node("Transpose", &[&raw], &[("perm", vec![1, 0, 2, 3])]);
    let scale = b.weight(&[1]);
    let w = b.node("Mul", &[&turned, &scale], &[]);
    let out = b.node("Conv", &[&a, &w], &[]);
    b.model(&out)
}

#[test]
fn folding_stores_what_constants_compute() {
    let model = with_computed_weight();
    let mut folded = model.clone();
    let report = fold_constants(&mut folded, evaluate).unwrap();
    assert_eq!(report.values.len(), 1);
    assert_eq!(operators(&folded), ["Conv", "Conv"]);
    assert_eq!(folded.graph().initializer.len(), 3);
    agree(&model, &folded);
    assert!(fold_constants(&mut folded, evaluate).unwrap().values.is_empty());
}

#[test]
fn folded_shapes_stay_int64() {
    let dense = model(|graph| {
        graph.add_initializer("rest", &TensorData::from_vec(vec![1], &[-1i64]).unwrap()).unwrap();
        graph.add_initializer("two", &TensorData::from_vec(vec![1], &[2i64]).unwrap()).unwrap();
        graph.insert(Node::new("Concat").input("rest").input("two").output("shape").attr("axis", 0)).unwrap();
        graph.insert(Node::new("Reshape").input("x").input("shape").output("row")).unwrap();
        graph.insert(Node::new("Flatten").input("row").output("flat").attr("axis", 0)).unwrap();
        graph.insert(Node::new("Reshape").input("flat").input("two").output("y")).unwrap();
        vec!["y"]
    });
    let mut folded = dense.clone();
    assert_eq!(fold_constants(&mut folded, evaluate).unwrap().values, ["shape"]);
    let graph = Graph::of(&mut folded).unwrap();
    let shape = graph.constant("shape").unwrap();
    assert_eq!((shape.dtype, shape.to_vec::<i64>().unwrap()), (DataType::Int64, vec![-1, 2]));
    graph.validate().unwrap();
    drop(graph);
    agree(&dense, &folded);
}

#[test]
fn folding_keeps_what_is_still_needed_and_lists_what_it_stores_before_ir_version_4() {
    // One half is read by a node, the other is a graph output: Split stays for it.
    let mut dense = model(|graph| {
        graph.add_initializer("both", &TensorData::from_f32(vec![4], &[1.0, 2.0, 3.0, 4.0])).unwrap();
        graph.insert(Node::new("Split").input("both").output("left").output("right").attr("axis", 0)).unwrap();
        graph.insert(Node::new("Add").input("x").input("left").output("y")).unwrap();
        vec!["y", "right"]
    });
    dense.proto_mut().ir_version = Some(3);
    let both = support::info("both", &[4]);
    dense.graph_mut().input.push(both);
    let mut folded = dense.clone();
    assert_eq!(fold_constants(&mut folded, evaluate).unwrap().values, ["left"]);
    Graph::of(&mut folded).unwrap().validate().unwrap();
    assert_eq!(operators(&folded), ["Split", "Add"]);
    assert!(folded.graph().input.iter().any(|input| input.name() == "left"));
    agree(&dense, &folded);
}

#[test]
fn random_numbers_are_not_folded() {
    let mut random = model(|graph| {
        graph.insert(Node::new("RandomNormal").output("noise").attr("shape", [2])).unwrap();
        graph.insert(Node::new("Add").input("x").input("noise").output("y")).unwrap();
        vec!["y"]
    });
    assert!(fold_constants(&mut random, evaluate).unwrap().values.is_empty());
}
