//! Joining and splitting along an axis.
//!
//! <https://onnx.ai/onnx/operators/onnx__Concat.html> (1, 4, 11, 13),
//! <https://onnx.ai/onnx/operators/onnx__Split.html> (1, 2, 11, 13 sizes as input, 18 `num_outputs`)

use super::{Rewrite, Rule};
use crate::channels::context::RuleContext;
use crate::channels::ids::Ids;
use crate::channels::indices::{ChannelIndex, ChannelIndices, Place};
use crate::channels::propagation::{Protect, distinct, operator_reason};
use crate::model::axes::whole;
use crate::model::axes::{resolve_axis, split_sizes};

pub(super) struct Concat;

impl Rule for Concat {
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect> {
        let result = join(ctx, &(0..ctx.node.input.len()).collect::<Vec<_>>())?;
        ctx.set(0, result);
        Ok(())
    }
}

/// The values at these inputs, one after the other.
pub(super) fn join(ctx: &mut RuleContext<'_, '_>, inputs: &[usize]) -> Result<Ids, Protect> {
    let parts = inputs.iter().map(|&input| ctx.ids(input)).collect::<Result<Vec<_>, _>>()?;
    let first = parts.first().ok_or("it has no inputs")?;
    let axis = ctx.axis(1, first.rank())?;
    if parts.iter().any(|part| {
        part.rank() != first.rank() || (0..part.rank()).any(|a| a != axis && part.shape[a] != first.shape[a])
    }) {
        return Err("the shapes of its inputs do not fit each other".into());
    }
    ctx.wish_where_held(inputs, &parts);
    if parts.iter().any(|part| part.varies(axis)) {
        for (&input, _) in inputs.iter().zip(&parts).filter(|(_, part)| !part.varies(axis)) {
            ctx.wish(input, axis);
        }
    }
    let reason = operator_reason(ctx.node, "one of its inputs has no channels along the joined axis");
    let beside = operator_reason(ctx.node, "its channels meet an axis of another input that has none");
    let missing = |channel_indices: &mut ChannelIndices, _: usize, size: usize| {
        let fixed = channel_indices.site(Place::Fixed, size);
        for &channel_index in &fixed {
            channel_indices.pin(channel_index, &reason);
        }
        fixed
    };
    let stuck = |channel_indices: &mut ChannelIndices, held: &[ChannelIndex]| {
        for channel_index in distinct(held.to_vec()) {
            channel_indices.pin(channel_index, &beside);
        }
    };
    Ok(Ids::concat(&mut ctx.run.channel_indices, &parts, axis, missing, stuck)?)
}

pub(super) struct Split;

impl Rule for Split {
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect> {
        let x = ctx.ids(0)?;
        let axis = ctx.axis(0, x.rank())?;
        let given = ctx.operand(1, "split")?;
        let parts = split_sizes(given.as_deref(), ctx.node.output.len(), x.shape[axis])
            .ok_or("its sizes do not fit its input")?;
        let mut start = 0;
        for (output, size) in parts.into_iter().enumerate() {
            let indices: Vec<_> = (start..start + size).collect();
            ctx.set(output, x.select(axis, &indices));
            start += size;
        }
        Ok(())
    }

    fn rewrite(&self, rewrite: &mut Rewrite<'_>) {
        let rank = rewrite.old_in(0).len();
        let Some(axis) = resolve_axis(rewrite.node.int("axis").unwrap_or(0), rank) else { return };
        let old = rewrite.old_in(0)[axis];
        let before = split_sizes(rewrite.operand(1, "split").as_deref(), rewrite.node.output.len(), old);
        // An output that nobody reads has no name, so count by offsets in the input.
        let kept = rewrite.kept_in(0, axis);
        let (Some(before), true) = (before, kept.len() < old) else { return };
        let mut start = 0;
        let after: Vec<usize> = before
            .iter()
            .map(|size| {
                let range = start..start + size;
                start += size;
                kept.iter().filter(|index| range.contains(index)).count()
            })
            .collect();
        if rewrite.opset >= 13 && rewrite.node.input.len() < 2 {
            rewrite.node.input.push(String::new());
        }
        rewrite.node.attribute.retain(|attribute| attribute.name() != "num_outputs");
        if rewrite.opset >= 13 {
            rewrite.operands.push((1, whole(&after)));
        } else {
            rewrite.set_ints("split", whole(&after));
        }
    }
}
