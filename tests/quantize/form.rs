//! What is written, on small networks of the forms that engines fuse.

use std::collections::BTreeMap;

use onnx_prune::engine::{CompileOptions, integer_operators};
use onnx_prune::evaluate::prove_integers;
use onnx_prune::model::{Model, TensorData};
use onnx_prune::quantize::{Activations, QuantizeForm};

use crate::support::Builder;
use crate::{engine, form, fuses, inputs, outputs, quantizer, written};

fn count(model: &Model, op: &str) -> usize {
    model.graph().node.iter().filter(|node| node.op_type() == op).count()
}

fn tensors(model: &Model) -> BTreeMap<String, TensorData> {
    let all = model.graph().initializer.iter();
    all.map(|tensor| (tensor.name().to_owned(), model.tensor(tensor).unwrap())).collect()
}

/// `conv -> relu -> conv -> + -> relu -> pool -> gemm`.
fn residual() -> Model {
    let mut b = Builder::new(&[1, 3, 8, 8]).seeded(5);
    let first = b.conv("x", 3, 16, 1);
    let first = b.relu(&first);
    let inner = b.conv(&first, 16, 16, 1);
    let inner = b.relu(&inner);
    let second = b.conv(&inner, 16, 16, 1);
    let sum = b.node("Add", &[&first, &second], &[]);
    let sum = b.relu(&sum);
    let pooled = b.node("GlobalAveragePool", &[&sum], &[]);
    let flat = b.node("Flatten", &[&pooled], &[]);
    let weight = b.weight(&[4, 16]);
    let last = b.node("Gemm", &[&flat, &weight], &[("transB", vec![1])]);
    b.model(&last)
}

#[test]
fn a_residual_network_is_fused_from_end_to_end() {
    let engine = engine();
    let model = residual();
    let made = written(engine.as_ref(), &model, &form()).unwrap();
    assert_eq!((made.products.len(), made.float.len()), (4, 0));
    // Rounding stands for every `Relu`; one pair a value: input, three activations, sum, second convolution, pool, flat.
    assert_eq!(count(&made.model, "Relu"), 0);
    assert_eq!(count(&made.model, "QuantizeLinear"), made.values);
    if !fuses(engine.as_ref(), "a_residual_network_is_fused_from_end_to_end") {
        return;
    }
    let found = integer_operators(engine.as_ref(), &made.model).unwrap().unwrap();
    assert_eq!((found.real_products, found.conversions), (0, 1), "{found:?}");
    let proof = prove_integers(engine.as_ref(), &made.model, &inputs(&model, 9), &false.into()).unwrap();
    assert!(proof.operators >= 5 && proof.broken.is_empty(), "{proof:?}");
}

#[test]
fn outputs_stay_near() {
    let engine = engine();
    let model = residual();
    for activations in [Activations::U8, Activations::S8] {
        let form = QuantizeForm::of(super::kernels(), Some(activations));
        let made = written(engine.as_ref(), &model, &form).unwrap();
        let mut error = 0.0;
        let mut whole = 0.0;
        // The inputs that ranges are of: nothing is cut off.
        for seed in 0..4 {
            let options = CompileOptions::default();
            let [dense, own] =
                [&model, &made.model].map(|own| outputs(engine.as_ref(), own, &inputs(&model, seed), &options));
            let pairs = || dense[0].iter().zip(&own[0]);
            error += pairs().map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>();
            whole += pairs().map(|(a, _)| f64::from(*a).powi(2)).sum::<f64>();
        }
        assert!(error < 2e-3 * whole, "{activations:?}: {}", error / whole);
    }
}

#[test]
fn scales_are_those_that_engines_want() {
    let engine = engine();
    let made = written(engine.as_ref(), &residual(), &form()).unwrap();
    let stored = tensors(&made.model);
    let nodes = &made.model.graph().node;
    let maker = |name: &str| nodes.iter().find(|node| node.output.iter().any(|own| own == name)).unwrap();
    let scale = |name: &str| stored[&maker(name).input[1]].to_f32().unwrap();
    for node in nodes.iter().filter(|node| matches!(node.op_type(), "Conv" | "Gemm")) {
        let weight = maker(&node.input[1]);
        // Never along axis 1 of a convolution: engines compute wrong values there without a word.
        assert_eq!(weight.int("axis"), Some(0));
        let weights = stored[&weight.input[0]].to_i64().unwrap();
        assert!(weights.iter().all(|own| (-127..=127).contains(own)));
        let Some(bias) = node.input.get(2) else { continue };
        let (input, own) = (scale(&node.input[0])[0], scale(&node.input[1]));
        for (found, own) in scale(bias).iter().zip(&own) {
            assert_eq!(found.to_bits(), (own * input).to_bits());
        }
    }
    assert!(made.model.opset("").unwrap() >= 13);
}

#[test]
fn images_of_three_channels_get_a_fourth() {
    let engine = engine();
    let model = residual();
    let with = QuantizeForm { pads_images: true, ..form() };
    let without = QuantizeForm { pads_images: false, ..form() };
    let [with, without] = [with, without].map(|form| written(engine.as_ref(), &model, &form).unwrap().model);
    assert_eq!((count(&with, "Pad"), count(&without, "Pad")), (1, 0));
    let plain = CompileOptions { plain: true, ..CompileOptions::default() };
    let [a, b] = [&with, &without].map(|own| outputs(engine.as_ref(), own, &inputs(&model, 3), &plain));
    assert!(a[0].iter().zip(&b[0]).all(|(a, b)| (a - b).abs() < 1e-5));
}

