//! Looking things up in a graph, and the smallest edit: what the public edits, the analysis and the rewriter share.

use std::collections::{HashMap, HashSet};

use super::rules::own_names;
use crate::model::node::tensor_info;
use crate::model::{Model, TensorData};
use crate::proto::onnx::{GraphProto, NodeProto, ValueInfoProto};

/// Subgraphs of a node: branches, bodies of loops.
pub(super) fn subgraphs(node: &NodeProto) -> impl Iterator<Item = &GraphProto> {
    node.attribute.iter().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs))
}

/// Names that the subgraphs of a node give, at any depth.
pub(super) fn inner_names(node: &NodeProto) -> Vec<String> {
    let mut names = Vec::new();
    for graph in subgraphs(node) {
        names.extend(own_names(graph).map(str::to_owned));
        names.extend(graph.node.iter().flat_map(inner_names));
    }
    names
}

/// Names of outer values that the subgraphs of a node read.
pub(crate) fn captured(node: &NodeProto) -> Vec<String> {
    subgraphs(node).flat_map(free_names).collect()
}

fn free_names(graph: &GraphProto) -> Vec<String> {
    let own: HashSet<&str> = own_names(graph).collect();
    let free = |name: &str| !name.is_empty() && !own.contains(name);
    let mut names = Vec::new();
    for node in &graph.node {
        names.extend(node.input.iter().cloned().chain(captured(node)).filter(|name| free(name)));
    }
    names.extend(graph.output.iter().map(ValueInfoProto::name).filter(|name| free(name)).map(str::to_owned));
    names
}

/// Lets a node and its subgraphs read `to` where they read the outer value `from`.
pub(super) fn reread(node: &mut NodeProto, from: &str, to: &str) {
    for name in node.input.iter_mut().filter(|name| *name == from) {
        to.clone_into(name);
    }
    for graph in node.attribute.iter_mut().flat_map(|attribute| attribute.g.iter_mut().chain(&mut attribute.graphs)) {
        if own_names(graph).any(|name| name == from) {
            continue;
        }
        for inner in &mut graph.node {
            reread(inner, from, to);
        }
        for output in graph.output.iter_mut().filter(|output| output.name() == from) {
            output.name = Some(to.to_owned());
        }
    }
}

/// Nodes in an order in which producers come first; the file's own order where it is one already.
pub(crate) fn topological_order(graph: &GraphProto) -> Vec<usize> {
    let mut producer: HashMap<&str, usize> = HashMap::new();
    for (index, node) in graph.node.iter().enumerate() {
        for name in node.output.iter().filter(|name| !name.is_empty()) {
            producer.entry(name).or_insert(index);
        }
    }
    let mut state = vec![0u8; graph.node.len()];
    let mut order = Vec::with_capacity(graph.node.len());
    for root in 0..graph.node.len() {
        let mut stack = vec![(root, false)];
        while let Some((index, done)) = stack.pop() {
            if done {
                state[index] = 2;
                order.push(index);
                continue;
            }
            if state[index] != 0 {
                continue;
            }
            state[index] = 1;
            stack.push((index, true));
            let node = &graph.node[index];
            let inner = captured(node);
            for name in inner.iter().chain(&node.input).rev() {
                if let Some(&from) = producer.get(name.as_str()).filter(|&&from| state[from] == 0) {
                    stack.push((from, false));
                }
            }
        }
    }
    order
}

/// How often a name is read: by nodes, by the subgraphs of nodes, as a graph output.
pub(crate) fn references(graph: &GraphProto) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for node in &graph.node {
        for name in node.input.iter().cloned().chain(captured(node)).filter(|name| !name.is_empty()) {
            *counts.entry(name).or_default() += 1;
        }
    }
    for output in &graph.output {
        *counts.entry(output.name().to_owned()).or_default() += 1;
    }
    counts
}

/// Adds an initializer; before IR version 4 it must be a graph input too.
pub(crate) fn add_initializer(result: &mut Model, name: &str, data: &TensorData) {
    let listed = result.proto().ir_version() < 4;
    let graph = result.graph_mut();
    graph.initializer.push(data.to_proto(name));
    if listed {
        graph.input.push(tensor_info(name, data.dtype as i32, Some(&data.dims)));
    }
}

/// Names of all values of a graph.
pub(super) fn names(graph: &GraphProto) -> HashSet<String> {
    own_names(graph).map(str::to_owned).collect()
}

/// Names in use, to make new ones.
pub(crate) struct Names(HashSet<String>);

impl Names {
    pub(crate) fn of(graph: &GraphProto) -> Self {
        Self(names(graph))
    }

    /// `wanted`, or `wanted_2` and so on if it is taken.
    pub(crate) fn fresh(&mut self, wanted: &str) -> String {
        let mut name = wanted.to_owned();
        let mut number = 2;
        while !self.0.insert(name.clone()) {
            name = format!("{wanted}_{number}");
            number += 1;
        }
        name
    }
}
