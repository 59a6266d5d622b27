//! Blocks: parts of the graph that can be left out whole.
//!
//! Found from the graph alone, by the nodes that only lead to one value. They are a block where a sum adds them to its shortcut
//! (`sums.rs`: a residual block, an inverted residual, the attention or feed-forward part of a transformer), where they are a
//! layer whose input has the shape of its output (`layers.rs`), or an input of a `Concat` that loses all of its channels
//! (`branches.rs`).

mod branches;
mod layers;
mod sums;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::analysis::Channels;
use crate::model::node::node_name;
use crate::model::{DataType, Model};
use crate::ops::constant::{Constants, tensor};
use crate::proto::onnx::NodeProto;
use crate::surgery::{Uses, captured, topological_order, variable};

/// What is there without a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BlockKind {
    /// A sum passes on its other side, a value that the block reads.
    Residual,
    /// A sum passes on its other side, which comes by nodes of its own of a value that the block reads too.
    Stage,
    /// A layer that reads a value of the shape that it makes: its input is passed on.
    Layer,
    /// A `Concat` joins its other inputs alone.
    Branch,
}

/// A part of the graph that can be left out whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Name of the node behind it: the sum, the `Concat`, or the last node of the layer.
    pub name: String,
    /// What is there without it.
    pub kind: BlockKind,
    /// Index of the node behind it.
    pub node: usize,
    /// Index of the block's result among the inputs of that node.
    pub input: usize,
    /// Name of the value that is passed on without the block; of a branch the block's own result, which is joined no more.
    pub shortcut: String,
    /// Name of the first output of the node behind it.
    pub output: String,
    /// Indices of the nodes that only lead to the block's result, ascending.
    pub nodes: Vec<usize>,
    /// Names of the values that they make.
    pub(crate) made: BTreeSet<String>,
    /// Multiply-accumulates of those nodes.
    pub macs: u64,
    /// Stored parameters that only those nodes read.
    pub params: u64,
    /// Index of the activation behind the sum that does nothing without the block, since the shortcut has been through the
    /// same one.
    pub(crate) repeated: Option<usize>,
    /// Name of its output.
    pub(crate) repeated_output: Option<String>,
}

impl Block {
    /// The last value that is passed on without the block: behind the activation that does nothing then.
    pub(crate) fn last_output(&self) -> &str {
        self.repeated_output.as_deref().unwrap_or(&self.output)
    }
}

/// All blocks, in the order of the graph.
pub(super) fn find(model: &Model, channels: &Channels) -> Vec<Block> {
    let walk = Walk::of(model, channels);
    let nodes = &model.graph().node;
    let sums = walk.order.iter().copied().filter(|&node| sums::adds_two(&nodes[node]));
    let mut blocks: Vec<Block> = sums.filter_map(|sum| walk.added(sum)).collect();
    let inside: BTreeSet<usize> = blocks.iter().flat_map(|block| block.nodes.iter().copied()).collect();
    // What goes with a larger block is no block of its own, but for sums, which nest.
    let open = walk.order.iter().copied().filter(|node| !inside.contains(node));
    for node in open {
        blocks.extend(walk.layer(node));
        blocks.extend(walk.branches(node));
    }
    blocks.sort_by_key(|block| (walk.place[block.node], block.input));
    blocks
}

/// Element types of what counts as a parameter.
const FLOATS: [DataType; 4] = [DataType::Float, DataType::Double, DataType::Float16, DataType::Bfloat16];

/// A graph with what blocks are found by.
struct Walk<'a> {
    model: &'a Model,
    channels: &'a Channels,
    constants: Constants,
    order: Vec<usize>,
    /// Place of every node in `order`.
    place: Vec<usize>,
    uses: Uses,
    /// Values that depend on the model's inputs.
    variable: HashSet<String>,
    macs: BTreeMap<usize, u64>,
}

/// Nodes that only lead to one value.
struct Side {
    nodes: BTreeSet<usize>,
    /// Values that they read of others and that depend on the model's inputs.
    entries: BTreeSet<String>,
    macs: u64,
}

