//! Rotary position embeddings: whole heads can go.
//!
//! <https://onnx.ai/onnx/operators/onnx__RotaryEmbedding.html> (23),
//! <https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.RotaryEmbedding>

use super::attention::per_head;
use super::{Rewrite, Rule};
use crate::channels::context::RuleContext;
use crate::channels::ids::Ids;
use crate::channels::propagation::Protect;
use crate::model::axes::whole;
use crate::model::node::is_onnx;

/// `RotaryEmbedding`: `[N, heads, length, features]` or `[N, length, heads * features]`, caches of cosines and sines.
pub(super) struct RotaryEmbedding;

const TURNS: &str = "it turns pairs of features";

impl Rule for RotaryEmbedding {
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect> {
        let x = ctx.ids(0)?;
        for input in 1..ctx.node.input.len() {
            if ctx.has(input) {
                let angles = ctx.ids(input)?;
                ctx.protect_all(&angles, "these are angles and positions");
            }
        }
        let axis = match x.rank() {
            3 => 2,
            4 => 1,
            _ => return Err("its input has neither three nor four axes".into()),
        };
        let mut x = ctx.along_only(&x, axis, TURNS);
        if axis == 2 {
            let heads = heads(ctx, &x)?;
            if let Some(channel_indices) = ctx.indices_along(&x, axis) {
                per_head(ctx, &channel_indices, heads);
                x = Ids::along(x.shape, axis, channel_indices);
            }
        }
        ctx.set(0, x);
        Ok(())
    }

    fn rewrite(&self, rewrite: &mut Rewrite<'_>) {
        let (before, after) = (whole(&rewrite.old_in(0)), whole(&rewrite.new_in(0)));
        let axis = if before.len() == 3 { 2 } else { 1 };
        let heads = rewrite.node.int("num_heads").unwrap_or(0);
        if heads > 0 && before.get(axis).is_some_and(|&size| size > 0) && before != after {
            rewrite.set_int("num_heads", heads * after[axis] / before[axis]);
        }
    }
}

/// Number of heads of a flat input `[N, length, heads * features]`.
fn heads(ctx: &mut RuleContext<'_, '_>, x: &Ids) -> Result<usize, Protect> {
    let given = usize::try_from(ctx.int("num_heads", 0)).unwrap_or(0);
    let heads = if given > 0 || is_onnx(ctx.node) {
        given
    } else {
        // ONNX Runtime takes a head's features from the cache, which has an angle for each pair.
        let cache = ctx.ids(2)?;
        let features = cache.shape.last().map_or(0, |pairs| 2 * pairs);
        x.shape[2].checked_div(features).unwrap_or(0)
    };
    if heads == 0 || !x.shape[2].is_multiple_of(heads) {
        return Err("its features do not part into heads".into());
    }
    Ok(heads)
}
