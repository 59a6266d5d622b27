//! Functions and decided branches, written out.

use onnx_prune::channels::{AnalyseOptions, analyse, decided_conditions};
use onnx_prune::engine::CompileOptions;
use onnx_prune::evaluate::{input_specs, random_inputs};
use onnx_prune::model::Model;
use onnx_prune::proto::onnx::attribute_proto::AttributeType;
use onnx_prune::proto::onnx::{AttributeProto, FunctionProto, GraphProto, NodeProto, OperatorSetIdProto};
use onnx_prune::surgery::{inline_branches, inline_functions};

use crate::support::Builder;
use crate::{engine, support};

fn node(domain: &str, op: &str, input: &[&str], output: &[&str]) -> NodeProto {
    let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    NodeProto {
        domain: Some(domain.into()),
        op_type: Some(op.into()),
        input: own(input),
        output: own(output),
        ..Default::default()
    }
}

fn function(name: &str, input: &[&str], output: &[&str], nodes: Vec<NodeProto>) -> FunctionProto {
    let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let opset = |domain: &str, version| OperatorSetIdProto { domain: Some(domain.into()), version: Some(version) };
    FunctionProto {
        name: Some(name.into()),
        domain: Some("local".into()),
        input: own(input),
        output: own(output),
        node: nodes,
        opset_import: vec![opset("", 17), opset("local", 1)],
        ..Default::default()
    }
}

/// A convolution, then twice a function that calls another; attributes are handed down, one by its default.
fn with_functions() -> Model {
    let mut b = Builder::new(&[1, 3, 6, 6]);
    let first = b.conv("x", 3, 4, 1);
    let (w, out) = (b.weight(&[4, 4, 3, 3]), "out".to_owned());
    let float = |name: &str, value: f32| AttributeProto {
        name: Some(name.into()),
        r#type: Some(AttributeType::Float.into()),
        f: Some(value),
        ..Default::default()
    };
    let mut call = node("local", "Block", &[&first, &w], &["middle", "kept"]);
    call.attribute.push(float("slope", 0.25));
    b.graph.node.push(call);
    b.graph.node.push(node("local", "Block", &["middle", &w], &[&out, ""]));
    let mut model = b.model("out");
    let mut leaky = node("", "LeakyRelu", &["h"], &["y"]);
    leaky.attribute.push(AttributeProto {
        name: Some("alpha".into()),
        r#type: Some(AttributeType::Float.into()),
        ref_attr_name: Some("slope".into()),
        ..Default::default()
    });
    let mut block = function(
        "Block",
        &["data", "weight"],
        &["y", "data"],
        vec![node("local", "Mix", &["data", "weight"], &["h"]), leaky],
    );
    block.attribute_proto.push(float("slope", 0.5));
    let mix = function("Mix", &["a", "b"], &["c"], vec![node("", "Conv", &["a", "b"], &["c"])]);
    let proto = model.proto_mut();
    proto.functions = vec![block, mix];
    proto.opset_import.push(OperatorSetIdProto { domain: Some("local".into()), version: Some(1) });
    model
}

#[test]
fn functions_are_written_out_with_their_attributes() {
    let mut model = with_functions();
    assert_eq!(inline_functions(&mut model), 4, "two calls, and one in each");
    assert!(model.proto().functions.is_empty());
    let graph = model.graph();
    let ops: Vec<&str> = graph.node.iter().map(|node| node.op_type()).collect();
    assert_eq!(ops, ["Conv", "Identity", "Conv", "LeakyRelu", "Conv", "LeakyRelu"]);
    let slope = |at: usize| (graph.node[at].attribute[0].name().to_owned(), graph.node[at].attribute[0].f());
    assert_eq!((slope(3), slope(5)), (("alpha".into(), 0.25), ("alpha".into(), 0.5)));
    let names: std::collections::HashSet<&String> = graph.node.iter().flat_map(|node| &node.output).collect();
    assert_eq!(names.len(), graph.node.len(), "every value has one producer");
    let feed = random_inputs(&input_specs(&model), &Default::default(), 1, 5);
    let mut session = engine().compile(&model, &CompileOptions::default()).unwrap();
    let out = session.run(&[("x", &feed["x"])]).unwrap();
    assert_eq!(out[0].shape(), [1, 4, 2, 2]);
}

#[test]
fn functions_of_another_opset_stay_calls() {
    let mut model = with_functions();
    let before = model.graph().node.len();
    for function in &mut model.proto_mut().functions {
        function.opset_import[0].version = Some(18);
    }
    assert_eq!(inline_functions(&mut model), 0);
    assert_eq!((model.graph().node.len(), model.proto().functions.len()), (before, 2));
}

/// Behind a convolution a branch that depends on its width: scaled if it is 4, else negated.
fn with_branch() -> Model {
    let mut b = Builder::new(&[1, 3, 6, 6]);
    let first = b.conv("x", 3, 4, 1);
    let shape = b.node("Shape", &[&first], &[]);
    let (one, four, half) = (b.scalar_int(1), b.scalar_int(4), b.floats(&[0.5]));
    let width = b.node("Gather", &[&shape, &one], &[("axis", vec![0])]);
    let is_four = b.node("Equal", &[&width, &four], &[]);
    let branch = |op: &str, inputs: &[&str]| GraphProto {
        name: Some(op.into()),
        // Both branches use one name, which is not one of the outer graph.
        node: vec![node("", op, inputs, &["inner"]), node("", "Relu", &["inner"], &["result"])],
        output: vec![support::info("result", &[1, 4, 4, 4])],
        ..Default::default()
    };
    let taken = b.node("If", &[&is_four], &[]);
    let attribute = |name: &str, graph: GraphProto| AttributeProto {
        name: Some(name.into()),
        r#type: Some(AttributeType::Graph.into()),
        g: Some(graph),
        ..Default::default()
    };
    let last = b.graph.node.last_mut().unwrap();
    last.attribute = vec![
        attribute("then_branch", branch("Mul", &[&first, &half])),
        attribute("else_branch", branch("Neg", &[&first])),
    ];
    let second = b.conv(&taken, 4, 3, 1);
    b.model(&second)
}

#[test]
fn a_branch_that_is_always_taken_is_written_out() {
    let model = with_branch();
    assert!(analyse(&model, &AnalyseOptions::default()).groups.is_empty(), "the If hides the channels");
    let decided = decided_conditions(&model, &AnalyseOptions::default());
    assert_eq!(decided.values().collect::<Vec<_>>(), [&true]);
    let mut written = model.clone();
    assert_eq!(inline_branches(&mut written, &|name| decided.get(name).copied()), 1);
    let ops: Vec<&str> = written.graph().node.iter().map(|node| node.op_type()).collect();
    assert_eq!(ops, ["Conv", "Shape", "Gather", "Equal", "Mul", "Relu", "Identity", "Conv"]);
    assert_eq!(analyse(&written, &AnalyseOptions::default()).groups.len(), 1);
    assert_eq!(inline_branches(&mut written.clone(), &|_| None), 0);
    // Where a size other than the batch is open, nothing is decided.
    let mut open_size = model;
    open_size.graph_mut().input[0] = support::info("x", &[1, 3, 0, 6]);
    assert!(decided_conditions(&open_size, &AnalyseOptions::default()).is_empty());
}

#[test]
fn a_function_that_calls_itself_ends() {
    let mut model = with_functions();
    let mix = &mut model.proto_mut().functions[1];
    mix.node = vec![node("local", "Mix", &["a", "b"], &["c"])];
    assert!(inline_functions(&mut model) > 0);
    assert!(!model.proto().functions.is_empty(), "what is left is still a call");
}
