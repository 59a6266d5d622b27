//! Operator rules: one small file per family.
//!
//! A rule says how channel indices ctx and which operands carry a channel count and must be rewritten after a cut.
//! An operator without a rule needs no file: it protects what reaches it.

mod attention;
mod concat;
mod conv;
mod deform;
mod einsum;
mod elementwise;
mod expand;
mod fused;
mod gemm;
mod generate;
mod integer;
mod ml;
mod normalization;
mod pad;
mod passing;
mod pool;
mod product;
mod quantize;
mod recurrent;
mod reduce;
mod reshape;
mod rotary;
mod sample;
mod scatter;
mod slice;
mod transpose;

use super::analysis::Channels;
use super::context::RuleContext;
use super::cut::Cut;
use super::ids::Ids;
use super::propagation::Protect;
use crate::ops::{Family, operator};
use crate::proto::onnx::{AttributeProto, NodeProto, attribute_proto::AttributeType};

/// What the analysis and the rewriter know of one operator family.
pub(crate) trait Rule: Sync {
    /// Moves and unites channel indices; sets every output.
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect>;

    /// Adapts attributes and operands that carry a channel count. Weights are sliced by the caller.
    fn rewrite(&self, _rewrite: &mut Rewrite<'_>) {}
}

/// The rule for a node, if its operator is understood.
pub(crate) fn rule(node: &NodeProto) -> Option<&'static dyn Rule> {
    Some(match operator(node)?.family {
        Family::Conv => &conv::Conv,
        Family::ConvTranspose => &conv::ConvTranspose,
        Family::Gemm => &gemm::Gemm,
        Family::MatMul => &gemm::MatMul,
        Family::Einsum => &einsum::Einsum,
        Family::BatchNormalization => &normalization::BatchNormalization,
        Family::InstanceNormalization => &normalization::InstanceNormalization,
        Family::GroupNormalization => &normalization::GroupNormalization,
        Family::LayerNormalization => &normalization::LayerNormalization,
        Family::MeanVarianceNormalization => &normalization::MeanVarianceNormalization,
        Family::Scalar => &elementwise::Unary,
        Family::PRelu => &elementwise::PRelu,
        Family::Broadcast => &elementwise::Variadic,
        Family::Identity => &passing::Passing,
        Family::Pool => &pool::Pool,
        Family::Concat => &concat::Concat,
        Family::Split => &concat::Split,
        Family::Slice => &slice::Slice,
        Family::Gather => &slice::Gather,
        Family::Pad => &pad::Pad,
        Family::Transpose => &transpose::Transpose,
        Family::DepthToSpace => &transpose::DepthToSpace,
        Family::Reshape => &reshape::Reshape,
        Family::Flatten => &reshape::Flatten,
        Family::Squeeze => &reshape::Squeeze,
        Family::Expand => &expand::Expand,
        Family::Tile => &expand::Tile,
        Family::Resize => &expand::Resize,
        Family::Reduce => &reduce::Reduce,
        Family::Softmax => &reduce::Normalising,
        Family::Scatter => &scatter::Scatter,
        Family::GatherElements => &scatter::Collect,
        Family::TopK => &scatter::TopK,
        Family::Trilu => &scatter::Trilu,
        Family::ConstantOfShape => &generate::Filled,
        Family::Like => &generate::Like,
        Family::Range => &generate::Range,
        Family::OneHot => &generate::OneHot,
        Family::RoiAlign => &sample::RoiAlign,
        Family::GridSample => &sample::GridSample,
        Family::Attention => &attention::Attention,
        Family::Recurrent => &recurrent::Recurrent,
        Family::Quantize => &quantize::Quantize,
        Family::DynamicQuantize => &quantize::DynamicQuantize,
        Family::ConvInteger => &integer::ConvInteger,
        Family::QLinearConv => &integer::QLinearConv,
        Family::MatMulInteger => &integer::MatMulInteger,
        Family::QLinearMatMul => &integer::QLinearMatMul,
        Family::QGemm => &integer::QGemm,
        Family::QLinearBroadcast => &integer::QLinearBroadcast,
        Family::QLinearConcat => &integer::QLinearConcat,
        Family::QLinearPool => &integer::QLinearPool,
        Family::DeformConv => &deform::DeformConv,
        Family::RotaryEmbedding => &rotary::RotaryEmbedding,
        Family::GroupQueryAttention => &attention::GroupQueryAttention,
        Family::Scaler => &ml::Scaler,
        Family::FusedConv => &fused::FusedConv,
        Family::FusedGemm => &fused::FusedGemm,
        Family::FusedMatMul => &fused::FusedMatMul,
        Family::BiasedActivation => &fused::BiasedActivation,
    })
}

