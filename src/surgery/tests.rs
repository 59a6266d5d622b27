//! The cost of edits, and rules that cannot be broken from outside.

use super::{Graph, Node, NodeId, SurgeryError};
use crate::model::{DataType, Model, TensorData, TensorType};
use crate::proto::onnx::{GraphProto, ModelProto, OperatorSetIdProto};

fn model(nodes: Vec<Node>, outputs: &[&str]) -> Model {
    let kind = TensorType::new(DataType::Float).shaped([2.into()]);
    Model::from_proto(ModelProto {
        ir_version: Some(8),
        opset_import: vec![OperatorSetIdProto { domain: Some(String::new()), version: Some(17) }],
        graph: Some(GraphProto {
            name: Some("g".into()),
            node: nodes,
            input: vec![kind.declare("x")],
            output: outputs.iter().map(|name| kind.declare(name)).collect(),
            ..GraphProto::default()
        }),
        ..ModelProto::default()
    })
}

/// `count` additions one after another, all reading one stored tensor.
fn chain(count: usize) -> Model {
    let name = |at: usize| if at == 0 { "x".to_owned() } else { format!("v{at}") };
    let node = |at: usize| Node::new("Add").input(&name(at)).input("one").output(&name(at + 1));
    let mut model = model((0..count).map(node).collect(), &[&name(count)]);
    let one = TensorData::from_f32(vec![1], &[1.0]);
    model.graph_mut().initializer.push(one.to_proto("one"));
    model
}

/// Bookkeeping of a walk that inserts, changes, renames, redirects and removes at every node, and of one match.
fn steps_of_a_walk(count: usize) -> usize {
    let mut model = chain(count);
    let mut graph = Graph::of(&mut model).unwrap();
    let opened = graph.store.steps();
    for id in graph.walk() {
        let made = graph.node(id).unwrap().output[0].clone();
        let (behind, added) = (graph.fresh_name("behind"), format!("{made}_relu"));
        let relu = graph.insert_after(&made, Node::new("Relu").input(&made).output(&added)).unwrap();
        graph.insert(Node::new("Neg").input(&made).output(&behind)).unwrap();
        graph.update(id, |node| node.op_type = Some("Sub".into())).unwrap();
        graph.rename(&made, &format!("{made}_sum")).unwrap();
        if !graph.is_output(&format!("{made}_sum")) {
            graph.bypass(relu).unwrap();
        }
    }
    assert!(graph.remove_unused() >= count);
    let steps = graph.store.steps() - opened;
    graph.validate().unwrap();
    steps
}

#[test]
fn a_walk_with_edits_takes_time_in_proportion_to_the_graph() {
    let (small, large) = (steps_of_a_walk(1_000), steps_of_a_walk(10_000));
    assert!(large < 11 * small, "{small} steps for 1,000 nodes, {large} for 10,000");
    assert!(large < 100 * 10_000, "{large} steps for 10,000 nodes");
}

#[test]
fn nodes_inserted_at_one_place_seldom_move_the_others() {
    let mut model = chain(1_000);
    let mut graph = Graph::of(&mut model).unwrap();
    let opened = graph.store.steps();
    for at in 0..10_000 {
        graph.insert(Node::new("Neg").input("v1").output(&format!("n{at}"))).unwrap();
    }
    let steps = graph.store.steps() - opened;
    // Labels are given anew after about 63 halvings of a gap.
    assert!(steps < 10_000 * 400, "{steps} steps");
    graph.validate().unwrap();
}

#[test]
fn an_edge_against_the_order_moves_nodes_and_one_that_closes_a_cycle_is_refused() {
    let relu = |from: &str, to: &str| Node::new("Relu").input(from).output(to);
    let mut model = model(vec![relu("x", "a"), relu("a", "b"), relu("x", "c"), relu("c", "d")], &["b", "d"]);
    let mut graph = Graph::of(&mut model).unwrap();
    graph.set_input(NodeId(0), 0, "d").unwrap();
    let order: Vec<String> = graph.nodes().map(|(_, node)| node.output[0].clone()).collect();
    assert_eq!(order, ["c", "d", "a", "b"]);
    let error = graph.set_input(NodeId(2), 0, "b").unwrap_err();
    let names = ["Relu `c`", "Relu `d`", "Relu `a`", "Relu `b`"].map(str::to_owned);
    let SurgeryError::Cycle { nodes } = &error else { panic!("{error}") };
    assert!(nodes.len() == 4 && names.iter().all(|name| nodes.contains(name)), "{nodes:?}");
    assert_eq!(graph.node(NodeId(2)).unwrap().input, ["x"]);
    graph.validate().unwrap();
}

