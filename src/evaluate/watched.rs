//! Values that are compared beside the outputs: what functions with a flat or a selecting range read.

use std::collections::{BTreeMap, BTreeSet};

use super::compared::chooses;
use crate::model::Model;
use crate::proto::onnx::NodeProto;

/// Functions that hide differences where they are flat.
const SATURATING: [&str; 6] = ["Sigmoid", "Softmax", "LogSoftmax", "Tanh", "HardSigmoid", "Hardmax"];

/// Operators that only move values.
const MOVING: [&str; 12] = [
    "Identity",
    "Reshape",
    "Transpose",
    "Flatten",
    "Squeeze",
    "Unsqueeze",
    "Concat",
    "Slice",
    "Split",
    "Cast",
    "Gather",
    "Expand",
];

/// What is read by the saturating function that an output comes from, and by every selecting function.
pub(super) fn watched(model: &Model) -> Vec<String> {
    let graph = model.graph();
    let makers: BTreeMap<&str, &NodeProto> =
        graph.node.iter().flat_map(|node| node.output.iter().map(move |name| (name.as_str(), node))).collect();
    let mut found: BTreeSet<String> = graph
        .node
        .iter()
        .filter(|node| chooses(node))
        .flat_map(|node| node.input.iter().take(if node.op_type() == "NonMaxSuppression" { 2 } else { 1 }).cloned())
        .collect();
    let mut seen = BTreeSet::new();
    let mut open: Vec<&str> = graph.output.iter().map(crate::proto::onnx::ValueInfoProto::name).collect();
    while let Some(name) = open.pop() {
        let Some(node) = makers.get(name).filter(|_| seen.insert(name)) else { continue };
        if SATURATING.contains(&node.op_type()) {
            found.extend(node.input.first().cloned());
        } else if MOVING.contains(&node.op_type()) || chooses(node) {
            open.extend(node.input.iter().map(String::as_str));
        }
    }
    found.into_iter().filter(|name| makers.contains_key(name.as_str())).collect()
}
