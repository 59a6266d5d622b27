//! Convolutions.
//!
//! <https://onnx.ai/onnx/operators/onnx__Conv.html> (1, 11, 22),
//! <https://onnx.ai/onnx/operators/onnx__ConvTranspose.html> (1, 11, 22)

use super::spatial::Window;
use super::{Rewrite, Rule};
use crate::channels::flow::Flow;
use crate::channels::identity::Ids;
use crate::channels::lanes::{LaneId, Role};
use crate::channels::run::{Dim, Protect};
use crate::model::axes::whole;
use crate::model::node::int_attribute;

/// `Conv`: weight `[O, I / groups, k...]`.
pub(super) struct Conv;

impl Rule for Conv {
    fn flow(&self, flow: &mut Flow<'_, '_>) -> Result<(), Protect> {
        let result = convolve(flow)?;
        flow.set(0, result);
        Ok(())
    }

    fn rewrite(&self, rewrite: &mut Rewrite<'_>) {
        set_groups(rewrite, 1);
    }
}

/// Shape and lanes of a convolution of input 0 with the weight at input 1 and the bias at input 2.
pub(super) fn convolve(flow: &mut Flow<'_, '_>) -> Result<Ids, Protect> {
    let (x, w) = (flow.ids(0)?, flow.ids(1)?);
    let groups = conv_groups(flow)?;
    if x.rank() < 3
        || w.rank() != x.rank()
        || w.shape[1].checked_mul(groups) != Some(x.shape[1])
        || w.shape[0] % groups != 0
        || w.shape[1] == 0
    {
        return Err("its weight does not fit its input".into());
    }
    if !flow.is_constant(1) {
        return Err(run_time_weight(flow, &x, &w));
    }
    let mut shape = vec![x.shape[0], w.shape[0]];
    shape.extend(Window::of(flow, Some(w.shape[2..].to_vec()))?.output(&x.shape[2..])?);
    let (wo, wi) = (flow.lanes_along(&w, 0), flow.lanes_along(&w, 1));
    let x = flow.along_channels(&x, MIXES);
    let xc = flow.lanes_along(&x, 1);
    let depthwise = groups > 1 && w.shape[1] == 1;
    connect(flow, xc.as_deref(), wo.as_deref(), wi.as_deref(), groups);
    flow.mark(&w, 0, if depthwise { Role::Parameter } else { Role::Output });
    if !depthwise {
        flow.mark(&w, 1, Role::Input);
        if wi.is_some() {
            flow.contraction(0, 1, (1, 1));
        }
    }
    bind_bias(flow, 2, wo.as_deref())?;
    let dims = vec![Dim::of(&x, 0), Dim::of(&w, 0), Dim::of(&w, 1)];
    let constants: Vec<usize> = shape[2..].iter().chain(&w.shape[2..]).copied().collect();
    flow.macs(&constants, dims);
    Ok(output(&x, shape, wo))
}

/// `ConvTranspose`: weight `[I, O / groups, k...]`.
pub(super) struct ConvTranspose;

impl Rule for ConvTranspose {
    fn flow(&self, flow: &mut Flow<'_, '_>) -> Result<(), Protect> {
        let (x, w) = (flow.ids(0)?, flow.ids(1)?);
        let groups = conv_groups(flow)?;
        if x.rank() < 3
            || w.rank() != x.rank()
            || w.shape[0] != x.shape[1]
            || x.shape[1] % groups != 0
            || x.shape[1] < groups
        {
            return Err("its weight does not fit its input".into());
        }
        if !flow.is_constant(1) {
            return Err(run_time_weight(flow, &x, &w));
        }
        let mut shape = vec![x.shape[0], w.shape[1] * groups];
        shape.extend(Window::of(flow, Some(w.shape[2..].to_vec()))?.transposed(flow, &x.shape[2..])?);
        let (wi, wo) = (flow.lanes_along(&w, 0), flow.lanes_along(&w, 1));
        let x = flow.along_channels(&x, MIXES);
        let xc = flow.lanes_along(&x, 1);
        flow.bind(xc.as_deref(), wi.as_deref(), "its input channels have no lanes");
        let depthwise = groups > 1 && groups == x.shape[1] && w.shape[1] == 1;
        let out = if depthwise {
            flow.mark(&w, 0, Role::Parameter);
            wi.clone()
        } else {
            let inside = w.shape[0] / groups;
            if groups > 1 {
                unite_blocks(flow, wi.as_deref(), inside);
            }
            flow.mark(&w, 0, Role::Input);
            flow.mark(&w, 1, Role::Output);
            if wi.is_some() {
                flow.contraction(0, 1, (1, 0));
            }
            wo.as_ref().map(|wo| wo.repeat(groups))
        };
        bind_bias(flow, 2, out.as_deref())?;
        let dims = vec![Dim::of(&x, 0), Dim::of(&w, 0), Dim::of(&w, 1)];
        let constants: Vec<usize> = x.shape[2..].iter().chain(&w.shape[2..]).copied().collect();
        flow.macs(&constants, dims);
        flow.set(0, output(&x, shape, out));
        Ok(())
    }

