//! The dependency propagation: nodes in topological order, each by its rule.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::factor::{Unsupported, is_tractable};
use super::ids::Ids;
use super::indices::{ChannelIndex, ChannelIndices, Place, Reason};
use super::numbers::{Call, Numbers};
use super::ops;
use super::repeated::Axis;
use super::sizes::{Declared, Sizes, promised};
use crate::model::node::tensor_info;
use crate::model::node::{attribute, is_onnx, node_name};
use crate::model::{DataType, Model};
pub(crate) use crate::ops::constant::ConstantId;
use crate::ops::constant::{content, named, tensor};
use crate::ops::macs;
use crate::proto::onnx::{GraphProto, ModelProto, NodeProto, TensorProto};
use crate::surgery::{captured, topological_order};

/// One input of one node that reads a constant. Channel indices belong to uses, so that shared tensors are cut independently.
#[derive(Debug, Clone)]
pub(crate) struct Use {
    pub(crate) node: usize,
    pub(crate) input: usize,
    pub(crate) source: ConstantId,
    pub(crate) ids: Ids,
}

/// A sum over channels in a node with a constant weight: where cut channel indices stop.
#[derive(Debug, Clone)]
pub(crate) struct Contraction {
    pub(crate) node: usize,
    /// The value that is read and its channel axis.
    pub(crate) value: String,
    pub(crate) axis: usize,
    /// Index of the weight among the node's inputs and its contracted axis.
    pub(crate) weight: usize,
    pub(crate) weight_axis: usize,
}

/// A node that combines channels along an axis without weights: normalisation, a reduction, a product of two
/// values of run time. After a cut it works on what is left; the masked model gathers the same channels there.
#[derive(Debug, Clone)]
pub(crate) struct Restriction {
    pub(crate) node: usize,
    /// Inputs and the axes along which they are restricted together.
    pub(crate) inputs: Vec<(usize, usize)>,
    /// The axis that the first output keeps, if it does.
    pub(crate) output_axis: Option<usize>,
}

/// Size of one factor of a node's multiply-accumulates: an axis, and the channel indices along it.
#[derive(Debug, Clone)]
pub(crate) struct Dim {
    pub(crate) ids: Ids,
    pub(crate) axis: usize,
}

impl Dim {
    pub(crate) fn of(ids: &Ids, axis: usize) -> Self {
        Self { ids: ids.clone(), axis }
    }

    pub(crate) fn size(&self) -> usize {
        self.ids.shape[self.axis]
    }
}

/// Multiply-accumulates of a node: `constant * product of dims`.
#[derive(Debug, Clone)]
pub(crate) struct MacTerm {
    pub(crate) node: usize,
    pub(crate) constant: u64,
    pub(crate) dims: Vec<Dim>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Value {
    /// `None`: nothing is known, not even the shape.
    pub(crate) ids: Option<Ids>,
    pub(crate) numbers: Option<Numbers>,
    pub(crate) source: Option<ConstantId>,
    /// Depends on constants only.
    pub(crate) constant: bool,
}

/// Why a rule gives up: what reaches the node is protected.
pub(crate) struct Protect(pub(crate) String);

impl From<Unsupported> for Protect {
    fn from(error: Unsupported) -> Self {
        Self(error.0)
    }
}

impl From<&str> for Protect {
    fn from(why: &str) -> Self {
        Self(why.to_owned())
    }
}

/// Nodes of one operator type that were not analysed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Opaque {
    /// How many.
    pub nodes: usize,
    /// The first of them.
    pub node: String,
    /// Why not that one.
    pub why: String,
}

/// Shapes that the file declares, by the name of the value.
type Declarations<'a> = HashMap<&'a str, Declared>;

/// A value that gives way may reveal another behind it.
const MOST_RUNS: usize = 4;

