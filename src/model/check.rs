//! What every later step relies on: versions, names, sizes.

use std::collections::HashSet;

use super::tensor::TensorData;
use crate::proto::onnx::{GraphProto, ModelProto, NodeProto, TensorProto};

/// IR versions that the checked-in onnx.proto describes.
const IR_VERSIONS: std::ops::RangeInclusive<i64> = 3..=14;

/// ONNX operator sets whose rules are known.
const OPSETS: std::ops::RangeInclusive<i64> = 1..=27;

/// The first broken rule, in words.
pub(super) fn check(model: &ModelProto) -> Result<(), String> {
    if !IR_VERSIONS.contains(&model.ir_version()) {
        return Err(format!(
            "IR version {} is not in {} to {}",
            model.ir_version(),
            IR_VERSIONS.start(),
            IR_VERSIONS.end()
        ));
    }
    let onnx = model.opset_import.iter().find(|import| matches!(import.domain(), "" | "ai.onnx"));
    if let Some(import) = onnx.filter(|import| !OPSETS.contains(&import.version())) {
        return Err(format!("operator set {} is not in {} to {}", import.version(), OPSETS.start(), OPSETS.end()));
    }
    if model.opset_import.is_empty() {
        return Err("it imports no operator set".into());
    }
    let graph = model.graph.as_ref().ok_or("it has no graph")?;
    names(graph, &HashSet::new())
}

/// Every name is made once, before or after it is read (engines sort), and never missing.
fn names(graph: &GraphProto, outer: &HashSet<&str>) -> Result<(), String> {
    let mut known: HashSet<&str> = outer.clone();
    let mut own: HashSet<&str> = HashSet::new();
    for input in &graph.input {
        if !own.insert(input.name()) {
            return Err(format!("two graph inputs are called `{}`", input.name()));
        }
    }
    let mut stored: HashSet<&str> = HashSet::new();
    for tensor in &graph.initializer {
        if !stored.insert(tensor.name()) {
            return Err(format!("two initializers are called `{}`", tensor.name()));
        }
        sizes(tensor)?;
    }
    own.extend(stored);
    own.extend(graph.sparse_initializer.iter().filter_map(|sparse| sparse.values.as_ref()).map(TensorProto::name));
    for node in &graph.node {
        for output in node.output.iter().filter(|name| !name.is_empty()) {
            if !own.insert(output) {
                return Err(format!("two values are called `{output}`"));
            }
        }
    }
    known.extend(own);
    for node in &graph.node {
        if let Some(missing) = node.input.iter().find(|name| !name.is_empty() && !known.contains(name.as_str())) {
            return Err(format!("{} `{}` reads `{missing}`, which nothing makes", node.op_type(), node.name()));
        }
        inner(node, &known)?;
    }
    let missing = graph.output.iter().find(|output| !known.contains(output.name()));
    missing.map_or(Ok(()), |output| Err(format!("nothing makes the output `{}`", output.name())))
}

fn inner(node: &NodeProto, known: &HashSet<&str>) -> Result<(), String> {
    for attribute in &node.attribute {
        if let Some(tensor) = &attribute.t {
            sizes(tensor)?;
        }
        for graph in attribute.g.iter().chain(&attribute.graphs) {
            names(graph, known)?;
        }
    }
    Ok(())
}

/// Sizes are not negative, and stored bytes are as many as the shape needs.
fn sizes(tensor: &TensorProto) -> Result<(), String> {
    let Some(needed) = TensorData::needed_bytes(tensor)? else { return Ok(()) };
    match &tensor.raw_data {
        Some(raw) if raw.len() != needed && !super::external::is_external(tensor) => {
            Err(format!("tensor `{}` has {} bytes, its shape needs {needed}", tensor.name(), raw.len()))
        }
        _ => Ok(()),
    }
}
