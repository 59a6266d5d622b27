//! Node times of two models, layer by layer.

use std::collections::{BTreeMap, HashMap};

use super::notes::explain;
use super::origin::Origins;
use super::{Layer, LayerCost, Profile};
use crate::channels::Channels;
use crate::engine::{Blocked, ChannelBlock, NodeTime};
use crate::model::Model;
use crate::model::node::node_name;
use crate::ops::constant::{named, tensor};

/// A model, its analysis (for shapes and multiply-accumulates) and what the engine measured.
#[derive(Debug, Clone, Copy)]
pub struct Measured<'a> {
    /// The model.
    pub model: &'a Model,
    /// Its analysis.
    pub channels: &'a Channels,
    /// Times of the engine's nodes.
    pub times: &'a [NodeTime],
    /// How the engine runs its convolutions, where it has a blocked layout.
    pub blocked: Option<&'a Blocked>,
    /// Images per run.
    pub batch: usize,
}

/// Layers of one model: place in the graph, name, operator, cost.
type Found = BTreeMap<(usize, String), (String, LayerCost)>;

/// Joins the layers of two models by name. `block`: the engine's channel block.
pub fn join(before: &Measured<'_>, after: &Measured<'_>, block: ChannelBlock) -> Profile {
    let (first, mut second) = (layers(before), layers(after));
    let mut joined = Vec::new();
    for ((_, name), (op, cost)) in first {
        let twin = second.keys().find(|key| key.1 == name).cloned();
        let after = twin.and_then(|key| second.remove(&key)).map(|(_, cost)| cost);
        joined.push(Layer { name, op, before: Some(cost), after, note: None });
    }
    for ((_, name), (op, cost)) in second {
        joined.push(Layer { name, op, before: None, after: Some(cost), note: None });
    }
    explain(&mut joined, block);
    let convolutions = before.blocked.zip(after.blocked).map(|(a, b)| [a.count, b.count]);
    Profile { layers: joined, convolutions }
}

/// Milliseconds of the nodes of a model's file, by name; what the engine added on its own is left out.
pub fn layer_times(model: &Model, times: &[NodeTime]) -> BTreeMap<String, f64> {
    let graph = model.graph();
    let origins = Origins::new(graph);
    let mut found = BTreeMap::new();
    for time in times {
        if let Some(at) = origins.of(&time.name) {
            *found.entry(node_name(&graph.node[at])).or_insert(0.0) += time.ms;
        }
    }
    found
}

fn layers(own: &Measured<'_>) -> Found {
    let graph = own.model.graph();
    let origins = Origins::new(graph);
    let macs: HashMap<usize, u64> =
        own.channels.macs_by_node(None).into_iter().fold(HashMap::new(), |mut sum, (at, macs)| {
            *sum.entry(at).or_insert(0) += macs;
            sum
        });
    let mut found = Found::new();
    for time in own.times {
        let place = origins.of(&time.name);
        let (key, op) = if let Some(at) = place {
            ((at, node_name(&graph.node[at])), graph.node[at].op_type().to_owned())
        } else {
            // A provider that takes many nodes as one numbers what it makes of them.
            let op = time.op.trim_end_matches(|c: char| c.is_ascii_digit() || c == '_');
            ((usize::MAX, format!("({op})")), op.to_owned())
        };
        let entry = found.entry(key).or_insert_with(|| {
            let cost = LayerCost { ms: 0.0, macs: 0, bytes: 0, widths: None, blocked: None };
            (op, place.map_or(cost, |at| work(own, at, macs.get(&at).copied().unwrap_or(0))))
        });
        entry.1.ms += time.ms;
        if let Some(blocked) = own.blocked.and_then(|blocked| blocked.of.get(&time.name)) {
            entry.1.blocked = Some(*blocked);
        }
    }
    found
}

/// What a node computes and moves; the analysis is that of one image.
fn work(own: &Measured<'_>, at: usize, macs: u64) -> LayerCost {
    let node = &own.model.graph().node[at];
    let batch = own.batch.max(1) as u64;
    let stored = |name: &String| own.model.graph().initializer.iter().any(|tensor| tensor.name() == name);
    let elements = |name: &String| {
        let shape = own.channels.shape(name)?;
        Some(shape.iter().product::<usize>() as u64)
    };
    let weight = |name: &String| {
        let stored = tensor(own.model.graph(), named(own.model.graph(), name)?)?;
        stored.dims.iter().map(|&dim| u64::try_from(dim).ok()).product::<Option<u64>>()
    };
    let values = node.input.iter().chain(&node.output).filter(|name| !name.is_empty());
    let bytes: u64 = values
        .map(|name| if stored(name) { weight(name).unwrap_or(0) } else { batch * elements(name).unwrap_or(0) })
        .sum();
    let channels = |name: Option<&String>| {
        let shape = own.channels.shape(name?)?;
        shape.get(if node.op_type().starts_with("Conv") { 1 } else { shape.len().saturating_sub(1) }).copied()
    };
    let widths = channels(node.input.first()).zip(channels(node.output.first()));
    LayerCost { ms: 0.0, macs: batch * macs, bytes: 4 * bytes, widths, blocked: None }
}
