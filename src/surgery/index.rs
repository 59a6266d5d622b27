//! Who makes and who reads each value, kept up to date edit by edit.

use std::collections::{BTreeSet, HashMap};

use super::SurgeryError;
use super::find::{captured, inner_names};
use super::rules::title;
use crate::proto::onnx::{NodeProto, SparseTensorProto, TensorAnnotation, TensorProto, ValueInfoProto};

/// A node of an opened [`Graph`](super::Graph). It stays the same while other nodes come and go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub(super) usize);

/// A place where a value is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reader {
    /// The node that reads it.
    pub node: NodeId,
    /// Position among the node's inputs; `None` if a subgraph of the node reads it.
    pub input: Option<usize>,
}

/// One entry of a list of the graph; a default one stands for an entry that is gone.
#[derive(Debug, Clone)]
pub(super) enum Item {
    Node(NodeProto),
    Initializer(TensorProto),
    Sparse(Box<SparseTensorProto>),
    Input(ValueInfoProto),
    Output(ValueInfoProto),
    Info(ValueInfoProto),
    Annotation(Box<TensorAnnotation>),
}

impl Item {
    /// An entry of the same list that is gone.
    pub(super) fn blank(&self) -> Self {
        match self {
            Self::Node(_) => Self::Node(NodeProto::default()),
            Self::Initializer(_) => Self::Initializer(TensorProto::default()),
            Self::Sparse(_) => Self::Sparse(Box::default()),
            Self::Input(_) => Self::Input(ValueInfoProto::default()),
            Self::Output(_) => Self::Output(ValueInfoProto::default()),
            Self::Info(_) => Self::Info(ValueInfoProto::default()),
            Self::Annotation(_) => Self::Annotation(Box::default()),
        }
    }
}

/// What is known of a value. Numbers are positions in the graph's lists.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Value {
    pub(super) producer: Option<usize>,
    pub(super) initializer: Option<usize>,
    pub(super) sparse: Option<usize>,
    pub(super) input: Option<usize>,
    pub(super) output: Option<usize>,
    pub(super) info: Option<usize>,
    pub(super) readers: BTreeSet<Reader>,
}

impl Value {
    pub(super) fn is_defined(&self) -> bool {
        self.producer.is_some() || self.initializer.is_some() || self.sparse.is_some() || self.input.is_some()
    }
}

#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) values: HashMap<String, Value>,
    pub(super) nodes: HashMap<String, usize>,
    /// Names that subgraphs give, at any depth, and how often.
    pub(super) inner: HashMap<String, usize>,
    /// What changed since the last check.
    pub(super) touched_values: BTreeSet<String>,
    pub(super) touched_nodes: BTreeSet<usize>,
    /// Entries linked and unlinked so far; tests hold it against the number of edits.
    pub(super) steps: usize,
}

/// Name of a sparse initializer.
pub(super) fn sparse_name(sparse: &SparseTensorProto) -> &str {
    sparse.values.as_ref().map_or("", TensorProto::name)
}

