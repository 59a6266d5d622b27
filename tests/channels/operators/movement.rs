//! Channels that move.

use onnx_prune::proto::onnx::attribute_proto::AttributeType;
use onnx_prune::proto::onnx::{AttributeProto, GraphProto};

use super::Expect::{Free, Stays};
use super::table;
use crate::support;

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
