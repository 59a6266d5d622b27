//! Padding.
//!
//! <https://onnx.ai/onnx/operators/onnx__Pad.html> (1, 2 attributes, 11 inputs, 13, 18 axes, 19, 21)

use super::{Rewrite, Rule};
use crate::channels::context::RuleContext;
use crate::channels::ids::Ids;
use crate::channels::indices::{ChannelIndices, Place};
use crate::channels::propagation::Protect;
use crate::model::axes::resolve_axis;
use crate::model::axes::whole;

pub(super) struct Pad;

/// Amounts before and after every axis.
fn amounts(pads: &[i64], axes: Option<&[i64]>, rank: usize) -> Option<Vec<(i64, i64)>> {
    let half = pads.len() / 2;
    let mut amounts = vec![(0, 0); rank];
    for number in 0..half {
        let axis = match axes {
            Some(axes) => resolve_axis(*axes.get(number)?, rank)?,
            None => number,
        };
        *amounts.get_mut(axis)? = (pads[number], pads[number + half]);
    }
    Some(amounts)
}

impl Rule for Pad {
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect> {
        let mut x = ctx.ids(0)?;
        let pads = ctx.operand(1, "pads")?.or_else(|| ctx.ints("paddings")).ok_or("its pads are missing")?;
        let axes = if ctx.opset() >= 18 { ctx.operand(3, "axes")? } else { None };
        let amounts = amounts(&pads, axes.as_deref(), x.rank()).ok_or("its pads do not fit its input")?;
        let constant = ctx.text("mode").is_none_or(|mode| mode == "constant");
        for (axis, &(before, after)) in amounts.iter().enumerate() {
            if x.varies(axis) && (before, after) != (0, 0) {
                x = pad_channels(ctx, &x, axis, [before, after], constant)?;
            } else {
                let size =
                    i64::try_from(x.shape[axis]).unwrap_or(i64::MAX).saturating_add(before).saturating_add(after);
                x.shape[axis] = usize::try_from(size).map_err(|_| "its output would be empty")?;
            }
        }
        ctx.set(0, x);
        Ok(())
    }

    fn rewrite(&self, rewrite: &mut Rewrite<'_>) {
        let (before, after) = (rewrite.old_in(0), rewrite.old_out(0));
        let Some(mut pads) = rewrite.operand(1, "pads") else { return };
        let axes = if rewrite.opset >= 18 { rewrite.operand(3, "axes") } else { None };
        let Some(old) = amounts(&pads, axes.as_deref(), before.len()) else { return };
        let half = pads.len() / 2;
        let mut changed = false;
        for number in 0..half {
            let axis = match &axes {
                Some(axes) => resolve_axis(axes[number], before.len()).unwrap_or(number),
                None => number,
            };
            let (begin, end) = old[axis];
            let kept = rewrite.kept_out(0, axis);
            if kept.len() == after[axis] || (begin, end) == (0, 0) {
                continue;
            }
            let begin = usize::try_from(begin).unwrap_or(0);
            let rest = after[axis].saturating_sub(usize::try_from(end).unwrap_or(0));
            pads[number] = whole(&[kept.iter().filter(|&&index| index < begin).count()])[0];
            pads[number + half] = whole(&[kept.iter().filter(|&&index| index >= rest).count()])[0];
            changed = true;
        }
        if changed {
            rewrite.set_operand(1, "pads", pads);
        }
    }
}

/// Adds channels that hold a constant: channel indices of their own, cut with whatever they are united with later.
fn pad_channels(
    ctx: &mut RuleContext<'_, '_>,
    x: &Ids,
    axis: usize,
    pads: [i64; 2],
    constant: bool,
) -> Result<Ids, Protect> {
    if !constant {
        ctx.protect_axis(x, axis, "it repeats channels at the border");
    }
    if pads.iter().any(|&amount| amount < 0) {
        return Err("it crops channels".into());
    }
    if pads.iter().any(|&amount| amount > 1 << 20) {
        return Err("its pads are out of range".into());
    }
    let counts = pads.map(|amount| usize::try_from(amount).unwrap_or(0));
    // One site for both sides: what is added in front and behind is one family of channels.
    let channel_indices = ctx.run.channel_indices.site(Place::Padding, counts[0] + counts[1]);
    let side = |count: usize| {
        let mut shape = x.shape.clone();
        shape[axis] = count;
        // Along other axes the padding is as long as what it is added to.
        let beside = x.factors.iter().filter(|factor| !factor.axes.contains(&axis)).cloned().collect();
        Ids { shape, factors: beside, lost: Vec::new() }
    };
    let parts = [side(counts[0]), x.clone(), side(counts[1])];
    let missing = |_: &mut ChannelIndices, part: usize, _: usize| {
        if part == 0 { channel_indices[..counts[0]].to_vec() } else { channel_indices[counts[0]..].to_vec() }
    };
    Ok(Ids::concat(&mut ctx.run.channel_indices, &parts, axis, missing, |_, _| {})?)
}
