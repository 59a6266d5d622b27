//! Repetition and resizing.
//!
//! <https://onnx.ai/onnx/operators/onnx__Expand.html> (8, 13), <https://onnx.ai/onnx/operators/onnx__Tile.html> (1, 6, 13),
//! <https://onnx.ai/onnx/operators/onnx__Resize.html> (10, 11, 13, 18, 19), `Upsample` (7 attribute, 9 input)

use super::{Rewrite, Rule};
use crate::channels::context::RuleContext;
use crate::channels::ids::{Ids, broadcast_shape};
use crate::channels::propagation::Protect;
use crate::model::axes::whole;
use crate::model::axes::{resolve_axis, sizes};
use crate::model::node::attribute;

pub(super) struct Expand;

impl Rule for Expand {
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect> {
        let x = ctx.ids(0)?;
        let target = ctx.operand(1, "")?.and_then(|target| sizes(&target)).ok_or("its shape is missing")?;
        let shape = broadcast_shape(&[&x.shape, &target]).ok_or("its shape does not fit its input")?;
        // Channel indices vary along axes longer than 1, and those keep their length.
        let result = Ids { shape: shape.clone(), ..x.aligned(shape.len()) };
        let result = ctx.with_granted(0, result);
        ctx.set(0, result);
        Ok(())
    }

    fn rewrite(&self, rewrite: &mut Rewrite<'_>) {
        let Some(old) = rewrite.operand(1, "") else { return };
        let (before, after) = (rewrite.old_out(0), rewrite.new_out(0));
        let shift = before.len().saturating_sub(old.len());
        let target: Vec<i64> = old
            .iter()
            .enumerate()
            .map(
                |(axis, &size)| {
                    if before[axis + shift] == after[axis + shift] { size } else { whole(&after)[axis + shift] }
                },
            )
            .collect();
        if target != old {
            rewrite.operands.push((1, target));
        }
    }
}

pub(super) struct Tile;

impl Rule for Tile {
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect> {
        let mut x = ctx.ids(0)?;
        let repeats =
            ctx.operand(1, "repeats")?.and_then(|repeats| sizes(&repeats)).ok_or("its repeats are missing")?;
        if repeats.len() != x.rank() {
            return Err("its repeats do not fit its input".into());
        }
        for (axis, &count) in repeats.iter().enumerate().filter(|(_, count)| **count != 1) {
            if count.checked_mul(x.shape[axis]).is_none_or(|size| size > 1 << 20) {
                return Err("its output is too large".into());
            }
            let indices: Vec<_> = (0..count).flat_map(|_| 0..x.shape[axis]).collect();
            x = x.select(axis, &indices);
        }
        ctx.set(0, x);
        Ok(())
    }
}

/// `Resize` and `Upsample`: channels must keep their size.
pub(super) struct Resize;

impl Rule for Resize {
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect> {
        let x = ctx.ids(0)?;
        let shape = resized(ctx, &x)?;
        let mut result = x.clone();
        for (axis, &size) in shape.iter().enumerate() {
            if size != x.shape[axis] {
                ctx.protect_axis(&x, axis, "it resizes this axis");
                result.factors.retain(|factor| !factor.axes.contains(&axis));
            }
        }
        result.shape = shape;
        ctx.set(0, result);
        Ok(())
    }

    fn rewrite(&self, rewrite: &mut Rewrite<'_>) {
        if rewrite.node.input.get(3).is_none_or(String::is_empty) {
            return;
        }
        let Some(mut target) = rewrite.operand(3, "") else { return };
        let (before, after) = (rewrite.old_out(0), rewrite.new_out(0));
        let axes = rewrite.node.ints("axes").map(<[i64]>::to_vec);
        let mut changed = false;
        for (number, size) in target.iter_mut().enumerate() {
            let listed = |axes: &Vec<i64>| resolve_axis(*axes.get(number)?, before.len());
            let axis = axes.as_ref().map_or(Some(number), listed);
            if let Some(axis) = axis.filter(|&axis| before.get(axis) != after.get(axis)) {
                *size = whole(&after)[axis];
                changed = true;
            }
        }
        if changed {
            rewrite.operands.push((3, target));
        }
    }
}

fn resized(ctx: &RuleContext<'_, '_>, x: &Ids) -> Result<Vec<usize>, Protect> {
    let axes: Vec<usize> = match ctx.ints("axes").filter(|_| ctx.opset() >= 18) {
        Some(axes) => axes.iter().filter_map(|&axis| resolve_axis(axis, x.rank())).collect(),
        None => (0..x.rank()).collect(),
    };
    let mut shape = x.shape.clone();
    if ctx.op() == "Resize" && ctx.has(3) {
        let target = ctx.operand(3, "")?.and_then(|target| sizes(&target)).ok_or("its sizes are missing")?;
        if ctx.text("keep_aspect_ratio_policy").is_some_and(|policy| policy != "stretch") {
            return Err("it keeps the aspect ratio".into());
        }
        for (&axis, &size) in axes.iter().zip(&target) {
            shape[axis] = size;
        }
        return Ok(shape);
    }
    let input = if ctx.op() == "Upsample" || ctx.opset() < 11 { 1 } else { 2 };
    let scales = if ctx.has(input) {
        ctx.floats(input).ok_or("its scales depend on the data")?
    } else {
        let listed = attribute(ctx.node, "scales").ok_or("its scales are missing")?;
        listed.floats.iter().map(|&scale| f64::from(scale)).collect()
    };
    for (&axis, &scale) in axes.iter().zip(&scales) {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "sizes are small and not negative")]
        let size = (x.shape[axis] as f64 * scale).floor().max(0.0) as usize;
        shape[axis] = size;
    }
    Ok(shape)
}