/// Why there is no rule.
pub(crate) fn why_not(node: &NodeProto) -> &'static str {
    match node.op_type() {
        op if op.starts_with("QLinear") || op.starts_with("DynamicQuantize") || op.starts_with("MatMulInteger") => {
            "it works on integers: keep the model in QuantizeLinear/DequantizeLinear form to prune it"
        }
        "If" | "Loop" | "Scan" => "its body may use every channel",
        "NonMaxSuppression" | "NonZero" | "Unique" | "Compress" => "the size of its result depends on the data",
        _ => "an operator that is not analysed",
    }
}

/// One node during the rewrite.
pub(crate) struct Rewrite<'a> {
    /// The node in the new model.
    pub(crate) node: &'a mut NodeProto,
    /// Index of the node in the original graph.
    pub(crate) index: usize,
    pub(crate) opset: i64,
    pub(crate) channels: &'a Channels,
    pub(crate) cut: &'a Cut,
    /// Operands whose content must be as given: (input, values). In the shape they had, or as a list if they are
    /// more or fewer than before.
    pub(crate) operands: Vec<(usize, Vec<i64>)>,
    /// Shapes of those of them that are no lists: (input, shape).
    pub(crate) shapes: Vec<(usize, Vec<usize>)>,
    /// Indices to pick from the first output behind the node: (axis, indices).
    pub(crate) picks: Vec<(usize, Vec<i64>)>,
}

impl Rewrite<'_> {
    fn input(&self, input: usize) -> Option<&Ids> {
        let named = || self.node.input.get(input).and_then(|name| self.channels.value_ids(name));
        self.channels.use_ids(self.index, input).or_else(named)
    }

    /// Indices kept along an axis of an input.
    pub(crate) fn kept_in(&self, input: usize, axis: usize) -> Vec<usize> {
        self.input(input).map(|ids| self.channels.kept(self.cut, ids, axis)).unwrap_or_default()
    }

    /// Indices kept along an axis of an output.
    pub(crate) fn kept_out(&self, output: usize, axis: usize) -> Vec<usize> {
        let ids = self.node.output.get(output).and_then(|name| self.channels.value_ids(name));
        ids.map(|ids| self.channels.kept(self.cut, ids, axis)).unwrap_or_default()
    }

    /// Shape of an input before the cut.
    pub(crate) fn old_in(&self, input: usize) -> Vec<usize> {
        self.input(input).map(|ids| ids.shape.clone()).unwrap_or_default()
    }

    /// Shape of an output before the cut.
    pub(crate) fn old_out(&self, output: usize) -> Vec<usize> {
        let ids = self.node.output.get(output).and_then(|name| self.channels.value_ids(name));
        ids.map(|ids| ids.shape.clone()).unwrap_or_default()
    }

    /// Shape of an input after the cut.
    pub(crate) fn new_in(&self, input: usize) -> Vec<usize> {
        (0..self.old_in(input).len()).map(|axis| self.kept_in(input, axis).len()).collect()
    }

    /// Shape of an output after the cut.
    pub(crate) fn new_out(&self, output: usize) -> Vec<usize> {
        (0..self.old_out(output).len()).map(|axis| self.kept_out(output, axis).len()).collect()
    }

    /// The content of an operand before the cut, whether it is an input or an attribute.
    pub(crate) fn operand(&self, input: usize, attribute: &str) -> Option<Vec<i64>> {
        match self.node.input.get(input).filter(|name| !name.is_empty()) {
            Some(name) => self.channels.numbers(name),
            None => self.node.ints(attribute).map(<[i64]>::to_vec),
        }
    }

    /// Asks for an operand's content after the cut, where it was given before.
    pub(crate) fn set_operand(&mut self, input: usize, attribute: &str, values: Vec<i64>) {
        if self.node.input.get(input).is_some_and(|name| !name.is_empty()) {
            self.operands.push((input, values));
        } else {
            self.set_ints(attribute, values);
        }
    }

    pub(crate) fn set_ints(&mut self, name: &str, values: Vec<i64>) {
        self.attribute(name, AttributeType::Ints).ints = values;
    }

    pub(crate) fn set_floats(&mut self, name: &str, values: Vec<f32>) {
        self.attribute(name, AttributeType::Floats).floats = values;
    }

    pub(crate) fn set_int(&mut self, name: &str, value: i64) {
        self.attribute(name, AttributeType::Int).i = Some(value);
    }

    fn attribute(&mut self, name: &str, kind: AttributeType) -> &mut AttributeProto {
        let list = &mut self.node.attribute;
        let at = list.iter().position(|attribute| attribute.name() == name).unwrap_or_else(|| {
            list.push(AttributeProto { name: Some(name.into()), r#type: Some(kind.into()), ..Default::default() });
            list.len() - 1
        });
        &mut list[at]
    }
}