    fn rewrite(&self, rewrite: &mut Rewrite<'_>) {
        set_groups(rewrite, 1);
    }
}

fn conv_groups(flow: &Flow<'_, '_>) -> Result<usize, Protect> {
    usize::try_from(flow.int("group", 1)).ok().filter(|&groups| groups > 0).ok_or("its group is not positive".into())
}

/// The result: the output channels, and what the input has along the batch.
fn output(x: &Ids, shape: Vec<usize>, lanes: Option<Vec<LaneId>>) -> Ids {
    let mut result = Ids::plain(shape);
    result.factors.extend(x.factors.iter().filter(|factor| factor.axes == [0]).cloned());
    if let Some(lanes) = lanes {
        result.set_axis(1, lanes);
    }
    result
}

fn run_time_weight(flow: &mut Flow<'_, '_>, x: &Ids, w: &Ids) -> Protect {
    flow.protect_all(x, "its weight is computed at run time");
    flow.protect_all(w, "it is the weight, computed at run time");
    "its weight is computed at run time".into()
}

/// Lanes that vary over positions are mixed by the window.
const MIXES: &str = "it mixes positions";

/// Unites inputs and outputs as the groups want it.
fn connect(flow: &mut Flow<'_, '_>, x: Option<&[LaneId]>, wo: Option<&[LaneId]>, wi: Option<&[LaneId]>, groups: usize) {
    const WHY: &str = "its input channels have no lanes";
    let Some(x) = x else {
        if groups > 1 {
            flow.bind(None, wo, WHY);
        }
        return flow.bind(None, wi, WHY);
    };
    if groups == 1 {
        return flow.bind(Some(x), wi, WHY);
    }
    let inside = x.len() / groups;
    let Some(wo) = wo else { return };
    let outside = wo.len() / groups;
    if inside == 1 {
        // Depthwise: an input channel owns `outside` (the channel multiplier) outputs.
        for (number, &lane) in wo.iter().enumerate() {
            flow.run.lanes.unite(x[number / outside], lane);
        }
        return;
    }
    // Equal counts per group: the same positions are cut in every group.
    if let Some(wi) = wi {
        for (number, &lane) in x.iter().enumerate() {
            flow.run.lanes.unite(lane, wi[number % inside]);
        }
    }
    unite_blocks(flow, Some(wo), outside);
}

/// Unites the same position of all blocks of `inside` lanes.
fn unite_blocks(flow: &mut Flow<'_, '_>, lanes: Option<&[LaneId]>, inside: usize) {
    for (number, &lane) in lanes.unwrap_or_default().iter().enumerate().skip(inside) {
        flow.run.lanes.unite(lanes.unwrap_or_default()[number % inside], lane);
    }
}

/// A bias has one entry per output channel.
pub(super) fn bind_bias(flow: &mut Flow<'_, '_>, input: usize, lanes: Option<&[LaneId]>) -> Result<(), Protect> {
    if flow.has(input) {
        let bias = flow.ids(input)?;
        if bias.rank() == 1 && bias.shape[0] > 1 {
            let entries = flow.lanes_along(&bias, 0);
            flow.bind(entries.as_deref(), lanes, "its bias has no lanes");
            flow.mark(&bias, 0, Role::Parameter);
        }
    }
    Ok(())
}

/// A depthwise convolution has as many groups as input channels; other grouped ones keep their groups.
fn set_groups(rewrite: &mut Rewrite<'_>, channel_axis: usize) {
    let groups = int_attribute(rewrite.node, "group").unwrap_or(1);
    let before = rewrite.old_in(0);
    if groups > 1 && before.get(channel_axis).is_some_and(|&size| i64::try_from(size) == Ok(groups)) {
        let kept = rewrite.kept_in(0, channel_axis).len();
        rewrite.set_int("group", whole(&[kept])[0]);
    }
}
