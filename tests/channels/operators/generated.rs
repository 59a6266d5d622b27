//! Values that repeat numbers give way to the channels that they meet.

use onnx_prune::model::TensorData;

use super::Expect::{Free, Stays};
use super::table;
use crate::support::Builder;

/// The image widened by zeros to twelve channels, and a convolution added to it.
fn widened(b: &mut Builder, x: &str, zeros: &str) -> (String, usize) {
    let wide = b.node("Concat", &[x, zeros], &[("axis", vec![1])]);
    let more = b.conv(x, 8, 12, 1);
    (b.node("Add", &[&wide, &more], &[]), 12)
}

/// Zeros of a shape, as exporters write them.
fn zeros(b: &mut Builder, shape: &str) -> String {
    let zeros = b.node("ConstantOfShape", &[shape], &[]);
    let value = TensorData::from_f32(vec![1], &[0.0]);
    b.graph.node.last_mut().unwrap().set("value", value);
    zeros
}

#[test]
fn zeros_and_masks_give_way() {
    table(&[
        (
            "Concat with zeros of a stored shape",
            17,
            |b, x| {
                let shape = b.ints(&[1, 4, 6, 6]);
                let zeros = zeros(b, &shape);
                widened(b, x, &zeros)
            },
            Free(8),
        ),
        (
            "Concat with zeros of a shape computed at run time",
            17,
            |b, x| {
                let (two, four, six) = (b.ints(&[6]), b.ints(&[4]), b.ints(&[6]));
                let shape = b.node("Shape", &["x"], &[]);
                let (zero, one) = (b.ints(&[0]), b.ints(&[1]));
                let batch = b.node("Slice", &[&shape, &zero, &one], &[]);
                let shape = b.node("Concat", &[&batch, &four, &two, &six], &[("axis", vec![0])]);
                let zeros = zeros(b, &shape);
                widened(b, x, &zeros)
            },
            Free(8),
        ),
        (
            "Concat with an expanded number",
            17,
            |b, x| {
                let (number, shape) = (b.number(0.0), b.ints(&[1, 4, 6, 6]));
                let zeros = b.node("Expand", &[&number, &shape], &[]);
                widened(b, x, &zeros)
            },
            Free(8),
        ),
        (
            "Concat with zeros behind other operators",
            17,
            |b, x| {
                let (shape, half) = (b.ints(&[1, 6, 6, 4]), b.number(0.5));
                let zeros = zeros(b, &shape);
                let zeros = b.node("Mul", &[&zeros, &half], &[]);
                let zeros = b.node("Transpose", &[&zeros], &[("perm", vec![0, 3, 1, 2])]);
                widened(b, x, &zeros)
            },
            Free(8),
        ),
        (
            "zeros that two streams share",
            17,
            |b, x| {
                let shape = b.ints(&[1, 4, 6, 6]);
                let zeros = zeros(b, &shape);
                let (first, _) = widened(b, x, &zeros);
                let second = b.conv(&first, 12, 8, 1);
                widened(b, &second, &zeros)
            },
            Free(8),
        ),
        (
            "rows of zeros",
            17,
            |b, x| {
                let shape = b.ints(&[1, 8, 1, 6]);
                let zeros = zeros(b, &shape);
                (b.node("Concat", &[x, &zeros], &[("axis", vec![2])]), 8)
            },
            Free(8),
        ),
        (
            "a mask expanded over channels",
            17,
            |b, x| {
                let (mask, shape) = (b.weight(&[1, 1, 6, 6]), b.ints(&[1, 8, 6, 6]));
                let mask = b.node("Expand", &[&mask, &shape], &[]);
                (b.node("Add", &[x, &mask], &[]), 8)
            },
            Free(8),
        ),
        (
            "a mask over channels behind Where",
            17,
            |b, x| {
                let (shape, limit, low, high) = (b.ints(&[1, 8, 6, 6]), b.number(0.2), b.number(-1.0), b.number(0.0));
                let mean = b.node("ReduceMean", &["x"], &[("axes", vec![1])]);
                let mask = b.node("Expand", &[&mean, &shape], &[]);
                let seen = b.node("Greater", &[&mask, &limit], &[]);
                let mask = b.node("Where", &[&seen, &high, &low], &[]);
                (b.node("Add", &[x, &mask], &[]), 8)
            },
            Free(8),
        ),
        (
            "a value of run time that differs from channel to channel",
            17,
            |b, x| {
                let (columns, shape) = (b.ints(&[0, 3, 1, 2, 3, 0, 1, 2]), b.ints(&[1, 8, 6, 6]));
                let own = b.node("Gather", &["x", &columns], &[("axis", vec![1])]);
                let own = b.node("Expand", &[&own, &shape], &[]);
                (b.node("Add", &[x, &own], &[]), 8)
            },
            Stays(""),
        ),
    ]);
}
