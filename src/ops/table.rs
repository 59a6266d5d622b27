//! Every operator that is understood, one line each: its family, and what the tool does with it.
//!
//! A family shares a dependency rule (`channels/ops`) and, where [`Operator::derivative`] says so, a derivative
//! (`repair/global/ops`). An operator that is not listed protects the channels that reach it.

use std::fmt::Write as _;

use serde::Serialize;

use crate::model::node::is_onnx;
use crate::proto::onnx::NodeProto;

/// Operators with one dependency rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
#[allow(missing_docs, reason = "each is named after its operator or what its operators have in common")]
pub enum Family {
    Conv,
    ConvTranspose,
    Gemm,
    MatMul,
    Einsum,
    BatchNormalization,
    InstanceNormalization,
    GroupNormalization,
    LayerNormalization,
    MeanVarianceNormalization,
    /// A function of every element: `ops/scalar.rs` has value and slope where there is a derivative.
    Scalar,
    /// Like `Scalar` with a slope for every channel.
    PRelu,
    /// Operands that broadcast.
    Broadcast,
    /// The input as it is.
    Identity,
    Pool,
    Concat,
    Split,
    Slice,
    Gather,
    Pad,
    Transpose,
    DepthToSpace,
    Reshape,
    Flatten,
    Squeeze,
    Expand,
    Tile,
    Resize,
    /// Reductions over axes.
    Reduce,
    /// Operators whose output at one index depends on all of an axis.
    Softmax,
    Scatter,
    GatherElements,
    TopK,
    Trilu,
    ConstantOfShape,
    Like,
    Range,
    OneHot,
    RoiAlign,
    GridSample,
    Attention,
    Recurrent,
    Quantize,
    /// The range that the values themselves have.
    DynamicQuantize,
    ConvInteger,
    QLinearConv,
    MatMulInteger,
    QLinearMatMul,
    QGemm,
    QLinearBroadcast,
    QLinearConcat,
    QLinearPool,
    DeformConv,
    RotaryEmbedding,
    GroupQueryAttention,
    /// Lists of numbers per feature as attributes.
    Scaler,
    FusedConv,
    FusedGemm,
    FusedMatMul,
    BiasedActivation,
}

/// Which solvers refit the operator's weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Refit {
    /// It has none that is refitted.
    None,
    /// Layer after layer.
    Sequential,
    /// As a consumer alone, where it has no groups, and layer after layer.
    LocalAndSequential,
}

/// How an operator is computed on 8-bit integers between `QuantizeLinear` and `DequantizeLinear`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Int8 {
    /// In real numbers.
    None,
    /// As a product of integers.
    Product,
    /// On integers of which each has its own scale.
    Combines,
    /// The integers are moved or chosen from: one scale for input and output.
    Moves,
    /// As a bound of what is rounded before: it needs no operator.
    Bounds,
}

impl Int8 {
    /// For tables; nothing of what stays in real numbers.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Product => "product",
            Self::Combines => "combines",
            Self::Moves => "moves",
            Self::Bounds => "bound",
        }
    }
}

/// What is known of an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Operator {
    /// Operator type.
    pub name: &'static str,
    /// Its domain; empty for that of ONNX.
    pub domain: &'static str,
    /// Operators with the same dependency rule.
    pub family: Family,
    /// Whether its multiply-accumulates are counted; what has none costs nothing in a budget.
    pub macs: bool,
    /// Which solvers refit its weight.
    pub refit: Refit,
    /// Whether the global repair passes through it.
    pub derivative: bool,
    /// How it is computed on 8-bit integers.
    pub int8: Int8,
}

const MICROSOFT: &str = "com.microsoft";

/// Operators of classical machine learning.
const ML: &str = "ai.onnx.ml";

const fn op(name: &'static str, family: Family) -> Operator {
    Operator { name, domain: "", family, macs: false, refit: Refit::None, derivative: false, int8: Int8::None }
}

impl Operator {
    /// Whether it has weights that a repair adjusts.
    pub fn has_weights(&self) -> bool {
        self.refit != Refit::None || matches!(self.family, Family::BatchNormalization | Family::Einsum)
    }

