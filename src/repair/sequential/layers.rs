//! The layers of the pruned model that can be refitted: matrices of weights, and where a bias may go.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::chain::{Chain, Readers};
use crate::model::node::{float_attribute, int_attribute};
use crate::model::{Model, TensorData};
use crate::ops::window::Window;
use crate::proto::onnx::NodeProto;
use crate::surgery::{captured, topological_order};

/// A layer whose weight is stored and read by nobody else.
#[derive(Debug)]
pub(super) struct Layer {
    /// Index of the node.
    pub(super) node: usize,
    pub(super) name: String,
    pub(super) input: String,
    pub(super) output: String,
    /// Index of the weight among the initializers.
    pub(super) weight: usize,
    pub(super) form: Form,
    pub(super) bias: Bias,
    /// What comes of the output.
    pub(super) chain: Chain,
}

/// How the weight is a matrix.
#[derive(Debug)]
pub(super) enum Form {
    /// `[O, C / groups, kernel]`, or `[C, O / groups, kernel]` if transposed.
    Window { window: Window, groups: usize },
    /// `[K, O]`, or `[O, K]` if transposed; the input's last axis is summed.
    Product { transposed: bool },
}

/// Where a constant per output can be put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bias {
    /// An initializer of the layer itself.
    Stored(usize),
    /// A third input can be added.
    Missing,
    /// Nowhere in the layer.
    None,
}

impl Layer {
    /// Groups of channels that do not see each other.
    pub(super) fn groups(&self) -> usize {
        match &self.form {
            Form::Window { groups, .. } => *groups,
            Form::Product { .. } => 1,
        }
    }

    /// Channel axis of the output, counted from the end where that is negative.
    pub(super) fn axis(&self, rank: usize) -> usize {
        match self.form {
            Form::Window { .. } => 1,
            Form::Product { .. } => rank - 1,
        }
    }
}

/// All layers that something cut lies before, in an order in which each comes after what it reads.
pub(super) fn find(dense: &Model, pruned: &Model) -> Vec<Layer> {
    let graph = pruned.graph();
    let readers = Readers::of(graph);
    let touched = touched(dense, pruned);
    let order = topological_order(graph);
    let mut layers: Vec<Layer> = order
        .iter()
        .filter(|&&index| graph.node[index].input.first().is_some_and(|name| touched.contains(name)))
        .filter_map(|&index| layer(pruned, &readers, index))
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
    layers
}

fn layer(model: &Model, readers: &Readers, index: usize) -> Option<Layer> {
    let graph = model.graph();
    let node = &graph.node[index];
    let stored = |at: usize| readers.stored_alone(node.input.get(at)?);
    let weight = stored(1)?;
    let data = model.tensor(&graph.initializer[weight]).ok()?;
    let form = form(node, &data)?;
    let bias = match (node.input.get(2).filter(|name| !name.is_empty()), node.op_type()) {
        (Some(_), _) => stored(2).map_or(Bias::None, Bias::Stored),
        (None, "MatMul") => Bias::None,
        (None, _) => Bias::Missing,
    };
    let (input, output) = (node.input.first()?.clone(), node.output.first()?.clone());
    let from_end = if matches!(form, Form::Window { .. }) { data.dims.len() - 1 } else { 1 };
    let chain = Chain::after(model, readers, &output, from_end);
    if bias == Bias::None && node.input.get(2).is_some_and(|name| !name.is_empty()) && chain.affine.is_none() {
        // A bias that others read too cannot be shifted.
        return None;
    }
    Some(Layer { node: index, name: crate::model::node::node_name(node), input, output, weight, form, bias, chain })
}

fn form(node: &NodeProto, weight: &TensorData) -> Option<Form> {
    let float = |name: &str| float_attribute(node, name).unwrap_or(1.0);
    match node.op_type() {
        "Conv" | "ConvTranspose" if weight.dims.len() > 2 => {
            let groups =
                usize::try_from(int_attribute(node, "group").unwrap_or(1)).ok().filter(|groups| *groups > 0)?;
            Some(Form::Window { window: Window::of(node, Some(&weight.dims[2..])).ok()?, groups })
        }
        "Gemm" if float("alpha").to_bits() == 1.0_f32.to_bits() && float("beta").to_bits() == 1.0_f32.to_bits() => {
            let transposed = int_attribute(node, "transB").unwrap_or(0) != 0;
            (int_attribute(node, "transA").unwrap_or(0) == 0).then_some(Form::Product { transposed })
        }
        "MatMul" if weight.dims.len() == 2 => Some(Form::Product { transposed: false }),
        _ => None,
    }
    .filter(|_| weight.to_f32().is_some())
}

/// Values that differ from those of the dense model: what comes of a constant that does.
fn touched(dense: &Model, pruned: &Model) -> HashSet<String> {
    let old: HashMap<&str, &crate::proto::onnx::TensorProto> =
        dense.graph().initializer.iter().map(|tensor| (tensor.name(), tensor)).collect();
    let graph = pruned.graph();
    let mut touched: HashSet<String> = graph
        .initializer
        .iter()
        .filter(|tensor| old.get(tensor.name()).is_none_or(|own| own != tensor))
        .map(|tensor| tensor.name().to_owned())
        .collect();
    for index in topological_order(graph) {
        let node = &graph.node[index];
        if node.input.iter().cloned().chain(captured(node)).any(|name| touched.contains(&name)) {
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
        let Some(node) = readers.maker(&name) else { continue };
        if found.insert(node) {
            open.extend(model.graph().node[node].input.iter().cloned());
            open.extend(captured(&model.graph().node[node]));
        }
    }
    found
}
