//! Parts as models of their own.

use onnx_prune::engine::{CompileOptions, Tensor};
use onnx_prune::evaluate::{input_specs, random_inputs};
use onnx_prune::model::{DataType, Dimension, Model, TensorData, TensorType};
use onnx_prune::surgery::{Graph, Node, SurgeryError, extract};

use crate::{engine, model, run, support};

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
    let run = |model: &Model, name: &str, value| run(model, name, value).remove(0);
    let middle = run(&front, "x", &feed["x"]);
    let mut shaped = back.clone();
    shaped.graph_mut().input[0] = support::info(&stem, middle.shape());
    assert_eq!(run(&shaped, &stem, &middle).to_f32(), run(&model, "x", &feed["x"]).to_f32());
    // The residual sum reads two values: one alone leaves the part open.
    assert_eq!(
        extract(&model, &["nothing"], &[&logits]).err(),
        Some(SurgeryError::NoValue { value: "nothing".into() })
    );
    let inner = model.graph().node[4].output[0].clone();
    assert_eq!(extract(&model, &[&inner], &[&logits]).err(), Some(SurgeryError::Open { value: "x".into() }));
}

/// Indices, a comparison, a cast to half precision, a quantized value: none of them declared.
fn of_many_types() -> Model {
    model(|graph| {
        graph.add_initializer("scale", &TensorData::from_vec(vec![], &[0.5f32]).unwrap()).unwrap();
        graph.add_initializer("zero", &TensorData::from_vec(vec![], &[0i8]).unwrap()).unwrap();
        let half = DataType::Float16 as i32;
        let nodes = [
            Node::new("Cast").input("x").output("half").attr("to", half),
            Node::new("Neg").input("half").output("negative"),
            Node::new("QuantizeLinear").input("x").input("scale").input("zero").output("small"),
            Node::new("DequantizeLinear").input("small").input("scale").input("zero").output("again"),
            Node::new("ArgMax").input("again").output("best").attr("axis", 0),
            Node::new("Less").input("x").input("again").output("less"),
            Node::new("Not").input("less").output("not_less"),
            Node::new("Where").input("not_less").input("x").input("again").output("y"),
            Node::new("NoSuchOperator").of_domain("my.own").input("y").output("unknown"),
        ];
        for node in nodes {
            graph.insert(node).unwrap();
        }
        vec!["y"]
    })
}

#[test]
fn element_types_follow_from_the_operators() {
    let model = of_many_types();
    let part = extract(&model, &["half", "small", "x"], &["negative", "best", "not_less", "y"]).unwrap();
    let mut copy = part.clone();
    let graph = Graph::of(&mut copy).unwrap();
    let types: Vec<DataType> = part
        .graph()
        .input
        .iter()
        .chain(&part.graph().output)
        .map(|info| graph.info(info.name()).unwrap().element)
        .collect();
    use DataType as T;
    assert_eq!(types, [T::Float16, T::Int8, T::Float, T::Float16, T::Int64, T::Bool, T::Float]);
    let mut whole = model;
    assert_eq!(Graph::of(&mut whole).unwrap().element_type("unknown"), None);
}

#[test]
fn sizes_known_at_run_time_are_kept() {
    let mut dense = model(|graph| {
        graph.insert(Node::new("Relu").input("x").output("h")).unwrap();
        graph.insert(Node::new("Neg").input("h").output("y")).unwrap();
        vec!["y"]
    });
    let batched = TensorType::new(DataType::Float).shaped(["batch".into(), Dimension::Unknown, 2.into()]);
    let mut graph = Graph::of(&mut dense).unwrap();
    for value in ["x", "h", "y"] {
        graph.set_info(value, &batched).unwrap();
    }
    graph.finish();
    let mut part = extract(&dense, &["h"], &["y"]).unwrap();
    let graph = Graph::of(&mut part).unwrap();
    assert_eq!((graph.info("h"), graph.info("y")), (Some(batched.clone()), Some(batched.clone())));
    assert_eq!(batched.to_string(), "Float [batch, ?, 2]");
    drop(graph);
    let options =
        CompileOptions { input_shapes: [("h".to_owned(), vec![3, 1, 2])].into(), ..CompileOptions::default() };
    let value = Tensor::from(ndarray::ArrayD::<f32>::ones(vec![3, 1, 2]));
    let outputs = engine().compile(&part, &options).unwrap().run(&[("h", &value)]).unwrap();
    assert_eq!(outputs[0].shape(), [3, 1, 2]);
}

#[test]
fn an_interface_is_made_of_distinct_values() {
    let model = support::small_model();
    let logits = model.graph().output[0].name().to_owned();
    assert!(matches!(extract(&model, &["x", "x"], &[&logits]), Err(SurgeryError::Taken { .. })));
    assert!(matches!(extract(&model, &["x"], &[]), Err(SurgeryError::NoGraphOutput)));
    assert!(matches!(extract(&model, &["x"], &[""]), Err(SurgeryError::NoValue { .. })));
}