    /// Whether it takes and gives numbers of 16 bits: the specification's types, of operators that do not make numbers of a
    /// type of their own.
    pub fn in_half(&self) -> bool {
        let own_type = matches!(
            self.family,
            Family::Quantize
                | Family::DynamicQuantize
                | Family::ConvInteger
                | Family::QLinearConv
                | Family::MatMulInteger
                | Family::QLinearMatMul
                | Family::ConstantOfShape
                | Family::Like
                | Family::Range
                | Family::OneHot
        );
        self.domain.is_empty() && !own_type && !matches!(self.name, "Cast" | "CastLike" | "CumSum")
    }

    /// Inputs that are in single precision whatever the others are.
    pub fn single_inputs(&self) -> &'static [usize] {
        // Region and scales.
        if self.family == Family::Resize { &[1, 2] } else { &[] }
    }

    const fn macs(self) -> Self {
        Self { macs: true, ..self }
    }

    const fn refit(self, refit: Refit) -> Self {
        Self { refit, ..self.macs() }
    }

    const fn derivative(self) -> Self {
        Self { derivative: true, ..self }
    }

    const fn int8(self, int8: Int8) -> Self {
        Self { int8, ..self }
    }

    const fn fused(self) -> Self {
        Self { domain: MICROSOFT, ..self }
    }

    const fn ml(self) -> Self {
        Self { domain: ML, ..self }
    }
}

/// A function of every element without a derivative.
const fn scalar(name: &'static str) -> Operator {
    op(name, Family::Scalar)
}

