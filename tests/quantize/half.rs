//! Models in half precision.

use std::cell::Cell;
use std::collections::BTreeSet;

use onnx_prune::engine::CompileOptions;
use onnx_prune::model::{DataType, Model, TensorData};
use onnx_prune::quantize::{Halved, Halver, LARGEST, QuantizeError};
use onnx_prune::surgery::Graph;
use proptest::prelude::*;

use crate::support::Builder;
use crate::support::problem::{cases, problem, runner};
use crate::{engine, inputs, outputs};

fn none() -> BTreeSet<String> {
    BTreeSet::new()
}

fn halve(model: &Model, large: &BTreeSet<String>, kept: &BTreeSet<String>) -> Result<Halved, QuantizeError> {
    Halver::new(model.clone())?.write(large, kept)
}

/// Names of nodes that take numbers of 16 bits.
fn halved(model: &Model) -> Vec<String> {
    let mut copy = model.clone();
    let graph = Graph::of(&mut copy).unwrap();
    let of_half = |name: &String| graph.element_type(name) == Some(DataType::Float16);
    let nodes = model.graph().node.iter().filter(|node| node.op_type() != "Cast");
    nodes.filter(|node| node.input.first().is_some_and(of_half)).map(|node| node.op_type().to_owned()).collect()
}

/// Largest difference relative to the largest magnitude.
fn apart(a: &Model, b: &Model, seed: u64) -> f64 {
    let engine = engine();
    let options = CompileOptions::default();
    let [a, b] = [a, b].map(|own| outputs(engine.as_ref(), own, &inputs(a, seed), &options));
    let of = |(a, b): (&ndarray::ArrayD<f32>, &ndarray::ArrayD<f32>)| {
        let most = a.iter().map(|value| value.abs()).fold(f32::MIN_POSITIVE, f32::max);
        f64::from(a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / most)
    };
    a.iter().zip(&b).map(of).fold(0.0, f64::max)
}

/// `conv -> relu -> resize -> conv -> softmax`, with scales of the resize beside.
fn network() -> Model {
    let mut b = Builder::new(&[1, 3, 8, 8]).seeded(5);
    let first = b.conv("x", 3, 16, 1);
    let first = b.relu(&first);
    let scales = b.floats(&[1.0, 1.0, 2.0, 2.0]);
    let larger = b.node("Resize", &[&first, "", &scales], &[]);
    let second = b.conv(&larger, 16, 4, 1);
    let last = b.node("Softmax", &[&second], &[("axis", vec![1])]);
    b.model(&last)
}

#[test]
fn inputs_and_outputs_keep_their_types() {
    let model = network();
    let made = halve(&model, &none(), &none()).unwrap();
    assert_eq!((made.products.len(), made.float.len()), (2, 0));
    assert_eq!(halved(&made.model), ["Conv", "Relu", "Resize", "Conv", "Softmax"]);
    for (old, new) in
        [(&model.graph().input, &made.model.graph().input), (&model.graph().output, &made.model.graph().output)]
    {
        assert_eq!(old, new);
    }
    let casts = made.model.graph().node.iter().filter(|node| node.op_type() == "Cast").count();
    assert_eq!(casts, 2);
    let scales = made.model.graph().node.iter().find(|node| node.op_type() == "Resize").unwrap().input[2].clone();
    let stored = made.model.graph().initializer.iter().find(|own| own.name() == scales).unwrap();
    assert_eq!(stored.data_type(), DataType::Float as i32);
    let weights = |model: &Model, kind: DataType| {
        model.graph().initializer.iter().filter(|own| own.data_type() == kind as i32 && own.dims.len() > 1).count()
    };
    assert_eq!((weights(&made.model, DataType::Float), weights(&made.model, DataType::Float16)), (0, 2));
    assert!(apart(&model, &made.model, 3) < 2e-3, "{}", apart(&model, &made.model, 3));
}

#[test]
fn nodes_and_large_numbers_stay_as_they_are() {
    let model = network();
    let first = halve(&model, &none(), &none()).unwrap().products[0].clone();
    let made = halve(&model, &none(), &BTreeSet::from([first.clone()])).unwrap();
    assert_eq!(made.float, [(first, "as chosen".to_owned())]);
    assert_eq!(halved(&made.model), ["Relu", "Resize", "Conv", "Softmax"]);
    // A value that both forms read has both.
    let relu = &model.graph().node[1].output[0];
    assert!(Halver::new(model.clone()).unwrap().values().contains(relu));
    let made = halve(&model, &BTreeSet::from([relu.clone()]), &none()).unwrap();
    assert_eq!(halved(&made.model), ["Conv", "Conv", "Softmax"]);
    assert!(apart(&model, &made.model, 3) < 2e-3);
    // Weights too.
    let mut b = Builder::new(&[1, 3, 8, 8]).seeded(5);
    let first = b.conv("x", 3, 4, 1);
    let large = b.weight(&[4, 4, 1, 1]);
    let last = b.node("Conv", &[&first, &large], &[]);
    let mut model = b.model(&last);
    let stored = model.graph_mut().initializer.iter_mut().find(|own| own.name() == large).unwrap();
    *stored = TensorData::from_f32(vec![4, 4, 1, 1], &[2.0 * LARGEST; 16]).to_proto(&large);
    let made = halve(&model, &none(), &none()).unwrap();
    assert_eq!((made.products.len(), made.float.len()), (1, 1));
    assert!(made.float[0].1.contains("weights"), "{:?}", made.float);
}

#[test]
fn what_has_nothing_to_halve_is_refused() {
    let mut b = Builder::new(&[1, 3, 8, 8]).seeded(5);
    let last = b.node("Relu", &["x"], &[]);
    let error = halve(&b.model(&last), &none(), &none()).unwrap_err();
    assert!(matches!(error, QuantizeError::Single { .. }) && error.to_string().contains("no convolution"), "{error}");
}

#[test]
fn random_graphs_compute_nearly_the_same() {
    let cases = cases("ONNX_PRUNE_HALF", 200);
    let engine = engine();
    if engine.info().name != "onnxruntime" {
        return;
    }
    let (tried, near) = (Cell::new(0_u32), Cell::new(0_u32));
    let result = runner(cases).run(&problem(3..10), |problem| {
        let model = problem.build();
        let feed = inputs(&model, problem.seed);
        let runs = engine.compile(&model, &CompileOptions::default());
        if runs.is_err() || runs.unwrap().run(&onnx_prune::engine::feed::pairs(&feed)).is_err() {
            return Ok(());
        }
        let made = match halve(&model, &none(), &none()) {
            Ok(made) => made,
            Err(QuantizeError::Single { .. }) => return Ok(()),
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        };
        tried.set(tried.get() + 1);
        let options = CompileOptions::default();
        let compiled = engine.compile(&made.model, &options);
        prop_assert!(compiled.is_ok(), "{}", compiled.err().map(|error| error.to_string()).unwrap_or_default());
        let error = apart(&model, &made.model, problem.seed);
        near.set(near.get() + u32::from(error < 2e-2));
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    println!("{} of {cases} graphs in half precision, {} of them near", tried.get(), near.get());
    // Divisions and powers of random numbers amplify what is rounded.
    assert!(tried.get() > cases / 2 && near.get() * 100 >= tried.get() * 98, "{} of {}", near.get(), tried.get());
}
