//! What a repair changed, layer by layer, so that parts of it can be taken back.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::RepairError;
use crate::model::Model;
use crate::model::node::node_name;
use crate::ops::constant::{ConstantId, Constants, content, differ, put, tensor};
use crate::proto::onnx::NodeProto;
use crate::surgery::topological_order;

/// Operators that scale and shift: with the layer before them they are one.
const SCALES: [&str; 4] = ["BatchNormalization", "Add", "Mul", "InstanceNormalization"];

/// One layer whose constants differ between two models of the same nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedLayer {
    /// Name of its first node.
    pub name: String,
    nodes: BTreeSet<usize>,
}

/// The layers whose constants differ between two models with the same nodes, in the order of the graph.
pub fn changed_layers(before: &Model, after: &Model) -> Vec<ChangedLayer> {
    let old = Constants::of(before.graph());
    let new = Constants::of(after.graph());
    let mut changed: HashMap<&str, bool> = HashMap::new();
    let mut layers: Vec<ChangedLayer> = Vec::new();
    // The layer that made a value, or that changed a constant first.
    let (mut made, mut owner): (HashMap<&str, usize>, HashMap<&str, usize>) = (HashMap::new(), HashMap::new());
    for index in topological_order(after.graph()) {
        let node = &after.graph().node[index];
        let own: Vec<&str> = node.input.iter().map(String::as_str).filter(|name| new.find(name).is_some()).collect();
        for name in &own {
            changed.entry(name).or_insert_with(|| differ([before, after], [old.find(name), new.find(name)]));
        }
        let own: Vec<&str> = own.into_iter().filter(|name| changed[name]).collect();
        if own.is_empty() {
            continue;
        }
        let shared = own.iter().find_map(|name| owner.get(name).copied());
        let scaled = || node.input.iter().find_map(|name| made.get(name.as_str()).copied());
        let layer = shared.or_else(|| scaled().filter(|_| SCALES.contains(&node.op_type())));
        let at = layer.unwrap_or_else(|| {
            layers.push(ChangedLayer { name: node_name(node), nodes: BTreeSet::new() });
            layers.len() - 1
        });
        layers[at].nodes.insert(index);
        made.extend(node.output.iter().map(|name| (name.as_str(), at)));
        owner.extend(own.into_iter().map(|name| (name, at)));
    }
    layers
}

/// `before` with some layers as they are in `after`.
///
/// # Errors
/// If a stored tensor cannot be read.
pub fn with_layers(before: &Model, after: &Model, layers: &[&ChangedLayer]) -> Result<Model, RepairError> {
    let (old, new) = (Constants::of(before.graph()), Constants::of(after.graph()));
    let mut model = before.clone();
    let mut wanted: BTreeMap<&str, ConstantId> = BTreeMap::new();
    for &index in layers.iter().flat_map(|layer| &layer.nodes) {
        let node: &NodeProto = &after.graph().node[index];
        model.graph_mut().node[index].input.clone_from(&node.input);
        wanted.extend(node.input.iter().filter_map(|name| Some((name.as_str(), new.find(name)?))));
    }
    for (name, id) in wanted {
        match (old.find(name), tensor(after.graph(), id)) {
            (None, Some(added)) => model.graph_mut().initializer.push(added.clone()),
            (Some(place), _) if differ([before, after], [Some(place), Some(id)]) => {
                if let Some(data) = content(after, id)? {
                    put(&mut model, place, &data);
                }
            }
            _ => {}
        }
    }
    Ok(model)
}