/// All operators, family by family.
pub const OPERATORS: &[Operator] = &[
    op("Conv", Family::Conv).refit(Refit::LocalAndSequential).derivative().int8(Int8::Product),
    op("ConvTranspose", Family::ConvTranspose).refit(Refit::Sequential).derivative(),
    op("Gemm", Family::Gemm).refit(Refit::LocalAndSequential).derivative().int8(Int8::Product),
    op("MatMul", Family::MatMul).refit(Refit::LocalAndSequential).derivative().int8(Int8::Product),
    op("Einsum", Family::Einsum).derivative(),
    op("BatchNormalization", Family::BatchNormalization).derivative(),
    op("InstanceNormalization", Family::InstanceNormalization).derivative(),
    op("GroupNormalization", Family::GroupNormalization).derivative(),
    op("LayerNormalization", Family::LayerNormalization).derivative(),
    op("RMSNormalization", Family::LayerNormalization).derivative(),
    op("SimplifiedLayerNormalization", Family::LayerNormalization).derivative(),
    op("Normalizer", Family::LayerNormalization).ml(),
    op("LpNormalization", Family::LayerNormalization).derivative(),
    op("MeanVarianceNormalization", Family::MeanVarianceNormalization),
    scalar("Abs").derivative(),
    scalar("Acos"),
    scalar("Acosh"),
    scalar("Asin"),
    scalar("Asinh"),
    scalar("Atan"),
    scalar("Atanh"),
    scalar("Ceil"),
    scalar("Celu").derivative(),
    scalar("Clip").derivative().int8(Int8::Bounds),
    scalar("Cos").derivative(),
    scalar("Cosh"),
    scalar("Elu").derivative(),
    scalar("Erf").derivative(),
    scalar("Exp").derivative(),
    scalar("Floor"),
    scalar("Gelu").derivative(),
    scalar("HardSigmoid").derivative(),
    scalar("HardSwish").derivative(),
    scalar("IsInf"),
    scalar("IsNaN"),
    scalar("LeakyRelu").derivative().int8(Int8::Combines),
    scalar("Log").derivative(),
    scalar("Mish").derivative(),
    scalar("Neg").derivative(),
    scalar("Not"),
    scalar("Reciprocal").derivative(),
    scalar("Relu").derivative().int8(Int8::Bounds),
    scalar("Round"),
    scalar("Selu").derivative(),
    scalar("Shrink"),
    scalar("Sigmoid").derivative().int8(Int8::Combines),
    scalar("Sign"),
    scalar("Sin").derivative(),
    scalar("Sinh"),
    scalar("Softplus").derivative(),
    scalar("Softsign").derivative(),
    scalar("Sqrt").derivative(),
    scalar("Swish").derivative(),
    scalar("Tan"),
    scalar("Tanh").derivative(),
    scalar("ThresholdedRelu").derivative(),
    scalar("Binarizer").ml(),
    scalar("QLinearLeakyRelu").fused(),
    scalar("QLinearSigmoid").fused(),
    op("PRelu", Family::PRelu).derivative(),
    op("Add", Family::Broadcast).derivative().int8(Int8::Combines),
    op("And", Family::Broadcast),
    op("BitShift", Family::Broadcast),
    op("Div", Family::Broadcast).derivative(),
    op("Equal", Family::Broadcast),
    op("Greater", Family::Broadcast),
    op("GreaterOrEqual", Family::Broadcast),
    op("Less", Family::Broadcast),
    op("LessOrEqual", Family::Broadcast),
    op("Max", Family::Broadcast).derivative(),
    op("Mean", Family::Broadcast).derivative(),
    op("Min", Family::Broadcast).derivative(),
    op("Mod", Family::Broadcast),
    op("Mul", Family::Broadcast).derivative().int8(Int8::Combines),
    op("Or", Family::Broadcast),
    op("Pow", Family::Broadcast).derivative(),
    op("Sub", Family::Broadcast).derivative(),
    op("Sum", Family::Broadcast).derivative(),
    op("Where", Family::Broadcast).derivative(),
    op("Xor", Family::Broadcast),
    op("Identity", Family::Identity).derivative().int8(Int8::Moves),
    op("Dropout", Family::Identity).derivative(),
    op("Cast", Family::Identity).derivative(),
    op("CastLike", Family::Identity),
    op("MaxPool", Family::Pool).derivative().int8(Int8::Moves),
    op("AveragePool", Family::Pool).derivative().int8(Int8::Combines),
    op("LpPool", Family::Pool),
    op("GlobalAveragePool", Family::Pool).derivative().int8(Int8::Combines),
    op("GlobalMaxPool", Family::Pool).derivative(),
    op("GlobalLpPool", Family::Pool),
    op("Concat", Family::Concat).derivative().int8(Int8::Combines),
    op("Split", Family::Split).derivative().int8(Int8::Moves),
    op("Slice", Family::Slice).derivative().int8(Int8::Moves),
    op("Gather", Family::Gather).derivative().int8(Int8::Moves),
    op("Pad", Family::Pad).derivative().int8(Int8::Moves),
    op("Transpose", Family::Transpose).derivative().int8(Int8::Moves),
    op("DepthToSpace", Family::DepthToSpace).derivative().int8(Int8::Moves),
    op("SpaceToDepth", Family::DepthToSpace).derivative().int8(Int8::Moves),
    op("Reshape", Family::Reshape).derivative().int8(Int8::Moves),
    op("Flatten", Family::Flatten).derivative().int8(Int8::Moves),
    op("Squeeze", Family::Squeeze).derivative().int8(Int8::Moves),
    op("Unsqueeze", Family::Squeeze).derivative().int8(Int8::Moves),
    op("Expand", Family::Expand).derivative(),
    op("Tile", Family::Tile).derivative(),
    op("Resize", Family::Resize).derivative().int8(Int8::Moves),
    op("Upsample", Family::Resize).derivative(),
    op("ReduceL1", Family::Reduce).derivative(),
    op("ReduceL2", Family::Reduce).derivative(),
    op("ReduceLogSumExp", Family::Reduce).derivative(),
    op("ReduceMax", Family::Reduce).derivative(),
    op("ReduceMean", Family::Reduce).derivative(),
    op("ReduceMin", Family::Reduce).derivative(),
    op("ReduceSum", Family::Reduce).derivative(),
    op("ReduceSumSquare", Family::Reduce).derivative(),
    op("ReduceLogSum", Family::Reduce),
    op("ReduceProd", Family::Reduce),
    op("ArgMax", Family::Reduce),
    op("ArgMin", Family::Reduce),
    op("Softmax", Family::Softmax).derivative().int8(Int8::Combines),
    op("LogSoftmax", Family::Softmax).derivative(),
    op("Hardmax", Family::Softmax),
    op("LRN", Family::Softmax),
    op("CumSum", Family::Softmax),
    op("ScatterND", Family::Scatter),
    op("ScatterElements", Family::Scatter),
    op("Scatter", Family::Scatter),
    op("GatherElements", Family::GatherElements),
    op("GatherND", Family::GatherElements),
    op("TopK", Family::TopK),
    op("Trilu", Family::Trilu),
    op("ConstantOfShape", Family::ConstantOfShape),
    op("EyeLike", Family::Like),
    op("RandomNormalLike", Family::Like),
    op("RandomUniformLike", Family::Like),
    op("Range", Family::Range),
    op("OneHot", Family::OneHot),
    op("RoiAlign", Family::RoiAlign),
    op("GridSample", Family::GridSample),
    op("Attention", Family::Attention),
    op("LSTM", Family::Recurrent).macs(),
    op("GRU", Family::Recurrent).macs(),
    op("RNN", Family::Recurrent).macs(),
    op("QuantizeLinear", Family::Quantize).derivative(),
    op("DequantizeLinear", Family::Quantize).derivative(),
    op("DynamicQuantizeLinear", Family::DynamicQuantize),
    op("ConvInteger", Family::ConvInteger).macs(),
    op("QLinearConv", Family::QLinearConv).macs(),
    op("MatMulInteger", Family::MatMulInteger).macs(),
    op("QLinearMatMul", Family::QLinearMatMul).macs(),
    op("QGemm", Family::QGemm).fused().macs(),
    op("QLinearAdd", Family::QLinearBroadcast).fused(),
    op("QLinearMul", Family::QLinearBroadcast).fused(),
    op("QLinearConcat", Family::QLinearConcat).fused(),
    op("QLinearAveragePool", Family::QLinearPool).fused(),
    op("QLinearGlobalAveragePool", Family::QLinearPool).fused(),
    op("DeformConv", Family::DeformConv),
    op("RotaryEmbedding", Family::RotaryEmbedding),
    op("RotaryEmbedding", Family::RotaryEmbedding).fused(),
    op("GroupQueryAttention", Family::GroupQueryAttention).fused(),
    op("Scaler", Family::Scaler).ml(),
    op("FusedConv", Family::FusedConv).fused().macs(),
    op("FusedGemm", Family::FusedGemm).fused().macs(),
    op("FusedMatMul", Family::FusedMatMul).fused().macs(),
    op("Gelu", Family::BiasedActivation).fused().derivative(),
    op("QuickGelu", Family::BiasedActivation).fused().derivative(),
    op("FastGelu", Family::BiasedActivation).fused().derivative(),
    op("BiasGelu", Family::BiasedActivation).fused(),
];

