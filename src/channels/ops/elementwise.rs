//! Elementwise operators, with broadcasting.
//!
//! <https://onnx.ai/onnx/operators/index.html>: every operator of these families applies one function to each element;
//! their opset history changes types and the place of operands, never the shape rule.

use super::Rule;
use super::conv::bind_bias;
use crate::channels::context::RuleContext;
use crate::channels::ids::Ids;
use crate::channels::indices::Role;
use crate::channels::propagation::Protect;

/// One data operand; further operands (bounds of `Clip`) are scalars.
pub(super) struct Unary;

impl Rule for Unary {
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect> {
        let x = ctx.ids(0)?;
        ctx.set(0, x);
        Ok(())
    }
}

/// Operands that broadcast.
pub(super) struct Variadic;

impl Rule for Variadic {
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect> {
        let parts = (0..ctx.node.input.len()).map(|input| ctx.ids(input)).collect::<Result<Vec<_>, _>>()?;
        ctx.wish_where_held(&(0..parts.len()).collect::<Vec<_>>(), &parts);
        let result = match placed(ctx, &parts) {
            Some(second) => ctx.elementwise(&[parts[0].clone(), second?])?,
            None => ctx.elementwise(&parts)?,
        };
        for (input, ids) in parts.iter().enumerate() {
            if ctx.is_constant(input) {
                (0..ids.rank()).for_each(|axis| ctx.mark(ids, axis, Role::Parameter));
            }
        }
        ctx.set(0, result);
        Ok(())
    }
}

/// Before opset 7 the second operand stands at `axis` of the first, not at its end.
fn placed(ctx: &RuleContext<'_, '_>, parts: &[Ids]) -> Option<Result<Ids, Protect>> {
    let [first, second] = parts else { return None };
    let axis = ctx.int("axis", -1);
    if ctx.opset() >= 7 || ctx.int("broadcast", 0) == 0 || axis < 0 {
        return None;
    }
    let before = usize::try_from(axis).ok().and_then(|axis| axis.checked_add(second.rank()));
    let behind = before.and_then(|before| first.rank().checked_sub(before));
    let shape = behind.map(|behind| [second.shape.as_slice(), &vec![1; behind]].concat());
    Some(shape.ok_or("its axis is out of range".into()).and_then(|shape| Ok(second.reshape(&shape)?)))
}

/// `PRelu`: the slope broadcasts to the input; `[C]` is not the same as `[C, 1, 1]`, yet exporters before opset 9
/// and some converters write `[C]` for one slope per channel.
///
/// <https://onnx.ai/onnx/operators/onnx__PRelu.html> (1, 6, 7, 9, 16)
pub(super) struct PRelu;

impl Rule for PRelu {
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect> {
        let (x, slope) = (ctx.ids(0)?, ctx.ids(1)?);
        if ctx.opset() < 7 && slope.rank() == 1 && x.rank() > 1 {
            let channel_indices = ctx.indices_along(&x, 1);
            bind_bias(ctx, 1, channel_indices.as_deref())?;
            ctx.set(0, x);
            return Ok(());
        }
        Variadic.propagate(ctx)
    }
}