#[test]
fn a_graph_made_ready_computes_what_it_did() {
    let engine = engine();
    let mut b = Builder::new(&[1, 3, 9, 9]).seeded(7);
    let pads = b.ints(&[0, 0, 1, 0, 0, 0, 1, 2]);
    let padded = b.node("Pad", &["x", &pads], &[]);
    let weight = b.weight(&[8, 3, 3, 3]);
    let first = b.node("Conv", &[&padded, &weight], &[("strides", vec![2, 2])]);
    let [gamma, beta, mean] = [0; 3].map(|_| b.weight(&[8]));
    let variance = b.stored(&[8], &[0.5, 1.0, 1.5, 2.0, 0.5, 1.0, 1.5, 2.0]);
    let normal = b.node("BatchNormalization", &[&first, &gamma, &beta, &mean, &variance], &[]);
    let relu = b.relu(&normal);
    let same = b.node("Identity", &[&relu], &[]);
    let pooled = b.node("ReduceMean", &[&same], &[("axes", vec![2, 3]), ("keepdims", vec![0])]);
    let model = b.model(&pooled);
    let Ok(quantizer) = quantizer(&model) else { panic!("it has a convolution") };
    let done = quantizer.readied;
    assert_eq!((done.normalizations, done.pads, done.means), (1, 1, 1));
    for op in ["BatchNormalization", "Pad", "Identity"] {
        assert_eq!(count(quantizer.model(), op), 0, "{op}");
    }
    let options = CompileOptions::default();
    for seed in 0..3 {
        let [a, b] =
            [&model, quantizer.model()].map(|own| outputs(engine.as_ref(), own, &inputs(&model, seed), &options));
        assert!(a[0].iter().zip(&b[0]).all(|(a, b)| (a - b).abs() < 1e-4 * (1.0 + a.abs())), "{a:?} {b:?}");
    }
}

#[test]
fn nodes_stay_in_real_numbers_by_name() {
    let engine = engine();
    let model = residual();
    let all = written(engine.as_ref(), &model, &form()).unwrap();
    let first = all.products[0].clone();
    let form = QuantizeForm { float: [first.clone()].into(), ..form() };
    let made = written(engine.as_ref(), &model, &form).unwrap();
    assert_eq!(made.products.len() + 1, all.products.len());
    assert_eq!(made.float[0].0, first);
}

#[test]
fn a_model_in_integers_is_read_and_written_anew() {
    let engine = engine();
    let model = residual();
    let form = QuantizeForm { pads_images: false, ..form() };
    let once = written(engine.as_ref(), &model, &form).unwrap();
    let twice = written(engine.as_ref(), &once.model, &form).unwrap();
    assert_eq!((once.products.len(), once.values), (twice.products.len(), twice.values));
    let options = CompileOptions::default();
    let [a, b] = [&once.model, &twice.model].map(|own| outputs(engine.as_ref(), own, &inputs(&model, 1), &options));
    let error: f64 = a[0].iter().zip(&b[0]).map(|(a, b)| f64::from(a - b).powi(2)).sum();
    assert!(error < 1e-2 * a[0].iter().map(|a| f64::from(a * a)).sum::<f64>());
}

#[test]
fn an_activation_that_rounding_stood_for_comes_back() {
    let engine = engine();
    let model = residual();
    let once = written(engine.as_ref(), &model, &form()).unwrap();
    assert_eq!(count(&once.model, "Relu"), 0);
    // In real numbers what was negative must be cut off again.
    let again = quantizer(&once.model).unwrap();
    assert!(count(again.model(), "Clip") >= 3 && count(again.model(), "QuantizeLinear") == 0);
    let options = CompileOptions::default();
    let [a, b] = [&model, again.model()].map(|own| outputs(engine.as_ref(), own, &inputs(&model, 1), &options));
    let error: f64 = a[0].iter().zip(&b[0]).map(|(a, b)| f64::from(a - b).powi(2)).sum();
    assert!(error < 1e-2 * a[0].iter().map(|a| f64::from(a * a)).sum::<f64>());
}

#[test]
fn an_input_that_is_an_output_as_well_stays() {
    let engine = engine();
    let mut b = Builder::new(&[1, 4, 6, 6]).seeded(2);
    let first = b.conv("x", 4, 4, 1);
    let mut model = b.model(&first);
    let input = model.graph().input[0].clone();
    model.graph_mut().output.push(input);
    let made = written(engine.as_ref(), &model, &form()).unwrap();
    let feed = inputs(&model, 0);
    let found = outputs(engine.as_ref(), &made.model, &feed, &CompileOptions::default());
    assert_eq!(found[1], feed["x"].to_f32().into_owned());
}

#[test]
fn biases_fit_where_weights_are_all_but_zero() {
    let engine = engine();
    let mut b = Builder::new(&[1, 4, 6, 6]).seeded(2);
    let weight = b.stored(&[2, 4, 1, 1], &[1e-9, 0.0, 0.0, 0.0, 0.5, -0.25, 0.125, 1.0]);
    let bias = b.stored(&[2], &[3.0, 0.5]);
    let first = b.node("Conv", &["x", &weight, &bias], &[]);
    let last = b.conv(&first, 2, 2, 1);
    let model = b.model(&last);
    let made = written(engine.as_ref(), &model, &form()).unwrap();
    let stored = tensors(&made.model);
    let biases = stored.values().filter(|own| own.dtype == onnx_prune::model::DataType::Int32);
    assert!(biases.flat_map(|own| own.to_i64().unwrap()).all(|own| own.abs() <= 1 << 30));
    let proof = prove_integers(engine.as_ref(), &made.model, &inputs(&model, 0), &false.into()).unwrap();
    assert_eq!(proof.broken, Vec::<String>::new());
}