impl Index {
    pub(super) fn value(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    fn entry(&mut self, name: &str) -> &mut Value {
        self.steps += 1;
        if !self.touched_values.contains(name) {
            self.touched_values.insert(name.to_owned());
        }
        self.values.entry(name.to_owned()).or_default()
    }

    /// Enters what stands at a position of a list.
    pub(super) fn link(&mut self, at: usize, item: &Item) -> Result<(), SurgeryError> {
        match item {
            Item::Node(node) => self.link_node(at, node),
            Item::Initializer(tensor) => self.define(tensor.name(), "an initializer", |value| {
                let free = value.producer.is_none() && value.sparse.is_none();
                (free && *value.initializer.get_or_insert(at) == at).then_some(())
            }),
            Item::Sparse(sparse) => self.define(sparse_name(sparse), "an initializer", |value| {
                let free = value.producer.is_none() && value.initializer.is_none();
                (free && *value.sparse.get_or_insert(at) == at).then_some(())
            }),
            Item::Input(info) => self.define(info.name(), "an input", |value| {
                (value.producer.is_none() && *value.input.get_or_insert(at) == at).then_some(())
            }),
            Item::Output(info) => {
                self.define(info.name(), "an output", |value| (*value.output.get_or_insert(at) == at).then_some(()))
            }
            Item::Annotation(_) => Ok(()),
            Item::Info(info) if info.name().is_empty() => Ok(()),
            Item::Info(info) => {
                // Some files declare a value twice; the first declaration counts.
                self.entry(info.name()).info.get_or_insert(at);
                Ok(())
            }
        }
    }

    fn define(&mut self, name: &str, what: &str, set: impl Fn(&mut Value) -> Option<()>) -> Result<(), SurgeryError> {
        if name.is_empty() {
            return Ok(());
        }
        let by = if what == "an output" { "another output of the graph" } else { "another value" };
        set(self.entry(name)).ok_or_else(|| SurgeryError::Taken { name: name.to_owned(), by: by.into() })
    }

    fn link_node(&mut self, at: usize, node: &NodeProto) -> Result<(), SurgeryError> {
        self.touched_nodes.insert(at);
        for (input, name) in node.input.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            self.entry(name).readers.insert(Reader { node: NodeId(at), input: Some(input) });
        }
        for name in captured(node) {
            self.entry(&name).readers.insert(Reader { node: NodeId(at), input: None });
        }
        for name in inner_names(node) {
            self.entry(&name);
            *self.inner.entry(name).or_default() += 1;
        }
        let taken = |name: &str, by: &str| SurgeryError::Taken { name: name.to_owned(), by: by.into() };
        for name in node.output.iter().filter(|name| !name.is_empty()) {
            let value = self.entry(name);
            if value.is_defined() {
                return Err(taken(name, "another value"));
            }
            value.producer = Some(at);
        }
        let own = node.name();
        if !own.is_empty() && *self.nodes.entry(own.to_owned()).or_insert(at) != at {
            return Err(taken(own, "another node"));
        }
        Ok(())
    }

    /// Takes out what stands at a position of a list, entered in full or in part.
    pub(super) fn unlink(&mut self, at: usize, item: &Item) {
        let clear = |place: &mut Option<usize>| {
            if *place == Some(at) {
                *place = None;
            }
        };
        match item {
            Item::Node(node) => self.unlink_node(at, node),
            Item::Initializer(tensor) => clear(&mut self.entry(tensor.name()).initializer),
            Item::Sparse(sparse) => clear(&mut self.entry(sparse_name(sparse)).sparse),
            Item::Input(info) => clear(&mut self.entry(info.name()).input),
            Item::Output(info) => clear(&mut self.entry(info.name()).output),
            Item::Info(info) => clear(&mut self.entry(info.name()).info),
            Item::Annotation(_) => {}
        }
    }

    fn unlink_node(&mut self, at: usize, node: &NodeProto) {
        self.touched_nodes.insert(at);
        for (input, name) in node.input.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            self.entry(name).readers.remove(&Reader { node: NodeId(at), input: Some(input) });
        }
        for name in captured(node) {
            self.entry(&name).readers.remove(&Reader { node: NodeId(at), input: None });
        }
        for name in inner_names(node) {
            if let Some(count) = self.inner.get_mut(&name) {
                *count -= 1;
                if *count == 0 {
                    self.inner.remove(&name);
                }
            }
        }
        for name in node.output.iter().filter(|name| !name.is_empty()) {
            let value = self.entry(name);
            if value.producer == Some(at) {
                value.producer = None;
            }
        }
        if self.nodes.get(node.name()) == Some(&at) {
            self.nodes.remove(node.name());
        }
    }

    /// Drops entries that say nothing, among the values that changed.
    pub(super) fn tidy(&mut self) {
        for name in std::mem::take(&mut self.touched_values) {
            if self.values.get(&name) == Some(&Value::default()) {
                self.values.remove(&name);
            }
        }
        self.touched_nodes.clear();
    }

    /// Who reads a value, for people.
    pub(super) fn readers_of(&self, name: &str, nodes: &[NodeProto]) -> Vec<String> {
        let Some(value) = self.value(name) else { return Vec::new() };
        let mut readers: Vec<String> = value.readers.iter().map(|reader| title(&nodes[reader.node.0])).collect();
        readers.dedup();
        readers.extend(value.output.map(|_| "the graph's outputs".to_owned()));
        readers
    }
}
