//! Edits of nodes.

use std::collections::BTreeSet;

use super::find::reread;
use super::index::{Item, NodeId};
use super::rules::title;
use super::store::Store;
use super::types::keeps_type;
use super::{Graph, SurgeryError};
use crate::proto::onnx::NodeProto;

impl Graph<'_> {
    /// Adds a node, behind the last of those that make what it reads.
    ///
    /// # Errors
    /// If it reads what nothing makes, or makes what something else does.
    pub fn insert(&mut self, node: NodeProto) -> Result<NodeId, SurgeryError> {
        self.edit(|store| store.add_node(node)).map(NodeId)
    }

    /// Inserts a node behind a value: everything that read `value` (graph outputs excepted) reads the node's first
    /// output from now on. The node itself may read `value`.
    ///
    /// # Errors
    /// If the value does not exist, the node has no first output, or it cannot be added.
    pub fn insert_after(&mut self, value: &str, node: NodeProto) -> Result<NodeId, SurgeryError> {
        self.known(value)?;
        let output = first_output(&node)?;
        let readers = self.reading_nodes(value);
        self.edit(|store| {
            let at = store.add_node(node)?;
            read_instead(store, &readers, Redirect { from: value, to: &output })?;
            Ok(NodeId(at))
        })
    }

    /// Inserts a node before one input of a node: that input reads the new node's first output from now on, all other
    /// readers are left as they are.
    ///
    /// # Errors
    /// If the reader or its input does not exist, the node has no first output, or it cannot be added.
    pub fn insert_before(&mut self, reader: NodeId, input: usize, node: NodeProto) -> Result<NodeId, SurgeryError> {
        self.has_input(reader, input)?;
        let output = first_output(&node)?;
        self.edit(|store| {
            let at = store.add_node(node)?;
            store.change_node(reader.0, |node| node.input[input] = output)?;
            Ok(NodeId(at))
        })
    }

    /// Replaces a node. Its id stays; what is read of its outputs, the new node must make.
    ///
    /// What the graph declares of its outputs stays too; [`Graph::forget_shapes`] drops it where it no longer holds.
    ///
    /// # Errors
    /// If an output that is left out is read, or the new node cannot be in the graph.
    pub fn replace(&mut self, id: NodeId, node: NodeProto) -> Result<(), SurgeryError> {
        let old = self.existing(id)?;
        let gone = old.output.iter().find(|output| !node.output.contains(output) && self.is_read(output));
        if let Some(output) = gone {
            return Err(self.still_read(output));
        }
        self.edit(|store| store.put(id.0, Item::Node(node)))
    }

    /// Changes a node in place: its operator, attributes, inputs or outputs.
    ///
    /// ```
    /// # use onnx_prune::surgery::{Graph, SurgeryError};
    /// # fn demo(graph: &mut Graph) -> Result<(), SurgeryError> {
    /// if let Some(id) = graph.named("conv1") {
    ///     graph.update(id, |node| node.set("strides", [2, 2]))?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Graph::replace`].
    pub fn update(&mut self, id: NodeId, change: impl FnOnce(&mut NodeProto)) -> Result<(), SurgeryError> {
        let mut node = self.existing(id)?.clone();
        change(&mut node);
        self.replace(id, node)
    }

    /// Lets an input of a node read another value; `""` leaves an optional input out.
    ///
    /// # Errors
    /// If the node has no such input, the value does not exist, or the node would depend on itself.
    pub fn set_input(&mut self, id: NodeId, input: usize, value: &str) -> Result<(), SurgeryError> {
        self.has_input(id, input)?;
        self.edit(|store| store.change_node(id.0, |node| value.clone_into(&mut node.input[input])))
    }

    /// Removes a node that nobody reads.
    ///
    /// # Errors
    /// If an output is read.
    pub fn remove(&mut self, id: NodeId) -> Result<NodeProto, SurgeryError> {
        let node = self.existing(id)?.clone();
        self.replace_nodes(&[id], Vec::new())?;
        Ok(node)
    }

    /// Removes nodes and adds others in one edit: the new nodes may make values of the old names, and read each other
    /// in any order. Returns the ids of the new ones.
    ///
    /// # Errors
    /// If a value is read that nothing makes any more, or a new node cannot be in the graph.
    pub fn replace_nodes(&mut self, old: &[NodeId], new: Vec<NodeProto>) -> Result<Vec<NodeId>, SurgeryError> {
        let old: BTreeSet<NodeId> = old.iter().copied().collect();
        let made: BTreeSet<&String> = new.iter().flat_map(|node| &node.output).collect();
        for &id in &old {
            for output in self.existing(id)?.output.iter().filter(|output| !made.contains(output)) {
                let outside = self.readers(output).iter().any(|reader| !old.contains(&reader.node));
                if outside || self.is_output(output) {
                    return Err(self.still_read(output));
                }
            }
        }
        self.edit(|store| {
            old.iter().try_for_each(|id| store.remove_node(id.0))?;
            new.into_iter().map(|node| store.add_node(node).map(NodeId)).collect()
        })
    }

    /// Removes a node and lets those that read its first output read its first input, as for an `Identity`.
    ///
    /// If the output is a graph output, the value before it takes over its name.
    ///
    /// # Errors
    /// If the node has no first input, input and output differ in element type, another output is read, or the output
    /// is a graph output and the value before it cannot be renamed: an input, an initializer, another output.
    pub fn bypass(&mut self, id: NodeId) -> Result<NodeProto, SurgeryError> {
        let node = self.existing(id)?.clone();
        let no_input = || SurgeryError::NoInput { node: title(&node), input: 0 };
        let input = node.input.first().filter(|name| !name.is_empty()).cloned().ok_or_else(no_input)?;
        let output = first_output(&node)?;
        if let Some(other) = node.output.iter().skip(1).find(|output| self.is_read(output)) {
            return Err(self.still_read(other));
        }
        self.stands_in(&node, &input, &output)?;
        let output_readers = self.reading_nodes(&output);
        if !self.is_output(&output) {
            self.edit(|store| {
                read_instead(store, &output_readers, Redirect { from: &output, to: &input })?;
                store.remove_node(id.0)
            })?;
            return Ok(node);
        }
        let maker = self.producer(&input).ok_or_else(|| SurgeryError::NotComputed { value: input.clone() })?;
        if self.is_output(&input) {
            return Err(self.still_read(&input));
        }
        let input_readers: Vec<NodeId> =
            self.reading_nodes(&input).into_iter().filter(|reader| *reader != id).collect();
        self.edit(|store| {
            store.remove_node(id.0)?;
            store.change_node(maker.0, |node| remake(node, &input, &output))?;
            read_instead(store, &input_readers, Redirect { from: &input, to: &output })
        })?;
        Ok(node)
    }

    /// Removes nodes and stored tensors that nothing reads. Returns how many went. Graph inputs stay, except those
    /// that list or default to a stored tensor that goes.
    pub fn remove_unused(&mut self) -> usize {
        // Readers come after producers: one walk from the end finds all.
        let walk: Vec<NodeId> = self.walk().into_iter().rev().collect();
        let mut removed = 0;
        for id in walk {
            let unused = self.node(id).is_some_and(|node| !node.output.iter().any(|output| self.is_read(output)));
            removed += usize::from(unused && self.edit(|store| store.remove_node(id.0)).is_ok());
        }
        let stored = self.store.graph.initializer.iter().map(|tensor| tensor.name().to_owned());
        let sparse =
            self.store.graph.sparse_initializer.iter().map(|sparse| super::index::sparse_name(sparse).to_owned());
        let unused: Vec<String> = stored.chain(sparse).filter(|name| !name.is_empty() && !self.is_read(name)).collect();
        removed + unused.iter().filter(|name| self.edit(|store| store.remove_stored(name)).is_ok()).count()
    }

    pub(super) fn is_read(&self, value: &str) -> bool {
        self.store.index.value(value).is_some_and(|value| value.output.is_some() || !value.readers.is_empty())
    }

    pub(super) fn still_read(&self, value: &str) -> SurgeryError {
        let readers = self.store.index.readers_of(value, &self.store.graph.node);
        SurgeryError::Read { value: value.to_owned(), readers }
    }

    pub(super) fn known(&self, value: &str) -> Result<(), SurgeryError> {
        if self.contains(value) { Ok(()) } else { Err(SurgeryError::NoValue { value: value.to_owned() }) }
    }

    /// Whether a node's first input is of the type of its first output, as far as that is known.
    fn stands_in(&self, node: &NodeProto, input: &str, output: &str) -> Result<(), SurgeryError> {
        // Types are not looked up along the graph for every `Identity`: a walk would take quadratic time.
        if keeps_type(node) {
            return Ok(());
        }
        match (self.element_type(input), self.element_type(output)) {
            (Some(value), Some(wanted)) if value != wanted => {
                let elements = [value, wanted];
                Err(SurgeryError::Mismatch { value: input.to_owned(), wanted: output.to_owned(), elements })
            }
            _ => Ok(()),
        }
    }

    fn has_input(&self, id: NodeId, input: usize) -> Result<(), SurgeryError> {
        let node = self.existing(id)?;
        if input < node.input.len() { Ok(()) } else { Err(SurgeryError::NoInput { node: title(node), input }) }
    }

    /// Nodes that read a value, in themselves or in subgraphs, each once.
    pub(super) fn reading_nodes(&self, value: &str) -> Vec<NodeId> {
        let mut nodes: Vec<NodeId> = self.readers(value).into_iter().map(|reader| reader.node).collect();
        nodes.dedup();
        nodes
    }
}

/// A value and the one that is read in its place.
#[derive(Clone, Copy)]
pub(super) struct Redirect<'n> {
    pub(super) from: &'n str,
    pub(super) to: &'n str,
}

/// Lets nodes and their subgraphs read another value.
pub(super) fn read_instead(store: &mut Store, nodes: &[NodeId], names: Redirect<'_>) -> Result<(), SurgeryError> {
    nodes.iter().try_for_each(|id| store.change_node(id.0, |node| reread(node, names.from, names.to)))
}

/// Lets a node make a value of another name.
pub(super) fn remake(node: &mut NodeProto, from: &str, to: &str) {
    for output in node.output.iter_mut().filter(|output| *output == from) {
        to.clone_into(output);
    }
}

fn first_output(node: &NodeProto) -> Result<String, SurgeryError> {
    let first = node.output.first().filter(|output| !output.is_empty());
    first.cloned().ok_or_else(|| SurgeryError::NoOutput { node: title(node) })
}
