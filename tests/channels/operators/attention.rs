//! Attention and rotary embeddings as single operators: whole heads go.

use super::Expect::Free;
use super::table;
use crate::support::Builder;

/// Rows of the image as queries of four heads with two features; keys and values of `heads` of them.
fn attention(b: &mut Builder, x: &str, heads: usize, mask: Option<&str>) -> (String, usize) {
    let rows = b.rows(x, 8, 6);
    let (v, w) = (b.weight(&[8, 2 * heads]), b.weight(&[8, 2 * heads]));
    let keys = b.node("MatMul", &[&rows, &v], &[]);
    let values = b.node("MatMul", &[&rows, &w], &[]);
    let mut inputs = vec![rows.as_str(), keys.as_str(), values.as_str()];
    inputs.extend(mask);
    let attributes = [("q_num_heads", vec![4]), ("kv_num_heads", vec![heads as i64])];
    let mixed = b.node("Attention", &inputs, &attributes);
    (b.image(&mixed, 8, 6), 8)
}

#[test]
fn whole_heads() {
    table(&[
        ("Attention", 23, |b, x| attention(b, x, 4, None), Free(4)),
        ("Attention, two queries share a key", 23, |b, x| attention(b, x, 2, None), Free(2)),
        ("Attention, one key for all queries", 23, |b, x| attention(b, x, 1, None), Free(4)),
        (
            "Attention with a mask of its own for every head",
            23,
            |b, x| {
                let mask = b.weight(&[1, 4, 36, 36]);
                attention(b, x, 2, Some(&mask))
            },
            Free(2),
        ),
        (
            "Attention with a mask expanded over the heads",
            23,
            |b, x| {
                let (mask, shape) = (b.weight(&[1, 1, 1, 36]), b.ints(&[1, 4, 36, 36]));
                let mask = b.node("Expand", &[&mask, &shape], &[]);
                attention(b, x, 2, Some(&mask))
            },
            Free(2),
        ),
        (
            "Attention with heads as an axis",
            23,
            |b, x| {
                let rows = b.rows(x, 8, 6);
                let (apart, joined) = (b.ints(&[1, 36, 4, 2]), b.ints(&[1, 36, 8]));
                let heads = b.node("Reshape", &[&rows, &apart], &[]);
                let heads = b.node("Transpose", &[&heads], &[("perm", vec![0, 2, 1, 3])]);
                let mixed = b.node("Attention", &[&heads, &heads, &heads], &[]);
                let mixed = b.node("Transpose", &[&mixed], &[("perm", vec![0, 2, 1, 3])]);
                let mixed = b.node("Reshape", &[&mixed, &joined], &[]);
                (b.image(&mixed, 8, 6), 8)
            },
            Free(4),
        ),
        (
            "RotaryEmbedding",
            23,
            |b, x| {
                let (cos, sin) = (b.weight(&[1, 36, 1]), b.weight(&[1, 36, 1]));
                let rows = b.rows(x, 8, 6);
                let turned = b.node("RotaryEmbedding", &[&rows, &cos, &sin], &[("num_heads", vec![4])]);
                (b.image(&turned, 8, 6), 8)
            },
            Free(4),
        ),
        (
            "RotaryEmbedding with heads as an axis",
            23,
            |b, x| {
                // Channels are heads, rows positions, columns features.
                let (cos, sin) = (b.weight(&[1, 6, 3]), b.weight(&[1, 6, 3]));
                (b.node("RotaryEmbedding", &[x, &cos, &sin], &[]), 8)
            },
            Free(8),
        ),
        (
            "RotaryEmbedding of ONNX Runtime",
            17,
            |b, x| {
                let (cos, sin) = (b.weight(&[36, 2]), b.weight(&[36, 2]));
                let positions = b.table(&[1, 36], &(0..36).collect::<Vec<_>>());
                let rows = b.rows(x, 8, 6);
                let turned = b.of_domain("com.microsoft", "RotaryEmbedding", &[&rows, &positions, &cos, &sin], &[]);
                (b.image(&turned, 8, 6), 8)
            },
            Free(2),
        ),
        (
            "RMSNormalization over channels last",
            23,
            |b, x| {
                let scale = b.weight(&[8]);
                let rows = b.rows(x, 8, 6);
                let normal = b.node("RMSNormalization", &[&rows, &scale], &[]);
                (b.image(&normal, 8, 6), 8)
            },
            Free(8),
        ),
        (
            "SimplifiedLayerNormalization over channels last",
            17,
            |b, x| {
                let scale = b.weight(&[8]);
                let rows = b.rows(x, 8, 6);
                let normal = b.node("SimplifiedLayerNormalization", &[&rows, &scale], &[]);
                (b.image(&normal, 8, 6), 8)
            },
            Free(8),
        ),
    ]);
}