impl<'a> Walk<'a> {
    fn of(model: &'a Model, channels: &'a Channels) -> Self {
        let graph = model.graph();
        let order = topological_order(graph);
        let mut place = vec![0; graph.node.len()];
        order.iter().enumerate().for_each(|(at, &node)| place[node] = at);
        let mut macs = BTreeMap::new();
        for (node, own) in channels.macs_by_node(None) {
            *macs.entry(node).or_insert(0) += own;
        }
        let (uses, variable) = (Uses::of(graph), variable(graph, &order));
        Self { model, channels, constants: Constants::of(graph), order, place, uses, variable, macs }
    }

    fn node(&self, index: usize) -> &'a NodeProto {
        &self.model.graph().node[index]
    }

    /// The nodes that only lead to `value` as `reader` reads it, at once or through others of them; not beyond the value `from`.
    fn leading_to(&self, value: &str, reader: Option<usize>, from: Option<&str>) -> Side {
        let mut side = Side { nodes: BTreeSet::new(), entries: BTreeSet::new(), macs: 0 };
        // From the end: when a node is looked at, all that read it have been.
        let mut open: BTreeMap<usize, usize> = BTreeMap::new();
        open.extend(self.uses.maker(value).map(|node| (self.place[node], node)));
        while let Some((_, index)) = open.pop_last() {
            let node = self.node(index);
            let read = |name: &String| {
                let inside = |own: usize| reader == Some(own) && name == value || side.nodes.contains(&own);
                // Who reads the value of a layer reads the value before it then.
                let last = reader.is_none() && name == value;
                Some(name.as_str()) != from
                    && (last || self.uses.readers(name).iter().all(|own| own.is_some_and(inside)))
            };
            if !node.output.iter().filter(|name| !name.is_empty()).all(read) {
                continue;
            }
            side.nodes.insert(index);
            side.macs += self.macs.get(&index).copied().unwrap_or(0);
            for name in node.input.iter().cloned().chain(captured(node)) {
                open.extend(self.uses.maker(&name).map(|maker| (self.place[maker], maker)));
            }
        }
        for &index in &side.nodes {
            let node = self.node(index);
            let read = node.input.iter().cloned().chain(captured(node));
            let outside = |name: &String| self.uses.maker(name).is_none_or(|own| !side.nodes.contains(&own));
            side.entries.extend(read.filter(|name| self.variable.contains(name.as_str())).filter(outside));
        }
        side
    }

    /// Names of the values that nodes make.
    fn made(&self, nodes: &BTreeSet<usize>) -> BTreeSet<String> {
        nodes.iter().flat_map(|&index| self.node(index).output.iter().cloned()).collect()
    }

    /// Elements of the stored tensors that nobody else reads.
    fn params(&self, nodes: &BTreeSet<usize>) -> u64 {
        let names: BTreeSet<&String> = nodes.iter().flat_map(|&index| &self.node(index).input).collect();
        let alone = |name: &&&String| {
            let inside = |reader: &Option<usize>| reader.is_some_and(|own| nodes.contains(&own));
            self.uses.readers(name).iter().all(inside)
        };
        // Dims and element type only: the numbers of large weights are not read.
        let stored = |name: &&String| tensor(self.model.graph(), self.constants.find(name)?);
        let elements = |name: &&String| {
            let floats = stored(name).filter(|own| FLOATS.iter().any(|&dtype| own.data_type() == dtype as i32));
            floats.map_or(0, |own| own.dims.iter().map(|&size| u64::try_from(size).unwrap_or(0)).product())
        };
        names.iter().filter(alone).map(elements).filter(|&count: &u64| count > 1).sum()
    }

    /// A block of these nodes: what leads to input `input` of `node`, or to its output. `shortcut`: as in [`Block`].
    fn block(&self, kind: BlockKind, [node, input]: [usize; 2], shortcut: &str, side: Side) -> Option<Block> {
        Some(Block {
            name: node_name(self.node(node)),
            kind,
            node,
            input,
            shortcut: shortcut.to_owned(),
            output: self.node(node).output.first()?.clone(),
            macs: side.macs,
            params: self.params(&side.nodes),
            made: self.made(&side.nodes),
            nodes: side.nodes.into_iter().collect(),
            repeated: None,
            repeated_output: None,
        })
    }
}
