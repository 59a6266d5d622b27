//! Normalisation with stored or per-channel statistics.
//!
//! <https://onnx.ai/onnx/operators/onnx__BatchNormalization.html> (1, 6, 7, 9, 14, 15),
//! <https://onnx.ai/onnx/operators/onnx__InstanceNormalization.html> (1, 6, 22),
//! <https://onnx.ai/onnx/operators/onnx__GroupNormalization.html> (18 scale and bias per group, 21 per channel),
//! <https://onnx.ai/onnx/operators/onnx__LayerNormalization.html> (17),
//! <https://onnx.ai/onnx/operators/onnx__RMSNormalization.html> (23),
//! <https://onnx.ai/onnx/operators/onnx__LpNormalization.html> (1),
//! <https://onnx.ai/onnx/operators/onnx__MeanVarianceNormalization.html> (9, 13)

use super::{Rewrite, Rule};
use crate::channels::flow::Flow;
use crate::channels::identity::Ids;
use crate::channels::lanes::Role;
use crate::channels::run::Protect;
use crate::model::axes::resolve_axis;
use crate::model::axes::whole;

pub(super) struct BatchNormalization;

impl Rule for BatchNormalization {
    fn flow(&self, flow: &mut Flow<'_, '_>) -> Result<(), Protect> {
        if flow.int("training_mode", 0) == 1 {
            // Statistics of the batch itself, as some exporters write standardised weights.
            let x = flow.ids(0)?;
            let beside: Vec<usize> = (0..x.rank()).filter(|&axis| axis != 1).collect();
            over_what_is_left(flow, &x, &beside);
            for output in 1..flow.node.output.len() {
                let channels = x.reduce(&beside, false);
                flow.set(output, channels);
            }
        }
        per_channel(flow, 4)
    }
}

/// Statistics over `axes` are those of the channels that are left along them.
fn over_what_is_left(flow: &mut Flow<'_, '_>, x: &Ids, axes: &[usize]) {
    for &axis in axes {
        // Channels that vary along axis 1 too were united along it.
        let beside = x.factors.iter().filter(|factor| factor.axes.contains(&axis) && !factor.axes.contains(&1));
        let beside = Ids { shape: x.shape.clone(), factors: beside.cloned().collect(), lost: Vec::new() };
        if flow.lanes_along(&beside, axis).is_some() {
            flow.restrict(vec![(0, axis)], Some(axis));
        }
    }
}

/// Each channel is normalised by its own statistics, so that cutting another changes nothing.
pub(super) struct InstanceNormalization;

impl Rule for InstanceNormalization {
    fn flow(&self, flow: &mut Flow<'_, '_>) -> Result<(), Protect> {
        let x = flow.ids(0)?;
        // Channels may have been reshaped into the positions.
        over_what_is_left(flow, &x, &(2..x.rank()).collect::<Vec<_>>());
        per_channel(flow, 2)
    }
}

/// Channels of one group share their statistics, so that a group goes as a whole.
pub(super) struct GroupNormalization;

impl Rule for GroupNormalization {
    fn flow(&self, flow: &mut Flow<'_, '_>) -> Result<(), Protect> {
        let x = flow.ids(0)?;
        let groups = usize::try_from(flow.int("num_groups", 0)).ok().filter(|&groups| groups > 0);
        let groups = groups.ok_or("num_groups is missing")?;
        if x.rank() < 2 || !x.shape[1].is_multiple_of(groups) {
            return Err("its groups do not fit its input".into());
        }
        let inside = x.shape[1] / groups;
        for axis in 2..x.rank() {
            flow.protect_axis(&x, axis, "it normalises over this axis");
        }
        let lanes = flow.lanes_along(&x, 1);
        for (number, &lane) in lanes.iter().flatten().enumerate() {
            let first = lanes.as_ref().map_or(lane, |lanes| lanes[number / inside * inside]);
            flow.run.lanes.unite(first, lane);
        }
        let per_group: Option<Vec<_>> = lanes.as_ref().map(|lanes| lanes.iter().step_by(inside).copied().collect());
        for input in 1..=2 {
            let parameter = flow.ids(input)?;
            let own = flow.lanes_along(&parameter, 0);
            let other = if parameter.shape.first() == Some(&x.shape[1]) { &lanes } else { &per_group };
            flow.bind(other.as_deref(), own.as_deref(), "its input channels have no lanes");
            flow.mark(&parameter, 0, Role::Parameter);
        }
        flow.set(0, x);
        Ok(())
    }

