//! Single edits.

use std::collections::HashMap;

use super::find::{add_initializer, captured, names, references, topological_order};
use crate::model::{Model, TensorData};
use crate::proto::onnx::{GraphProto, NodeProto};

/// Why an edit is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SurgeryError {
    /// No node makes the value and it is no input or initializer.
    #[error("there is no value `{0}`")]
    NoValue(String),
    /// Another value has the name.
    #[error("the name `{0}` is taken")]
    Taken(String),
    /// Somebody still reads an output of the node.
    #[error("`{0}` is still read")]
    Read(String),
    /// A part to extract depends on a graph input that was not named.
    #[error("the part also depends on `{0}`")]
    Open(String),
}

/// The main graph of a model, opened for edits.
///
/// ```
/// use onnx_prune::model::Model;
/// use onnx_prune::surgery::Graph;
/// # fn demo(mut model: Model) -> Result<(), onnx_prune::surgery::SurgeryError> {
/// let mut graph = Graph::of(&mut model);
/// if let Some(producer) = graph.producer("logits") {
///     println!("made by {}", graph.node(producer).op_type());
/// }
/// graph.rename("logits", "scores")?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Graph<'a> {
    model: &'a mut Model,
}

impl<'a> Graph<'a> {
    /// Opens the main graph.
    pub fn of(model: &'a mut Model) -> Self {
        Self { model }
    }

    fn proto(&self) -> &GraphProto {
        self.model.graph()
    }

    /// A node by its index.
    pub fn node(&self, index: usize) -> &NodeProto {
        &self.proto().node[index]
    }

    /// Indices of all nodes, producers first.
    pub fn walk(&self) -> Vec<usize> {
        topological_order(self.proto())
    }

    /// Index of the node that makes a value.
    pub fn producer(&self, value: &str) -> Option<usize> {
        self.proto().node.iter().position(|node| node.output.iter().any(|output| output == value))
    }

    /// (node, input) pairs that read a value in the main graph. Nodes whose subgraphs read it are given with `None`.
    pub fn readers(&self, value: &str) -> Vec<(usize, Option<usize>)> {
        let mut readers = Vec::new();
        for (index, node) in self.proto().node.iter().enumerate() {
            let inputs = node.input.iter().enumerate().filter(|(_, name)| *name == value);
            readers.extend(inputs.map(|(input, _)| (index, Some(input))));
            if captured(node).iter().any(|name| name == value) {
                readers.push((index, None));
            }
        }
        readers
    }

    /// Whether a value is a graph output.
    pub fn is_output(&self, value: &str) -> bool {
        self.proto().output.iter().any(|output| output.name() == value)
    }

    /// Stores a constant.
    ///
    /// # Errors
    /// If the name is taken.
    pub fn add_initializer(&mut self, name: &str, data: &TensorData) -> Result<(), SurgeryError> {
        if names(self.proto()).contains(name) {
            return Err(SurgeryError::Taken(name.to_owned()));
        }
        add_initializer(self.model, name, data);
        Ok(())
    }

    /// Inserts a node behind a value: everything that read `value` (graph outputs excepted) reads the node's first
    /// output from now on. The node itself may read `value`.
    ///
    /// # Errors
    /// If the value does not exist or an output's name is taken.
    pub fn insert_after(&mut self, value: &str, node: NodeProto) -> Result<usize, SurgeryError> {
        let names = names(self.proto());
        if !names.contains(value) {
            return Err(SurgeryError::NoValue(value.to_owned()));
        }
        if let Some(taken) = node.output.iter().find(|output| names.contains(*output)) {
            return Err(SurgeryError::Taken(taken.clone()));
        }
        let output = node.output.first().cloned().unwrap_or_default();
        for (reader, input) in self.readers(value) {
            if let Some(input) = input {
                self.model.graph_mut().node[reader].input[input].clone_from(&output);
            }
        }
        let at = self.producer(value).map_or(0, |producer| producer + 1);
        self.model.graph_mut().node.insert(at, node);
        Ok(at)
    }

    /// Replaces a node by another that makes the same outputs.
    ///
    /// # Errors
    /// If the new node leaves out an output that is read.
    pub fn replace(&mut self, index: usize, node: NodeProto) -> Result<(), SurgeryError> {
        let gone = self.node(index).output.iter().find(|output| !node.output.contains(output) && self.is_read(output));
        if let Some(output) = gone {
            return Err(SurgeryError::Read(output.clone()));
        }
        self.model.graph_mut().node[index] = node;
        Ok(())
    }

    /// Removes a node that nobody reads.
    ///
    /// # Errors
    /// If an output is read.
    pub fn remove(&mut self, index: usize) -> Result<NodeProto, SurgeryError> {
        if let Some(output) = self.node(index).output.iter().find(|output| self.is_read(output)) {
            return Err(SurgeryError::Read(output.clone()));
        }
        Ok(self.model.graph_mut().node.remove(index))
    }

    fn is_read(&self, value: &str) -> bool {
        !value.is_empty() && (self.is_output(value) || !self.readers(value).is_empty())
    }

    /// Renames a value everywhere in the main graph.
    ///
    /// # Errors
    /// If it does not exist, the new name is taken, or a subgraph reads it.
    pub fn rename(&mut self, from: &str, to: &str) -> Result<(), SurgeryError> {
        let names = names(self.proto());
        if !names.contains(from) {
            return Err(SurgeryError::NoValue(from.to_owned()));
        }
        if names.contains(to) {
            return Err(SurgeryError::Taken(to.to_owned()));
        }
        if self.readers(from).iter().any(|(_, input)| input.is_none()) {
            return Err(SurgeryError::Read(from.to_owned()));
        }
        let graph = self.model.graph_mut();
        for name in graph.node.iter_mut().flat_map(|node| node.input.iter_mut().chain(&mut node.output)) {
            if name == from {
                to.clone_into(name);
            }
        }
        let infos = graph.input.iter_mut().chain(&mut graph.output).chain(&mut graph.value_info);
        for name in infos.map(|info| &mut info.name).chain(graph.initializer.iter_mut().map(|tensor| &mut tensor.name))
        {
            if name.as_deref() == Some(from) {
                *name = Some(to.to_owned());
            }
        }
        Ok(())
    }

    /// Removes nodes and initializers that nothing reads. Returns how many went.
    pub fn remove_unused(&mut self) -> usize {
        let mut removed = 0;
        loop {
            let graph = self.model.graph();
            let read: HashMap<String, usize> = references(graph);
            let used = |name: &String| read.contains_key(name);
            let count = graph.node.len() + graph.initializer.len();
            let graph = self.model.graph_mut();
            graph.node.retain(|node| node.output.iter().any(used));
            graph.initializer.retain(|tensor| read.contains_key(tensor.name()));
            let gone = count - graph.node.len() - graph.initializer.len();
            removed += gone;
            if gone == 0 {
                return removed;
            }
        }
    }
}
