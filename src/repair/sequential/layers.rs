//! The layers of the pruned model that can be refitted: matrices of weights, and where a bias may go.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::Around;
use super::chain::{Chain, Readers};
use crate::model::Model;
use crate::model::node::node_name;
use crate::ops::constant::{Constants, differ};
use crate::ops::linear::{BIAS, Bias, LinearMap, WEIGHT};
use crate::ops::real::RealWeight;
use crate::repair::passing::{passing, zeros};
use crate::surgery::{captured, topological_order};

/// A layer whose weight is stored and read by nobody else.
#[derive(Debug)]
pub(super) struct Layer {
    /// Index of the node.
    pub(super) node: usize,
    pub(super) name: String,
    pub(super) input: String,
    pub(super) output: String,
    /// Names of weight and bias.
    pub(super) weight: String,
    pub(super) stored_bias: Option<String>,
    pub(super) map: LinearMap,
    pub(super) bias: Bias,
    /// What comes of the output.
    pub(super) chain: Chain,
}

impl Layer {
    /// Channel axis of an output of that rank.
    pub(super) fn axis(&self, rank: usize) -> usize {
        if self.map.window.is_some() { 1 } else { rank - 1 }
    }
}

/// All layers that something cut lies before, in an order in which each comes after what it reads.
/// `around`: only those around a value.
pub(super) fn find(dense: &Model, pruned: &Model, around: Option<&Around>) -> Vec<Layer> {
    let graph = pruned.graph();
    let readers = Readers::of(graph);
    let gone = passing(dense, pruned);
    let touched = touched(dense, pruned, &gone);
    let order = topological_order(graph);
    let mut layers: Vec<Layer> = order
        .iter()
        .filter_map(|&index| layer(pruned, &readers, &gone, index))
        .filter(|layer| touched.contains(&layer.input) || layer.chain.stands_in())
        .collect();
    let place: HashMap<usize, usize> = layers.iter().enumerate().map(|(at, layer)| (layer.node, at)).collect();
    for (at, layer) in layers.iter_mut().enumerate() {
        let Some(shortcut) = layer.chain.shortcut.clone() else { continue };
        // The branch that is computed last corrects the sum.
        let before = ancestors(pruned, &readers, &shortcut);
        if before.iter().any(|node| place.get(node).is_some_and(|&own| own >= at)) {
            layer.chain.forget_shortcut();
        }
    }
    match around {
        Some(around) => nearest(pruned, &order, layers, around),
        None => layers,
    }
}

/// The layer that stands in for the block before the value, and the first ones behind it, up to one that ends in a sum.
fn nearest(pruned: &Model, order: &[usize], layers: Vec<Layer>, around: &Around) -> Vec<Layer> {
    let places: HashMap<usize, usize> = order.iter().enumerate().map(|(at, &node)| (node, at)).collect();
    let made = |value: &str| {
        order.iter().position(|&node| pruned.graph().node[node].output.iter().any(|output| output == value))
    };
    let Some(from) = made(&around.value) else { return Vec::new() };
    let (mut behind, mut ended) = (0, false);
    let mut near = |layer: &Layer| {
        if places[&layer.node] < from {
            return layer.chain.stands_in() && made(layer.chain.target()) >= Some(from);
        }
        if ended || behind == around.layers {
            return false;
        }
        (behind, ended) = (behind + 1, layer.chain.shortcut.is_some());
        true
    };
    layers.into_iter().filter(|layer| near(layer)).collect()
}

fn layer(model: &Model, readers: &Readers, gone: &BTreeSet<usize>, index: usize) -> Option<Layer> {
    let node = &model.graph().node[index];
    let name = node.input.get(WEIGHT)?;
    let weight = RealWeight::of(model, &readers.constants, name).filter(|own| own.alone)?;
    let map = LinearMap::of(node, &weight.dims).filter(LinearMap::is_plain)?;
    let bias = map.bias(model, node, &readers.constants);
    let (input, output) = (node.input.first()?.clone(), node.output.first()?.clone());
    let from_end = if map.window.is_some() { weight.dims.len() - 1 } else { 1 };
    let chain = Chain::after(model, readers, &output, from_end, gone);
    if bias == Bias::Fixed && chain.affine.is_none() {
        // A bias that others read too cannot be shifted.
        return None;
    }
    let stored_bias = node.input.get(BIAS).filter(|_| bias == Bias::Stored).cloned();
    let weight = name.clone();
    Some(Layer { node: index, name: node_name(node), input, output, weight, stored_bias, map, bias, chain })
}

/// Values that differ from those of the dense model: what comes of a constant that does, or of a block that is gone.
fn touched(dense: &Model, pruned: &Model, gone: &BTreeSet<usize>) -> HashSet<String> {
    let old = Constants::of(dense.graph());
    let graph = pruned.graph();
    let constants = Constants::of(graph);
    let zeros = zeros(dense, pruned);
    let mut touched: HashSet<String> = constants
        .all()
        .filter(|(name, id)| differ([dense, pruned], [old.find(name), Some(*id)]))
        .map(|(name, _)| name.to_owned())
        .collect();
    for index in topological_order(graph) {
        let node = &graph.node[index];
        let reads = node.input.iter().cloned().chain(captured(node)).any(|name| touched.contains(&name));
        if reads || zeros.contains(&index) || gone.contains(&index) {
            touched.extend(node.output.iter().filter(|name| !name.is_empty()).cloned());
        }
    }
    touched
}

/// Nodes that a value comes of.
fn ancestors(model: &Model, readers: &Readers, value: &str) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    let mut open = vec![value.to_owned()];
    while let Some(name) = open.pop() {
        let Some(node) = readers.uses.maker(&name) else { continue };
        if found.insert(node) {
            open.extend(model.graph().node[node].input.iter().cloned());
            open.extend(captured(&model.graph().node[node]));
        }
    }
    found
}
