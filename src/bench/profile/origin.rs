//! Which node of a model's file a node of the engine's optimised graph stands for.

use std::collections::HashMap;

use crate::proto::onnx::GraphProto;

/// Operators that do the work of a layer.
const WORK: [&str; 8] = ["Conv", "ConvTranspose", "Gemm", "MatMul", "Einsum", "LSTM", "GRU", "DeformConv"];

/// Suffixes and prefixes that engines add to names.
const SUFFIXES: [&str; 4] = ["_nchwc", "_nhwc", "_quant", "_fused"];
const PREFIXES: [&str; 1] = ["fused "];

/// Steps back from a value to the layer that made it.
const MOST_STEPS: usize = 8;

/// The nodes of a file by their names and by the values they make.
pub(super) struct Origins<'a> {
    graph: &'a GraphProto,
    by_name: HashMap<&'a str, usize>,
    by_value: HashMap<&'a str, usize>,
}

impl<'a> Origins<'a> {
    pub(super) fn new(graph: &'a GraphProto) -> Self {
        let named = graph.node.iter().enumerate().filter(|(_, node)| !node.name().is_empty());
        let made = |(at, node): (usize, &'a crate::proto::onnx::NodeProto)| {
            node.output.iter().map(move |value| (value.as_str(), at))
        };
        Self {
            graph,
            by_name: named.map(|(at, node)| (node.name(), at)).collect(),
            by_value: graph.node.iter().enumerate().flat_map(made).collect(),
        }
    }

    /// The node that does the work of an optimised node: the node of that name, or the maker of the value of that name,
    /// and where that only follows a layer (bias, normalisation, activation), the layer.
    pub(super) fn of(&self, optimised: &str) -> Option<usize> {
        let found = self.named(optimised)?;
        Some(self.work(found).unwrap_or(found))
    }

    fn named(&self, optimised: &str) -> Option<usize> {
        let mut name = optimised;
        loop {
            if let Some(&node) = self.by_name.get(name).or_else(|| self.by_value.get(name)) {
                return Some(node);
            }
            let shorter = SUFFIXES.iter().find_map(|suffix| name.strip_suffix(suffix)).or_else(|| unnumbered(name));
            name = shorter.or_else(|| PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)))?;
        }
    }

    /// The layer that a node follows, through nodes whose other inputs are stored.
    fn work(&self, node: usize) -> Option<usize> {
        let mut at = node;
        for _ in 0..MOST_STEPS {
            let own = &self.graph.node[at];
            if WORK.contains(&own.op_type()) {
                return Some(at);
            }
            let mut makers = own.input.iter().filter_map(|name| self.by_value.get(name.as_str()));
            at = *makers.next()?;
        }
        None
    }
}

/// The name that ONNX Runtime numbered where it made one node of several: `conv_token_7`.
fn unnumbered(name: &str) -> Option<&str> {
    let bare = name.trim_end_matches(|c: char| c.is_ascii_digit());
    bare.strip_suffix("_token_").filter(|_| bare.len() < name.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::onnx::NodeProto;

    fn node(op: &str, name: &str, inputs: &[&str], output: &str) -> NodeProto {
        NodeProto {
            op_type: Some(op.into()),
            name: Some(name.into()),
            input: inputs.iter().map(ToString::to_string).collect(),
            output: vec![output.into()],
            ..NodeProto::default()
        }
    }

    #[test]
    fn names_of_either_kind_lead_to_the_layer() {
        let graph = GraphProto {
            node: vec![
                node("Conv", "stem", &["x", "w"], "c"),
                node("BatchNormalization", "bn", &["c", "s", "b", "m", "v"], "n"),
                node("Relu", "act", &["n"], "r"),
                node("MaxPool", "pool", &["x"], "p"),
            ],
            ..GraphProto::default()
        };
        let origins = Origins::new(&graph);
        // ONNX Runtime names fused convolutions after the last value, or after the node.
        for name in ["r_nchwc", "act_nchwc", "stem", "fused stem", "n_nchwc", "stem_token_17"] {
            assert_eq!(origins.of(name), Some(0), "{name}");
        }
        assert_eq!(origins.of("pool"), Some(3));
        assert_eq!(origins.of("ReorderInput_token_3"), None);
    }
}