    fn rewrite(&self, rewrite: &mut Rewrite<'_>) {
        let groups = crate::model::node::int_attribute(rewrite.node, "num_groups").unwrap_or(1);
        let (before, after) = (whole(&rewrite.old_in(0)), whole(&rewrite.new_in(0)));
        if before[1] != after[1] && before[1] > 0 {
            rewrite.set_int("num_groups", groups * after[1] / before[1]);
        }
    }
}

/// `MeanVarianceNormalization` over `axes`.
pub(super) struct MeanVarianceNormalization;

impl Rule for MeanVarianceNormalization {
    fn flow(&self, flow: &mut Flow<'_, '_>) -> Result<(), Protect> {
        let x = flow.ids(0)?;
        let axes = flow.ints("axes").unwrap_or_else(|| vec![0, 2, 3]);
        for axis in axes.into_iter().filter_map(|axis| resolve_axis(axis, x.rank())) {
            if flow.lanes_along(&x, axis).is_some() {
                flow.restrict(vec![(0, axis)], Some(axis));
            }
        }
        flow.set(0, x);
        Ok(())
    }
}

/// `LayerNormalization`, `RMSNormalization` and `LpNormalization`: statistics over the channels that are left.
pub(super) struct LayerNormalization;

impl Rule for LayerNormalization {
    fn flow(&self, flow: &mut Flow<'_, '_>) -> Result<(), Protect> {
        let x = flow.ids(0)?;
        let first = flow.axis(-1, x.rank())?;
        let last = if flow.op() == "LpNormalization" { first + 1 } else { x.rank() };
        let parameters: Vec<usize> = (1..=2).filter(|&input| flow.has(input)).collect();
        for axis in (first..last).filter(|&axis| x.varies(axis)) {
            let lanes = flow.lanes_along(&x, axis);
            let mut together = vec![(0, axis)];
            for &input in &parameters {
                let parameter = flow.ids(input)?;
                // Scale and bias are aligned with the last axes.
                let Some(own) = (axis + parameter.rank()).checked_sub(x.rank()) else { continue };
                if parameter.shape[own] == 1 {
                    continue;
                }
                let entries = flow.lanes_along(&parameter, own);
                flow.bind(lanes.as_deref(), entries.as_deref(), "its input channels have no lanes");
                flow.mark(&parameter, own, Role::Parameter);
                together.push((input, own));
            }
            flow.restrict(together, Some(axis));
        }
        for output in 1..flow.node.output.len() {
            flow.set(output, x.reduce(&(first..last).collect::<Vec<_>>(), true));
        }
        flow.set(0, x);
        Ok(())
    }
}

fn per_channel(flow: &mut Flow<'_, '_>, parameters: usize) -> Result<(), Protect> {
    let x = flow.ids(0)?;
    if x.rank() < 2 {
        return Err("its input has no channel axis".into());
    }
    let lanes = flow.lanes_along(&x, 1);
    for input in 1..=parameters {
        let parameter = flow.ids(input)?;
        let own = flow.lanes_along(&parameter, 0);
        flow.bind(lanes.as_deref(), own.as_deref(), "its input channels have no lanes");
        flow.mark(&parameter, 0, Role::Parameter);
    }
    flow.set(0, x);
    Ok(())
}
