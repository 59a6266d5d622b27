//! Convolutions.
//!
//! <https://onnx.ai/onnx/operators/onnx__Conv.html> (1, 11, 22),
//! <https://onnx.ai/onnx/operators/onnx__ConvTranspose.html> (1, 11, 22)

use super::{Rewrite, Rule};
use crate::channels::context::RuleContext;
use crate::channels::ids::Ids;
use crate::channels::indices::{ChannelIndex, Role};
use crate::channels::propagation::{Dim, Protect};
use crate::model::axes::whole;
use crate::ops::window::Window;

/// `Conv`: weight `[O, I / groups, k...]`.
pub(super) struct Conv;

impl Rule for Conv {
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect> {
        let result = convolve(ctx, 1, Some(2))?;
        ctx.set(0, result);
        Ok(())
    }

    fn rewrite(&self, rewrite: &mut Rewrite<'_>) {
        set_groups(rewrite, 1);
    }
}

/// Shape and channel indices of a convolution of input 0 with the weight and the bias at these inputs.
pub(super) fn convolve(ctx: &mut RuleContext<'_, '_>, weight: usize, bias: Option<usize>) -> Result<Ids, Protect> {
    let (x, w) = (ctx.ids(0)?, ctx.ids(weight)?);
    let groups = conv_groups(ctx)?;
    if x.rank() < 3
        || w.rank() != x.rank()
        || w.shape[1].checked_mul(groups) != Some(x.shape[1])
        || w.shape[0] % groups != 0
        || w.shape[1] == 0
    {
        return Err("its weight does not fit its input".into());
    }
    if !ctx.is_constant(weight) {
        return Err(run_time_weight(ctx, &x, &w));
    }
    let mut shape = vec![x.shape[0], w.shape[0]];
    shape.extend(Window::of(ctx.node, Some(&w.shape[2..]))?.output(&x.shape[2..])?);
    let (wo, wi) = (ctx.indices_along(&w, 0), ctx.indices_along(&w, 1));
    let x = ctx.along_channels(&x, MIXES);
    let xc = ctx.indices_along(&x, 1);
    let depthwise = groups > 1 && w.shape[1] == 1;
    connect(ctx, xc.as_deref(), wo.as_deref(), wi.as_deref(), groups);
    ctx.mark(&w, 0, if depthwise { Role::Parameter } else { Role::Output });
    if !depthwise {
        ctx.mark(&w, 1, Role::Input);
        if wi.is_some() {
            ctx.contraction(0, 1, weight, 1);
        }
    }
    if let Some(bias) = bias {
        bind_bias(ctx, bias, wo.as_deref())?;
    }
    let dims = vec![Dim::of(&x, 0), Dim::of(&w, 0), Dim::of(&w, 1)];
    let constants: Vec<usize> = shape[2..].iter().chain(&w.shape[2..]).copied().collect();
    ctx.macs(&constants, dims);
    Ok(output(&x, shape, wo))
}

/// `ConvTranspose`: weight `[I, O / groups, k...]`.
pub(super) struct ConvTranspose;

impl Rule for ConvTranspose {
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect> {
        let (x, w) = (ctx.ids(0)?, ctx.ids(1)?);
        let groups = conv_groups(ctx)?;
        if x.rank() < 3
            || w.rank() != x.rank()
            || w.shape[0] != x.shape[1]
            || x.shape[1] % groups != 0
            || x.shape[1] < groups
        {
            return Err("its weight does not fit its input".into());
        }
        if !ctx.is_constant(1) {
            return Err(run_time_weight(ctx, &x, &w));
        }
        let mut shape = vec![x.shape[0], w.shape[1] * groups];
        shape.extend(Window::of(ctx.node, Some(&w.shape[2..]))?.output(&x.shape[2..])?);
        let (wi, wo) = (ctx.indices_along(&w, 0), ctx.indices_along(&w, 1));
        let x = ctx.along_channels(&x, MIXES);
        let xc = ctx.indices_along(&x, 1);
        ctx.bind(xc.as_deref(), wi.as_deref(), "its input channels cannot be traced");
        let depthwise = groups > 1 && groups == x.shape[1] && w.shape[1] == 1;
        let out = if depthwise {
            ctx.mark(&w, 0, Role::Parameter);
            wi.clone()
        } else {
            let inside = w.shape[0] / groups;
            if groups > 1 {
                unite_blocks(ctx, wi.as_deref(), inside);
            }
            ctx.mark(&w, 0, Role::Input);
            ctx.mark(&w, 1, Role::Output);
            if wi.is_some() {
                ctx.contraction(0, 1, 1, 0);
            }
            wo.as_ref().map(|wo| wo.repeat(groups))
        };
        bind_bias(ctx, 2, out.as_deref())?;
        let dims = vec![Dim::of(&x, 0), Dim::of(&w, 0), Dim::of(&w, 1)];
        let constants: Vec<usize> = x.shape[2..].iter().chain(&w.shape[2..]).copied().collect();
        ctx.macs(&constants, dims);
        ctx.set(0, output(&x, shape, out));
        Ok(())
    }

