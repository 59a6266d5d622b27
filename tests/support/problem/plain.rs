//! Steps that keep the channels where they are.

use super::{FeatureMap, Step, map};
use crate::support::Builder;

/// What such a step adds; nothing for the others.
pub(super) fn normalise(
    b: &mut Builder,
    step: &Step,
    FeatureMap { name: x, channels: c, side }: &FeatureMap,
) -> Vec<FeatureMap> {
    const ACTIVATIONS: [&str; 8] = ["Relu", "Sigmoid", "HardSwish", "Tanh", "Elu", "LeakyRelu", "Softplus", "Abs"];
    let one = |name: String| vec![map(name, *c, *side)];
    match step {
        Step::Activation(kind) => one(b.node(ACTIVATIONS[*kind], &[x], &[])),
        Step::Slopes => {
            let slopes = b.weight(&[*c, 1, 1]);
            one(b.node("PRelu", &[x, &slopes], &[]))
        }
        Step::Norm => {
            let parameters: Vec<String> = (0..3).map(|_| b.weight(&[*c])).collect();
            let raw = b.weight(&[*c]);
            // Variances are positive: a chain of constants stands in for a stored one.
            let variance = b.node("Abs", &[&raw], &[]);
            let p = &parameters;
            one(b.node("BatchNormalization", &[x, &p[0], &p[1], &p[2], &variance], &[]))
        }
        Step::InstanceNorm => {
            let (scale, shift) = (b.weight(&[*c]), b.weight(&[*c]));
            one(b.node("InstanceNormalization", &[x, &scale, &shift], &[]))
        }
        Step::GroupNorm if c % 2 == 0 => {
            let (apart, size) = (b.ints(&[0, 2, -1]), *side as i64);
            let apart = b.node("Reshape", &[x, &apart], &[]);
            let (scale, shift) = (b.floats(&[1.0, 1.0]), b.floats(&[0.0, 0.0]));
            let normal = b.node("InstanceNormalization", &[&apart, &scale, &shift], &[]);
            let together = b.ints(&[1, *c as i64, size, size]);
            one(b.node("Reshape", &[&normal, &together], &[]))
        }
        Step::LayerNorm => {
            let (scale, shift) = (b.weight(&[*c]), b.weight(&[*c]));
            let last = b.node("Transpose", &[x], &[("perm", vec![0, 2, 3, 1])]);
            let normal = b.node("LayerNormalization", &[&last, &scale, &shift], &[("axis", vec![-1])]);
            one(b.node("Transpose", &[&normal], &[("perm", vec![0, 3, 1, 2])]))
        }
        Step::SpelledLayerNorm => one(spelled_layer_norm(b, x, *c)),
        Step::LocalResponse => one(b.node("LRN", &[x], &[("size", vec![3])])),
        Step::Affine => {
            let (scale, shift) = (b.weight(&[1, *c, 1, 1]), b.weight(&[*c, 1, 1]));
            let scaled = b.node("Mul", &[&scale, x], &[]);
            one(b.node("Add", &[&scaled, &shift], &[]))
        }
        Step::ScaledByWidth => {
            // As attention is: divided by the root of the number of channels, which is computed from the shape.
            let shape = b.node("Shape", &[x], &[]);
            let (second, half) = (b.scalar_int(1), b.floats(&[-0.5]));
            let width = b.node("Gather", &[&shape, &second], &[("axis", vec![0])]);
            let width = b.node("Cast", &[&width], &[("to", vec![1])]);
            let scale = b.node("Pow", &[&width, &half], &[]);
            one(b.node("Mul", &[x, &scale], &[]))
        }
        Step::Gate => {
            let pooled = b.node("GlobalAveragePool", &[x], &[]);
            let w = b.weight(&[*c, *c, 1, 1]);
            let mixed = b.node("Conv", &[&pooled, &w], &[]);
            let gate = b.node("Sigmoid", &[&mixed], &[]);
            one(b.node("Mul", &[x, &gate], &[]))
        }
        Step::ProductGate => {
            let pooled = b.node("GlobalAveragePool", &[x], &[]);
            let flat = b.node("Flatten", &[&pooled], &[("axis", vec![1])]);
            let w = b.weight(&[*c, *c]);
            let mixed = b.node("Gemm", &[&flat, &w], &[]);
            let gate = b.node("Sigmoid", &[&mixed], &[]);
            let axes = b.ints(&[2, 3]);
            let gate = b.node("Unsqueeze", &[&gate, &axes], &[]);
            one(b.node("Mul", &[&gate, x], &[]))
        }
        Step::MapGate => {
            let w = b.weight(&[1, *c, 1, 1]);
            let map = b.node("Conv", &[x, &w], &[]);
            one(b.node("Mul", &[&map, x], &[]))
        }
        Step::SpatialAttention => {
            let mean = b.node("ReduceMean", &[x], &[("axes", vec![1])]);
            let most = b.node("ReduceMax", &[x], &[("axes", vec![1])]);
            let both = b.node("Concat", &[&mean, &most], &[("axis", vec![1])]);
            let w = b.weight(&[1, 2, 3, 3]);
            let map = b.node("Conv", &[&both, &w], &[("pads", vec![1; 4])]);
            one(b.node("Mul", &[x, &map], &[]))
        }
        Step::Softmax => one(b.node("Softmax", &[x], &[("axis", vec![1])])),
        _ => Vec::new(),
    }
}

fn spelled_layer_norm(b: &mut Builder, x: &str, c: usize) -> String {
    let (epsilon, two) = (b.floats(&[1e-3]), b.floats(&[2.0]));
    let (scale, shift) = (b.weight(&[c, 1, 1]), b.weight(&[c, 1, 1]));
    let mean = b.node("ReduceMean", &[x], &[("axes", vec![1])]);
    let centred = b.node("Sub", &[x, &mean], &[]);
    let squared = b.node("Pow", &[&centred, &two], &[]);
    let variance = b.node("ReduceMean", &[&squared], &[("axes", vec![1])]);
    let safe = b.node("Add", &[&variance, &epsilon], &[]);
    let deviation = b.node("Sqrt", &[&safe], &[]);
    let normal = b.node("Div", &[&centred, &deviation], &[]);
    let scaled = b.node("Mul", &[&normal, &scale], &[]);
    b.node("Add", &[&scaled, &shift], &[])
}
