//! Blocks: parts of the graph between a value and the sum that they are added to, which can be left out whole.
//!
//! Found from the graph alone: the nodes that only lead to one side of a sum are a block where the other side is a value
//! that they read (a residual block, an inverted residual, the attention or the feed-forward part of a transformer), or
//! comes of a value that they read too by less work (a shortcut that changes the stage: it stays). What a sum passes on
//! without the block has the same shape, so every block can go whatever else is cut.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::analysis::Channels;
use crate::model::Model;
use crate::model::node::{is_onnx, node_name};
use crate::ops::constant::Constants;
use crate::ops::scalar::Function;
use crate::proto::onnx::{NodeProto, TensorProto};
use crate::surgery::{captured, topological_order};

/// A part of the graph that a sum adds to a shortcut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Name of the sum's node.
    pub name: String,
    /// Index of the sum's node.
    pub sum: usize,
    /// Index of the block's result among the inputs of the sum.
    pub input: usize,
    /// Name of the value that the sum passes on without the block.
    pub shortcut: String,
    /// Name of the sum's output.
    pub output: String,
    /// Whether the shortcut is a value that the block reads; else it has nodes of its own, which stay.
    pub identity: bool,
    /// Indices of the nodes that only lead to the block's result, ascending.
    pub nodes: Vec<usize>,
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
    let sums = walk.order.iter().copied().filter(|&node| adds_two(&model.graph().node[node]));
    sums.filter_map(|sum| walk.block(sum)).collect()
}

/// A sum of two values.
fn adds_two(node: &NodeProto) -> bool {
    let two = matches!(&node.input[..], [a, b] if a != b && !a.is_empty() && !b.is_empty());
    is_onnx(node) && matches!(node.op_type(), "Add" | "Sum") && two
}

/// Who makes and reads the values of a graph.
struct Walk<'a> {
    model: &'a Model,
    channels: &'a Channels,
    constants: Constants,
    order: Vec<usize>,
    /// Place of every node in `order`.
    place: Vec<usize>,
    makers: HashMap<&'a str, usize>,
    /// Nodes that read a value; `None` for a graph output or a subgraph.
    readers: HashMap<String, Vec<Option<usize>>>,
    /// Values that depend on the model's inputs.
    variable: HashSet<&'a str>,
    macs: BTreeMap<usize, u64>,
}