    fn rewrite(&self, rewrite: &mut Rewrite<'_>) {
        set_groups(rewrite, 1);
    }
}

fn conv_groups(ctx: &RuleContext<'_, '_>) -> Result<usize, Protect> {
    usize::try_from(ctx.int("group", 1)).ok().filter(|&groups| groups > 0).ok_or("its group is not positive".into())
}

/// The result: the output channels, and what the input has along the batch.
fn output(x: &Ids, shape: Vec<usize>, channel_indices: Option<Vec<ChannelIndex>>) -> Ids {
    let mut result = Ids::plain(shape);
    result.factors.extend(x.factors.iter().filter(|factor| factor.axes == [0]).cloned());
    if let Some(channel_indices) = channel_indices {
        result.set_axis(1, channel_indices);
    }
    result
}

fn run_time_weight(ctx: &mut RuleContext<'_, '_>, x: &Ids, w: &Ids) -> Protect {
    ctx.protect_all(x, "its weight is computed at run time");
    ctx.protect_all(w, "it is the weight, computed at run time");
    "its weight is computed at run time".into()
}

/// Channel indices that vary over positions are mixed by the window.
const MIXES: &str = "it mixes positions";

/// Unites inputs and outputs as the groups want it.
fn connect(
    ctx: &mut RuleContext<'_, '_>,
    x: Option<&[ChannelIndex]>,
    wo: Option<&[ChannelIndex]>,
    wi: Option<&[ChannelIndex]>,
    groups: usize,
) {
    const WHY: &str = "its input channels cannot be traced";
    let Some(x) = x else {
        if groups > 1 {
            ctx.bind(None, wo, WHY);
        }
        return ctx.bind(None, wi, WHY);
    };
    if groups == 1 {
        return ctx.bind(Some(x), wi, WHY);
    }
    let inside = x.len() / groups;
    let Some(wo) = wo else { return };
    let outside = wo.len() / groups;
    if inside == 1 {
        // Depthwise: an input channel owns `outside` (the channel multiplier) outputs.
        for (number, &channel_index) in wo.iter().enumerate() {
            ctx.run.channel_indices.unite(x[number / outside], channel_index);
        }
        return;
    }
    // Equal counts per group: the same positions are cut in every group.
    if let Some(wi) = wi {
        for (number, &channel_index) in x.iter().enumerate() {
            ctx.run.channel_indices.unite(channel_index, wi[number % inside]);
        }
    }
    unite_blocks(ctx, Some(wo), outside);
}

/// Unites the same position of all blocks of `inside` channel indices.
pub(super) fn unite_blocks(ctx: &mut RuleContext<'_, '_>, channel_indices: Option<&[ChannelIndex]>, inside: usize) {
    for (number, &channel_index) in channel_indices.unwrap_or_default().iter().enumerate().skip(inside) {
        ctx.run.channel_indices.unite(channel_indices.unwrap_or_default()[number % inside], channel_index);
    }
}

/// A bias has one entry per output channel.
pub(super) fn bind_bias(
    ctx: &mut RuleContext<'_, '_>,
    input: usize,
    channel_indices: Option<&[ChannelIndex]>,
) -> Result<(), Protect> {
    if ctx.has(input) {
        let bias = ctx.ids(input)?;
        if bias.rank() == 1 && bias.shape[0] > 1 {
            let entries = ctx.indices_along(&bias, 0);
            ctx.bind(entries.as_deref(), channel_indices, "its bias cannot be traced");
            ctx.mark(&bias, 0, Role::Parameter);
        }
    }
    Ok(())
}

/// A depthwise convolution has as many groups as input channels; other grouped ones keep their groups.
fn set_groups(rewrite: &mut Rewrite<'_>, channel_axis: usize) {
    let groups = rewrite.node.int("group").unwrap_or(1);
    let before = rewrite.old_in(0);
    if groups > 1 && before.get(channel_axis).is_some_and(|&size| i64::try_from(size) == Ok(groups)) {
        let kept = rewrite.kept_in(0, channel_axis).len();
        rewrite.set_int("group", whole(&[kept])[0]);
    }
}
