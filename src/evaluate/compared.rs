//! Values of a graph that can be compared number by number.

use std::collections::{BTreeSet, HashSet};

use crate::engine::readable_outputs;
use crate::model::Model;
use crate::model::node::is_onnx;
use crate::proto::onnx::NodeProto;
use crate::surgery::topological_order;

/// Operators that choose: a small change of what they read exchanges whole entries of what they give.
const CHOOSING: [&str; 8] = ["TopK", "ArgMax", "ArgMin", "NonZero", "Unique", "Hardmax", "Multinomial", "Bernoulli"];

/// Whether the operator gives indices or an order of what it reads.
pub(super) fn chooses(node: &NodeProto) -> bool {
    is_onnx(node) && CHOOSING.contains(&node.op_type()) || suppresses(node)
}

/// Whether the operator leaves out boxes that overlap better ones: ONNX's own, or an engine's by its name.
pub(super) fn suppresses(node: &NodeProto) -> bool {
    let op = node.op_type();
    op.contains("NMS") || op.contains("NonMaxSuppression")
}

/// Names of values that say how near a model's outputs are to another's: the graph's outputs, and in place of those
/// that come of a choice (`TopK`, `ArgMax`, `NonMaxSuppression` and the like) what the choice is made from. All outputs
/// where that leaves nothing.
pub fn compared_values(model: &Model) -> Vec<String> {
    let graph = model.graph();
    let (mut chosen, mut read) = (HashSet::new(), BTreeSet::new());
    let inputs: HashSet<&str> = graph.input.iter().map(crate::proto::onnx::ValueInfoProto::name).collect();
    let mut variable: HashSet<&str> = inputs.clone();
    for index in topological_order(graph) {
        let node = &graph.node[index];
        let names = || node.input.iter().map(String::as_str).filter(|name| variable.contains(name));
        if names().next().is_none() {
            continue;
        }
        let after = names().any(|name| chosen.contains(name));
        let own: Vec<&str> = names().collect();
        if chooses(node) && !after {
            read.extend(node.input.first().filter(|name| own.contains(&name.as_str())).cloned());
        }
        // What is gathered by chosen indices counts as it was before.
        if after && !chooses(node) {
            let before = own.iter().filter(|name| !chosen.contains(*name) && !inputs.contains(*name));
            read.extend(before.map(|name| (*name).to_owned()));
        }
        let outputs = node.output.iter().map(String::as_str).filter(|name| !name.is_empty());
        variable.extend(outputs.clone());
        if after || chooses(node) {
            chosen.extend(outputs);
        }
    }
    let names = readable_outputs(model).into_iter();
    let (lost, mut compared): (Vec<String>, Vec<String>) = names.partition(|name| chosen.contains(name.as_str()));
    if !lost.is_empty() {
        compared.extend(read.into_iter().filter(|name| !graph.output.iter().any(|output| output.name() == name)));
    }
    if compared.is_empty() { lost } else { compared }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{DataType, TensorData, TensorType};
    use crate::surgery::Graph;

    #[test]
    fn what_a_choice_is_made_from_stands_for_it() {
        let mut model = Model::new(17);
        let mut graph = Graph::of(&mut model).unwrap();
        graph.add_input("x", &TensorType::new(DataType::Float).shaped([1.into(), 8.into()])).unwrap();
        graph.add_initializer("k", &TensorData::from_i64(vec![1], &[3])).unwrap();
        for node in [
            NodeProto::new("Relu").input("x").output("s"),
            NodeProto::new("TopK").input("s").input("k").output("v").output("i"),
            NodeProto::new("Sigmoid").input("v").output("y"),
            NodeProto::new("Tanh").input("s").output("boxes"),
            NodeProto::new("GatherElements").input("boxes").input("i").output("best"),
            NodeProto::new("Neg").input("s").output("plain"),
        ] {
            graph.insert(node).unwrap();
        }
        graph.set_outputs(&["y", "plain", "best"]).unwrap();
        graph.finish();
        assert_eq!(compared_values(&model), ["plain", "boxes", "s"]);
    }
}
