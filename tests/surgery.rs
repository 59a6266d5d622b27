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

mod support;

use onnx_prune::engine::{CompileOptions, Engine, EngineChoice, EngineError, EngineOptions, open};
use onnx_prune::model::{Model, TensorData};
use onnx_prune::proto::onnx::NodeProto;
use onnx_prune::surgery::{Graph, SurgeryError, extract, fold_constants};
use onnx_prune::verify::{compare, input_specs, random_inputs};
use support::Builder;

fn engine() -> Box<dyn Engine> {
    open(&EngineOptions { engine: EngineChoice::Tract, ..EngineOptions::default() }).unwrap().engine
}

fn agree(a: &Model, b: &Model) {
    let feed = random_inputs(&input_specs(a), &Default::default(), 1, 7);
    compare(engine().as_ref(), a, b, &[feed]).unwrap();
}

/// Runs a model without inputs; constants are floats here.
fn evaluate(model: &Model, outputs: &[String]) -> Result<Vec<TensorData>, EngineError> {
    let mut session = engine().compile(model, &CompileOptions { outputs: outputs.to_vec(), ..Default::default() })?;
    let results = session.run(&[])?;
    Ok(results
        .iter()
        .map(|result| {
            let values: Vec<f32> = result.to_f32().iter().copied().collect();
            TensorData::from_f32(result.shape().to_vec(), &values)
        })
        .collect())
}

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
    let ops: Vec<&str> = folded.graph().node.iter().map(|node| node.op_type()).collect();
    assert_eq!(ops, ["Conv", "Conv"]);
    assert_eq!(folded.graph().initializer.len(), 3);
    agree(&model, &folded);
    assert!(fold_constants(&mut folded, evaluate).unwrap().values.is_empty());
}

#[test]
fn renaming_and_inserting_keep_the_graph_valid() {
    let model = support::small_model();
    let mut edited = model.clone();
    let mut graph = Graph::of(&mut edited);
    let first = graph.node(0).output[0].clone();
    graph.rename(&first, "features").unwrap();
    assert_eq!(graph.producer("features"), Some(0));
    assert_eq!(graph.rename("features", "x"), Err(SurgeryError::Taken("x".into())));
    assert_eq!(graph.rename("nothing", "y"), Err(SurgeryError::NoValue("nothing".into())));
    let identity = NodeProto {
        op_type: Some("Identity".into()),
        input: vec!["features".into()],
        output: vec!["same".into()],
        ..Default::default()
    };
    let at = graph.insert_after("features", identity).unwrap();
    assert_eq!(graph.readers("features"), [(at, Some(0))]);
    assert_eq!(graph.remove(at), Err(SurgeryError::Read("same".into())));
    agree(&model, &edited);
}

#[test]
fn what_nobody_reads_goes() {
    let mut model = support::small_model();
    let reference = model.clone();
    let dead = NodeProto {
        op_type: Some("Relu".into()),
        input: vec!["x".into()],
        output: vec!["dead".into()],
        ..Default::default()
    };
    let mut graph = Graph::of(&mut model);
    let readers = graph.readers("x");
    graph.add_initializer("unused", &TensorData::from_f32(vec![1], &[1.0])).unwrap();
    assert!(graph.add_initializer("unused", &TensorData::from_f32(vec![1], &[1.0])).is_err());
    graph.insert_after("x", dead).unwrap();
    // Everything reads the new node now; put the readers back to leave it dead.
    for (node, input) in readers {
        let mut reader = graph.node(node + 1).clone();
        reader.input[input.unwrap()] = "x".into();
        graph.replace(node + 1, reader).unwrap();
    }
    assert_eq!(graph.remove_unused(), 2);
    assert_eq!(model.graph(), reference.graph());
}

#[test]
fn a_part_between_two_values_is_a_model_of_its_own() {
    let model = support::small_model();
    let stem = model.graph().node[1].output[0].clone();
    let logits = model.graph().output[0].name().to_owned();
    let front = extract(&model, &["x"], &[&stem]).unwrap();
    let back = extract(&model, &[&stem], &[&logits]).unwrap();
    assert_eq!(front.graph().node.len() + back.graph().node.len(), model.graph().node.len());
    assert_eq!(front.graph().initializer.len() + back.graph().initializer.len(), model.graph().initializer.len());
    // Front, then back, computes what the whole computes.
    let feed = random_inputs(&input_specs(&model), &Default::default(), 1, 3);
    let run = |model: &Model, name: &str, value| {
        engine().compile(model, &CompileOptions::default()).unwrap().run(&[(name, value)]).unwrap().remove(0)
    };
    let middle = run(&front, "x", &feed[0].1);
    let mut shaped = back.clone();
    shaped.graph_mut().input[0] = support::info(&stem, middle.shape());
    assert_eq!(run(&shaped, &stem, &middle).to_f32(), run(&model, "x", &feed[0].1).to_f32());
    // The residual sum reads two values: one alone leaves the part open.
    assert_eq!(extract(&model, &["nothing"], &[&logits]).err(), Some(SurgeryError::NoValue("nothing".into())));
    let inner = model.graph().node[4].output[0].clone();
    assert_eq!(extract(&model, &[&inner], &[&logits]).err(), Some(SurgeryError::Open("x".into())));
}
