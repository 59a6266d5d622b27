//! Normalisation and reductions.

use super::Expect::{Free, Stays};
use super::table;

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
