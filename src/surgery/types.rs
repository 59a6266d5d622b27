//! Element types that follow from the operators: <https://onnx.ai/onnx/operators/>.

use crate::model::DataType;
use crate::model::TensorType;
use crate::model::node::is_onnx;
use crate::proto::onnx::NodeProto;

/// Where declared types and makers of values are looked up.
pub(super) trait Source {
    /// The declared element type.
    fn declared(&self, value: &str) -> Option<DataType>;
    /// The node that makes a value.
    fn maker(&self, value: &str) -> Option<&NodeProto>;
}

/// What an operator says of the element type of an output.
enum Rule {
    /// It is this one.
    Is(DataType),
    /// It is that of an input.
    Input(usize),
    /// Nothing general.
    Open,
}

/// Operators that return truth values.
const TRUTH: &[&str] = &[
    "And",
    "Equal",
    "Greater",
    "GreaterOrEqual",
    "IsInf",
    "IsNaN",
    "Less",
    "LessOrEqual",
    "Not",
    "OptionalHasElement",
    "Or",
    "RegexFullMatch",
    "Xor",
];

/// Operators of whose outputs nothing is known: sequences, optional values, texts.
const OPEN: &[&str] = &[
    "Attention",
    "BitCast",
    "ConcatFromSequence",
    "ImageDecoder",
    "Optional",
    "OptionalGetElement",
    "SequenceAt",
    "SequenceConstruct",
    "SequenceEmpty",
    "SequenceMap",
    "SplitToSequence",
    "StringSplit",
    "TfIdfVectorizer",
];

/// Longest chain of operators that is followed.
const MOST_STEPS: usize = 1 << 20;

/// The element type of a value, if it is declared or follows from what is.
pub(super) fn element_type(value: &str, source: &dyn Source) -> Option<DataType> {
    let mut value = value.to_owned();
    for _ in 0..MOST_STEPS {
        if let Some(declared) = source.declared(&value) {
            return Some(declared);
        }
        let node = source.maker(&value)?;
        let output = node.output.iter().position(|name| *name == value)?;
        match rule(node, output) {
            Rule::Is(kind) => return Some(kind),
            Rule::Input(input) => value = node.input.get(input).filter(|name| !name.is_empty())?.clone(),
            Rule::Open => return None,
        }
    }
    None
}

/// Whether a node's first output is of the type of its first input, whatever that is.
pub(super) fn keeps_type(node: &NodeProto) -> bool {
    matches!(rule(node, 0), Rule::Input(0))
}

fn rule(node: &NodeProto, output: usize) -> Rule {
    use DataType as T;
    if !is_onnx(node) {
        return Rule::Open;
    }
    let attribute = |name: &str| node.int(name).and_then(|kind| T::try_from(i32::try_from(kind).ok()?).ok());
    let given =
        |name: &str, default: Rule| attribute(name).filter(|kind| *kind != T::Undefined).map_or(default, Rule::Is);
    match (node.op_type(), output) {
        ("Cast", _) => given("to", Rule::Open),
        ("CastLike" | "Where" | "DequantizeLinear" | "RMSNormalization", _) => Rule::Input(1),
        ("OneHot", _) => Rule::Input(2),
        ("QLinearConv" | "QLinearMatMul", _) => Rule::Input(7),
        ("ConvInteger" | "MatMulInteger", _) => Rule::Is(T::Int32),
        ("QuantizeLinear", _) if node.input.len() > 2 => Rule::Input(2),
        ("QuantizeLinear", _) => given("output_dtype", Rule::Is(T::Uint8)),
        ("DynamicQuantizeLinear", _) => Rule::Is(if output == 1 { T::Float } else { T::Uint8 }),
        ("Shape" | "Size" | "NonZero" | "ArgMax" | "ArgMin" | "NonMaxSuppression" | "SequenceLength", _)
        | ("TopK" | "MaxPool", 1)
        | ("Unique", 1..) => Rule::Is(T::Int64),
        ("Dropout", 1) => Rule::Is(T::Bool),
        (op, _) if TRUTH.contains(&op) => Rule::Is(T::Bool),
        ("LayerNormalization", 1..) => given("stash_type", Rule::Is(T::Float)),
        ("BatchNormalization", 1..) => Rule::Input(output + 2),
        ("Constant", _) => constant(node),
        ("ConstantOfShape", _) => node
            .tensor("value")
            .map_or(Rule::Is(T::Float), |tensor| T::try_from(tensor.data_type()).map_or(Rule::Open, Rule::Is)),
        ("RandomNormal" | "RandomUniform", _) => given("dtype", Rule::Is(T::Float)),
        ("RandomNormalLike" | "RandomUniformLike" | "Bernoulli" | "EyeLike", _) => given("dtype", Rule::Input(0)),
        ("Multinomial", _) => given("dtype", Rule::Is(T::Int32)),
        ("HannWindow" | "HammingWindow" | "BlackmanWindow" | "MelWeightMatrix", _) => {
            given("output_datatype", Rule::Is(T::Float))
        }
        ("If", _) => branch(node, "then_branch", output),
        // A loop's body also returns whether to go on.
        ("Loop", _) => branch(node, "body", output + 1),
        ("Scan", _) => branch(node, "body", output),
        (op, _) if OPEN.contains(&op) => Rule::Open,
        _ => Rule::Input(0),
    }
}

fn constant(node: &NodeProto) -> Rule {
    let is = |name: &str| node.attribute.iter().any(|attribute| attribute.name() == name);
    if is("value_int") || is("value_ints") {
        return Rule::Is(DataType::Int64);
    }
    if is("value_float") || is("value_floats") {
        return Rule::Is(DataType::Float);
    }
    let stored = node.tensor("value").and_then(|tensor| DataType::try_from(tensor.data_type()).ok());
    stored.map_or(Rule::Open, Rule::Is)
}

/// The type that a subgraph declares of its output.
fn branch(node: &NodeProto, attribute: &str, output: usize) -> Rule {
    let declared = node.graph(attribute).and_then(|graph| TensorType::of(graph.output.get(output)?));
    declared.filter(|kind| kind.element != DataType::Undefined).map_or(Rule::Open, |kind| Rule::Is(kind.element))
}
