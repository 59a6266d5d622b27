//! What blocks that are gone leave behind: nodes that pass a value on in place of another of the dense model.

use std::collections::{BTreeSet, HashMap};

use crate::model::Model;
use crate::ops::constant::Constants;
use crate::ops::scalar::Function;
use crate::proto::onnx::NodeProto;
use crate::surgery::references;

/// Nodes of the pruned model that only pass on what another operator made in the dense one.
pub(super) fn passing(dense: &Model, pruned: &Model) -> BTreeSet<usize> {
    let nodes = &dense.graph().node;
    let operators: HashMap<&str, &str> = nodes.iter().map(|node| (first(node), node.op_type())).collect();
    let other = |node: &NodeProto| operators.get(first(node)).is_some_and(|&op| op != "Identity");
    let nodes = pruned.graph().node.iter().enumerate().filter(|(_, node)| node.op_type() == "Identity");
    nodes.filter(|(_, node)| other(node)).map(|(index, _)| index).collect()
}

/// Values of the pruned model that only such nodes read, at once or behind an activation with bounds: they stand for what
/// is passed on, and not for the values of their names.
pub fn passed_on(dense: &Model, pruned: &Model) -> BTreeSet<String> {
    let graph = pruned.graph();
    let (counts, constants) = (references(graph), Constants::of(graph));
    let makers: HashMap<&str, &NodeProto> = graph.node.iter().map(|node| (first(node), node)).collect();
    let bounded = |node: &NodeProto| {
        let scalar = |input: usize| constants.floats(pruned, node.input.get(input)?)?.first().copied();
        Function::of(node, scalar).and_then(Function::bounds).is_some()
    };
    let mut found = BTreeSet::new();
    for index in passing(dense, pruned) {
        let mut node = &graph.node[index];
        while let Some(name) = node.input.first().filter(|&name| counts.get(name) == Some(&1)) {
            found.insert(name.clone());
            let Some(maker) = makers.get(name.as_str()).filter(|maker| bounded(maker)) else { break };
            node = maker;
        }
    }
    found
}

/// Name of a node's first output.
fn first(node: &NodeProto) -> &str {
    node.output.first().map(String::as_str).unwrap_or_default()
}
