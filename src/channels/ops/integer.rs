//! Operators on integers: weights, scales and zero points are sliced, values stay integers.
//!
//! <https://onnx.ai/onnx/operators/onnx__ConvInteger.html> (10), <https://onnx.ai/onnx/operators/onnx__QLinearConv.html>
//! (10), <https://onnx.ai/onnx/operators/onnx__MatMulInteger.html> (10),
//! <https://onnx.ai/onnx/operators/onnx__QLinearMatMul.html> (10, 21), and of the domain `com.microsoft` `QGemm`,
//! `QLinearAdd`, `QLinearMul`, `QLinearConcat`, `QLinearAveragePool`, `QLinearGlobalAveragePool`:
//! <https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md>

use super::conv::{bind_bias, convolve};
use super::gemm::{product_of_matrices, sum_of_products};
use super::{Rewrite, Rule, concat};
use crate::channels::context::RuleContext;
use crate::channels::ids::Ids;
use crate::channels::propagation::Protect;

/// `ConvInteger`: image, weight, their zero points.
pub(super) struct ConvInteger;

impl Rule for ConvInteger {
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect> {
        single(ctx, &[2])?;
        let result = convolve(ctx, 1, None)?;
        per_channel(ctx, &result, 1, &[3])?;
        ctx.set(0, result);
        Ok(())
    }

    fn rewrite(&self, rewrite: &mut Rewrite<'_>) {
        super::conv::Conv.rewrite(rewrite);
    }
}

/// `QLinearConv`: image, weight and result each with scale and zero point, bias.
pub(super) struct QLinearConv;

impl Rule for QLinearConv {
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect> {
        single(ctx, &[1, 2, 6, 7])?;
        let result = convolve(ctx, 3, Some(8))?;
        per_channel(ctx, &result, 1, &[4, 5])?;
        ctx.set(0, result);
        Ok(())
    }

    fn rewrite(&self, rewrite: &mut Rewrite<'_>) {
        super::conv::Conv.rewrite(rewrite);
    }
}

/// `MatMulInteger`: two matrices, their zero points.
pub(super) struct MatMulInteger;

impl Rule for MatMulInteger {
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect> {
        single(ctx, &[2])?;
        let result = product_of_matrices(ctx, [0, 1], [false; 2])?;
        per_channel(ctx, &result, result.rank().saturating_sub(1), &[3])?;
        ctx.set(0, result);
        Ok(())
    }
}

/// `QLinearMatMul`: two matrices and the result, each with scale and zero point.
pub(super) struct QLinearMatMul;

impl Rule for QLinearMatMul {
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect> {
        single(ctx, &[1, 2, 6, 7])?;
        let result = product_of_matrices(ctx, [0, 3], [false; 2])?;
        per_channel(ctx, &result, result.rank().saturating_sub(1), &[4, 5])?;
        ctx.set(0, result);
        Ok(())
    }
}

/// `QGemm`: A and B with scale and zero point, C, scale and zero point of the result.
pub(super) struct QGemm;

impl Rule for QGemm {
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect> {
        single(ctx, &[1, 2, 7, 8])?;
        let result = sum_of_products(ctx, [0, 3, 6])?;
        per_channel(ctx, &result, 1, &[4, 5])?;
        ctx.set(0, result);
        Ok(())
    }
}

/// `QLinearAdd`, `QLinearMul`: two operands and the result, each with scale and zero point.
pub(super) struct QLinearBroadcast;

impl Rule for QLinearBroadcast {
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect> {
        single(ctx, &[1, 2, 4, 5, 6, 7])?;
        let parts = [ctx.ids(0)?, ctx.ids(3)?];
        let result = ctx.elementwise(&parts)?;
        ctx.set(0, result);
        Ok(())
    }
}

/// `QLinearConcat`: scale and zero point of the result, then every part with its own.
pub(super) struct QLinearConcat;

impl Rule for QLinearConcat {
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect> {
        let count = ctx.node.input.len();
        let beside: Vec<usize> = (0..count).filter(|input| *input < 2 || (input - 2) % 3 != 0).collect();
        single(ctx, &beside)?;
        let result = concat::join(ctx, &(2..count).step_by(3).collect::<Vec<_>>())?;
        ctx.set(0, result);
        Ok(())
    }
}

/// `QLinearAveragePool`, `QLinearGlobalAveragePool`.
pub(super) struct QLinearPool;

impl Rule for QLinearPool {
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect> {
        if ctx.int("channels_last", 0) == 1 {
            return Err("its channels are last".into());
        }
        single(ctx, &[1, 2, 3, 4])?;
        super::pool::Pool.propagate(ctx)
    }
}

/// Refuses scales and zero points that differ from row to row.
fn single(ctx: &mut RuleContext<'_, '_>, inputs: &[usize]) -> Result<(), Protect> {
    for &input in inputs {
        if ctx.has(input) && ctx.ids(input)?.elements() > 1 {
            return Err("a scale or zero point of its values is not a single number".into());
        }
    }
    Ok(())
}

/// Scales and zero points of the weight, one for each index along an axis of the result.
fn per_channel(ctx: &mut RuleContext<'_, '_>, result: &Ids, axis: usize, inputs: &[usize]) -> Result<(), Protect> {
    let channel_indices = if result.rank() > axis { ctx.indices_along(result, axis) } else { None };
    for &input in inputs {
        if ctx.has(input) && ctx.ids(input)?.rank() > 1 {
            return Err("a scale or zero point of its weight is not a list".into());
        }
        bind_bias(ctx, input, channel_indices.as_deref())?;
    }
    Ok(())
}
