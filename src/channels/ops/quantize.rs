//! Quantisation: scales and zero points go with the axis that they are indexed by.
//!
//! <https://onnx.ai/onnx/operators/onnx__QuantizeLinear.html> (10, 13, 19, 21),
//! <https://onnx.ai/onnx/operators/onnx__DequantizeLinear.html> (10, 13, 19, 21),
//! <https://onnx.ai/onnx/operators/onnx__DynamicQuantizeLinear.html> (11)

use super::Rule;
use crate::channels::context::RuleContext;
use crate::channels::ids::Ids;
use crate::channels::indices::Role;
use crate::channels::propagation::Protect;

/// `QuantizeLinear` and `DequantizeLinear`.
pub(super) struct Quantize;

impl Rule for Quantize {
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect> {
        let x = ctx.ids(0)?;
        if ctx.int("block_size", 0) > 0 {
            return Err("blocked quantisation is not analysed".into());
        }
        for input in 1..=2 {
            if !ctx.has(input) {
                continue;
            }
            let parameter = ctx.ids(input)?;
            if parameter.rank() == 1 && parameter.shape[0] > 1 {
                let axis = ctx.axis(1, x.rank())?;
                let (entries, channel_indices) = (ctx.indices_along(&parameter, 0), ctx.indices_along(&x, axis));
                ctx.bind(entries.as_deref(), channel_indices.as_deref(), "its axis has no channels");
                ctx.mark(&parameter, 0, Role::Parameter);
            }
        }
        ctx.set(0, x);
        Ok(())
    }
}

/// `DynamicQuantizeLinear`: the range is that of the channels that are left.
pub(super) struct DynamicQuantize;

impl Rule for DynamicQuantize {
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect> {
        let x = ctx.ids(0)?;
        for axis in 0..x.rank() {
            if ctx.indices_along(&x, axis).is_some() {
                ctx.restrict(vec![(0, axis)], Some(axis));
            }
        }
        ctx.set(0, x);
        ctx.set(1, Ids::plain(Vec::new()));
        ctx.set(2, Ids::plain(Vec::new()));
        Ok(())
    }
}
