//! Multiply-accumulates of a node by the shapes around it, whatever else is known of it.

use std::collections::BTreeMap;

use super::{Family, operator};
use crate::model::node::is_onnx;
use crate::proto::onnx::{GraphProto, NodeProto};

/// Whether the node is one whose multiply-accumulates count: convolutions, products of matrices, recurrent layers, and
/// their integer and fused kin.
pub(crate) fn multiplies(node: &NodeProto) -> bool {
    let own = is_onnx(node) || node.domain() == "com.microsoft";
    own && form(node.op_type()).is_some()
}

/// Operators that multiply as well, but whose work is not counted, with the number of nodes: figures are comparable with those
/// of other tools, which count convolutions, products of matrices and recurrent layers.
pub(crate) fn left_out(graph: &GraphProto) -> BTreeMap<&'static str, usize> {
    let mut found = BTreeMap::new();
    for node in &graph.node {
        let silent = [Family::Einsum, Family::Attention, Family::GroupQueryAttention, Family::DeformConv];
        if let Some(own) = operator(node).filter(|own| silent.contains(&own.family)) {
            *found.entry(own.name).or_insert(0) += 1;
        }
    }
    found
}

/// How the work of an operator follows from shapes.
enum Form {
    /// Every result is a sum over the window of the weight at this input.
    Window(usize),
    /// Every value read is spread over the window.
    Spread,
    /// Rows times columns; whether `transA` says where the summed axis is.
    Gemm,
    /// The summed axis is the last of the first operand.
    MatMul,
    /// Steps, batch, and the weights of input and state.
    Recurrent,
}

fn form(op: &str) -> Option<Form> {
    Some(match op {
        "Conv" | "ConvInteger" | "FusedConv" => Form::Window(1),
        "QLinearConv" => Form::Window(3),
        "ConvTranspose" => Form::Spread,
        "Gemm" | "FusedGemm" | "QGemm" => Form::Gemm,
        "MatMul" | "MatMulInteger" | "QLinearMatMul" | "FusedMatMul" => Form::MatMul,
        "LSTM" | "GRU" | "RNN" => Form::Recurrent,
        _ => return None,
    })
}

/// Multiply-accumulates of one run of the node; `None` if it has none or a shape is not known.
pub(crate) fn of(node: &NodeProto, shape: impl Fn(&str) -> Option<Vec<usize>>) -> Option<u64> {
    let read = |input: usize| node.input.get(input).and_then(|name| shape(name));
    let made = || node.output.iter().find(|name| !name.is_empty()).and_then(|name| shape(name));
    let behind = |sizes: Vec<usize>| product(sizes.get(1..).unwrap_or_default());
    match form(node.op_type())? {
        Form::Window(weight) => product(&made()?)?.checked_mul(behind(read(weight)?)?),
        Form::Spread => product(&read(0)?)?.checked_mul(behind(read(1)?)?),
        Form::Gemm => {
            let axis = usize::from(node.int("transA") != Some(1));
            product(&made()?)?.checked_mul(*read(0)?.get(axis)? as u64)
        }
        Form::MatMul => product(&made()?)?.checked_mul(*read(0)?.last()? as u64),
        Form::Recurrent => {
            let steps = product(read(0)?.get(..2)?)?;
            steps.checked_mul(product(&read(1)?)?.checked_add(product(&read(2)?)?)?)
        }
    }
}

fn product(sizes: &[usize]) -> Option<u64> {
    sizes.iter().try_fold(1u64, |all, &size| all.checked_mul(size as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(node: &NodeProto, shapes: &[(&str, &[usize])]) -> Option<u64> {
        of(node, |name| shapes.iter().find(|(own, _)| *own == name).map(|(_, shape)| shape.to_vec()))
    }

    #[test]
    fn work_follows_from_shapes() {
        let conv = NodeProto::new("Conv").input("x").input("w").output("y");
        let shapes: &[(&str, &[usize])] = &[("w", &[8, 4, 3, 3]), ("y", &[1, 8, 6, 6])];
        assert_eq!(count(&conv, shapes), Some(8 * 36 * 36));
        assert_eq!(count(&conv, &shapes[..1]), None);
        let deconv = NodeProto::new("ConvTranspose").input("x").input("w").output("y");
        assert_eq!(count(&deconv, &[("x", &[1, 8, 6, 6]), ("w", &[8, 4, 2, 2])]), Some(8 * 36 * 16));
        let gemm = NodeProto::new("Gemm").input("a").input("b").output("y").attr("transA", 1_i64);
        assert_eq!(count(&gemm, &[("a", &[7, 2]), ("y", &[2, 3])]), Some(42));
        let product = NodeProto::new("QLinearMatMul").input("a").output("y");
        assert_eq!(count(&product, &[("a", &[5, 2, 7]), ("y", &[5, 2, 3])]), Some(210));
        let gru = NodeProto::new("GRU").input("x").input("w").input("r").output("").output("h");
        let shapes: &[(&str, &[usize])] = &[("x", &[5, 2, 4]), ("w", &[1, 9, 4]), ("r", &[1, 9, 3])];
        assert_eq!(count(&gru, shapes), Some(10 * (36 + 27)));
        assert!(!multiplies(&NodeProto::new("Conv").of_domain("own")) && !multiplies(&NodeProto::new("Relu")));
    }
}