/// State of the run.
pub(crate) struct Propagation<'m> {
    pub(crate) model: &'m Model,
    pub(crate) graph: &'m GraphProto,
    pub(crate) opset: i64,
    pub(crate) channel_indices: ChannelIndices,
    pub(crate) values: HashMap<String, Value>,
    pub(crate) uses: Vec<Use>,
    pub(crate) uses_at: HashMap<(usize, usize), usize>,
    pub(crate) contractions: Vec<Contraction>,
    pub(crate) restrictions: Vec<Restriction>,
    pub(crate) macs: Vec<MacTerm>,
    /// Operator types without a rule, with the number of nodes.
    pub(crate) opaque: BTreeMap<String, Opaque>,
    /// Indices of those nodes.
    pub(crate) opaque_nodes: HashSet<usize>,
    /// The node that makes a value.
    pub(crate) makers: HashMap<&'m str, usize>,
    /// Axes of repeated numbers that some reader would have shorter, and those that may be.
    pub(super) wishes: BTreeSet<Axis>,
    pub(super) granted: BTreeSet<Axis>,
    /// Results of those nodes whose shapes the file leaves open.
    pub(crate) guessed: Vec<String>,
    /// Nodes, those of bodies included, whose multiply-accumulates are not counted for want of a shape.
    pub(crate) uncounted: Vec<String>,
}

impl<'m> Propagation<'m> {
    /// Runs the whole graph; again where values that repeat numbers must give way to the channels that they meet.
    pub(crate) fn new(model: &'m Model, sizes: &Sizes) -> Self {
        let mut run = Self::once(model, sizes, BTreeSet::new());
        for _ in 0..MOST_RUNS {
            if run.wishes.is_subset(&run.granted) {
                break;
            }
            let granted = run.granted.union(&run.wishes).cloned().collect();
            run = Self::once(model, sizes, granted);
        }
        run
    }

    fn once(model: &'m Model, sizes: &Sizes, granted: BTreeSet<Axis>) -> Self {
        let made = |(index, node): (usize, &'m NodeProto)| node.output.iter().map(move |name| (name.as_str(), index));
        let mut run = Propagation {
            model,
            graph: model.graph(),
            opset: model.opset("").unwrap_or(1),
            channel_indices: ChannelIndices::default(),
            values: HashMap::new(),
            uses: Vec::new(),
            uses_at: HashMap::new(),
            contractions: Vec::new(),
            restrictions: Vec::new(),
            macs: Vec::new(),
            opaque: BTreeMap::new(),
            opaque_nodes: HashSet::new(),
            makers: model.graph().node.iter().enumerate().flat_map(made).collect(),
            wishes: BTreeSet::new(),
            granted,
            guessed: Vec::new(),
            uncounted: Vec::new(),
        };
        run.start(sizes);
        let sizes = &sizes.with_symbols(run.graph);
        let declared: Declarations<'_> = run
            .graph
            .value_info
            .iter()
            .chain(&run.graph.output)
            .filter_map(|info| Some((info.name(), sizes.of(info)?)))
            .collect();
        for node in topological_order(run.graph) {
            run.node(node, &declared, sizes);
        }
        run.finish();
        run
    }

    fn start(&mut self, sizes: &Sizes) {
        for (index, tensor) in self.graph.initializer.iter().enumerate() {
            self.constant(tensor.name(), tensor, ConstantId::Initializer(index));
        }
        for input in &self.graph.input {
            if self.values.contains_key(input.name()) {
                continue;
            }
            let reason = Reason::GraphInput(input.name().to_owned());
            let ids = sizes.of(input).and_then(|own| self.fixed(own.shape, &reason));
            self.values.insert(input.name().to_owned(), Value { ids, ..Value::default() });
        }
    }

    fn constant(&mut self, name: &str, tensor: &TensorProto, source: ConstantId) {
        let shape: Vec<usize> = tensor.dims.iter().map(|&dim| usize::try_from(dim).unwrap_or(0)).collect();
        let small = shape.iter().try_fold(1usize, |all, &size| all.checked_mul(size)).is_some_and(|n| n <= 4096);
        let numbers = small.then(|| self.model.tensor(tensor).ok()).flatten().and_then(|d| Numbers::from_tensor(&d));
        let ids = is_tractable(&shape).then(|| Ids::plain(shape));
        let value = Value { ids, numbers, source: Some(source), constant: true };
        self.values.insert(name.to_owned(), value);
    }

    /// A value nobody may cut: pinned channel indices along every axis but the first.
    fn fixed(&mut self, shape: Vec<usize>, reason: &Reason) -> Option<Ids> {
        if !is_tractable(&shape) {
            return None;
        }
        let mut ids = Ids::plain(shape);
        for axis in 1..ids.rank() {
            if ids.shape[axis] > 1 {
                let channel_indices = self.channel_indices.site(Place::Fixed, ids.shape[axis]);
                for &channel_index in &channel_indices {
                    self.channel_indices.pin(channel_index, reason);
                }
                ids.set_axis(axis, channel_indices);
            }
        }
        Some(ids)
    }

    fn node(&mut self, index: usize, declared: &Declarations<'_>, sizes: &Sizes) {
        let node = &self.graph.node[index];
        if node.op_type() == "Constant" && is_onnx(node) {
            self.constant_node(index);
            return;
        }
        let numbers = self.evaluate(index);
        let constant = node.input.iter().all(|name| self.values.get(name).is_none_or(|value| value.constant));
        if let Some(numbers) = numbers.as_ref().filter(|all| all.iter().all(|numbers| numbers.integer)) {
            for (name, numbers) in node.output.iter().zip(numbers) {
                let ids = Some(Ids::plain(numbers.array.shape().to_vec()));
                let value = Value { ids, numbers: Some(numbers.clone()), source: None, constant };
                self.values.insert(name.clone(), value);
            }
            return;
        }
        let counted = self.macs.len();
        let outcome = match ops::rule(node) {
            Some(rule) => rule.propagate(&mut super::context::RuleContext { run: self, index, node }),
            None => Err(Protect::from(ops::why_not(node))),
        };
        if let Err(Protect(why)) = outcome {
            let first = || Opaque { nodes: 0, node: node_name(node), why: why.clone() };
            self.opaque.entry(node.op_type().to_owned()).or_insert_with(first).nodes += 1;
            self.opaque_nodes.insert(index);
            self.macs.truncate(counted);
            self.opaque_node(index, &why, declared, sizes);
        }
        for (number, name) in node.output.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            let value = self.values.entry(name.clone()).or_default();
            value.constant = constant;
            value.numbers = numbers.as_ref().and_then(|all| all.get(number).cloned());
        }
    }

