//! Which computed weights are worth storing.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::model::{DataType, Model, TensorData};
use crate::proto::onnx::{GraphProto, NodeProto};

/// Operators between a weight and the integers that it is stored as.
const QUANTISED: &[&str] = &["DequantizeLinear", "QuantizeLinear", "DynamicQuantizeLinear"];

/// What a value is computed from: nodes, and names of stored tensors (initializers and `Constant` nodes).
struct Cone {
    nodes: BTreeSet<usize>,
    sources: BTreeSet<String>,
}

/// Those of `wanted` that some stored numbers go into, none of them quantised.
pub(super) fn candidates(model: &Model, nodes: &[usize], wanted: Vec<String>) -> Vec<String> {
    let graph = model.graph();
    let makers = makers(graph, nodes);
    let sizes = stored_bytes(graph);
    let suits = |name: &String| {
        let cone = cone(graph, &makers, name);
        let whole = |index: &usize| !QUANTISED.contains(&graph.node[*index].op_type());
        cone.nodes.iter().all(whole) && cone.sources.iter().any(|source| sizes.contains_key(source.as_str()))
    };
    wanted.into_iter().filter(suits).collect()
}

/// Those of the `found` values that take no more room than the tensors that nothing needs once they are stored. Values that
/// are computed from common tensors are stored together or not at all.
pub(super) fn worth_storing(
    model: &Model,
    nodes: &[usize],
    found: Vec<(String, TensorData)>,
) -> Vec<(String, TensorData)> {
    let graph = model.graph();
    let makers = makers(graph, nodes);
    let sizes = stored_bytes(graph);
    let float = |data: &TensorData| matches!(data.dtype, DataType::Float | DataType::Double | DataType::Float16);
    let found = found.into_iter().filter(|(_, data)| float(data));
    let mut families: Vec<(Cone, Vec<(String, TensorData)>)> = Vec::new();
    for (name, data) in found {
        let mut own = (cone(graph, &makers, &name), vec![(name, data)]);
        let common = |cone: &Cone, other: &Cone| {
            !cone.nodes.is_disjoint(&other.nodes) || !cone.sources.is_disjoint(&other.sources)
        };
        let (related, others) = families.into_iter().partition(|(cone, _)| common(cone, &own.0));
        families = others;
        for (cone, values) in related {
            let related: (Cone, Vec<(String, TensorData)>) = (cone, values);
            own.0.nodes.extend(related.0.nodes);
            own.0.sources.extend(related.0.sources);
            own.1.splice(0..0, related.1);
        }
        families.push(own);
    }
    let pays = |(cone, values): &(Cone, Vec<(String, TensorData)>)| {
        let stored: HashSet<&str> = values.iter().map(|(name, _)| name.as_str()).collect();
        let more: usize = values.iter().map(|(_, data)| data.bytes.len()).sum();
        more <= freed(graph, cone, &stored, &sizes)
    };
    families.into_iter().filter(pays).flat_map(|(_, values)| values).collect()
}

/// The node that makes a value, among `nodes`.
fn makers<'a>(graph: &'a GraphProto, nodes: &[usize]) -> HashMap<&'a str, usize> {
    nodes.iter().flat_map(|&index| graph.node[index].output.iter().map(move |name| (name.as_str(), index))).collect()
}

fn is_constant(node: &NodeProto) -> bool {
    node.op_type() == "Constant"
}

/// Bytes of every stored tensor of floats.
fn stored_bytes(graph: &GraphProto) -> HashMap<&str, usize> {
    let bytes = |tensor: &crate::proto::onnx::TensorProto| {
        let kind = DataType::try_from(tensor.data_type()).ok()?;
        let float = matches!(kind, DataType::Float | DataType::Double | DataType::Float16 | DataType::Bfloat16);
        let count: usize = tensor.dims.iter().map(|&size| usize::try_from(size).unwrap_or(0)).product();
        float.then_some(count * TensorData::element_size(kind)?)
    };
    let listed = graph.initializer.iter().filter_map(|tensor| Some((tensor.name(), bytes(tensor)?)));
    let nodes = graph.node.iter().filter(|node| is_constant(node)).filter_map(|node| {
        let tensor = node.attribute.iter().find_map(|own| own.t.as_ref())?;
        Some((node.output.first()?.as_str(), bytes(tensor)?))
    });
    listed.chain(nodes).collect()
}

fn cone(graph: &GraphProto, makers: &HashMap<&str, usize>, name: &str) -> Cone {
    let mut cone = Cone { nodes: BTreeSet::new(), sources: BTreeSet::new() };
    let mut open = vec![name];
    while let Some(name) = open.pop() {
        match makers.get(name) {
            Some(&index) if !is_constant(&graph.node[index]) => {
                if cone.nodes.insert(index) {
                    open.extend(graph.node[index].input.iter().map(String::as_str).filter(|name| !name.is_empty()));
                }
            }
            _ => {
                cone.sources.insert(name.to_owned());
            }
        }
    }
    cone
}

/// Bytes of the sources that only nodes read whose results are all stored or read by such nodes.
fn freed(graph: &GraphProto, cone: &Cone, stored: &HashSet<&str>, sizes: &HashMap<&str, usize>) -> usize {
    let outputs: HashSet<&str> = graph.output.iter().map(crate::proto::onnx::ValueInfoProto::name).collect();
    let mut readers: HashMap<&str, Vec<usize>> = HashMap::new();
    for (index, node) in graph.node.iter().enumerate() {
        for name in &node.input {
            readers.entry(name).or_default().push(index);
        }
    }
    let captured: HashSet<String> = graph.node.iter().flat_map(super::captured).collect();
    let mut dead: HashSet<usize> = HashSet::new();
    let unread = |name: &str, dead: &HashSet<usize>| {
        let by_dead = readers.get(name).is_none_or(|readers| readers.iter().all(|reader| dead.contains(reader)));
        by_dead && !outputs.contains(name) && !captured.contains(name)
    };
    // A node dies after its readers: as many rounds as the longest chain.
    loop {
        let dying = cone.nodes.iter().filter(|index| {
            let gone = |name: &String| name.is_empty() || stored.contains(name.as_str()) || unread(name, &dead);
            !dead.contains(index) && graph.node[**index].output.iter().all(gone)
        });
        let dying: Vec<usize> = dying.copied().collect();
        if dying.is_empty() {
            break;
        }
        dead.extend(dying);
    }
    cone.sources.iter().filter(|name| unread(name, &dead)).filter_map(|name| sizes.get(name.as_str())).sum()
}
