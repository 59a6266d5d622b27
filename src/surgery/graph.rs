//! A main graph opened for edits: looking things up, edits as one, closing.

use std::collections::HashMap;

use super::SurgeryError;
use super::held::Held;
use super::index::{NodeId, Reader};
use super::rules;
use super::store::{Mark, Store};
use super::types::{Source, element_type};
use crate::model::node::plain_numbers;
use crate::model::{DataType, Dimension, Model, TensorData, TensorType};
use crate::proto::onnx::{GraphProto, NodeProto, TensorProto, ValueInfoProto};

/// The main graph of a model, opened for edits.
///
/// Makers and readers of a value are found in constant time, and every edit keeps that up to date. An edit leaves a
/// valid graph, or returns an error and changes nothing. The model gets the edited graph when this value is dropped,
/// by [`Graph::finish`] or at the end of its scope; without an edit it is left as it is, byte by byte.
///
/// ```
/// use onnx_prune::model::Model;
/// use onnx_prune::surgery::{Graph, SurgeryError};
/// # fn demo(mut model: Model) -> Result<(), SurgeryError> {
/// let mut graph = Graph::of(&mut model)?;
/// if let Some(node) = graph.producer("logits").and_then(|id| graph.node(id)) {
///     println!("made by {}", node.op_type());
/// }
/// graph.rename("logits", "scores")?;
/// graph.finish();
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Graph<'a> {
    model: Held<'a>,
    pub(super) store: Store,
    /// The last number that [`Graph::fresh_name`] gave to a name.
    fresh: HashMap<String, u64>,
    /// Edits that are being made as one.
    depth: usize,
    changed: bool,
}

/// Edits that are being made as one.
#[derive(Debug)]
#[must_use = "`Graph::end` says whether the edits are kept"]
pub struct Begun(Mark);

impl<'a> Graph<'a> {
    /// Opens the main graph. Nodes that are not in topological order are put in one.
    ///
    /// # Errors
    /// If the graph breaks a rule that [`Graph::validate`] checks.
    pub fn of(model: &'a mut Model) -> Result<Self, SurgeryError> {
        Self::holding(Held::Borrowed(model))
    }

