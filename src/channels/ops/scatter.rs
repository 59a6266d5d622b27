//! Writing to, reading from and choosing places that another input gives.
//!
//! <https://onnx.ai/onnx/operators/onnx__ScatterND.html> (11, 13, 16, 18), `ScatterElements` (11, 13, 16, 18),
//! <https://onnx.ai/onnx/operators/onnx__GatherND.html> (11, 12, 13), `GatherElements` (11, 13),
//! <https://onnx.ai/onnx/operators/onnx__TopK.html> (1, 10, 11), <https://onnx.ai/onnx/operators/onnx__Trilu.html> (14)

use super::Rule;
use crate::channels::context::RuleContext;
use crate::channels::ids::Ids;
use crate::channels::propagation::Protect;

/// `ScatterND`, `ScatterElements`: the data with some places overwritten.
pub(super) struct Scatter;

impl Rule for Scatter {
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect> {
        let x = ctx.ids(0)?;
        for input in 0..ctx.node.input.len() {
            if let Ok(ids) = ctx.ids(input) {
                ctx.protect_all(&ids, "it writes at places that another input gives");
            }
        }
        ctx.set(0, x);
        Ok(())
    }
}

/// `GatherElements`, `GatherND`.
pub(super) struct Collect;

impl Rule for Collect {
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect> {
        let (x, indices) = (ctx.ids(0)?, ctx.ids(1)?);
        ctx.protect_all(&x, "it reads places that another input gives");
        ctx.protect_all(&indices, "they are places to read");
        let shape = if ctx.op() == "GatherElements" {
            indices.shape
        } else {
            let batch = usize::try_from(ctx.int("batch_dims", 0)).map_err(|_| "batch_dims is negative")?;
            let (&depth, outer) = indices.shape.split_last().ok_or("its indices are a scalar")?;
            let inner = batch.checked_add(depth).and_then(|first| x.shape.get(first..));
            let inner = inner.ok_or("its indices do not fit its input")?;
            [outer, inner].concat()
        };
        ctx.set(0, Ids::plain(shape));
        Ok(())
    }
}

/// `TopK`: which indices come out depends on all of them.
pub(super) struct TopK;

impl Rule for TopK {
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect> {
        let x = ctx.ids(0)?;
        let axis = ctx.axis(-1, x.rank())?;
        let count = match ctx.operand(1, "")? {
            Some(count) => count.first().copied(),
            None => Some(ctx.int("k", 0)),
        };
        let count = count.and_then(|count| usize::try_from(count).ok()).ok_or("its count is missing")?;
        ctx.protect_axis(&x, axis, "it compares all of this axis");
        let mut result = x.reduce(&[axis], true);
        result.shape[axis] = count;
        ctx.set(0, result.clone());
        ctx.set(1, result);
        Ok(())
    }
}

/// `Trilu`: a triangle of the last two axes.
pub(super) struct Trilu;

impl Rule for Trilu {
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect> {
        let x = ctx.ids(0)?;
        for axis in x.rank().saturating_sub(2)..x.rank() {
            ctx.protect_axis(&x, axis, "it takes a triangle of this axis");
        }
        ctx.set(0, x);
        Ok(())
    }
}
