//! What blocks that are gone leave behind: nodes that pass a value on in place of another of the dense model.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::model::Model;
use crate::ops::constant::Constants;
use crate::ops::scalar::bounds;
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

/// Nodes of the pruned model alone that make zeros in place of a branch: the difference of a value and itself.
pub(super) fn zeros(dense: &Model, pruned: &Model) -> BTreeSet<usize> {
    let known: HashSet<&str> = dense.graph().node.iter().map(first).collect();
    let nodes = pruned.graph().node.iter().enumerate();
    let zero = |node: &NodeProto| node.op_type() == "Sub" && matches!(&node.input[..], [a, b] if a == b);
    nodes.filter(|(_, node)| zero(node) && !known.contains(first(node))).map(|(index, _)| index).collect()
}

/// Values of the pruned model that only such passing nodes read, at once or behind an activation with bounds: they stand for what
/// is passed on, and not for the values of their names.
pub fn passed_on(dense: &Model, pruned: &Model) -> BTreeSet<String> {
    let graph = pruned.graph();
    let (counts, constants) = (references(graph), Constants::of(graph));
    let makers: HashMap<&str, &NodeProto> = graph.node.iter().map(|node| (first(node), node)).collect();
    let mut found = BTreeSet::new();
    for index in passing(dense, pruned) {
        let mut node = &graph.node[index];
        while let Some(name) = node.input.first().filter(|&name| counts.get(name) == Some(&1)) {
            found.insert(name.clone());
            let Some(maker) = makers.get(name.as_str()).filter(|maker| bounds(pruned, &constants, maker).is_some())
            else {
                break;
            };
            node = maker;
        }
    }
    found
}

/// Name of a node's first output.
fn first(node: &NodeProto) -> &str {
    node.output.first().map(String::as_str).unwrap_or_default()
}
