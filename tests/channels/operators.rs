//! Every operator family alone, between two convolutions: what may be cut, and that the cut holds.

use onnx_prune::channels::{AnalyseOptions, analyse};
use onnx_prune::model::Model;
use onnx_prune::proto::onnx::attribute_proto::AttributeType;
use onnx_prune::proto::onnx::{AttributeProto, GraphProto};

use crate::support::{self, Builder};
use crate::{engine, survives};

/// What stands between the convolutions: reads `[1, 8, 6, 6]` and gives a value with its channels.
type Middle = fn(&mut Builder, &str) -> (String, usize);

enum Expect {
    /// The first convolution's channels can be cut, in so many atoms.
    Free(usize),
    /// They stay, and the reason says this.
    Stays(&'static str),
}

use Expect::{Free, Stays};

fn model(middle: Middle, opset: i64) -> Model {
    let mut b = Builder::new(&[1, 4, 6, 6]);
    let first = b.conv("x", 4, 8, 1);
    let (last, channels) = middle(&mut b, &first);
    let second = b.conv(&last, channels, 5, 1);
    let pooled = b.node("GlobalAveragePool", &[&second], &[]);
    let mut model = b.model(&pooled);
    model.proto_mut().opset_import[0].version = Some(opset);
    if opset > 20 {
        model.proto_mut().ir_version = Some(10);
    }
    if model.graph().node.iter().any(|node| node.domain() == "com.microsoft") {
        let domain = Some("com.microsoft".to_owned());
        model.proto_mut().opset_import.push(onnx_prune::proto::onnx::OperatorSetIdProto { domain, version: Some(1) });
    }
    model
}

/// Why the case fails, if it does; `None` if the engine at hand does not know the operator.
fn judge(middle: Middle, opset: i64, expect: &Expect) -> Option<Result<(), String>> {
    let engine = engine();
    let model = model(middle, opset);
    let feed = onnx_prune::verify::random_inputs(&onnx_prune::verify::input_specs(&model), &Default::default(), 1, 1);
    if let Err(why) = crate::shapes(engine.as_ref(), &model, &feed) {
        return if engine.info().name == "tract" { None } else { Some(Err(format!("the graph itself: {why}"))) };
    }
    let channels = analyse(&model, &AnalyseOptions::default());
    let opaque = channels.opaque.iter().next().filter(|_| matches!(expect, Free(_)));
    if let Some((op, found)) = opaque {
        return Some(Err(format!("{op} is opaque: {}", found.why)));
    }
    let coupled: Vec<_> = (0..8).map(|index| channels.coupled(0, index).unwrap()).collect();
    match expect {
        Stays(why) => {
            let reasons: Vec<String> =
                coupled.iter().flat_map(|coupled| &coupled.reasons).map(ToString::to_string).collect();
            let said = reasons.iter().any(|reason| reason.contains(why));
            if !said || coupled.iter().all(|coupled| coupled.atom.is_some()) {
                return Some(Err(format!("expected to stay: {why}; found {reasons:?}")));
            }
        }
        Free(atoms) => {
            let found: std::collections::BTreeSet<_> = coupled.iter().filter_map(|coupled| coupled.atom).collect();
            if found.len() != *atoms {
                return Some(Err(format!("{} atoms, expected {atoms}: {:?}", found.len(), channels.protected)));
            }
            for coupled in coupled.iter().filter(|coupled| *atoms > 1 && coupled.atom.is_some()) {
                if let Err(why) = survives(engine.as_ref(), &model, &channels, &coupled.cut, 1) {
                    return Some(Err(why));
                }
            }
        }
    }
    Some(Ok(()))
}

/// Runs a table and reports every row that fails.
fn table(rows: &[(&str, i64, Middle, Expect)]) {
    let mut failed = Vec::new();
    for (name, opset, middle, expect) in rows {
        match judge(*middle, *opset, expect) {
            None => println!("skipped: {name}: the embedded engine does not run it"),
            Some(Err(why)) => failed.push(format!("{name}: {why}")),
            Some(Ok(())) => {}
        }
    }
    assert!(failed.is_empty(), "{} of {} rows:\n{}", failed.len(), rows.len(), failed.join("\n"));
}

/// One node with integer attributes that keeps the channels.
macro_rules! same {
    ($op:literal $(, $name:literal = $values:expr)*) => {
        |b, x| (b.node($op, &[x], &[$(($name, $values)),*]), 8)
    };
}

#[test]
fn one_input_one_output() {
    table(&[
        ("Relu", 17, same!("Relu"), Free(8)),
        ("Abs", 17, same!("Abs"), Free(8)),
        ("Atan", 17, same!("Atan"), Free(8)),
        ("Ceil", 17, same!("Ceil"), Free(8)),
        ("Celu", 17, same!("Celu"), Free(8)),
        ("Cos", 17, same!("Cos"), Free(8)),
        ("Elu", 17, same!("Elu"), Free(8)),
        ("Erf", 17, same!("Erf"), Free(8)),
        ("Exp", 17, same!("Exp"), Free(8)),
        ("Floor", 17, same!("Floor"), Free(8)),
        ("HardSigmoid", 17, same!("HardSigmoid"), Free(8)),
        ("HardSwish", 17, same!("HardSwish"), Free(8)),
        ("Gelu", 20, same!("Gelu"), Free(8)),
        ("LeakyRelu", 17, same!("LeakyRelu"), Free(8)),
        ("Mish", 18, same!("Mish"), Free(8)),
        ("Neg", 17, same!("Neg"), Free(8)),
        ("Round", 17, same!("Round"), Free(8)),
        ("Selu", 17, same!("Selu"), Free(8)),
        ("Shrink", 17, same!("Shrink"), Free(8)),
        ("Sigmoid", 17, same!("Sigmoid"), Free(8)),
        ("Sign", 17, same!("Sign"), Free(8)),
        ("Sin", 17, same!("Sin"), Free(8)),
        ("Softplus", 17, same!("Softplus"), Free(8)),
        ("Softsign", 17, same!("Softsign"), Free(8)),
        ("Tanh", 17, same!("Tanh"), Free(8)),
        ("ThresholdedRelu", 17, same!("ThresholdedRelu"), Free(8)),
        ("Identity", 17, same!("Identity"), Free(8)),
        ("Dropout", 17, same!("Dropout"), Free(8)),
        ("MeanVarianceNormalization", 17, same!("MeanVarianceNormalization"), Free(8)),
        ("MaxPool", 17, same!("MaxPool", "kernel_shape" = vec![2, 2]), Free(8)),
        ("AveragePool", 17, same!("AveragePool", "kernel_shape" = vec![2, 2], "pads" = vec![1; 4]), Free(8)),
        ("LpPool", 17, same!("LpPool", "kernel_shape" = vec![2, 2]), Free(8)),
        ("Softmax over channels", 17, same!("Softmax", "axis" = vec![1]), Stays("normalises over this axis")),
        ("Softmax over positions", 17, same!("Softmax", "axis" = vec![3]), Free(8)),
        ("Softmax before opset 13 flattens", 11, same!("Softmax", "axis" = vec![2]), Free(8)),
        ("LogSoftmax", 17, same!("LogSoftmax", "axis" = vec![1]), Stays("normalises over this axis")),
        ("LRN", 17, same!("LRN", "size" = vec![3]), Stays("mixes neighbouring channels")),
        ("LpNormalization", 17, same!("LpNormalization", "axis" = vec![1]), Free(8)),
        (
            "Clip",
            17,
            |b, x| {
                let (low, high) = (b.number(-0.5), b.number(0.5));
                (b.node("Clip", &[x, &low, &high], &[]), 8)
            },
            Free(8),
        ),
        (
            "Cast there and back",
            17,
            |b, x| {
                let half = b.node("Cast", &[x], &[("to", vec![10])]);
                (b.node("Cast", &[&half], &[("to", vec![1])]), 8)
            },
            Free(8),
        ),
        (
            "quantised and back",
            17,
            |b, x| {
                let (scale, zero) = (b.number(0.05), b.zero_point());
                let small = b.node("QuantizeLinear", &[x, &scale, &zero], &[]);
                (b.node("DequantizeLinear", &[&small, &scale, &zero], &[]), 8)
            },
            Free(8),
        ),
    ]);
}

#[test]
fn values_that_meet() {
    table(&[
        (
            "Add of one per channel",
            17,
            |b, x| {
                let w = b.weight(&[8, 1, 1]);
                (b.node("Add", &[&w, x], &[]), 8)
            },
            Free(8),
        ),
        (
            "Mul by all",
            17,
            |b, x| {
                let w = b.weight(&[1, 8, 6, 6]);
                (b.node("Mul", &[x, &w], &[]), 8)
            },
            Free(8),
        ),
        (
            "Sub of a number",
            17,
            |b, x| {
                let w = b.number(0.5);
                (b.node("Sub", &[x, &w], &[]), 8)
            },
            Free(8),
        ),
        (
            "Div by one per column",
            17,
            |b, x| {
                let w = b.weight(&[6]);
                (b.node("Div", &[x, &w], &[]), 8)
            },
            Free(8),
        ),
        (
            "Sum of three",
            17,
            |b, x| {
                let r = b.relu(x);
                (b.node("Sum", &[x, &r, x], &[]), 8)
            },
            Free(8),
        ),
        (
            "Max and Min",
            17,
            |b, x| {
                let n = b.node("Neg", &[x], &[]);
                let most = b.node("Max", &[x, &n], &[]);
                (b.node("Min", &[&most, x], &[]), 8)
            },
            Free(8),
        ),
        (
            "Mean",
            17,
            |b, x| {
                let r = b.relu(x);
                (b.node("Mean", &[x, &r], &[]), 8)
            },
            Free(8),
        ),
        (
            "Where",
            17,
            |b, x| {
                let zero = b.number(0.0);
                let above = b.node("Greater", &[x, &zero], &[]);
                let n = b.node("Neg", &[x], &[]);
                (b.node("Where", &[&above, x, &n], &[]), 8)
            },
            Free(8),
        ),
        (
            "PRelu",
            17,
            |b, x| {
                let w = b.weight(&[8, 1, 1]);
                (b.node("PRelu", &[x, &w], &[]), 8)
            },
            Free(8),
        ),
        (
            "residual",
            17,
            |b, x| {
                let y = b.conv(x, 8, 8, 1);
                (b.node("Add", &[x, &y], &[]), 8)
            },
            Free(8),
        ),
        (
            "one map for all",
            17,
            |b, x| {
                let y = b.conv(x, 8, 1, 1);
                (b.node("Mul", &[&y, x], &[]), 8)
            },
            Free(8),
        ),
        (
            "the input itself",
            17,
            |b, x| {
                let y = b.conv(x, 8, 4, 1);
                (b.node("Add", &["x", &y], &[]), 4)
            },
            Free(8),
        ),
    ]);
}

#[test]
fn statistics() {
    table(&[
        (
            "BatchNormalization",
            17,
            |b, x| {
                let p: Vec<String> = (0..3).map(|_| b.weight(&[8])).collect();
                let variance = b.floats(&[0.5, 1.0, 2.0, 0.7, 0.9, 1.1, 1.3, 0.6]);
                (b.node("BatchNormalization", &[x, &p[0], &p[1], &p[2], &variance], &[]), 8)
            },
            Free(8),
        ),
        (
            "InstanceNormalization",
            17,
            |b, x| {
                let (s, t) = (b.weight(&[8]), b.weight(&[8]));
                (b.node("InstanceNormalization", &[x, &s, &t], &[]), 8)
            },
            Free(8),
        ),
        (
            "GroupNormalization",
            21,
            |b, x| {
                let (s, t) = (b.weight(&[8]), b.weight(&[8]));
                (b.node("GroupNormalization", &[x, &s, &t], &[("num_groups", vec![4])]), 8)
            },
            Free(4),
        ),
        (
            "LayerNormalization over channels last",
            17,
            |b, x| {
                let (s, t) = (b.weight(&[8]), b.weight(&[8]));
                let last = b.node("Transpose", &[x], &[("perm", vec![0, 2, 3, 1])]);
                let normal = b.node("LayerNormalization", &[&last, &s, &t], &[]);
                (b.node("Transpose", &[&normal], &[("perm", vec![0, 3, 1, 2])]), 8)
            },
            Free(8),
        ),
        (
            "LayerNormalization over everything",
            17,
            |b, x| {
                let s = b.weight(&[8, 6, 6]);
                (b.node("LayerNormalization", &[x, &s], &[("axis", vec![1])]), 8)
            },
            Free(8),
        ),
        (
            "mean over positions",
            17,
            |b, x| {
                let m = b.node("ReduceMean", &[x], &[("axes", vec![2, 3])]);
                (b.node("Mul", &[x, &m], &[]), 8)
            },
            Free(8),
        ),
        (
            "mean over channels",
            17,
            |b, x| {
                let m = b.node("ReduceMean", &[x], &[("axes", vec![1])]);
                (b.node("Sub", &[x, &m], &[]), 8)
            },
            Free(8),
        ),
        (
            "norm over channels",
            17,
            |b, x| {
                let m = b.node("ReduceL2", &[x], &[("axes", vec![1])]);
                (b.node("Div", &[x, &m], &[]), 8)
            },
            Free(8),
        ),
        (
            "product over channels",
            17,
            |b, x| {
                let m = b.node("ReduceProd", &[x], &[("axes", vec![1])]);
                (b.node("Sub", &[x, &m], &[]), 8)
            },
            Stays("needs every channel"),
        ),
        (
            "best channel",
            17,
            |b, x| {
                let m = b.node("ArgMax", &[x], &[("axis", vec![1])]);
                let m = b.node("Cast", &[&m], &[("to", vec![1])]);
                (b.node("Mul", &[x, &m], &[]), 8)
            },
            Stays("needs every channel"),
        ),
        (
            "best channels",
            17,
            |b, x| {
                let (k, names) = (b.ints(&[3]), b.pair());
                b.nodes("TopK", &[x, &k], &[("axis", vec![1])], names.clone());
                (names[0].clone(), 3)
            },
            Stays("compares all of this axis"),
        ),
        (
            "running sum",
            17,
            |b, x| {
                let a = b.scalar_int(1);
                (b.node("CumSum", &[x, &a], &[]), 8)
            },
            Stays("normalises over"),
        ),
        (
            "squeeze and excitation",
            17,
            |b, x| {
                let pooled = b.node("GlobalAveragePool", &[x], &[]);
                let (down, up) = (b.weight(&[3, 8, 1, 1]), b.weight(&[8, 3, 1, 1]));
                let low = b.node("Conv", &[&pooled, &down], &[]);
                let high = b.node("Conv", &[&low, &up], &[]);
                let gate = b.node("HardSigmoid", &[&high], &[]);
                (b.node("Mul", &[x, &gate], &[]), 8)
            },
            Free(8),
        ),
    ]);
}

#[test]
fn channels_that_move() {
    table(&[
        ("Concat with itself", 17, |b, x| (b.node("Concat", &[x, x], &[("axis", vec![1])]), 16), Free(8)),
        ("Concat with the input", 17, |b, x| (b.node("Concat", &["x", x], &[("axis", vec![1])]), 12), Free(8)),
        ("Concat over height", 17, |b, x| (b.node("Concat", &[x, x], &[("axis", vec![2])]), 8), Free(8)),
        (
            "Split without sizes",
            17,
            |b, x| {
                let names = b.pair();
                b.nodes("Split", &[x], &[("axis", vec![1])], names.clone());
                (b.node("Mul", &[&names[0], &names[1]], &[]), 4)
            },
            Free(4),
        ),
        (
            "Split by an attribute",
            11,
            |b, x| {
                let names = b.pair();
                b.nodes("Split", &[x], &[("axis", vec![1]), ("split", vec![5, 3])], names.clone());
                (b.node("Concat", &[&names[1], &names[0]], &[("axis", vec![1])]), 8)
            },
            Free(8),
        ),
        (
            "Slice",
            17,
            |b, x| {
                let (s, e, a) = (b.ints(&[-6]), b.ints(&[7]), b.ints(&[-3]));
                (b.node("Slice", &[x, &s, &e, &a], &[]), 5)
            },
            Free(8),
        ),
        (
            "Slice backwards",
            17,
            |b, x| {
                let (s, e, a, t) = (b.ints(&[-1]), b.ints(&[i64::MIN]), b.ints(&[1]), b.ints(&[-1]));
                (b.node("Slice", &[x, &s, &e, &a, &t], &[]), 8)
            },
            Free(8),
        ),
        (
            "Slice of every other channel",
            17,
            |b, x| {
                let (s, e, a, t) = (b.ints(&[0]), b.ints(&[8]), b.ints(&[1]), b.ints(&[2]));
                (b.node("Slice", &[x, &s, &e, &a, &t], &[]), 4)
            },
            Free(8),
        ),
        (
            "Slice of positions",
            17,
            |b, x| {
                let (s, e, a, t) = (b.ints(&[0, 0]), b.ints(&[6, 6]), b.ints(&[2, 3]), b.ints(&[2, 2]));
                (b.node("Slice", &[x, &s, &e, &a, &t], &[]), 8)
            },
            Free(8),
        ),
        (
            "Gather with repeats",
            17,
            |b, x| {
                let i = b.ints(&[7, 0, 0, -2]);
                (b.node("Gather", &[x, &i], &[("axis", vec![1])]), 4)
            },
            Free(8),
        ),
        (
            "Gather of one",
            17,
            |b, x| {
                let (i, a) = (b.scalar_int(2), b.ints(&[1]));
                let one = b.node("Gather", &[x, &i], &[("axis", vec![1])]);
                let one = b.node("Unsqueeze", &[&one, &a], &[]);
                (b.node("Mul", &[x, &one], &[]), 8)
            },
            Free(7),
        ),
        (
            "Pad with channels",
            17,
            |b, x| {
                let p = b.ints(&[0, 2, 0, 0, 0, 1, 0, 0]);
                (b.node("Pad", &[x, &p], &[]), 11)
            },
            Free(8),
        ),
        (
            "Pad of positions",
            17,
            |b, x| {
                let p = b.ints(&[0, 0, 1, 1, 0, 0, 0, 2]);
                (b.node("Pad", &[x, &p], &[]), 8)
            },
            Free(8),
        ),
        (
            "shuffle",
            17,
            |b, x| {
                let (apart, together) = (b.ints(&[0, 2, 4, 6, 6]), b.ints(&[0, -1, 6, 6]));
                let apart = b.node("Reshape", &[x, &apart], &[]);
                let swapped = b.node("Transpose", &[&apart], &[("perm", vec![0, 2, 1, 3, 4])]);
                (b.node("Reshape", &[&swapped, &together], &[]), 8)
            },
            Free(4),
        ),
        (
            "Squeeze and Unsqueeze",
            17,
            |b, x| {
                let a = b.ints(&[0, 3]);
                let wide = b.node("Unsqueeze", &[x, &a], &[]);
                (b.node("Squeeze", &[&wide, &a], &[]), 8)
            },
            Free(8),
        ),
        (
            "Expand",
            17,
            |b, x| {
                let (pooled, shape) = (b.node("GlobalAveragePool", &[x], &[]), b.ints(&[1, 8, 6, 6]));
                let wide = b.node("Expand", &[&pooled, &shape], &[]);
                (b.node("Add", &[x, &wide], &[]), 8)
            },
            Free(8),
        ),
        (
            "Tile",
            17,
            |b, x| {
                let r = b.ints(&[1, 2, 1, 1]);
                (b.node("Tile", &[x, &r], &[]), 16)
            },
            Free(8),
        ),
        (
            "Resize to sizes",
            17,
            |b, x| {
                let s = b.ints(&[1, 8, 9, 9]);
                (b.node("Resize", &[x, "", "", &s], &[]), 8)
            },
            Free(8),
        ),
        (
            "Resize by scales",
            17,
            |b, x| {
                let s = b.floats(&[1.0, 1.0, 2.0, 2.0]);
                (b.node("Resize", &[x, "", &s], &[]), 8)
            },
            Free(8),
        ),
        (
            "Upsample",
            9,
            |b, x| {
                let s = b.floats(&[1.0, 1.0, 2.0, 2.0]);
                (b.node("Upsample", &[x, &s], &[]), 8)
            },
            Free(8),
        ),
        ("DepthToSpace", 17, |b, x| (b.node("DepthToSpace", &[x], &[("blocksize", vec![2])]), 2), Free(2)),
        (
            "DepthToSpace by columns",
            17,
            |b, x| {
                let out = b.with_text("DepthToSpace", &[x], ("mode", "CRD"));
                b.graph.node.last_mut().unwrap().attribute.push(int("blocksize", 2));
                (out, 2)
            },
            Free(2),
        ),
        ("SpaceToDepth", 17, |b, x| (b.node("SpaceToDepth", &[x], &[("blocksize", vec![2])]), 32), Free(8)),
        (
            "overwritten",
            17,
            |b, x| {
                let (i, u) = (b.table(&[1, 2], &[0, 3]), b.weight(&[1, 6, 6]));
                (b.node("ScatterND", &[x, &i, &u], &[]), 8)
            },
            Stays("writes at places"),
        ),
        (
            "sampled on a grid",
            17,
            |b, x| {
                let g = b.weight(&[1, 5, 5, 2]);
                (b.node("GridSample", &[x, &g], &[]), 8)
            },
            Free(8),
        ),
        (
            "regions",
            16,
            |b, x| {
                let (r, i) = (b.stored(&[1, 4], &[0.0, 0.0, 4.0, 4.0]), b.ints(&[0]));
                (b.node("RoiAlign", &[x, &r, &i], &[("output_height", vec![3]), ("output_width", vec![3])]), 8)
            },
            Free(8),
        ),
        (
            "read by a branch",
            17,
            |b, x| {
                let condition = b.truth();
                let name = b.node("If", &[&condition], &[]);
                let branch = |op: &str| GraphProto {
                    name: Some(op.into()),
                    node: vec![onnx_prune::proto::onnx::NodeProto {
                        op_type: Some(op.into()),
                        input: vec![x.into()],
                        output: vec![format!("{op}_result")],
                        ..Default::default()
                    }],
                    output: vec![support::info(&format!("{op}_result"), &[1, 8, 6, 6])],
                    ..Default::default()
                };
                let graph = |name: &str, graph| AttributeProto {
                    name: Some(name.into()),
                    r#type: Some(AttributeType::Graph.into()),
                    g: Some(graph),
                    ..Default::default()
                };
                b.graph.node.last_mut().unwrap().attribute =
                    vec![graph("then_branch", branch("Relu")), graph("else_branch", branch("Neg"))];
                b.graph.value_info.push(support::info(&name, &[1, 8, 6, 6]));
                (name, 8)
            },
            Stays("its body may use every channel"),
        ),
    ]);
}

fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        name: Some(name.into()),
        r#type: Some(AttributeType::Int.into()),
        i: Some(value),
        ..Default::default()
    }
}

