//! What every valid graph satisfies.
//!
//! <https://onnx.ai/onnx/repo-docs/IR.html#graphs>: names, single assignment, order. Which inputs may be left out is
//! what the operators' schemas say, all versions taken together.

use std::collections::HashSet;

use super::SurgeryError;
use super::find::{captured, subgraphs};
use super::index::sparse_name;
use crate::model::node::{is_onnx, node_name};
use crate::proto::onnx::{GraphProto, NodeProto, TensorProto, ValueInfoProto};

/// Inputs that may be left out with an empty name. An operator that neither this nor the next table has needs its first.
const OPTIONAL: &[(&str, &[usize])] = &[
    ("Attention", &[3, 4, 5, 6]),
    ("Clip", &[1, 2]),
    ("Concat", &[]),
    ("Conv", &[2]),
    ("ConvInteger", &[2, 3]),
    ("ConvTranspose", &[2]),
    ("DFT", &[1, 2]),
    ("DeformConv", &[3, 4]),
    ("DequantizeLinear", &[2]),
    ("Dropout", &[1, 2]),
    ("Einsum", &[]),
    ("GRU", &[3, 4, 5]),
    ("Gemm", &[2]),
    ("LSTM", &[3, 4, 5, 6, 7]),
    ("LayerNormalization", &[2]),
    ("Loop", &[0, 1]),
    ("MatMulInteger", &[2, 3]),
    ("Max", &[]),
    ("MaxUnpool", &[2]),
    ("Mean", &[]),
    ("Min", &[]),
    ("NegativeLogLikelihoodLoss", &[2]),
    ("NonMaxSuppression", &[2, 3, 4]),
    ("Optional", &[0]),
    ("OptionalHasElement", &[0]),
    ("Pad", &[2, 3]),
    ("QLinearConv", &[8]),
    ("QuantizeLinear", &[2]),
    ("RNN", &[3, 4, 5]),
    ("ReduceL1", &[1]),
    ("ReduceL2", &[1]),
    ("ReduceLogSum", &[1]),
    ("ReduceLogSumExp", &[1]),
    ("ReduceMax", &[1]),
    ("ReduceMean", &[1]),
    ("ReduceMin", &[1]),
    ("ReduceProd", &[1]),
    ("ReduceSum", &[1]),
    ("ReduceSumSquare", &[1]),
    ("Reshape", &[]),
    ("Resize", &[1, 2, 3]),
    ("RotaryEmbedding", &[3]),
    ("STFT", &[2, 3]),
    ("Scan", &[0]),
    ("SequenceConstruct", &[]),
    ("SequenceErase", &[1]),
    ("SequenceInsert", &[2]),
    ("Slice", &[3, 4]),
    ("SoftmaxCrossEntropyLoss", &[2]),
    ("Split", &[1]),
    ("SplitToSequence", &[1]),
    ("Squeeze", &[1]),
    ("Sum", &[]),
    ("TensorScatter", &[2]),
    ("TopK", &[]),
    ("Trilu", &[1]),
    ("Unsqueeze", &[]),
    ("Upsample", &[]),
];

