//! Reductions and operators whose output at one index depends on all of an axis.
//!
//! <https://onnx.ai/onnx/operators/onnx__ReduceMean.html> and kin (axes: attribute, input since 13 or 18),
//! <https://onnx.ai/onnx/operators/onnx__Softmax.html> (1, 11, 13), <https://onnx.ai/onnx/operators/onnx__LRN.html>

use super::Rule;
use crate::channels::context::RuleContext;
use crate::channels::propagation::Protect;
use crate::model::axes::resolve_axis;

/// Reductions that need every channel: indices count them, a product or the logarithm of a sum loses its scale.
const WHOLE: &[&str] = &["ArgMax", "ArgMin", "ReduceLogSum", "ReduceProd"];

/// Other reductions over the channels that are left mean what they meant over all of them.
pub(super) struct Reduce;

impl Rule for Reduce {
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect> {
        let x = ctx.ids(0)?;
        let keep = ctx.int("keepdims", 1) == 1;
        let given = if ctx.op().starts_with("Arg") { Some(vec![ctx.int("axis", 0)]) } else { ctx.operand(1, "axes")? };
        let axes: Vec<usize> = match given.filter(|axes| !axes.is_empty()) {
            Some(axes) => axes
                .iter()
                .map(|&axis| resolve_axis(axis, x.rank()).ok_or(Protect::from("its axis is out of range")))
                .collect::<Result<_, _>>()?,
            None if ctx.int("noop_with_empty_axes", 0) == 1 => Vec::new(),
            None => (0..x.rank()).collect(),
        };
        let whole = WHOLE.contains(&ctx.op());
        for &axis in axes.iter().filter(|&&axis| x.varies(axis)) {
            if whole {
                ctx.protect_axis(&x, axis, "it needs every channel of this axis");
            } else if ctx.indices_along(&x, axis).is_some() {
                ctx.restrict(vec![(0, axis)], None);
            }
        }
        ctx.set(0, x.reduce(&axes, keep));
        Ok(())
    }
}

/// The output at one index depends on all indices of an axis.
pub(super) struct Normalising;

impl Rule for Normalising {
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect> {
        let x = ctx.ids(0)?;
        let axes: Vec<usize> = match ctx.op() {
            "LRN" => vec![1],
            "CumSum" => (0..x.rank()).collect(),
            // Before opset 13 everything from `axis` on is one long vector.
            _ if ctx.opset() < 13 => (ctx.axis(1, x.rank())?..x.rank()).collect(),
            _ => vec![ctx.axis(-1, x.rank())?],
        };
        let why = if ctx.op() == "LRN" { "it mixes neighbouring channels" } else { "it normalises over this axis" };
        for &axis in &axes {
            ctx.protect_axis(&x, axis, why);
        }
        ctx.set(0, x);
        Ok(())
    }
}
