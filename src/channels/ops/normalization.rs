//! Normalisation with stored or per-channel statistics.
//!
//! <https://onnx.ai/onnx/operators/onnx__BatchNormalization.html> (1, 6, 7, 9, 14, 15),
//! <https://onnx.ai/onnx/operators/onnx__InstanceNormalization.html> (1, 6, 22),
//! <https://onnx.ai/onnx/operators/onnx__GroupNormalization.html> (18 scale and bias per group, 21 per channel),
//! <https://onnx.ai/onnx/operators/onnx__LayerNormalization.html> (17),
//! <https://onnx.ai/onnx/operators/onnx__RMSNormalization.html> (23),
//! <https://onnx.ai/onnx/operators/onnx__LpNormalization.html> (1),
//! <https://onnx.ai/onnx/operators/onnx_aionnxml_Normalizer.html> (1),
//! <https://onnx.ai/onnx/operators/onnx__MeanVarianceNormalization.html> (9, 13)

use super::{Rewrite, Rule};
use crate::channels::context::RuleContext;
use crate::channels::ids::Ids;
use crate::channels::indices::Role;
use crate::channels::propagation::Protect;
use crate::model::axes::resolve_axis;
use crate::model::axes::whole;

pub(super) struct BatchNormalization;

impl Rule for BatchNormalization {
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect> {
        if ctx.int("training_mode", 0) == 1 {
            // Statistics of the batch itself, as some exporters write standardised weights.
            let x = ctx.ids(0)?;
            let beside: Vec<usize> = (0..x.rank()).filter(|&axis| axis != 1).collect();
            over_what_is_left(ctx, &x, &beside);
            for output in 1..ctx.node.output.len() {
                let channels = x.reduce(&beside, false);
                ctx.set(output, channels);
            }
        }
        per_channel(ctx, 4)
    }
}

/// Statistics over `axes` are those of the channels that are left along them.
fn over_what_is_left(ctx: &mut RuleContext<'_, '_>, x: &Ids, axes: &[usize]) {
    for &axis in axes {
        // Channels that vary along axis 1 too were united along it.
        let beside = x.factors.iter().filter(|factor| factor.axes.contains(&axis) && !factor.axes.contains(&1));
        let beside = Ids { shape: x.shape.clone(), factors: beside.cloned().collect(), lost: Vec::new() };
        if ctx.indices_along(&beside, axis).is_some() {
            ctx.restrict(vec![(0, axis)], Some(axis));
        }
    }
}

/// Each channel is normalised by its own statistics, so that cutting another changes nothing.
pub(super) struct InstanceNormalization;

impl Rule for InstanceNormalization {
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect> {
        let x = ctx.ids(0)?;
        // Channels may have been reshaped into the positions.
        over_what_is_left(ctx, &x, &(2..x.rank()).collect::<Vec<_>>());
        per_channel(ctx, 2)
    }
}

/// Channels of one group share their statistics, so that a group goes as a whole.
pub(super) struct GroupNormalization;

impl Rule for GroupNormalization {
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect> {
        let x = ctx.ids(0)?;
        let groups = usize::try_from(ctx.int("num_groups", 0)).ok().filter(|&groups| groups > 0);
        let groups = groups.ok_or("num_groups is missing")?;
        if x.rank() < 2 || !x.shape[1].is_multiple_of(groups) {
            return Err("its groups do not fit its input".into());
        }
        let inside = x.shape[1] / groups;
        for axis in 2..x.rank() {
            ctx.protect_axis(&x, axis, "it normalises over this axis");
        }
        let channel_indices = ctx.indices_along(&x, 1);
        for (number, &channel_index) in channel_indices.iter().flatten().enumerate() {
            let first = channel_indices
                .as_ref()
                .map_or(channel_index, |channel_indices| channel_indices[number / inside * inside]);
            ctx.run.channel_indices.unite(first, channel_index);
        }
        let per_group: Option<Vec<_>> =
            channel_indices.as_ref().map(|channel_indices| channel_indices.iter().step_by(inside).copied().collect());
        for input in 1..=2 {
            let parameter = ctx.ids(input)?;
            let own = ctx.indices_along(&parameter, 0);
            let other = if parameter.shape.first() == Some(&x.shape[1]) { &channel_indices } else { &per_group };
            ctx.bind(other.as_deref(), own.as_deref(), "its input channels cannot be traced");
            ctx.mark(&parameter, 0, Role::Parameter);
        }
        ctx.set(0, x);
        Ok(())
    }

    fn rewrite(&self, rewrite: &mut Rewrite<'_>) {
        let groups = rewrite.node.int("num_groups").unwrap_or(1);
        let (before, after) = (whole(&rewrite.old_in(0)), whole(&rewrite.new_in(0)));
        if before[1] != after[1] && before[1] > 0 {
            rewrite.set_int("num_groups", groups * after[1] / before[1]);
        }
    }
}

/// `MeanVarianceNormalization` over `axes`.
pub(super) struct MeanVarianceNormalization;

impl Rule for MeanVarianceNormalization {
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect> {
        let x = ctx.ids(0)?;
        let axes = ctx.ints("axes").unwrap_or_else(|| vec![0, 2, 3]);
        for axis in axes.into_iter().filter_map(|axis| resolve_axis(axis, x.rank())) {
            if ctx.indices_along(&x, axis).is_some() {
                ctx.restrict(vec![(0, axis)], Some(axis));
            }
        }
        ctx.set(0, x);
        Ok(())
    }
}

/// `LayerNormalization`, `RMSNormalization`, `SimplifiedLayerNormalization`, `LpNormalization` and `Normalizer`: statistics over the channels that are left.
pub(super) struct LayerNormalization;

impl Rule for LayerNormalization {
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect> {
        let x = ctx.ids(0)?;
        let first = ctx.axis(-1, x.rank())?;
        let single = ["LpNormalization", "Normalizer"].contains(&ctx.op());
        let last = if single { first + 1 } else { x.rank() };
        let parameters: Vec<usize> = (1..=2).filter(|&input| ctx.has(input)).collect();
        for axis in (first..last).filter(|&axis| x.varies(axis)) {
            let channel_indices = ctx.indices_along(&x, axis);
            let mut together = vec![(0, axis)];
            for &input in &parameters {
                let parameter = ctx.ids(input)?;
                // Scale and bias are aligned with the last axes.
                let Some(own) = (axis + parameter.rank()).checked_sub(x.rank()) else { continue };
                if parameter.shape[own] == 1 {
                    continue;
                }
                let entries = ctx.indices_along(&parameter, own);
                ctx.bind(channel_indices.as_deref(), entries.as_deref(), "its input channels cannot be traced");
                ctx.mark(&parameter, own, Role::Parameter);
                together.push((input, own));
            }
            ctx.restrict(together, Some(axis));
        }
        for output in 1..ctx.node.output.len() {
            ctx.set(output, x.reduce(&(first..last).collect::<Vec<_>>(), true));
        }
        ctx.set(0, x);
        Ok(())
    }
}

fn per_channel(ctx: &mut RuleContext<'_, '_>, parameters: usize) -> Result<(), Protect> {
    let x = ctx.ids(0)?;
    if x.rank() < 2 {
        return Err("its input has no channel axis".into());
    }
    let channel_indices = ctx.indices_along(&x, 1);
    for input in 1..=parameters {
        let parameter = ctx.ids(input)?;
        let own = ctx.indices_along(&parameter, 0);
        ctx.bind(channel_indices.as_deref(), own.as_deref(), "its input channels cannot be traced");
        ctx.mark(&parameter, 0, Role::Parameter);
    }
    ctx.set(0, x);
    Ok(())
}
