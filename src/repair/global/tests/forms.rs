//! More graphs of one operator each: normalisations, reductions, products of values, resizing, what broadcasts.

use super::cases::{Graph, Is, images};

/// One graph for every form.
pub(super) fn forms() -> Vec<(&'static str, Graph)> {
    let mut all = broadcasting();
    all.extend(normalisations());
    all.extend(reductions());
    all.extend(moves());
    all.extend(products());
    all
}

/// `m` and another value `n` of its shape, above 0.5.
fn two() -> Graph {
    images()
        .weight("w2", &[4, 3, 1, 1])
        .node("Conv", &["x", "w2"], "n0", &[])
        .node("Softplus", &["n0"], "n1", &[])
        .number("half", 0.5)
        .node("Add", &["n1", "half"], "n", &[])
}

fn broadcasting() -> Vec<(&'static str, Graph)> {
    let two_of = |op: &str| two().node(op, &["m", "n"], "y", &[]);
    let scalar = |op: &str| two().node(op, &["n"], "y", &[]);
    let prelu = |dims: &[usize]| images().positive("s", dims).node("PRelu", &["m", "s"], "y", &[]);
    vec![
        ("slopes of channels", prelu(&[4, 1, 1])),
        ("slopes with a batch axis", prelu(&[1, 4, 1, 1])),
        ("slopes of positions", prelu(&[6])),
        ("one slope", prelu(&[1])),
        ("quotient", two_of("Div")),
        ("power", two().number("p", 1.5).node("Pow", &["n", "p"], "y", &[])),
        ("largest", two_of("Max")),
        ("smallest", two_of("Min")),
        ("largest of a constant", two().number("c", 0.1).node("Max", &["m", "c"], "y", &[])),
        ("sum of three", two().node("Sum", &["m", "n", "m"], "y", &[])),
        ("mean", two_of("Mean")),
        ("chosen", two().truths("c", &[7, 1]).node("Where", &["c", "m", "n"], "y", &[])),
        (
            "chosen from a constant",
            two().truths("c", &[7, 6]).number("z", 3.0).node("Where", &["c", "m", "z"], "y", &[]),
        ),
        ("logarithm", scalar("Log")),
        ("reciprocal", scalar("Reciprocal")),
        ("selu", images().node("Selu", &["m"], "y", &[])),
        ("celu", images().node("Celu", &["m"], "y", &[("alpha", Is::Float(0.6))])),
        ("softsign", images().node("Softsign", &["m"], "y", &[])),
    ]
}

fn normalisations() -> Vec<(&'static str, Graph)> {
    let of = |op: &str, dims: &[usize], attributes: &[(&str, Is<'_>)]| {
        images().weight("g", dims).weight("h", dims).node(op, &["m", "g", "h"], "y", attributes)
    };
    vec![
        ("layer normalisation", of("LayerNormalization", &[6], &[])),
        ("layer normalisation over maps", of("LayerNormalization", &[4, 7, 6], &[("axis", Is::Int(1))])),
        ("instance normalisation", of("InstanceNormalization", &[4], &[("epsilon", Is::Float(1e-3))])),
        ("group normalisation", of("GroupNormalization", &[4], &[("num_groups", Is::Int(2))]).opset(21)),
        ("length", images().node("LpNormalization", &["m"], "y", &[("axis", Is::Int(1))])),
        ("softmax", images().node("Softmax", &["m"], "y", &[("axis", Is::Int(1))])),
        ("softmax before opset 13", images().opset(11).node("Softmax", &["m"], "y", &[("axis", Is::Int(2))])),
        ("logarithm of softmax", images().node("LogSoftmax", &["m"], "y", &[])),
    ]
}

fn reductions() -> Vec<(&'static str, Graph)> {
    let axes = || [("axes", Is::Ints(&[1, -1])), ("keepdims", Is::Int(0))];
    let of = |op: &str| images().node(op, &["m"], "y", &axes());
    vec![
        ("largest of axes", of("ReduceMax")),
        ("smallest of axes", of("ReduceMin")),
        ("absolute sum", two().node("ReduceL1", &["n"], "y", &axes())),
        ("length of axes", of("ReduceL2")),
        ("sum of squares", of("ReduceSumSquare")),
        ("logarithm of sum", of("ReduceLogSumExp")),
        ("largest of a map", images().node("GlobalMaxPool", &["m"], "y", &[])),
        (
            "one number of all",
            images().node("ReduceMean", &["m"], "n", &[("keepdims", Is::Int(0))]).node("Mul", &["m", "n"], "y", &[]),
        ),
    ]
}

fn moves() -> Vec<(&'static str, Graph)> {
    let resize = |mode: &str, coordinates: &str| {
        let attributes = [("mode", Is::Text(mode)), ("coordinate_transformation_mode", Is::Text(coordinates))];
        images().ints("s", &[2, 4, 11, 9]).node("Resize", &["m", "", "", "s"], "y", &attributes)
    };
    let blocks = |op: &str, attributes: &[(&str, Is<'_>)]| {
        images().ints("p", &[0, 0, 0, 0, 0, 0, 1, 0]).node("Pad", &["m", "p"], "n", &[]).node(
            op,
            &["n"],
            "y",
            attributes,
        )
    };
    let block = || ("blocksize", Is::Int(2));
    vec![
        ("gather", images().ints("i", &[3, 0, -1]).node("Gather", &["m", "i"], "y", &[("axis", Is::Int(1))])),
        ("tile", images().ints("r", &[1, 2, 1, 3]).node("Tile", &["m", "r"], "y", &[])),
        ("depth to space", blocks("DepthToSpace", &[block()])),
        ("depth to space, columns first", blocks("DepthToSpace", &[block(), ("mode", Is::Text("CRD"))])),
        ("space to depth", blocks("SpaceToDepth", &[block()])),
        (
            "concat with a constant",
            images().weight("c", &[2, 2, 7, 6]).node("Concat", &["c", "m"], "y", &[("axis", Is::Int(1))]),
        ),
        ("nearest", resize("nearest", "asymmetric")),
        ("nearest by half pixels", resize("nearest", "half_pixel")),
        ("linear", resize("linear", "half_pixel")),
        ("linear between corners", resize("linear", "align_corners")),
        ("linear as in PyTorch", resize("linear", "pytorch_half_pixel")),
    ]
}

fn products() -> Vec<(&'static str, Graph)> {
    let turned = || two().node("Transpose", &["n"], "t", &[("perm", Is::Ints(&[0, 1, 3, 2]))]);
    vec![
        ("product of values", turned().node("MatMul", &["m", "t"], "y", &[])),
        ("stacked matrices", images().weight("w", &[4, 6, 5]).node("MatMul", &["m", "w"], "y", &[])),
        ("one matrix for all values", images().weight("w", &[1, 3, 7]).node("MatMul", &["w", "m"], "y", &[])),
        ("einsum", two().node("Einsum", &["m", "n"], "y", &[("equation", Is::Text("bchw,bcjw->bhj"))])),
        (
            "einsum with a constant",
            images().weight("w", &[5, 4]).node("Einsum", &["m", "w"], "y", &[("equation", Is::Text("bchw,oc->bohw"))]),
        ),
    ]
}
