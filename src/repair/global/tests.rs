//! Derivatives against differences and their transposes, values against the engine, and what rounds may do.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use ndarray::{ArrayD, IxDyn};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::ops::{self, elements};
use super::program::Program;
use super::survey::survey;
use super::{RefineOptions, Refined, Stop, Teacher, refine};
use crate::engine::{Engine, EngineOptions, open};
use crate::model::node::tensor_info;
use crate::model::{DataType, Model, TensorData};
use crate::proto::onnx::attribute_proto::AttributeType;
use crate::proto::onnx::{AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, ValueInfoProto};

fn engine() -> Box<dyn Engine> {
    open(&EngineOptions::default()).unwrap().engine
}

fn random(shape: &[usize], seed: u64) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..shape.iter().product()).map(|_| rng.random_range(-1.0f32..1.0)).collect()
}

/// An attribute's value.
enum Is<'a> {
    Int(i64),
    Ints(&'a [i64]),
    Float(f32),
    Text(&'a str),
}

/// A graph that grows node by node; the image is `x`, the last value `y`.
struct Graph {
    proto: GraphProto,
}

impl Graph {
    fn new(image: &[usize]) -> Self {
        let mut proto = GraphProto { name: Some("g".into()), ..GraphProto::default() };
        proto.input.push(tensor_info("x", DataType::Float as i32, Some(image)));
        proto.output.push(ValueInfoProto { name: Some("y".into()), ..tensor_info("y", DataType::Float as i32, None) });
        Self { proto }
    }

    fn weight(mut self, name: &str, dims: &[usize]) -> Self {
        let values = random(dims, name.bytes().map(u64::from).sum());
        self.proto.initializer.push(TensorData::from_f32(dims.to_vec(), &values).to_proto(name));
        self
    }

    fn positive(mut self, name: &str, dims: &[usize]) -> Self {
        let values: Vec<f32> = random(dims, 9).iter().map(|value| value.abs() + 0.5).collect();
        self.proto.initializer.push(TensorData::from_f32(dims.to_vec(), &values).to_proto(name));
        self
    }

    fn number(mut self, name: &str, value: f32) -> Self {
        self.proto.initializer.push(TensorData::from_f32(Vec::new(), &[value]).to_proto(name));
        self
    }

    fn ints(mut self, name: &str, values: &[i64]) -> Self {
        self.proto.initializer.push(TensorData::from_i64(vec![values.len()], values).to_proto(name));
        self
    }

    fn node(mut self, op: &str, inputs: &[&str], output: &str, attributes: &[(&str, Is<'_>)]) -> Self {
        let attribute = |(name, value): &(&str, Is<'_>)| {
            let mut new = AttributeProto { name: Some((*name).into()), ..AttributeProto::default() };
            let kind = match value {
                Is::Int(int) => {
                    new.i = Some(*int);
                    AttributeType::Int
                }
                Is::Ints(ints) => {
                    new.ints = ints.to_vec();
                    AttributeType::Ints
                }
                Is::Float(float) => {
                    new.f = Some(*float);
                    AttributeType::Float
                }
                Is::Text(text) => {
                    new.s = Some(text.as_bytes().to_vec().into());
                    AttributeType::String
                }
            };
            new.r#type = Some(kind as i32);
            new
        };
        self.proto.node.push(NodeProto {
            op_type: Some(op.into()),
            name: Some(format!("{op}_{output}")),
            input: inputs.iter().map(|name| (*name).into()).collect(),
            output: output.split(' ').map(str::to_owned).collect(),
            attribute: attributes.iter().map(attribute).collect(),
            ..NodeProto::default()
        });
        self
    }

    /// A pointwise convolution with adjustable numbers in front.
    fn mixed(self) -> Self {
        self.weight("wm", &[4, 3, 1, 1]).weight("bm", &[4]).node("Conv", &["x", "wm", "bm"], "m", &[])
    }

    fn model(self) -> Model {
        Model::from_proto(ModelProto {
            ir_version: Some(8),
            opset_import: vec![OperatorSetIdProto { domain: Some(String::new()), version: Some(17) }],
            graph: Some(self.proto),
            ..ModelProto::default()
        })
    }
}

fn images() -> Graph {
    Graph::new(&[2, 3, 7, 6]).mixed()
}

/// One graph for every form of every operator.
#[allow(clippy::too_many_lines, reason = "a table")]
fn cases() -> Vec<(&'static str, Graph)> {
    let unary = |op: &str, attributes: &[(&str, Is<'_>)]| images().node(op, &["m"], "y", attributes);
    let conv = |dims: &[usize], attributes: &[(&str, Is<'_>)]| {
        images().weight("w", dims).weight("b", &dims[..1]).node("Conv", &["m", "w", "b"], "y", attributes)
    };
    let flat_maps = || images().ints("s", &[0, 4, -1]).node("Reshape", &["m", "s"], "f", &[]);
    let flat = || images().node("Flatten", &["m"], "f", &[]);
    let two = |op: &str| {
        images().weight("w2", &[4, 3, 1, 1]).node("Conv", &["x", "w2"], "n", &[]).node(op, &["m", "n"], "y", &[])
    };
    let gate = || images().node("GlobalAveragePool", &["m"], "p", &[]).node("Sigmoid", &["p"], "s", &[]);
    vec![
        ("conv", conv(&[5, 4, 3, 3], &[("pads", Is::Ints(&[1, 1, 1, 1]))])),
        (
            "conv, strides and uneven pads",
            conv(&[5, 4, 3, 2], &[("pads", Is::Ints(&[0, 1, 2, 1])), ("strides", Is::Ints(&[2, 3]))]),
        ),
        (
            "conv, dilations",
            conv(&[5, 4, 3, 3], &[("dilations", Is::Ints(&[2, 1])), ("pads", Is::Ints(&[2, 0, 1, 1]))]),
        ),
        ("conv, groups", conv(&[6, 2, 3, 3], &[("group", Is::Int(2)), ("pads", Is::Ints(&[1, 1, 1, 1]))])),
        (
            "conv, depthwise",
            conv(
                &[4, 1, 3, 3],
                &[("group", Is::Int(4)), ("strides", Is::Ints(&[2, 2])), ("pads", Is::Ints(&[1, 1, 1, 1]))],
            ),
        ),
        ("conv, same", conv(&[5, 4, 3, 3], &[("auto_pad", Is::Text("SAME_UPPER")), ("strides", Is::Ints(&[2, 2]))])),
        ("conv, pointwise and strided", conv(&[5, 4, 1, 1], &[("strides", Is::Ints(&[2, 2]))])),
        (
            "gemm",
            flat().weight("w", &[5, 168]).weight("b", &[5]).node(
                "Gemm",
                &["f", "w", "b"],
                "y",
                &[("transB", Is::Int(1)), ("alpha", Is::Float(0.5))],
            ),
        ),
        (
            "transposed convolution",
            images().weight("w", &[4, 2, 3, 2]).weight("b", &[4]).node(
                "ConvTranspose",
                &["m", "w", "b"],
                "y",
                &[("strides", Is::Ints(&[2, 1])), ("pads", Is::Ints(&[1, 0, 0, 1])), ("group", Is::Int(2))],
            ),
        ),
        (
            "transposed convolution over one axis",
            flat_maps().weight("w", &[4, 5, 4]).node(
                "ConvTranspose",
                &["f", "w"],
                "y",
                &[("strides", Is::Ints(&[3])), ("auto_pad", Is::Text("SAME_LOWER"))],
            ),
        ),
        (
            "convolution over one axis",
            flat_maps().weight("w", &[5, 4, 3]).node("Conv", &["f", "w"], "y", &[("dilations", Is::Ints(&[2]))]),
        ),
        ("gemm, plain", flat().weight("w", &[168, 5]).node("Gemm", &["f", "w"], "y", &[])),
        ("matmul", images().weight("w", &[6, 5]).node("MatMul", &["m", "w"], "y", &[])),
        (
            "batch normalization",
            images().weight("s", &[4]).weight("h", &[4]).weight("mean", &[4]).positive("var", &[4]).node(
                "BatchNormalization",
                &["m", "s", "h", "mean", "var"],
                "y",
                &[],
            ),
        ),
        ("relu", unary("Relu", &[])),
        ("leaky relu", unary("LeakyRelu", &[("alpha", Is::Float(0.3))])),
        ("clip", images().number("lo", -0.4).number("hi", 0.5).node("Clip", &["m", "lo", "hi"], "y", &[])),
        ("sigmoid", unary("Sigmoid", &[])),
        ("hard sigmoid", unary("HardSigmoid", &[])),
        ("hard swish", unary("HardSwish", &[])),
        ("tanh", unary("Tanh", &[])),
        ("elu", unary("Elu", &[])),
        ("softplus", unary("Softplus", &[])),
        ("erf", unary("Erf", &[])),
        ("add", two("Add")),
        ("sub", two("Sub")),
        ("mul", two("Mul")),
        ("the same value twice", images().node("Mul", &["m", "m"], "y", &[])),
        (
            "constant",
            images().weight("c", &[4, 1, 1]).node("Mul", &["m", "c"], "n", &[]).number("d", 3.0).node(
                "Div",
                &["n", "d"],
                "y",
                &[],
            ),
        ),
        ("constant first", images().weight("c", &[4, 1, 1]).node("Sub", &["c", "m"], "y", &[])),
        ("gate", gate().node("Mul", &["s", "m"], "y", &[])),
        ("pad", images().ints("p", &[0, 1, 0, 2, 0, 0, 1, 0]).node("Pad", &["m", "p"], "y", &[])),
        (
            "slice",
            images().ints("a", &[1, 6]).ints("e", &[7, -9]).ints("x2", &[2, 3]).ints("t", &[2, -1]).node(
                "Slice",
                &["m", "a", "e", "x2", "t"],
                "y",
                &[],
            ),
        ),
        ("concat", images().node("Concat", &["m", "x", "m"], "y", &[("axis", Is::Int(1))])),
        ("split", images().node("Split", &["m"], "u v", &[("axis", Is::Int(1))]).node("Mul", &["u", "v"], "y", &[])),
        ("transpose", images().node("Transpose", &["m"], "y", &[("perm", Is::Ints(&[0, 2, 3, 1]))])),
        ("reshape", images().ints("s", &[2, 2, 2, -1]).node("Reshape", &["m", "s"], "y", &[])),
        (
            "squeeze",
            images().ints("s", &[0, 2]).node("Unsqueeze", &["m", "s"], "n", &[]).ints("q", &[2]).node(
                "Squeeze",
                &["n", "q"],
                "y",
                &[],
            ),
        ),
        ("global average", images().node("GlobalAveragePool", &["m"], "y", &[])),
        ("mean", images().node("ReduceMean", &["m"], "y", &[("axes", Is::Ints(&[3, 1])), ("keepdims", Is::Int(0))])),
        (
            "average pool",
            images().node(
                "AveragePool",
                &["m"],
                "y",
                &[
                    ("kernel_shape", Is::Ints(&[3, 2])),
                    ("strides", Is::Ints(&[2, 2])),
                    ("pads", Is::Ints(&[1, 0, 1, 1])),
                ],
            ),
        ),
        (
            "average pool with its padding",
            images().node(
                "AveragePool",
                &["m"],
                "y",
                &[
                    ("kernel_shape", Is::Ints(&[3, 3])),
                    ("pads", Is::Ints(&[1, 1, 1, 1])),
                    ("count_include_pad", Is::Int(1)),
                ],
            ),
        ),
        (
            "max pool",
            images().node(
                "MaxPool",
                &["m"],
                "y",
                &[
                    ("kernel_shape", Is::Ints(&[3, 3])),
                    ("strides", Is::Ints(&[2, 2])),
                    ("pads", Is::Ints(&[1, 1, 1, 1])),
                ],
            ),
        ),
        ("identity", images().node("Identity", &["m"], "y", &[])),
    ]
}

fn program(model: &Model, image: &ArrayD<f32>) -> Program {
    let seen = survey(model, engine().as_ref(), "x", image, &ops::is_known).unwrap();
    let mut program = Program::build(model, &seen, "x");
    let last = program.values.iter().position(|value| value.name == "y");
    program.aim(&last.into_iter().collect::<Vec<_>>());
    program
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

#[test]
#[allow(clippy::cast_possible_truncation, reason = "differences of single precision")]
fn derivatives_are_differences_and_their_transposes() {
    for (name, graph) in cases() {
        let model = graph.model();
        let image = ArrayD::from_shape_vec(IxDyn(&[2, 3, 7, 6]), random(&[2, 3, 7, 6], 3)).unwrap();
        let program = program(&model, &image);
        assert!(program.left_out.is_empty(), "{name}: {:?}", program.left_out);
        let numbers = program.numbers.clone();
        let (trace, at) = program.forward(&image, &numbers, true).unwrap();
        let direction = random(&[numbers.len()], 11);
        let change = program.jvp(&trace, &numbers, &direction)[0].clone().unwrap();
        // Both sides of a step that is small enough to cross few corners.
        let size = 2e-3f32;
        let moved = |sign: f32| {
            let there: Vec<f32> = numbers.iter().zip(&direction).map(|(n, d)| n + sign * size * d).collect();
            program.forward(&image, &there, false).unwrap().1[0].clone()
        };
        let difference = (moved(1.0) - moved(-1.0)) / (2.0 * size);
        let scale = elements(&difference).iter().fold(0f32, |most, value| most.max(value.abs()));
        let off = elements(&difference).iter().zip(elements(&change)).filter(|(a, b)| (*a - *b).abs() > 0.01 * scale);
        let off = off.count();
        assert!(off * 50 <= change.len(), "{name}: {off} of {} numbers differ", change.len());
        let up = ArrayD::from_shape_vec(at[0].raw_dim(), random(at[0].shape(), 13)).unwrap();
        let mut gradient = vec![0.0; numbers.len()];
        program.vjp(&trace, &numbers, vec![Some(up.clone())], &mut gradient, &mut |_, _| {});
        let (left, right) = (dot(elements(&change), elements(&up)), dot(&direction, &gradient));
        let size = (dot(elements(&change), elements(&change)) * dot(elements(&up), elements(&up))).sqrt();
        assert!((left - right).abs() <= 1e-4 * size, "{name}: {left} and {right}");
    }
}

/// A small network of two blocks; `width` is that of the first.
fn network(width: usize, exotic: bool) -> Model {
    let pads = || [("pads", Is::Ints(&[1, 1, 1, 1]))];
    let graph = Graph::new(&[4, 3, 8, 8])
        .weight("w1", &[width, 3, 3, 3])
        .weight("b1", &[width])
        .node("Conv", &["x", "w1", "b1"], "c1", &pads())
        .node("Relu", &["c1"], "r1", &[])
        .weight("w2", &[6, width, 3, 3])
        .weight("b2", &[6])
        .node("Conv", &["r1", "w2", "b2"], "c2", &pads())
        .node("Relu", &["c2"], "r2", &[])
        .node("GlobalAveragePool", &["r2"], "g", &[]);
    let graph = if exotic { graph.node("Sin", &["g"], "s", &[]) } else { graph.node("Identity", &["g"], "s", &[]) };
    graph.node("Flatten", &["s"], "f", &[]).weight("w3", &[6, 5]).node("MatMul", &["f", "w3"], "y", &[]).model()
}

fn some_images() -> Vec<ArrayD<f32>> {
    (0..5)
        .map(|seed| ArrayD::from_shape_vec(IxDyn(&[12, 3, 8, 8]), random(&[12, 3, 8, 8], 100 + seed)).unwrap())
        .collect()
}

fn refined(dense: &Model, pruned: &mut Model) -> Refined {
    taught(&Teacher { model: dense, kept: BTreeMap::new() }, pruned)
}

fn taught(teacher: &Teacher<'_>, pruned: &mut Model) -> Refined {
    let options = RefineOptions { rounds: 4, draws: 6, images_per_draw: 32, ..RefineOptions::default() };
    refine(teacher, pruned, engine().as_ref(), &some_images(), &options, &AtomicBool::new(false)).unwrap()
}

#[test]
fn held_out_images_never_get_worse() {
    let (dense, mut pruned) = (network(8, false), network(5, false));
    let report = refined(&dense, &mut pruned);
    assert!(report.errors.windows(2).all(|pair| pair[1] <= pair[0]), "{report:?}");
    assert!(report.kept > 0 && report.errors[0] > *report.errors.last().unwrap(), "{report:?}");
    assert!(report.left_out.is_empty() && report.nodes == 3, "{report:?}");
}

#[test]
fn draws_that_are_too_small_are_not_learned_by_heart() {
    let (dense, mut pruned) = (network(8, false), network(5, false));
    let before = pruned.clone();
    let options = RefineOptions { least_draw: usize::MAX, ..RefineOptions::default() };
    let teacher = Teacher { model: &dense, kept: BTreeMap::new() };
    let cancel = AtomicBool::new(false);
    let report = refine(&teacher, &mut pruned, engine().as_ref(), &some_images(), &options, &cancel).unwrap();
    assert_eq!((report.rounds, report.stopped_by), (0, Stop::Nothing));
    assert!(report.left_out[0].1.contains("too few to learn from"), "{:?}", report.left_out);
    assert_eq!(before.graph(), pruned.graph());
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let results = [1, 2, 3].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut pruned = network(5, false);
            let report = refined(&network(8, false), &mut pruned);
            (report, pruned.to_bytes())
        })
    });
    assert!(results[0].0.kept > 0);
    assert!(results.iter().all(|result| *result == results[0]));
}

#[test]
fn what_comes_after_an_unknown_operator_is_left_and_named() {
    let (dense, mut pruned) = (network(8, true), network(5, true));
    let before = pruned.clone();
    let report = refined(&dense, &mut pruned);
    assert_eq!(report.compared, ["r2", "g"].map(str::to_owned));
    assert!(report.left_out.iter().any(|(node, why)| node == "Sin_s" && why.contains("Sin")), "{report:?}");
    assert!(report.left_out.iter().any(|(node, _)| node == "MatMul_y"), "{report:?}");
    let last = |model: &Model| model.graph().initializer.iter().find(|own| own.name() == "w3").cloned();
    assert_eq!(last(&pruned), last(&before));
    assert_eq!(report.nodes, 2);
}

#[test]
fn shared_weights_stay() {
    let shared = |width: usize| {
        Graph::new(&[4, 3, 8, 8])
            .weight("w", &[3, 3, 1, 1])
            .node("Conv", &["x", "w"], "a", &[])
            .node("Conv", &["a", "w"], "b", &[])
            .weight("v", &[width, 3, 1, 1])
            .node("Conv", &["b", "v"], "c", &[])
            .node("Relu", &["c"], "d", &[])
            .weight("u", &[2, width, 1, 1])
            .node("Conv", &["d", "u"], "y", &[])
            .model()
    };
    let report = refined(&shared(6), &mut shared(4));
    assert_eq!(report.nodes, 2);
    assert_eq!(report.left_out.len(), 2, "{report:?}");
}

#[test]
fn cut_values_are_compared_where_no_other_is() {
    let plain = |width: usize| {
        let mut graph = Graph::new(&[4, 3, 8, 8]);
        let mut from = ("x".to_owned(), 3);
        for layer in 0..5 {
            let [weight, sum, out] = ["w", "c", "r"].map(|letter| format!("{letter}{layer}"));
            graph = graph.weight(&weight, &[width, from.1, 1, 1]).node("Conv", &[&from.0, &weight], &sum, &[]);
            graph = graph.node("Relu", &[&sum], &out, &[]);
            from = (out, width);
        }
        graph.weight("v", &[2, width, 1, 1]).node("Conv", &[&from.0, "v"], "y", &[]).model()
    };
    let (dense, pruned) = (plain(6), plain(4));
    assert_eq!(refined(&dense, &mut pruned.clone()).compared, ["y"]);
    let kept = (0..5).map(|layer| (format!("r{layer}"), (1, vec![0, 2, 3, 5]))).collect();
    let report = taught(&Teacher { model: &dense, kept }, &mut pruned.clone());
    assert_eq!(report.compared, ["r0", "r1", "r2", "r3", "r4", "y"]);
    assert!(report.kept > 0, "{report:?}");
    // Indices that do not fit are not used.
    let kept = (0..5).map(|layer| (format!("r{layer}"), (1, vec![0, 2, 3, 6]))).collect();
    assert_eq!(taught(&Teacher { model: &dense, kept }, &mut pruned.clone()).compared, ["y"]);
}

#[test]
fn computed_weights_stay() {
    let model = |width: usize| {
        Graph::new(&[4, 3, 8, 8])
            .weight("v", &[width, 3, 1, 1])
            .node("Conv", &["x", "v"], "c", &[])
            .weight("u", &[width, 2, 1, 1])
            .node("Transpose", &["u"], "t", &[("perm", Is::Ints(&[1, 0, 2, 3]))])
            .node("Conv", &["c", "t"], "y", &[])
            .model()
    };
    let report = refined(&model(5), &mut model(4));
    assert_eq!(report.nodes, 1);
    assert_eq!(report.left_out.len(), 1, "{report:?}");
}

#[test]
fn nothing_in_common_is_said() {
    let (dense, mut pruned) = (Graph::new(&[4, 3, 8, 8]).node("Sin", &["x"], "y", &[]).model(), network(5, false));
    let before = pruned.to_bytes();
    let report = refined(&dense, &mut pruned);
    assert_eq!(report.stopped_by, Stop::Nothing);
    assert!(!report.left_out.is_empty());
    assert_eq!(pruned.to_bytes(), before);
}
