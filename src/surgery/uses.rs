//! Who makes and who reads the values of a graph that is only looked at, and which of them depend on its inputs.

use std::collections::{HashMap, HashSet};

use super::find::captured;
use crate::proto::onnx::{GraphProto, TensorProto, ValueInfoProto};

/// Makers and readers by the names of values.
#[derive(Debug)]
pub(crate) struct Uses {
    makers: HashMap<String, usize>,
    readers: HashMap<String, Vec<Option<usize>>>,
}

impl Uses {
    pub(crate) fn of(graph: &GraphProto) -> Self {
        let (mut makers, mut readers) = (HashMap::new(), HashMap::<String, Vec<Option<usize>>>::new());
        for (index, node) in graph.node.iter().enumerate() {
            makers.extend(node.output.iter().filter(|name| !name.is_empty()).map(|name| (name.clone(), index)));
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
        Self { makers, readers }
    }

    /// Index of the node that makes a value.
    pub(crate) fn maker(&self, value: &str) -> Option<usize> {
        self.makers.get(value).copied()
    }

    /// Indices of the nodes that read a value, once for every input; a graph output or a subgraph is one that nobody knows.
    pub(crate) fn readers(&self, value: &str) -> &[Option<usize>] {
        self.readers.get(value).map_or(&[], Vec::as_slice)
    }

    /// The node that alone reads a value.
    pub(crate) fn only(&self, value: &str) -> Option<usize> {
        match self.readers(value) {
            &[Some(node)] => Some(node),
            _ => None,
        }
    }
}

/// Values that depend on the graph's inputs. `order`: its nodes, producers first.
pub(crate) fn variable(graph: &GraphProto, order: &[usize]) -> HashSet<String> {
    let stored: HashSet<&str> = graph.initializer.iter().map(TensorProto::name).collect();
    let inputs = graph.input.iter().map(ValueInfoProto::name).filter(|name| !stored.contains(name));
    let mut variable: HashSet<String> = inputs.map(ToOwned::to_owned).collect();
    for &index in order {
        let node = &graph.node[index];
        if node.input.iter().cloned().chain(captured(node)).any(|name| variable.contains(&name)) {
            variable.extend(node.output.iter().filter(|name| !name.is_empty()).cloned());
        }
    }
    variable
}
