//! Steps with weights that mix channels.

use super::plain::normalise;
use super::rewiring::rewire;
use super::{FeatureMap, Step, map};
use crate::support::Builder;

/// What a step adds to the graph; nothing where it does not suit the value.
pub(super) fn add(b: &mut Builder, step: &Step, known: &FeatureMap, values: &[FeatureMap]) -> Vec<FeatureMap> {
    let FeatureMap { name: x, channels: c, side } = known;
    let one = |name: String, channels: usize| vec![map(name, channels, *side)];
    match step {
        Step::Conv { width } => one(b.conv(x, *c, *width, 1), *width),
        Step::Grouped if c % 2 == 0 => one(b.conv(x, *c, 8, 2), 8),
        Step::Depthwise => one(b.conv(x, *c, *c, *c), *c),
        Step::Multiplier if *c <= 8 => one(b.conv(x, *c, 2 * c, *c), 2 * c),
        Step::Transposed { groups } if c % groups == 0 => {
            let w = b.weight(&[*c, 6 / groups, 3, 3]);
            let attributes = [("group", vec![*groups as i64]), ("pads", vec![1; 4])];
            one(b.node("ConvTranspose", &[x, &w], &attributes), 6)
        }
        Step::SharedWeight => {
            // One stored weight, read by two convolutions whose results meet.
            let w = b.weight(&[*c, *c, 3, 3]);
            let first = b.node("Conv", &[x, &w], &[("pads", vec![1; 4])]);
            let first = b.relu(&first);
            let second = b.node("Conv", &[&first, &w], &[("pads", vec![1; 4])]);
            one(b.relu(&second), *c)
        }
        Step::JoinedWeight => {
            let (front, back) = (b.weight(&[2, *c, 3, 3]), b.weight(&[4, *c, 3, 3]));
            let w = b.node("Concat", &[&front, &back], &[("axis", vec![0])]);
            one(b.node("Conv", &[x, &w], &[("pads", vec![1; 4])]), 6)
        }
        Step::FactoredWeight => {
            let (down, up, dims) = (b.weight(&[6, 2]), b.weight(&[2, *c]), b.ints(&[6, *c as i64, 1, 1]));
            let product = b.node("MatMul", &[&down, &up], &[]);
            let (own, half) = (b.weight(&[6, *c]), b.floats(&[0.5]));
            let product = b.node("Mul", &[&product, &half], &[]);
            let product = b.node("Add", &[&own, &product], &[]);
            let w = b.node("Reshape", &[&product, &dims], &[]);
            one(b.node("Conv", &[x, &w], &[]), 6)
        }
        Step::MergedBias => {
            let bias = b.weight(&[6]);
            let seen = b.node("Identity", &[&bias], &[]);
            let (v, w) = (b.weight(&[6, *c, 1, 1]), b.weight(&[6, 6, 1, 1]));
            let first = b.node("Conv", &[x, &v, &bias], &[]);
            one(b.node("Conv", &[&first, &w, &seen], &[]), 6)
        }
        Step::Pool if *side == 6 => {
            let pooled = b.node("MaxPool", &[x], &[("kernel_shape", vec![2, 2]), ("strides", vec![2, 2])]);
            vec![map(pooled, *c, 3)]
        }
        Step::Upsample if *side == 3 => {
            let scales = b.floats(&[1.0, 1.0, 2.0, 2.0]);
            vec![map(b.node("Resize", &[x, "", &scales], &[]), *c, 6)]
        }
        Step::NhwcProduct { width } => {
            let (w, bias) = (b.weight(&[*c, *width]), b.weight(&[*width]));
            let last = b.node("Transpose", &[x], &[("perm", vec![0, 2, 3, 1])]);
            let product = b.node("MatMul", &[&last, &w], &[]);
            let shifted = b.node("Add", &[&product, &bias], &[]);
            one(b.node("Transpose", &[&shifted], &[("perm", vec![0, 3, 1, 2])]), *width)
        }
        Step::Einsum { width } => {
            let w = b.weight(&[*width, *c]);
            one(b.with_text("Einsum", &[x, &w], ("equation", "nchw,dc->ndhw")), *width)
        }
        Step::SelfAttention => one(self_attention(b, x, *c, *side), 6),
        Step::Recurrent => recurrent(b, known),
        _ => rewire(b, step, known, values).unwrap_or_else(|| normalise(b, step, known)),
    }
}

/// Three heads of two features over the positions, with one weight for query, key and value; gives six channels.
fn self_attention(b: &mut Builder, x: &str, c: usize, side: usize) -> String {
    let (tokens, size) = ((side * side) as i64, side as i64);
    let (flat, heads) = (b.ints(&[0, c as i64, tokens]), b.ints(&[0, tokens, 3, 3, 2]));
    let (joined, image) = (b.ints(&[0, tokens, 6]), b.ints(&[0, 6, size, size]));
    let (w, project) = (b.weight(&[c, 18]), b.weight(&[6, 6]));
    let flat = b.node("Reshape", &[x, &flat], &[]);
    let rows = b.node("Transpose", &[&flat], &[("perm", vec![0, 2, 1])]);
    let qkv = b.node("MatMul", &[&rows, &w], &[]);
    let apart = b.node("Reshape", &[&qkv, &heads], &[]);
    let apart = b.node("Transpose", &[&apart], &[("perm", vec![2, 0, 3, 1, 4])]);
    let part = |b: &mut Builder, index: i64| {
        let index = b.scalar_int(index);
        b.node("Gather", &[&apart, &index], &[("axis", vec![0])])
    };
    let (q, k, v) = (part(b, 0), part(b, 1), part(b, 2));
    let k = b.node("Transpose", &[&k], &[("perm", vec![0, 1, 3, 2])]);
    // Small, or a softmax of large numbers turns rounding into a difference.
    let small = b.floats(&[0.01]);
    let scores = b.node("MatMul", &[&q, &k], &[]);
    let scores = b.node("Mul", &[&scores, &small], &[]);
    let weights = b.node("Softmax", &[&scores], &[("axis", vec![-1])]);
    let mixed = b.node("MatMul", &[&weights, &v], &[]);
    let mixed = b.node("Transpose", &[&mixed], &[("perm", vec![0, 2, 1, 3])]);
    let mixed = b.node("Reshape", &[&mixed, &joined], &[]);
    let out = b.node("MatMul", &[&mixed, &project], &[]);
    let out = b.node("Transpose", &[&out], &[("perm", vec![0, 2, 1])]);
    b.node("Reshape", &[&out, &image], &[])
}

/// The columns of the image through a recurrent layer whose last state gates four channels of a convolution.
fn recurrent(b: &mut Builder, FeatureMap { name: x, channels: c, side }: &FeatureMap) -> Vec<FeatureMap> {
    let (features, size) = (c * side, *side as i64);
    let flat = b.ints(&[0, features as i64, size]);
    let flat = b.node("Reshape", &[x, &flat], &[]);
    let steps = b.node("Transpose", &[&flat], &[("perm", vec![2, 0, 1])]);
    let (w, r) = (b.weight(&[1, 12, features]), b.weight(&[1, 12, 4]));
    let names = b.pair();
    b.nodes("GRU", &[&steps, &w, &r], &[("hidden_size", vec![4])], names.clone());
    let gate = b.ints(&[1, 4, 1, 1]);
    let gate = b.node("Reshape", &[&names[1], &gate], &[]);
    let main = b.conv(x, *c, 4, 1);
    vec![map(b.node("Mul", &[&main, &gate], &[]), 4, *side)]
}
