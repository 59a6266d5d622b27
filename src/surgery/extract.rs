//! The part of a graph between two sets of values.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::SurgeryError;
use super::find::{captured, names};
use super::index::sparse_name;
use super::types::{Source, element_type};
use crate::model::axes::sizes;
use crate::model::node::tensor_info;
use crate::model::{DataType, Model, TensorType};
use crate::proto::onnx::{GraphProto, NodeProto, TensorProto, ValueInfoProto};

/// A model of its own that computes the values `outputs` from the values `inputs`, with the weights it needs.
///
/// Declared types and shapes are kept, sizes known at run time included. Where the file declares none for a value of
/// the new interface, its element type follows from the operators before it (behind operators that are not the
/// standard's it is that of most weights), and its shape is left open: engines find the shape of an output, and [`Graph::set_info`](super::Graph::set_info) declares that of an input.
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
/// [`SurgeryError::NoValue`] if a value does not exist; [`SurgeryError::Taken`] if one is named twice;
/// [`SurgeryError::NoGraphOutput`] without outputs; [`SurgeryError::Open`] if `outputs` depend on a graph input that is
/// not among `inputs`.
pub fn extract(model: &Model, inputs: &[&str], outputs: &[&str]) -> Result<Model, SurgeryError> {
    let graph = model.graph();
    let known = names(graph);
    if let Some(missing) = inputs.iter().chain(outputs).find(|name| !known.contains(**name)) {
        return Err(SurgeryError::NoValue { value: (*missing).to_owned() });
    }
    for names in [inputs, outputs] {
        let mut seen = HashSet::new();
        if let Some(twice) = names.iter().find(|name| !seen.insert(**name)) {
            return Err(SurgeryError::Taken { name: (*twice).to_owned(), by: "another value of the interface".into() });
        }
    }
    if outputs.is_empty() {
        return Err(SurgeryError::NoGraphOutput);
    }
    let (nodes, read) = between(graph, inputs, outputs)?;
    let mut part = model.clone();
    let new = part.graph_mut();
    new.node = nodes.iter().map(|&index| graph.node[index].clone()).collect();
    new.initializer.retain(|tensor| read.contains(tensor.name()) && !inputs.contains(&tensor.name()));
    new.sparse_initializer
        .retain(|sparse| read.contains(sparse_name(sparse)) && !inputs.contains(&sparse_name(sparse)));
    let types = Types::of(graph);
    let declare = |name: &&str| types.declaration(name);
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
    let mut stored: HashSet<&str> = graph.initializer.iter().map(TensorProto::name).collect();
    stored.extend(graph.sparse_initializer.iter().map(sparse_name));
    let mut open: Vec<String> = outputs.iter().map(|name| (*name).to_owned()).collect();
    let mut read: HashSet<String> = open.iter().cloned().collect();
    let mut nodes = HashSet::new();
    while let Some(name) = open.pop() {
        if name.is_empty() || inputs.contains(&name.as_str()) || stored.contains(name.as_str()) {
            continue;
        }
        let Some(&index) = producer.get(name.as_str()) else { return Err(SurgeryError::Open { value: name }) };
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

/// What the file says of its values.
struct Types<'g> {
    infos: HashMap<&'g str, &'g ValueInfoProto>,
    stored: HashMap<&'g str, &'g TensorProto>,
    makers: HashMap<&'g str, &'g NodeProto>,
}

impl<'g> Types<'g> {
    fn of(graph: &'g GraphProto) -> Self {
        let infos = graph.output.iter().chain(&graph.input).chain(&graph.value_info);
        let makers = graph.node.iter().flat_map(|node| node.output.iter().map(move |name| (name.as_str(), node)));
        Self {
            infos: infos.filter(|info| info.r#type.is_some()).map(|info| (info.name(), info)).collect(),
            stored: graph.initializer.iter().map(|tensor| (tensor.name(), tensor)).collect(),
            makers: makers.collect(),
        }
    }

    /// What the file declares of a value, else what follows from the operators before it.
    fn declaration(&self, name: &str) -> ValueInfoProto {
        if let Some(info) = self.infos.get(name) {
            return (*info).clone();
        }
        let shape = self.stored.get(name).and_then(|tensor| sizes(&tensor.dims));
        let element = element_type(name, self).unwrap_or_else(|| self.commonest());
        tensor_info(name, element as i32, shape.as_deref())
    }

    /// The float type of most stored tensors.
    fn commonest(&self) -> DataType {
        let mut counts: BTreeMap<i32, usize> = BTreeMap::new();
        let floats = [DataType::Double, DataType::Bfloat16, DataType::Float16, DataType::Float];
        let kinds = self.stored.values().map(|tensor| tensor.data_type());
        kinds.for_each(|kind| *counts.entry(kind).or_default() += 1);
        let count = |kind: &DataType| counts.get(&(*kind as i32)).copied();
        floats.into_iter().max_by_key(count).unwrap_or(DataType::Float)
    }
}

impl Source for Types<'_> {
    fn declared(&self, value: &str) -> Option<DataType> {
        let stored = self.stored.get(value).and_then(|tensor| DataType::try_from(tensor.data_type()).ok());
        let declared = || self.infos.get(value).and_then(|info| TensorType::of(info)).map(|kind| kind.element);
        stored.or_else(declared).filter(|element| *element != DataType::Undefined)
    }

    fn maker(&self, value: &str) -> Option<&NodeProto> {
        self.makers.get(value).copied()
    }
}