/// The nodes that only lead to one side of a sum.
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
        let mut makers = HashMap::new();
        let mut readers: HashMap<String, Vec<Option<usize>>> = HashMap::new();
        for (index, node) in graph.node.iter().enumerate() {
            makers.extend(node.output.iter().filter(|name| !name.is_empty()).map(|name| (name.as_str(), index)));
            for name in node.input.iter().filter(|name| !name.is_empty()) {
                readers.entry(name.clone()).or_default().push(Some(index));
            }
            for name in captured(node) {
                readers.entry(name).or_default().push(None);
            }
        }
        for output in &graph.output {
            readers.entry(output.name().to_owned()).or_default().push(None);
        }
        let stored: HashSet<&str> = graph.initializer.iter().map(TensorProto::name).collect();
        let inputs = graph.input.iter().map(crate::proto::onnx::ValueInfoProto::name);
        let mut variable: HashSet<&str> = inputs.filter(|name| !stored.contains(name)).collect();
        for &index in &order {
            let node = &graph.node[index];
            if node.input.iter().cloned().chain(captured(node)).any(|name| variable.contains(name.as_str())) {
                variable.extend(node.output.iter().map(String::as_str).filter(|name| !name.is_empty()));
            }
        }
        let mut macs = BTreeMap::new();
        for (node, own) in channels.macs_by_node(None) {
            *macs.entry(node).or_insert(0) += own;
        }
        Self { model, channels, constants: Constants::of(graph), order, place, makers, readers, variable, macs }
    }

    fn node(&self, index: usize) -> &'a NodeProto {
        &self.model.graph().node[index]
    }

    fn block(&self, sum: usize) -> Option<Block> {
        let node = self.node(sum);
        let output = node.output.first()?;
        let shape = self.channels.shape(output)?;
        let whole = |name: &String| self.channels.shape(name) == Some(shape) && self.variable.contains(name.as_str());
        if !node.input.iter().all(whole) {
            return None;
        }
        let sides = [self.side(sum, 0), self.side(sum, 1)];
        let reads = |input: usize| sides[input].entries.contains(&node.input[1 - input]);
        let works = |input: usize| sides[input].macs > 0;
        let identity = (0..2).find(|&input| reads(input) && works(input));
        let input = identity.or_else(|| self.heavier(node, &sides).filter(|&input| works(input)))?;
        let nodes: Vec<usize> = sides[input].nodes.iter().copied().collect();
        let shortcut = node.input[1 - input].clone();
        let repeated = self.repeated(output, &shortcut);
        Some(Block {
            name: node_name(node),
            sum,
            input,
            output: output.clone(),
            identity: identity.is_some(),
            macs: sides[input].macs,
            params: self.params(&sides[input].nodes),
            repeated_output: repeated.and_then(|index| self.node(index).output.first().cloned()),
            repeated,
            shortcut,
            nodes,
        })
    }

    /// The nodes all of whose results are read by this input of the sum, at once or through others of them.
    fn side(&self, sum: usize, input: usize) -> Side {
        let mut side = Side { nodes: BTreeSet::new(), entries: BTreeSet::new(), macs: 0 };
        let value = &self.node(sum).input[input];
        // From the end: when a node is looked at, all that read it have been.
        let mut open: BTreeMap<usize, usize> = BTreeMap::new();
        open.extend(self.makers.get(value.as_str()).map(|&node| (self.place[node], node)));
        while let Some((_, index)) = open.pop_last() {
            let node = self.node(index);
            let read = |name: &String| {
                let inside = |own: usize| own == sum && name == value || side.nodes.contains(&own);
                self.readers.get(name).into_iter().flatten().all(|reader| reader.is_some_and(inside))
            };
            if !node.output.iter().filter(|name| !name.is_empty()).all(read) {
                continue;
            }
            side.nodes.insert(index);
            side.macs += self.macs.get(&index).copied().unwrap_or(0);
            for name in node.input.iter().cloned().chain(captured(node)) {
                open.extend(self.makers.get(name.as_str()).map(|&maker| (self.place[maker], maker)));
            }
        }
        for &index in &side.nodes {
            let node = self.node(index);
            let read = node.input.iter().cloned().chain(captured(node));
            let outside = |name: &String| self.makers.get(name.as_str()).is_none_or(|own| !side.nodes.contains(own));
            side.entries.extend(read.filter(|name| self.variable.contains(name.as_str())).filter(outside));
        }
        side
    }

    /// Of two sides that come of one value the one with more work, the first of equal ones.
    fn heavier(&self, sum: &NodeProto, sides: &[Side; 2]) -> Option<usize> {
        let shared: Vec<&String> = sides[0].entries.intersection(&sides[1].entries).collect();
        let heavy = usize::from(sides[1].macs > sides[0].macs);
        let light = &sides[1 - heavy];
        let carried = |entry: &&&String| self.carries(light, entry, &sum.input[1 - heavy]);
        shared.iter().find(carried).map(|_| heavy)
    }

    /// Whether a side hands numbers of `entry` on to `value`, and not its shape alone.
    fn carries(&self, side: &Side, entry: &str, value: &str) -> bool {
        let mut reached = HashSet::from([entry]);
        let mut inside: Vec<usize> = side.nodes.iter().copied().collect();
        inside.sort_by_key(|&node| self.place[node]);
        for node in inside.into_iter().map(|index| self.node(index)) {
            let numbers = !matches!(node.op_type(), "Shape" | "Size" | "ConstantOfShape");
            if numbers && node.input.iter().any(|name| reached.contains(name.as_str())) {
                reached.extend(node.output.iter().map(String::as_str));
            }
        }
        reached.contains(value)
    }

    /// Elements of the stored tensors that nobody else reads.
    fn params(&self, nodes: &BTreeSet<usize>) -> u64 {
        let names: BTreeSet<&String> = nodes.iter().flat_map(|&index| &self.node(index).input).collect();
        let alone = |name: &&&String| {
            let readers = self.readers.get(name.as_str()).into_iter().flatten();
            readers.into_iter().all(|reader| reader.is_some_and(|own| nodes.contains(&own)))
        };
        let stored = |name: &&String| self.constants.data(self.model, name).filter(|data| data.to_f32().is_some());
        let elements = |name: &&String| stored(name).map_or(0, |data| data.dims.iter().product::<usize>() as u64);
        names.iter().filter(alone).map(elements).filter(|&count| count > 1).sum()
    }

    /// The activation that alone reads the sum, if the shortcut comes of one with the same bounds.
    fn repeated(&self, output: &str, shortcut: &str) -> Option<usize> {
        let bounds = |index: usize| {
            let node = self.node(index);
            let scalar = |input: usize| self.constants.floats(self.model, node.input.get(input)?)?.first().copied();
            Function::of(node, scalar).filter(|_| is_onnx(node))?.bounds()
        };
        let [Some(reader)] = self.readers.get(output)?[..] else { return None };
        let made = bounds(*self.makers.get(shortcut)?)?;
        (bounds(reader) == Some(made)).then_some(reader)
    }
}
