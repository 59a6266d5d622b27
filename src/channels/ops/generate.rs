//! Values made from sizes alone.
//!
//! <https://onnx.ai/onnx/operators/onnx__ConstantOfShape.html> (9, 20, 21, 23),
//! <https://onnx.ai/onnx/operators/onnx__Range.html> (11), <https://onnx.ai/onnx/operators/onnx__EyeLike.html> (9, 22),
//! <https://onnx.ai/onnx/operators/onnx__OneHot.html> (9, 11)

use super::{Rewrite, Rule};
use crate::channels::context::RuleContext;
use crate::channels::ids::Ids;
use crate::channels::propagation::Protect;
use crate::model::axes::{resolve_axis, sizes, whole};

/// `ConstantOfShape`: where its readers have channels, so has it.
pub(super) struct Filled;

impl Rule for Filled {
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect> {
        let shape = ctx.operand(0, "")?.and_then(|shape| sizes(&shape)).ok_or("its shape is missing")?;
        let result = ctx.with_granted(0, Ids::plain(shape));
        ctx.set(0, result);
        Ok(())
    }

    fn rewrite(&self, rewrite: &mut Rewrite<'_>) {
        let (before, after) = (rewrite.old_out(0), rewrite.new_out(0));
        if before != after {
            rewrite.operands.push((0, whole(&after)));
        }
    }
}

/// `EyeLike`, `RandomNormalLike`, `RandomUniformLike`: only the shape of the input counts.
pub(super) struct Like;

impl Rule for Like {
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect> {
        let x = ctx.ids(0)?;
        ctx.protect_all(&x, "it makes a value as large as this one");
        ctx.set(0, Ids::plain(x.shape));
        Ok(())
    }
}

/// `Range` of floats (whole numbers are evaluated).
pub(super) struct Range;

impl Rule for Range {
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect> {
        let bound = |input: usize| ctx.floats(input).and_then(|values| values.first().copied());
        let (Some(start), Some(limit), Some(step)) = (bound(0), bound(1), bound(2)) else {
            return Err("its bounds depend on the data".into());
        };
        let count = ((limit - start) / step).ceil().max(0.0);
        if count.is_nan() || count > f64::from(1 << 22) {
            return Err("its output is too large".into());
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded just above")]
        ctx.set(0, Ids::plain(vec![count as usize]));
        Ok(())
    }
}

/// `OneHot`: a new axis as long as the number of classes.
pub(super) struct OneHot;

impl Rule for OneHot {
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect> {
        let indices = ctx.ids(0)?;
        let depth = ctx.numbers(1).and_then(|depth| usize::try_from(*depth.first()?).ok());
        let depth = depth.ok_or("its depth depends on the data")?;
        let axis = resolve_axis(ctx.int("axis", -1), indices.rank() + 1).ok_or("its axis is out of range")?;
        ctx.protect_all(&indices, "they are indices");
        let mut shape = indices.shape;
        shape.insert(axis, depth);
        ctx.set(0, Ids::plain(shape));
        Ok(())
    }
}