/// A model whose value `w` is what `nodes` make of stored tensors `raw` `[2, 2]`, `other` `[2, 2]` and `scale` `[1]`.
fn computed(nodes: Vec<Node>) -> Model {
    let mut nodes = nodes;
    nodes.push(Node::new("MatMul").input("x").input("w").output("y"));
    let mut model = model(nodes, &["y"]);
    for (name, dims) in [("raw", vec![2, 2]), ("other", vec![2, 2]), ("scale", vec![1])] {
        let data = TensorData::from_f32(dims.clone(), &vec![1.0; dims.iter().product()]);
        model.graph_mut().initializer.push(data.to_proto(name));
    }
    model
}

/// Names of the weights that folding stores, each taken to be of `size` elements.
fn stored(model: &Model, size: usize) -> Vec<String> {
    let ones = |_: &Model, names: &[String]| -> Result<Vec<TensorData>, SurgeryError> {
        Ok(names.iter().map(|_| TensorData::from_f32(vec![size], &vec![1.0; size])).collect())
    };
    super::fold_weights(&mut model.clone(), ones).unwrap().values
}

#[test]
fn weights_are_stored_where_the_file_grows_no_larger() {
    let scaled = Node::new("Mul").input("raw").input("scale").output("w");
    assert_eq!(stored(&computed(vec![scaled.clone()]), 4), ["w"]);
    // Larger than what it is computed from.
    assert!(stored(&computed(vec![scaled.clone()]), 6).is_empty());
    // What it is computed from is needed elsewhere.
    let reader = Node::new("Add").input("x").input("raw").output("z");
    assert!(stored(&computed(vec![scaled.clone(), reader]), 4).is_empty());
    // Two weights of common tensors: together as large as those.
    let both = Node::new("Div").input("other").input("scale").output("v");
    let reader = Node::new("Add").input("x").input("v").output("z");
    assert_eq!(stored(&computed(vec![scaled, both, reader]), 4).len(), 2);
    // Integers stay integers.
    let quantised = Node::new("DequantizeLinear").input("raw").input("scale").output("w");
    assert!(stored(&computed(vec![quantised]), 4).is_empty());
    // Generators stay: no stored numbers go into them.
    let zeros = Node::new("ConstantOfShape").input("sizes").output("w");
    let mut model = computed(vec![zeros]);
    model.graph_mut().initializer.push(TensorData::from_i64(vec![1], &[4]).to_proto("sizes"));
    assert!(stored(&model, 4).is_empty());
}

#[test]
fn edits_that_were_begun_are_kept_or_taken_back_as_one() {
    let mut graph = Graph::owning(chain(3)).unwrap();
    let before = graph.to_proto();
    let begun = graph.begin();
    graph.insert(Node::new("Neg").input("v3").output("n")).unwrap();
    let inner = graph.begin();
    graph.set_outputs(&["n"]).unwrap();
    graph.end(inner, true);
    assert!(graph.contains("n"));
    graph.end(begun, false);
    assert_eq!(graph.to_proto(), before);
    let begun = graph.begin();
    graph.rename("v3", "last").unwrap();
    graph.end(begun, true);
    graph.validate().unwrap();
    assert_eq!(Graph::of(&mut graph.to_model()).unwrap().outputs(), ["last"]);
}

#[test]
fn a_graph_that_keeps_its_model_gives_it_unchanged_without_edits() {
    let model = chain(3);
    let graph = Graph::owning(model.clone()).unwrap();
    assert_eq!(graph.to_model().to_bytes(), model.to_bytes());
}
