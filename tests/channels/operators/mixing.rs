//! Weights that mix channels.

use super::Expect::{Free, Stays};
use super::table;

#[test]
fn weights_that_mix() {
    table(&[
        ("Conv in groups", 17, |b, x| (b.conv(x, 8, 6, 2), 6), Free(4)),
        ("depthwise Conv", 17, |b, x| (b.conv(x, 8, 8, 8), 8), Free(8)),
        ("depthwise Conv, two outputs each", 17, |b, x| (b.conv(x, 8, 16, 8), 16), Free(8)),
        (
            "blur of every channel, folded into the batch",
            17,
            |b, x| {
                let (apart, together, w) = (b.ints(&[-1, 1, 6, 6]), b.ints(&[1, -1, 6, 6]), b.weight(&[1, 1, 3, 3]));
                let apart = b.node("Reshape", &[x, &apart], &[]);
                let blurred = b.node("Conv", &[&apart, &w], &[("pads", vec![1; 4])]);
                let pooled = b.node("MaxPool", &[&blurred], &[("kernel_shape", vec![3, 3]), ("pads", vec![1; 4])]);
                (b.node("Reshape", &[&pooled, &together], &[]), 8)
            },
            Free(8),
        ),
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
            "DeformConv with a mask",
            22,
            |b, x| {
                let offset = b.conv(x, 8, 18, 1);
                let mask = b.conv(x, 8, 9, 1);
                let (w, bias) = (b.weight(&[6, 8, 3, 3]), b.weight(&[6]));
                let inputs = [x, w.as_str(), &offset, &bias, &mask];
                (b.node("DeformConv", &inputs, &[("pads", vec![1; 4])]), 6)
            },
            Free(8),
        ),
        (
            "DeformConv with two sets of places",
            22,
            |b, x| {
                let offset = b.weight(&[1, 36, 6, 6]);
                let w = b.weight(&[6, 8, 3, 3]);
                let attributes = [("pads", vec![1; 4]), ("offset_group", vec![2])];
                (b.node("DeformConv", &[x, &w, &offset], &attributes), 6)
            },
            Free(4),
        ),
        (
            "DeformConv in groups",
            22,
            |b, x| {
                let offset = b.weight(&[1, 18, 6, 6]);
                let w = b.weight(&[6, 4, 3, 3]);
                let attributes = [("pads", vec![1; 4]), ("group", vec![2])];
                (b.node("DeformConv", &[x, &w, &offset], &attributes), 6)
            },
            Free(4),
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
