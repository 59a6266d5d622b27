//! The same elements in another shape.
//!
//! <https://onnx.ai/onnx/operators/onnx__Reshape.html> (1 attribute, 5 input, 13, 14 `allowzero`, 19, 21),
//! <https://onnx.ai/onnx/operators/onnx__Flatten.html> (1, 9, 11, 13), `Squeeze` and `Unsqueeze` (axes: input since 13)

use super::{Rewrite, Rule};
use crate::channels::context::RuleContext;
use crate::channels::propagation::Protect;
use crate::model::axes::whole;
use crate::model::axes::{resolve_reshape, squeezed, unsqueezed};

pub(super) struct Reshape;

impl Rule for Reshape {
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect> {
        let x = ctx.ids(0)?;
        let target = ctx.operand(1, "shape")?.ok_or("its shape is missing")?;
        let shape = resolve_reshape(&x.shape, &target, ctx.int("allowzero", 0) == 1)
            .ok_or("its target does not fit its input")?;
        ctx.set(0, x.reshape(&shape)?);
        Ok(())
    }

    fn rewrite(&self, rewrite: &mut Rewrite<'_>) {
        let Some(old) = rewrite.operand(1, "shape") else { return };
        let (input, before, after) = (rewrite.new_in(0), rewrite.old_out(0), rewrite.new_out(0));
        if before == after {
            return;
        }
        let target: Vec<i64> = old
            .iter()
            .enumerate()
            .map(|(axis, &size)| match size {
                // Still right as it stands: it adapts by itself.
                -1 => -1,
                0 if rewrite.node.int("allowzero") != Some(1) && input.get(axis) == after.get(axis) => 0,
                _ if before[axis] == after[axis] => size,
                _ => whole(&[after[axis]])[0],
            })
            .collect();
        if target != old {
            rewrite.set_operand(1, "shape", target);
        }
    }
}

pub(super) struct Flatten;

impl Rule for Flatten {
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect> {
        let x = ctx.ids(0)?;
        let rank = i64::try_from(x.rank()).unwrap_or(i64::MAX);
        let axis = ctx.int("axis", 1);
        let axis = if axis < 0 { axis + rank } else { axis };
        let axis = usize::try_from(axis).ok().filter(|&axis| axis <= x.rank()).ok_or("its axis is out of range")?;
        let shape = [x.shape[..axis].iter().product(), x.shape[axis..].iter().product()];
        ctx.set(0, x.reshape(&shape)?);
        Ok(())
    }
}

/// `Squeeze` and `Unsqueeze`.
pub(super) struct Squeeze;

impl Rule for Squeeze {
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect> {
        let x = ctx.ids(0)?;
        let axes = ctx.operand(1, "axes")?;
        let shape = if ctx.op() == "Squeeze" {
            squeezed(&x.shape, axes.as_deref())
        } else {
            unsqueezed(&x.shape, &axes.ok_or("its axes are missing")?)
        };
        ctx.set(0, x.reshape(&shape.ok_or("its axes do not fit its input")?)?);
        Ok(())
    }
}
