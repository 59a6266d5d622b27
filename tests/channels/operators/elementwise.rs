//! One value after another, and values that meet.

use super::Expect::{Free, Stays};
use super::table;
use crate::support::Builder;

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

/// A row of features, and back to an image of one pixel.
fn features(b: &mut Builder, x: &str, op: &str, lists: &[&str]) -> (String, usize) {
    let pooled = b.node("GlobalAveragePool", &[x], &[]);
    let row = b.node("Flatten", &[&pooled], &[("axis", vec![1])]);
    let made = b.of_domain("ai.onnx.ml", op, &[&row], &[]);
    if let Some(node) = b.graph.node.last_mut() {
        for (number, name) in lists.iter().enumerate() {
            node.set(name, (0..8).map(|at| 0.5 + 0.1 * (at + number) as f32).collect::<Vec<f32>>());
        }
    }
    let shape = b.ints(&[1, 8, 1, 1]);
    (b.node("Reshape", &[&made, &shape], &[]), 8)
}

#[test]
fn features_of_classical_models() {
    table(&[
        ("Scaler", 17, |b, x| features(b, x, "Scaler", &["offset", "scale"]), Free(8)),
        ("Normalizer", 17, |b, x| features(b, x, "Normalizer", &[]), Free(8)),
        ("Binarizer", 17, |b, x| features(b, x, "Binarizer", &[]), Free(8)),
    ]);
}