/// Operators that need no input, and those that need more than one, with the least number in any version.
const LEAST_INPUTS: &[(usize, &[&str])] = &[
    (0, &["Constant", "Optional", "OptionalHasElement", "RandomNormal", "RandomUniform", "SequenceEmpty"]),
    (2, &["Add", "AffineGrid", "And", "BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "CastLike"]),
    (2, &["CenterCropPad", "Compress", "Conv", "ConvInteger", "ConvTranspose", "CumSum", "DequantizeLinear", "Div"]),
    (2, &["Equal", "Expand", "Gather", "GatherElements", "GatherND", "Gemm", "Greater", "GreaterOrEqual"]),
    (2, &["GridSample", "LayerNormalization", "Less", "LessOrEqual", "Loop", "MatMul", "MatMulInteger", "MaxRoiPool"]),
    (2, &["MaxUnpool", "Mod", "Mul", "NegativeLogLikelihoodLoss", "NonMaxSuppression", "Or", "PRelu", "Pow"]),
    (2, &["QuantizeLinear", "RMSNormalization", "ReverseSequence", "STFT", "SequenceAt", "SequenceInsert"]),
    (2, &["SoftmaxCrossEntropyLoss", "StringConcat", "Sub", "Tile", "Xor"]),
    (3, &["Attention", "Col2Im", "DeformConv", "GRU", "GroupNormalization", "InstanceNormalization", "LSTM"]),
    (3, &["OneHot", "RNN", "Range", "RoiAlign", "RotaryEmbedding", "Scatter", "ScatterElements", "ScatterND"]),
    (3, &["Where"]),
    (5, &["BatchNormalization", "MelWeightMatrix"]),
    (8, &["QLinearConv", "QLinearMatMul"]),
];

/// Operator and name of a node, for people.
pub(super) fn title(node: &NodeProto) -> String {
    format!("{} `{}`", node.op_type(), node_name(node))
}

/// What a node must satisfy, its subgraphs included.
pub(super) fn node(node: &NodeProto) -> Result<(), SurgeryError> {
    alone(node)?;
    subgraphs(node).try_for_each(|graph| subgraph(graph, &HashSet::new()))
}

fn alone(node: &NodeProto) -> Result<(), SurgeryError> {
    if node.op_type().is_empty() {
        return Err(SurgeryError::Empty { what: format!("the operator of `{}`", node_name(node)) });
    }
    if node.output.iter().all(String::is_empty) {
        return Err(SurgeryError::NoOutput { node: title(node) });
    }
    missing_input(node).map_or(Ok(()), |input| Err(SurgeryError::Missing { node: title(node), input }))
}

/// An input that the operator requires and the node leaves out.
fn missing_input(node: &NodeProto) -> Option<usize> {
    if !is_onnx(node) {
        return None;
    }
    let op = node.op_type();
    let optional = OPTIONAL.iter().find(|(name, _)| *name == op).map(|(_, inputs)| *inputs);
    let least = LEAST_INPUTS.iter().find(|(_, names)| names.contains(&op)).map(|(least, _)| *least);
    let required = |input: usize| match (optional, least) {
        (Some(optional), _) => !optional.contains(&input),
        (None, Some(_)) => true,
        (None, None) => input == 0,
    };
    let left_out = node.input.iter().enumerate().find(|(input, name)| name.is_empty() && required(*input));
    let short = node.input.len() < least.unwrap_or(1);
    left_out.map(|(input, _)| input).or_else(|| short.then_some(node.input.len()))
}

fn invalid<T>(why: String) -> Result<T, SurgeryError> {
    Err(SurgeryError::Invalid { why })
}

/// A whole main graph. `listed`: initializers are graph inputs too, as before IR version 4.
pub(super) fn check(graph: &GraphProto, listed: bool) -> Result<(), SurgeryError> {
    let inputs: HashSet<&str> = graph.input.iter().map(ValueInfoProto::name).collect();
    if let Some(tensor) = graph.initializer.iter().find(|tensor| listed && !inputs.contains(tensor.name())) {
        return invalid(unlisted(tensor.name()));
    }
    let mut names = HashSet::new();
    if let Some(twice) = graph.node.iter().find(|node| !node.name().is_empty() && !names.insert(node.name())) {
        return invalid(format!("two nodes are called `{}`", twice.name()));
    }
    let mut outputs = HashSet::new();
    if let Some(twice) = graph.output.iter().find(|output| !outputs.insert(output.name())) {
        return invalid(format!("`{}` is an output twice", twice.name()));
    }
    body(graph, None)?;
    let made: HashSet<&str> = own_names(graph).collect();
    graph.node.iter().flat_map(subgraphs).try_for_each(|inner| subgraph(inner, &made))
}

/// The rule of IR version 3 that an initializer breaks.
pub(super) fn unlisted(name: &str) -> String {
    format!("initializer `{name}` is not listed as an input, as IR version 3 requires")
}

/// A subgraph below graphs that have the names `outer`; what it reads from outside is checked by the main graph.
fn subgraph(graph: &GraphProto, outer: &HashSet<&str>) -> Result<(), SurgeryError> {
    let own: HashSet<&str> = own_names(graph).collect();
    if let Some(name) = own_names(graph).find(|name| outer.contains(name)) {
        return invalid(format!("a subgraph gives a value the name `{name}`, which the graph around it has"));
    }
    body(graph, Some(&own))?;
    let around: HashSet<&str> = outer.union(&own).copied().collect();
    graph.node.iter().flat_map(subgraphs).try_for_each(|inner| subgraph(inner, &around))
}

/// Names that a graph gives: inputs, initializers, outputs of nodes.
pub(super) fn own_names(graph: &GraphProto) -> impl Iterator<Item = &str> {
    let inputs = graph.input.iter().map(ValueInfoProto::name);
    let stored = graph.initializer.iter().map(TensorProto::name);
    let sparse = graph.sparse_initializer.iter().map(sparse_name);
    let made = graph.node.iter().flat_map(|node| node.output.iter().map(String::as_str));
    inputs.chain(stored).chain(sparse).chain(made).filter(|name| !name.is_empty())
}

/// Names that are there before the first node.
fn sources(graph: &GraphProto) -> Result<HashSet<&str>, SurgeryError> {
    let (mut inputs, mut stored) = (HashSet::new(), HashSet::new());
    for name in graph.input.iter().map(ValueInfoProto::name) {
        if name.is_empty() {
            return Err(SurgeryError::Empty { what: "a graph input".into() });
        }
        if !inputs.insert(name) {
            return invalid(format!("two graph inputs are called `{name}`"));
        }
    }
    let tensors = graph.initializer.iter().map(TensorProto::name);
    for name in tensors.chain(graph.sparse_initializer.iter().map(sparse_name)) {
        if name.is_empty() {
            return Err(SurgeryError::Empty { what: "an initializer".into() });
        }
        if !stored.insert(name) {
            return invalid(format!("two initializers are called `{name}`"));
        }
    }
    Ok(inputs.union(&stored).copied().collect())
}

/// Nodes and outputs. `own`, of a subgraph: the names that it gives; others are read from outside.
fn body(graph: &GraphProto, own: Option<&HashSet<&str>>) -> Result<(), SurgeryError> {
    let mut known = sources(graph)?;
    let made: HashSet<&str> = graph.node.iter().flat_map(|node| &node.output).map(String::as_str).collect();
    for node in &graph.node {
        alone(node)?;
        let captured = captured(node);
        let mut read = node.input.iter().chain(&captured).filter(|name| !name.is_empty());
        let unknown = |name: &str| !known.contains(name) && own.is_none_or(|own| own.contains(name));
        if let Some(name) = read.find(|name| unknown(name)) {
            if made.contains(name.as_str()) {
                return invalid(format!("{} reads `{name}` before it is made: the nodes form a cycle", title(node)));
            }
            return Err(SurgeryError::Undefined { value: name.clone(), reader: title(node) });
        }
        for output in node.output.iter().filter(|output| !output.is_empty()) {
            if !known.insert(output) {
                return invalid(format!("two values are called `{output}`"));
            }
        }
    }
    for name in graph.output.iter().map(ValueInfoProto::name) {
        if name.is_empty() {
            return Err(SurgeryError::Empty { what: "a graph output".into() });
        }
        if !known.contains(name) && own.is_none() {
            return Err(SurgeryError::Undefined { value: name.to_owned(), reader: "a graph output".into() });
        }
    }
    Ok(())
}
