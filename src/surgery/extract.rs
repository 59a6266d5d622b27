//! The part of a graph between two sets of values.

use std::collections::{HashMap, HashSet};

use super::SurgeryError;
use super::find::{captured, names};
use crate::model::Model;
use crate::model::node::tensor_info;
use crate::proto::onnx::tensor_proto::DataType;
use crate::proto::onnx::{GraphProto, ValueInfoProto};

/// A model of its own that computes the values `outputs` from the values `inputs`, with the weights it needs.
///
/// Declared types and shapes are kept. Where the file declares none for a value of the new interface, it gets the
/// element type of most weights and no shape: engines find the shape themselves.
///
/// ```
/// use onnx_prune::model::Model;
/// use onnx_prune::surgery::{SurgeryError, extract};
/// # fn demo(model: &Model) -> Result<(), SurgeryError> {
/// let head = extract(model, &["features"], &["logits"])?;
/// println!("the head has {} nodes", head.graph().node.len());
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`SurgeryError::NoValue`] if a value does not exist; [`SurgeryError::Open`] if `outputs` depend on a graph input
/// that is not among `inputs`.
pub fn extract(model: &Model, inputs: &[&str], outputs: &[&str]) -> Result<Model, SurgeryError> {
    let graph = model.graph();
    let known = names(graph);
    if let Some(missing) = inputs.iter().chain(outputs).find(|name| !known.contains(**name)) {
        return Err(SurgeryError::NoValue((*missing).to_owned()));
    }
    let (nodes, read) = between(graph, inputs, outputs)?;
    let mut part = model.clone();
    let new = part.graph_mut();
    new.node = nodes.iter().map(|&index| graph.node[index].clone()).collect();
    new.initializer.retain(|tensor| read.contains(tensor.name()) && !inputs.contains(&tensor.name()));
    new.sparse_initializer.clear();
    let declare = |name: &&str| declared(graph, name);
    // Before IR version 4 weights are listed as graph inputs too.
    let listed = graph.input.iter().filter(|input| new.initializer.iter().any(|tensor| tensor.name() == input.name()));
    new.input = inputs.iter().map(declare).chain(listed.cloned()).collect();
    new.output = outputs.iter().map(declare).collect();
    let made: HashSet<&str> = new.node.iter().flat_map(|node| node.output.iter().map(String::as_str)).collect();
    new.value_info = graph
        .value_info
        .iter()
        .filter(|info| made.contains(info.name()) && !outputs.contains(&info.name()))
        .cloned()
        .collect();
    Ok(part)
}

/// Nodes on the way, in the file's order, and every name that they read.
fn between<'g>(
    graph: &'g GraphProto,
    inputs: &[&str],
    outputs: &[&'g str],
) -> Result<(Vec<usize>, HashSet<String>), SurgeryError> {
    let mut producer: HashMap<&str, usize> = HashMap::new();
    for (index, node) in graph.node.iter().enumerate() {
        producer.extend(node.output.iter().map(|name| (name.as_str(), index)));
    }
    let stored: HashSet<&str> = graph.initializer.iter().map(crate::proto::onnx::TensorProto::name).collect();
    let mut open: Vec<String> = outputs.iter().map(|name| (*name).to_owned()).collect();
    let mut read: HashSet<String> = open.iter().cloned().collect();
    let mut nodes = HashSet::new();
    while let Some(name) = open.pop() {
        if name.is_empty() || inputs.contains(&name.as_str()) || stored.contains(name.as_str()) {
            continue;
        }
        let Some(&index) = producer.get(name.as_str()) else { return Err(SurgeryError::Open(name)) };
        if nodes.insert(index) {
            let node = &graph.node[index];
            let wanted = node.input.iter().cloned().chain(captured(node));
            open.extend(wanted.filter(|name| read.insert(name.clone())));
        }
    }
    let mut nodes: Vec<usize> = nodes.into_iter().collect();
    nodes.sort_unstable();
    Ok((nodes, read))
}

/// What the file declares of a value, else the element type of most weights.
fn declared(graph: &GraphProto, name: &str) -> ValueInfoProto {
    let all = graph.value_info.iter().chain(&graph.input).chain(&graph.output);
    if let Some(info) = all.into_iter().find(|info| info.name() == name) {
        return info.clone();
    }
    let mut counts: HashMap<i32, usize> = HashMap::new();
    let floats = [DataType::Float, DataType::Float16, DataType::Double, DataType::Bfloat16].map(|kind| kind as i32);
    for tensor in graph.initializer.iter().filter(|tensor| floats.contains(&tensor.data_type())) {
        *counts.entry(tensor.data_type()).or_default() += 1;
    }
    let commonest = counts.into_iter().max_by_key(|&(kind, count)| (count, std::cmp::Reverse(kind)));
    tensor_info(name, commonest.map_or(DataType::Float as i32, |(kind, _)| kind), None)
}
