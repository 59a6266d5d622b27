//! Convolutions that read where another input says.
//!
//! <https://onnx.ai/onnx/operators/onnx__DeformConv.html> (19, 22)

use super::conv::{convolve, unite_blocks};
use super::{Rewrite, Rule};
use crate::channels::context::RuleContext;
use crate::channels::propagation::Protect;

/// `DeformConv`: image, weight `[O, I / group, k...]`, offsets `[N, offset_group * taps * rank, ...]`, bias, mask
/// `[N, offset_group * taps, ...]`. Channels of one offset group are read at the same places.
pub(super) struct DeformConv;

/// Inputs with places to read, not channels.
const PLACES: [usize; 2] = [2, 4];

impl Rule for DeformConv {
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect> {
        let x = ctx.ids(0)?;
        let groups = usize::try_from(ctx.int("offset_group", 1)).ok().filter(|&groups| groups > 0);
        let groups = groups.ok_or("its offset_group is not positive")?;
        if x.rank() < 3 || !x.shape[1].is_multiple_of(groups) {
            return Err("its offset groups do not fit its input".into());
        }
        for input in PLACES.into_iter().filter(|&input| ctx.node.input.get(input).is_some_and(|name| !name.is_empty()))
        {
            let places = ctx.ids(input)?;
            ctx.protect_all(&places, "it reads places from this input");
        }
        if groups > 1 {
            // Equal counts per offset group: the same positions are cut in each.
            let channel_indices = ctx.indices_along(&x, 1);
            unite_blocks(ctx, channel_indices.as_deref(), x.shape[1] / groups);
        }
        let result = convolve(ctx, 1, Some(3))?;
        ctx.set(0, result);
        Ok(())
    }

    fn rewrite(&self, rewrite: &mut Rewrite<'_>) {
        super::conv::Conv.rewrite(rewrite);
    }
}