    fn constant_node(&mut self, index: usize) {
        let (node, id) = (&self.graph.node[index], ConstantId::Node(index));
        let Some(name) = node.output.first() else { return };
        if let Some(tensor) = self.tensor(id) {
            self.constant(name, tensor, id);
            return;
        }
        let mut value = Value { constant: true, ..Value::default() };
        if let Ok(Some(data)) = content(self.model, id) {
            value.numbers = Numbers::from_tensor(&data);
            value.ids = is_tractable(&data.dims).then(|| Ids::plain(data.dims));
            value.source = Some(id);
        }
        self.values.insert(name.clone(), value);
    }

    fn evaluate(&self, index: usize) -> Option<Vec<Numbers>> {
        let node = &self.graph.node[index];
        if !is_onnx(node) {
            return None;
        }
        let needs_content = !matches!(node.op_type(), "Shape" | "Size");
        let known = |name: &String| name.is_empty() || self.values.get(name).is_some_and(|v| v.numbers.is_some());
        if needs_content && !node.input.iter().all(known) {
            return None;
        }
        let first = node.input.first().and_then(|name| self.values.get(name));
        let numbers = |name: &String| self.values.get(name).and_then(|value| value.numbers.clone());
        let inputs: Vec<_> = if needs_content { node.input.iter().map(numbers).collect() } else { Vec::new() };
        Call {
            op: node.op_type(),
            opset: self.opset,
            inputs: &inputs,
            shape: first.and_then(|value| value.ids.as_ref()).map(|ids| ids.shape.as_slice()),
            int: &|name| node.int(name),
            ints: &|name| node.ints(name).map(<[i64]>::to_vec),
            value: attribute(node, "value")
                .and_then(|attribute| attribute.t.as_ref())
                .and_then(|tensor| self.model.tensor(tensor).ok())
                .and_then(|data| Numbers::from_tensor(&data)),
            outputs: node.output.len(),
        }
        .evaluate()
    }