/// What is known of a node's operator.
pub fn operator(node: &NodeProto) -> Option<&'static Operator> {
    let domain = if is_onnx(node) { "" } else { node.domain() };
    OPERATORS.iter().find(|own| own.name == node.op_type() && own.domain == domain)
}

/// The table as Markdown.
pub fn markdown() -> String {
    let mut out = String::from(
        "| operator | dependency rule | MACs counted | weight refitted | derivative | int8 | fp16 |\n|---|---|---|---|---|---|---|\n",
    );
    for own in OPERATORS {
        let name = if own.domain.is_empty() { own.name.to_owned() } else { format!("{}.{}", own.domain, own.name) };
        let refit = match own.refit {
            Refit::None => "",
            Refit::Sequential => "sequential",
            Refit::LocalAndSequential => "local, sequential",
        };
        let yes = |is: bool| if is { "yes" } else { "" };
        let family = own.family;
        let (macs, derivative, half) = (yes(own.macs), yes(own.derivative), yes(own.in_half()));
        let int8 = own.int8.name();
        let _ = writeln!(out, "| {name} | {family:?} | {macs} | {refit} | {derivative} | {int8} | {half} |");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::scalar::Function;

    #[test]
    fn every_operator_is_listed_once() {
        for (at, own) in OPERATORS.iter().enumerate() {
            let twin = OPERATORS[..at].iter().find(|other| other.name == own.name && other.domain == own.domain);
            assert_eq!(twin, None);
        }
    }

    #[test]
    fn the_work_that_counts_is_that_of_the_formulas() {
        for own in OPERATORS {
            let node = NodeProto::new(own.name).of_domain(own.domain);
            assert_eq!(own.macs, crate::ops::macs::multiplies(&node), "{}", own.name);
        }
    }

    #[test]
    fn scalar_functions_are_those_with_a_derivative() {
        for own in OPERATORS.iter().filter(|own| own.family == Family::Scalar) {
            let node = NodeProto { op_type: Some(own.name.into()), ..NodeProto::default() };
            assert_eq!(Function::of(&node, |_| Some(0.5)).is_some(), own.derivative, "{}", own.name);
        }
    }
}