#[test]
fn weights_that_mix() {
    table(&[
        ("Conv in groups", 17, |b, x| (b.conv(x, 8, 6, 2), 6), Free(4)),
        ("depthwise Conv", 17, |b, x| (b.conv(x, 8, 8, 8), 8), Free(8)),
        ("depthwise Conv, two outputs each", 17, |b, x| (b.conv(x, 8, 16, 8), 16), Free(8)),
        (
            "ConvTranspose",
            17,
            |b, x| {
                let w = b.weight(&[8, 3, 2, 2]);
                (b.node("ConvTranspose", &[x, &w], &[("strides", vec![2, 2])]), 3)
            },
            Free(8),
        ),
        (
            "ConvTranspose in groups",
            17,
            |b, x| {
                let w = b.weight(&[8, 3, 2, 2]);
                (b.node("ConvTranspose", &[x, &w], &[("group", vec![2])]), 6)
            },
            Free(4),
        ),
        (
            "MatMul over channels last",
            17,
            |b, x| {
                let w = b.weight(&[8, 5]);
                let last = b.node("Transpose", &[x], &[("perm", vec![0, 2, 3, 1])]);
                let mixed = b.node("MatMul", &[&last, &w], &[]);
                (b.node("Transpose", &[&mixed], &[("perm", vec![0, 3, 1, 2])]), 5)
            },
            Free(8),
        ),
        (
            "MatMul by a vector",
            17,
            |b, x| {
                let (w, a) = (b.weight(&[8]), b.ints(&[1]));
                let last = b.node("Transpose", &[x], &[("perm", vec![0, 2, 3, 1])]);
                let map = b.node("MatMul", &[&last, &w], &[]);
                let map = b.node("Unsqueeze", &[&map, &a], &[]);
                (b.node("Mul", &[x, &map], &[]), 8)
            },
            Free(8),
        ),
        (
            "MatMul, weight first",
            17,
            |b, x| {
                let (w, flat, image) = (b.weight(&[5, 8]), b.ints(&[0, 8, 36]), b.ints(&[0, 5, 6, 6]));
                let flat = b.node("Reshape", &[x, &flat], &[]);
                let mixed = b.node("MatMul", &[&w, &flat], &[]);
                (b.node("Reshape", &[&mixed, &image], &[]), 5)
            },
            Free(8),
        ),
        (
            "Gemm, both transposed",
            17,
            |b, x| {
                let (w, c) = (b.weight(&[5, 8]), b.weight(&[5]));
                let (flat, image) = (b.ints(&[8, 36]), b.ints(&[1, 6, 6, 5]));
                let flat = b.node("Reshape", &[x, &flat], &[]);
                let mixed = b.node("Gemm", &[&flat, &w, &c], &[("transA", vec![1]), ("transB", vec![1])]);
                let rows = b.node("Reshape", &[&mixed, &image], &[]);
                (b.node("Transpose", &[&rows], &[("perm", vec![0, 3, 1, 2])]), 5)
            },
            Free(8),
        ),
        (
            "Einsum",
            17,
            |b, x| {
                let w = b.weight(&[8, 5]);
                (b.with_text("Einsum", &[x, &w], ("equation", "bchw,cd->bdhw")), 5)
            },
            Free(8),
        ),
        (
            "Einsum with dots, weight first",
            17,
            |b, x| {
                let w = b.weight(&[5, 8]);
                let last = b.node("Transpose", &[x], &[("perm", vec![0, 2, 3, 1])]);
                let mixed = b.with_text("Einsum", &[&w, &last], ("equation", "dc,...c->...d"));
                (b.node("Transpose", &[&mixed], &[("perm", vec![0, 3, 1, 2])]), 5)
            },
            Free(8),
        ),
        ("Einsum that only moves", 17, |b, x| (b.with_text("Einsum", &[x], ("equation", "abcd->abdc")), 8), Free(8)),
        (
            "Gram matrix",
            17,
            |b, x| {
                let (flat, image) = (b.ints(&[0, 8, 36]), b.ints(&[0, 1, 8, 8]));
                let flat = b.node("Reshape", &[x, &flat], &[]);
                let turned = b.node("Transpose", &[&flat], &[("perm", vec![0, 2, 1])]);
                let gram = b.node("MatMul", &[&flat, &turned], &[]);
                (b.node("Reshape", &[&gram, &image], &[]), 1)
            },
            Stays("multiplies channels with themselves"),
        ),
        (
            "LSTM",
            17,
            |b, x| {
                let (flat, w, r) = (b.ints(&[0, 8, 36]), b.weight(&[1, 12, 8]), b.weight(&[1, 12, 3]));
                let (flat, names) = (b.node("Reshape", &[x, &flat], &[]), b.pair());
                let steps = b.node("Transpose", &[&flat], &[("perm", vec![2, 0, 1])]);
                b.nodes("LSTM", &[&steps, &w, &r], &[("hidden_size", vec![3])], names.clone());
                let image = b.ints(&[1, 3, 1, 1]);
                (b.node("Reshape", &[&names[1], &image], &[]), 3)
            },
            Free(8),
        ),
        (
            "fused with a sum and Relu",
            17,
            |b, x| {
                let (w, y) = (b.weight(&[8, 8, 1, 1]), b.node("Tanh", &[x], &[]));
                let out = b.with_text("FusedConv", &[x, &w, "", &y], ("activation", "Relu"));
                b.graph.node.last_mut().unwrap().domain = Some("com.microsoft".into());
                (out, 8)
            },
            Free(8),
        ),
        (
            "weight of a Conv computed at run time",
            17,
            |b, x| {
                let shape = b.ints(&[4, 8, 3, 3]);
                let flat = b.node("Flatten", &[x], &[("axis", vec![1])]);
                let picks = b.weight(&[288, 288]);
                let mixed = b.node("MatMul", &[&flat, &picks], &[]);
                let w = b.node("Reshape", &[&mixed, &shape], &[]);
                (b.node("Conv", &[x, &w], &[]), 4)
            },
            Stays("computed at run time"),
        ),
    ]);
}
