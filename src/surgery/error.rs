//! Why an edit is refused.

use crate::explain::{Explain, Names};
use crate::model::DataType;

/// Why an edit is refused. The graph is then as it was before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SurgeryError {
    /// No node makes the value and it is no input or initializer.
    #[error("there is no value `{value}`")]
    NoValue {
        /// Name of the value.
        value: String,
    },
    /// The node was removed, or belongs to another graph.
    #[error("there is no such node")]
    NoNode,
    /// The node has fewer inputs.
    #[error("{node} has no input {input}")]
    NoInput {
        /// Operator and name of the node.
        node: String,
        /// Position of the input, from 0.
        input: usize,
    },
    /// Another value or node has the name.
    #[error("the name `{name}` is taken")]
    Taken {
        /// The name.
        name: String,
        /// Who has it.
        by: String,
    },
    /// A name is empty where one must be.
    #[error("the name of {what} is empty")]
    Empty {
        /// Who has no name.
        what: String,
    },
    /// Somebody still reads the value.
    #[error("`{value}` is still read")]
    Read {
        /// Name of the value.
        value: String,
        /// Nodes that read it, and `the graph's outputs`.
        readers: Vec<String>,
    },
    /// A value is read that nothing makes.
    #[error("{reader} reads `{value}`, which nothing makes")]
    Undefined {
        /// Name of the value.
        value: String,
        /// Who reads it.
        reader: String,
    },
    /// An input that the operator requires is left out.
    #[error("{node} lacks its input {input}")]
    Missing {
        /// Operator and name of the node.
        node: String,
        /// Position of the input, from 0.
        input: usize,
    },
    /// The node makes nothing.
    #[error("{node} has no output")]
    NoOutput {
        /// Operator and name of the node.
        node: String,
    },
    /// The graph would have no output.
    #[error("the graph has no output")]
    NoGraphOutput,
    /// Nodes would depend on themselves.
    #[error("nodes depend on each other in a cycle")]
    Cycle {
        /// Operators and names of the nodes, each reading what the one before makes.
        nodes: Vec<String>,
    },
    /// A part to extract depends on a graph input that was not named.
    #[error("the part also depends on `{value}`")]
    Open {
        /// Name of the value.
        value: String,
    },
    /// Only a value that a node makes can be treated so.
    #[error("no node makes `{value}`")]
    NotComputed {
        /// Name of the value.
        value: String,
    },
    /// The value is neither an initializer nor the output of a `Constant` node.
    #[error("`{value}` is not stored")]
    NotStored {
        /// Name of the value.
        value: String,
    },
    /// The data of a stored tensor cannot be used.
    #[error("the data of `{value}` cannot be used")]
    Data {
        /// Name of the value.
        value: String,
        /// What is wrong with them.
        why: String,
    },
    /// The type of a stored tensor is that of its data.
    #[error("`{value}` is stored and not of that type")]
    Type {
        /// Name of the value.
        value: String,
        /// The type of the data.
        stored: String,
    },
    /// One value cannot stand in for another.
    #[error("`{value}` cannot stand in for `{wanted}`")]
    Mismatch {
        /// The value that would be read.
        value: String,
        /// The value that is read now.
        wanted: String,
        /// Element types of the two.
        elements: [DataType; 2],
    },
    /// The graph breaks a rule of the specification.
    #[error("the graph is not valid")]
    Invalid {
        /// Which rule, and where.
        why: String,
    },
}

impl Explain for SurgeryError {
    fn location(&self) -> Option<String> {
        match self {
            Self::NoInput { node, .. } | Self::Missing { node, .. } | Self::NoOutput { node } => Some(node.clone()),
            Self::Undefined { reader, .. } => Some(reader.clone()),
            _ => None,
        }
    }

    fn why(&self) -> Option<String> {
        Some(match self {
            Self::Taken { by, .. } => format!("{by} has it, and names are unique"),
            Self::Read { readers, .. } => format!("read by {}", Names(readers, 5)),
            Self::Cycle { nodes } => Names(nodes, 8).to_string(),
            Self::Missing { .. } => "the operator requires it".into(),
            Self::Data { why, .. } | Self::Invalid { why } => why.clone(),
            Self::Mismatch { elements: [value, wanted], .. } => format!("its elements are {value:?}, not {wanted:?}"),
            Self::Type { stored, .. } => format!("its data are {stored}"),
            Self::NoNode => "it was removed, or its id is of another graph".into(),
            Self::NoOutput { .. } => "nothing could read what it computes".into(),
            _ => return None,
        })
    }

    fn help(&self) -> Option<String> {
        let text = match self {
            Self::NoValue { .. } | Self::Undefined { .. } => "add what makes the value first, or give another name",
            Self::Taken { .. } => "`Graph::fresh_name` gives a free name",
            Self::Read { .. } => "`Graph::redirect` lets its readers read another value; remove them first otherwise",
            Self::Missing { .. } => "give the input; only an optional one may be left out with an empty name",
            Self::NoOutput { .. } | Self::NoGraphOutput | Self::Empty { .. } => "give it a name that is not empty",
            Self::Cycle { .. } => "let the node read values that do not depend on what it makes",
            Self::Open { .. } => "name it among the inputs of the part",
            Self::NotComputed { .. } => "name a value that a node makes",
            Self::NotStored { .. } => "fold constants first, if it depends on stored tensors alone",
            Self::Type { .. } => "`Graph::set_constant` stores data of another type",
            Self::Mismatch { .. } => "`Graph::redirect` does not ask for types, if the readers take either",
            Self::NoInput { .. } | Self::NoNode => "`Graph::nodes` gives the ids of the nodes that are there",
            Self::Data { .. } | Self::Invalid { .. } => return None,
        };
        Some(text.into())
    }
}
