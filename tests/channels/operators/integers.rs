//! Operators on integers.

use onnx_prune::proto::onnx::tensor_proto::DataType::{Int8, Uint8};

use super::Expect::Free;
use super::table;
use crate::support::Builder;

/// The image in bytes, with its scale and zero point.
fn quantised(b: &mut Builder, x: &str) -> [String; 3] {
    let (scale, zero) = (b.number(0.05), b.byte(&[], Uint8, 120));
    let y = b.node("QuantizeLinear", &[x, &scale, &zero], &[]);
    [y, scale, zero]
}

fn real(b: &mut Builder, y: &str, scale: &str, zero: &str) -> String {
    b.node("DequantizeLinear", &[y, scale, zero], &[])
}

#[test]
fn integers_are_sliced_with_their_scales() {
    table(&[
        (
            "ConvInteger",
            17,
            |b, x| {
                let names: Vec<String> = ["q", "s", "z"].map(|name| format!("{name}_dynamic")).to_vec();
                b.nodes("DynamicQuantizeLinear", &[x], &[], names.clone());
                let (w, zero, scale) = (b.bytes(&[6, 8, 3, 3], Uint8, 128), b.byte(&[], Uint8, 128), b.number(0.02));
                let y = b.node("ConvInteger", &[&names[0], &w, &names[2], &zero], &[("pads", vec![1; 4])]);
                let y = b.node("Cast", &[&y], &[("to", vec![1])]);
                let scale = b.node("Mul", &[&names[1], &scale], &[]);
                (b.node("Mul", &[&y, &scale], &[]), 6)
            },
            Free(8),
        ),
        (
            "QLinearConv with scales per channel",
            17,
            |b, x| {
                let [q, s, z] = quantised(b, x);
                let (w, scales, zeros) = (b.bytes(&[6, 8, 3, 3], Int8, 0), b.floats(&[0.02; 6]), b.byte(&[6], Int8, 0));
                let (scale, zero) = (b.number(0.1), b.byte(&[], Uint8, 128));
                let inputs = [q.as_str(), &s, &z, &w, &scales, &zeros, &scale, &zero];
                let y = b.node("QLinearConv", &inputs, &[("pads", vec![1; 4])]);
                (real(b, &y, &scale, &zero), 6)
            },
            Free(8),
        ),
        (
            "QLinearConv, depthwise, and QLinearAdd",
            17,
            |b, x| {
                let [q, s, z] = quantised(b, x);
                let (w, scale, zero) = (b.bytes(&[8, 1, 3, 3], Uint8, 130), b.number(0.02), b.byte(&[], Uint8, 130));
                let own = [q.as_str(), &s, &z, &w, &scale, &zero, &s, &z];
                let y = b.node("QLinearConv", &own, &[("pads", vec![1; 4]), ("group", vec![8])]);
                let both = [y.as_str(), &s, &z, &q, &s, &z, &s, &z];
                let sum = b.of_domain("com.microsoft", "QLinearAdd", &both, &[]);
                (real(b, &sum, &s, &z), 8)
            },
            Free(8),
        ),
        (
            "MatMulInteger with zero points per column",
            17,
            |b, x| {
                let rows = b.rows(x, 8, 6);
                let [q, s, z] = quantised(b, &rows);
                let (w, zeros) = (b.bytes(&[8, 6], Uint8, 125), b.byte(&[6], Uint8, 125));
                let y = b.node("MatMulInteger", &[&q, &w, &z, &zeros], &[]);
                let y = b.node("Cast", &[&y], &[("to", vec![1])]);
                let y = b.node("Mul", &[&y, &s], &[]);
                (b.image(&y, 6, 6), 6)
            },
            Free(8),
        ),
        (
            "QLinearMatMul",
            17,
            |b, x| {
                let rows = b.rows(x, 8, 6);
                let [q, s, z] = quantised(b, &rows);
                let (w, scale, zero) = (b.bytes(&[8, 6], Int8, 3), b.number(0.02), b.byte(&[], Int8, 3));
                let inputs = [q.as_str(), &s, &z, &w, &scale, &zero, &s, &z];
                let y = b.node("QLinearMatMul", &inputs, &[]);
                let y = real(b, &y, &s, &z);
                (b.image(&y, 6, 6), 6)
            },
            Free(8),
        ),
        (
            "QGemm behind a pool",
            17,
            |b, x| {
                let [q, s, z] = quantised(b, x);
                let pooled = b.of_domain("com.microsoft", "QLinearGlobalAveragePool", &[&q, &s, &z, &s, &z], &[]);
                let flat = b.node("Flatten", &[&pooled], &[("axis", vec![1])]);
                let (w, scale, zero) = (b.bytes(&[6, 8], Uint8, 100), b.number(0.02), b.byte(&[], Uint8, 100));
                let inputs = [flat.as_str(), &s, &z, &w, &scale, &zero, "", &s, &z];
                let y = b.of_domain("com.microsoft", "QGemm", &inputs, &[("transB", vec![1])]);
                let y = real(b, &y, &s, &z);
                let shape = b.ints(&[1, 6, 1, 1]);
                (b.node("Reshape", &[&y, &shape], &[]), 6)
            },
            Free(8),
        ),
        (
            "QLinearConcat",
            17,
            |b, x| {
                let [q, s, z] = quantised(b, x);
                let inputs = [s.as_str(), &z, &q, &s, &z, &q, &s, &z];
                let y = b.of_domain("com.microsoft", "QLinearConcat", &inputs, &[("axis", vec![1])]);
                (real(b, &y, &s, &z), 16)
            },
            Free(8),
        ),
    ]);
}