    /// Opens the main graph of a model that the graph keeps: for callers that cannot borrow one. [`Graph::to_model`] gives the
    /// edited model.
    ///
    /// # Errors
    /// As [`Graph::of`].
    pub fn owning(model: Model) -> Result<Graph<'static>, SurgeryError> {
        Graph::holding(Held::Owned(Box::new(model)))
    }

    fn holding(model: Held<'a>) -> Result<Self, SurgeryError> {
        let store = Store::of(model.get())?;
        let changed = store.sorted;
        Ok(Self { model, store, fresh: HashMap::new(), depth: 0, changed })
    }

    /// Hands the edited graph to the model.
    pub fn finish(self) {}

    /// The model with the graph as it is now. Weights are shared, not copied.
    pub fn to_model(&self) -> Model {
        let mut model = self.model.get().clone();
        if self.changed || !self.store.is_unchanged() {
            *model.graph_mut() = self.store.compacted();
        }
        model
    }

    /// The graph as the model gets it.
    pub fn to_proto(&self) -> GraphProto {
        self.store.compacted()
    }

    /// Checks the whole graph anew: names of values and nodes are unique and not empty, also between a graph and its
    /// subgraphs; everything read is made, and made before; required inputs are there; before IR version 4
    /// initializers are listed as inputs.
    ///
    /// Every edit keeps these rules, so this finds faults of the library only.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), SurgeryError> {
        rules::check(&self.store.compacted(), self.store.listed)?;
        if self.store.index_holds() {
            return Ok(());
        }
        Err(SurgeryError::Invalid { why: "what is known of makers and readers is out of date".into() })
    }

    /// Makes several edits as one: if `edits` returns an error, none of them is made.
    ///
    /// # Errors
    /// The error of `edits`.
    pub fn atomically<T, E>(&mut self, edits: impl FnOnce(&mut Self) -> Result<T, E>) -> Result<T, E> {
        let begun = self.begin();
        let outcome = edits(self);
        self.end(begun, outcome.is_ok());
        outcome
    }

    /// Begins several edits that are made or taken back as one, where no closure can hold them; [`Graph::end`] says which. Until
    /// then every edit is kept in memory as it was before.
    pub fn begin(&mut self) -> Begun {
        self.depth += 1;
        Begun(self.store.mark())
    }

    /// Ends what the last [`Graph::begin`] that is not ended began: its edits are kept, or taken back.
    #[allow(clippy::needless_pass_by_value, reason = "what is ended cannot be ended again")]
    pub fn end(&mut self, begun: Begun, keep: bool) {
        self.depth = self.depth.saturating_sub(1);
        if !keep {
            self.store.undo(begun.0);
        }
        self.close();
    }

    /// One edit: changes entries and checks what they touch.
    pub(super) fn edit<T>(
        &mut self,
        change: impl FnOnce(&mut Store) -> Result<T, SurgeryError>,
    ) -> Result<T, SurgeryError> {
        let mark = self.store.mark();
        let outcome = change(&mut self.store).and_then(|value| self.store.settle().map(|()| value));
        if outcome.is_err() {
            self.store.undo(mark);
        }
        self.close();
        outcome
    }

    fn close(&mut self) {
        if self.depth == 0 {
            self.changed |= !self.store.is_unchanged();
            self.store.forget();
        }
    }

    /// The nodes, producers first.
    pub fn nodes(&self) -> impl DoubleEndedIterator<Item = (NodeId, &NodeProto)> {
        self.store.order.iter().map(|at| (NodeId(at), &self.store.graph.node[at]))
    }

    /// Ids of the nodes, producers first: to walk the graph while it is edited. Nodes that are removed on the way are
    /// `None` in [`Graph::node`], new ones are not in the list.
    pub fn walk(&self) -> Vec<NodeId> {
        self.store.order.iter().map(NodeId).collect()
    }

    /// A node; `None` once it was removed.
    pub fn node(&self, id: NodeId) -> Option<&NodeProto> {
        self.store.node(id.0)
    }

    pub(super) fn existing(&self, id: NodeId) -> Result<&NodeProto, SurgeryError> {
        self.node(id).ok_or(SurgeryError::NoNode)
    }

    /// The node of that name.
    pub fn named(&self, name: &str) -> Option<NodeId> {
        self.store.index.nodes.get(name).copied().map(NodeId)
    }

    /// Whether there is a value of that name.
    pub fn contains(&self, value: &str) -> bool {
        self.store.index.value(value).is_some_and(super::index::Value::is_defined)
    }

    /// The node that makes a value; `None` for inputs and initializers.
    pub fn producer(&self, value: &str) -> Option<NodeId> {
        self.store.index.value(value)?.producer.map(NodeId)
    }

    /// Where a value is read by nodes and their subgraphs. Graph outputs are not among them.
    pub fn readers(&self, value: &str) -> Vec<Reader> {
        self.store.index.value(value).map_or_else(Vec::new, |value| value.readers.iter().copied().collect())
    }

    /// Whether a value is a graph output.
    pub fn is_output(&self, value: &str) -> bool {
        self.store.index.value(value).is_some_and(|value| value.output.is_some())
    }

    /// Whether a value is a graph input. Before IR version 4 initializers are, too.
    pub fn is_input(&self, value: &str) -> bool {
        self.store.index.value(value).is_some_and(|value| value.input.is_some())
    }

    /// Whether a value is an initializer or the output of a `Constant` node.
    pub fn is_constant(&self, value: &str) -> bool {
        self.initializer(value).is_some() || self.constant_node(value).is_some()
    }

    /// Names of the graph inputs that a caller must give.
    pub fn inputs(&self) -> Vec<&str> {
        let inputs = self.store.graph.input.iter().map(ValueInfoProto::name);
        inputs.filter(|name| !name.is_empty() && self.initializer(name).is_none()).collect()
    }

    /// Names of the graph outputs.
    pub fn outputs(&self) -> Vec<&str> {
        self.store.graph.output.iter().map(ValueInfoProto::name).filter(|name| !name.is_empty()).collect()
    }

    /// Names of the initializers.
    pub fn initializers(&self) -> Vec<&str> {
        self.store.graph.initializer.iter().map(TensorProto::name).filter(|name| !name.is_empty()).collect()
    }

    pub(super) fn initializer(&self, value: &str) -> Option<&TensorProto> {
        self.store.index.value(value)?.initializer.map(|at| &self.store.graph.initializer[at])
    }

    /// The `Constant` node that makes a value.
    pub(super) fn constant_node(&self, value: &str) -> Option<NodeId> {
        self.producer(value).filter(|id| self.node(*id).is_some_and(|node| node.op_type() == "Constant"))
    }

    /// `wanted`, or `wanted_2` and so on if a value, a node or a value of a subgraph has the name.
    pub fn fresh_name(&mut self, wanted: &str) -> String {
        let index = &self.store.index;
        let free = |name: &String| {
            let taken = index.values.contains_key(name) || index.nodes.contains_key(name);
            !name.is_empty() && !taken && !index.inner.contains_key(name)
        };
        let mut name = wanted.to_owned();
        let number = self.fresh.entry(wanted.to_owned()).or_insert(1);
        while !free(&name) {
            *number += 1;
            name = format!("{wanted}_{number}");
        }
        name
    }

    /// The data of an initializer or a `Constant` node, wherever the file keeps them.
    ///
    /// ```
    /// # use onnx_prune::surgery::{Graph, SurgeryError};
    /// # fn demo(graph: &mut Graph) -> Result<(), Box<dyn std::error::Error>> {
    /// // Typed access: an int64 shape stays int64.
    /// let mut shape = graph.constant("shape")?.to_vec::<i64>()?;
    /// shape[0] = -1;
    /// let data = onnx_prune::model::TensorData::from_vec(vec![shape.len()], &shape)?;
    /// graph.set_constant("shape", &data)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`SurgeryError::NotStored`], or [`SurgeryError::Data`] if the data cannot be read.
    pub fn constant(&self, value: &str) -> Result<TensorData, SurgeryError> {
        let data = |why: String| SurgeryError::Data { value: value.to_owned(), why };
        let read = |tensor: &TensorProto| {
            self.model.get().tensor(tensor).map_err(|error| data(crate::Explain::why(&error).unwrap_or_default()))
        };
        if let Some(tensor) = self.initializer(value) {
            return read(tensor);
        }
        let node = self.constant_node(value).and_then(|id| self.node(id));
        let node = node.ok_or_else(|| SurgeryError::NotStored { value: value.to_owned() })?;
        if let Some(tensor) = node.tensor("value") {
            return read(tensor);
        }
        plain_numbers(node).ok_or_else(|| data("a `Constant` of texts or a sparse tensor is not read".into()))
    }

    /// Element type and shape of a value: of its data if it is stored, else what the graph declares. `None` if it
    /// declares nothing, or the value is no tensor.
    pub fn info(&self, value: &str) -> Option<TensorType> {
        let known = self.store.index.value(value)?;
        let tensor = self.initializer(value).or_else(|| self.node(self.constant_node(value)?)?.tensor("value"));
        if let Some(tensor) = tensor {
            let element = DataType::try_from(tensor.data_type()).ok()?;
            let size = |&size: &i64| usize::try_from(size).map_or(Dimension::Unknown, Dimension::Size);
            return Some(TensorType::new(element).shaped(tensor.dims.iter().map(size)));
        }
        let graph = &self.store.graph;
        let input = known.input.map(|at| &graph.input[at]);
        let output = known.output.map(|at| &graph.output[at]);
        let info = known.info.map(|at| &graph.value_info[at]);
        [input, output, info].into_iter().flatten().find_map(TensorType::of)
    }

    /// Element type of a value: the declared one, else the one that follows from the operators before it.
    pub fn element_type(&self, value: &str) -> Option<DataType> {
        element_type(value, self)
    }
}

impl Source for Graph<'_> {
    fn declared(&self, value: &str) -> Option<DataType> {
        self.info(value).map(|info| info.element).filter(|element| *element != DataType::Undefined)
    }

    fn maker(&self, value: &str) -> Option<&NodeProto> {
        self.node(self.producer(value)?)
    }
}

impl Drop for Graph<'_> {
    fn drop(&mut self) {
        // In a panic an edit may be half made.
        if let Held::Borrowed(model) = &mut self.model
            && self.changed
            && !std::thread::panicking()
        {
            *model.graph_mut() = self.store.compacted();
        }
    }
}