    /// Pins everything that reaches the node, the values its subgraphs capture included.
    fn opaque_node(&mut self, index: usize, why: &str, declared: &Declarations<'_>, sizes: &Sizes) {
        let node = &self.graph.node[index];
        let reason = operator_reason(node, why);
        let mut names: Vec<String> = node.input.clone();
        names.extend(captured(node));
        for name in names {
            let channel_indices: Vec<ChannelIndex> = self
                .values
                .get(&name)
                .and_then(|value| value.ids.as_ref())
                .map(|i| i.channel_indices().collect())
                .unwrap_or_default();
            for channel_index in distinct(channel_indices) {
                self.channel_indices.pin(channel_index, &reason);
            }
        }
        for (number, name) in node.output.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            let found = sizes.measured(name).or_else(|| declared.get(name.as_str()).cloned());
            let found = found.or_else(|| promised(node, number, sizes));
            if found.as_ref().is_none_or(|found| !found.certain) {
                self.guessed.push(name.clone());
            }
            let ids = found.and_then(|found| self.fixed(found.shape, &reason));
            self.values.insert(name.clone(), Value { ids, ..Value::default() });
        }
        self.count_opaque(index, sizes);
    }

    /// Counts what a node that was not analysed multiplies: by the shapes around it, and in its bodies.
    fn count_opaque(&mut self, index: usize, sizes: &Sizes) {
        let node = &self.graph.node[index];
        let mut total = self.macs_inside(node, sizes);
        if macs::multiplies(node) {
            let shape = |name: &str| Some(self.values.get(name)?.ids.as_ref()?.shape.clone());
            match macs::of(node, shape) {
                Some(own) => total = total.saturating_add(own),
                None => self.uncounted.push(node_name(node)),
            }
        }
        if total > 0 {
            self.macs.push(MacTerm { node: index, constant: total, dims: Vec::new() });
        }
    }

    /// Multiply-accumulates of the bodies of a node, each counted once; what they capture has the shapes found here.
    fn macs_inside(&mut self, node: &NodeProto, sizes: &Sizes) -> u64 {
        let bodies = node.attribute.iter().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs));
        let outer = captured(node);
        let mut total = 0u64;
        for body in bodies {
            let mut graph = body.clone();
            for name in &outer {
                let stored = named(self.graph, name).and_then(|id| content(self.model, id).ok()?);
                let shape = self.values.get(name).and_then(|value| value.ids.as_ref()).map(|ids| &ids.shape);
                match (stored, shape) {
                    (Some(data), _) => graph.initializer.push(data.to_proto(name)),
                    (None, Some(shape)) => graph.input.push(tensor_info(name, DataType::Float as i32, Some(shape))),
                    _ => {}
                }
            }
            let opset_import = self.model.proto().opset_import.clone();
            let part = Model::from_proto(ModelProto { graph: Some(graph), opset_import, ..ModelProto::default() });
            let inner = Propagation::new(&part, sizes);
            self.uncounted.extend(inner.uncounted);
            for term in inner.macs {
                let size = term.dims.iter().map(|dim| dim.size() as u64).fold(term.constant, u64::saturating_mul);
                total = total.saturating_add(size);
            }
        }
        total
    }

    /// Graph outputs are the interface.
    fn finish(&mut self) {
        for output in &self.graph.output {
            let reason = Reason::GraphOutput(output.name().to_owned());
            let channel_indices: Vec<ChannelIndex> = self
                .values
                .get(output.name())
                .and_then(|value| value.ids.as_ref())
                .map(|ids| ids.channel_indices().collect())
                .unwrap_or_default();
            for channel_index in distinct(channel_indices) {
                self.channel_indices.pin(channel_index, &reason);
            }
        }
    }

    /// The tensor of a source.
    pub(crate) fn tensor(&self, source: ConstantId) -> Option<&'m TensorProto> {
        tensor(self.graph, source)
    }
}

pub(crate) fn distinct(mut channel_indices: Vec<ChannelIndex>) -> Vec<ChannelIndex> {
    channel_indices.sort_unstable();
    channel_indices.dedup();
    channel_indices
}

pub(crate) fn operator_reason(node: &NodeProto, why: &str) -> Reason {
    Reason::Operator { op: node.op_type().to_owned(), node: node_name(node), why: why.to_owned() }
}
