//! What a repair changed, layer by layer, so that parts of it can be taken back.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::RepairError;
use crate::model::Model;
use crate::model::node::node_name;
use crate::ops::constant::{ConstantId, Constants, content, differ, put, put_floats, tensor};
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

/// `after` with its numbers moved back towards `before`: of every changed constant of real numbers `share` of the change is left.
/// Weights between those before and after a tuning often do better on other inputs than both (Wortsman et al. 2022,
/// arXiv 2109.01903).
///
/// # Errors
/// If a stored tensor cannot be read.
pub fn between(before: &Model, after: &Model, share: f32) -> Result<Model, RepairError> {
    let (old, new) = (Constants::of(before.graph()), Constants::of(after.graph()));
    let names: BTreeSet<&str> = after.graph().node.iter().flat_map(|node| &node.input).map(String::as_str).collect();
    let mut model = after.clone();
    for name in names {
        let (Some(from), Some(to)) = (old.find(name), new.find(name)) else { continue };
        if !differ([before, after], [Some(from), Some(to)]) {
            continue;
        }
        let numbers =
            |model: &Model, id: ConstantId| Ok::<_, RepairError>(content(model, id)?.and_then(|own| own.to_f32()));
        let (Some(from), Some(aim)) = (numbers(before, from)?, numbers(after, to)?) else { continue };
        if from.len() == aim.len() {
            let values: Vec<f32> = from.iter().zip(&aim).map(|(from, aim)| from + share * (aim - from)).collect();
            put_floats(&mut model, to, &values);
        }
    }
    Ok(model)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TensorData;

    #[test]
    fn numbers_are_moved_a_share_of_the_way_and_integers_are_not() {
        let model = |weight: [f32; 2], index: i64| {
            let mut model = Model::new(17);
            let names = ["w", "i"].map(str::to_owned).to_vec();
            model.graph_mut().node.push(NodeProto {
                input: names,
                output: vec!["y".into()],
                ..NodeProto::new("Gather")
            });
            let stored = [
                TensorData::from_f32(vec![2], &weight).to_proto("w"),
                TensorData::from_i64(vec![1], &[index]).to_proto("i"),
            ];
            model.graph_mut().initializer.extend(stored);
            model
        };
        let (before, after) = (model([1.0, -2.0], 3), model([3.0, -2.0], 4));
        let found = between(&before, &after, 0.25).unwrap();
        let stored = |at: usize| found.tensor(&found.graph().initializer[at]).unwrap();
        assert_eq!(stored(0).to_f32().unwrap(), [1.5, -2.0]);
        assert_eq!(stored(1).to_i64().unwrap(), [4]);
    }
}
