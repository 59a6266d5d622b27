//! Attention as one operator: whole heads can go.
//!
//! <https://onnx.ai/onnx/operators/onnx__Attention.html> (23, 24)

use super::{Rewrite, Rule};
use crate::channels::context::RuleContext;
use crate::channels::ids::Ids;
use crate::channels::indices::ChannelIndex;
use crate::channels::propagation::{Dim, Protect};
use crate::model::axes::whole;

/// `Attention`: query, key and value as `[N, heads, length, features]` or `[N, length, heads * features]`.
pub(super) struct Attention;

/// Why single features stay: the scale is that of all of them.
const FEATURES: &str = "it scales by the number of features of a head";

impl Rule for Attention {
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect> {
        if ctx.node.output.iter().skip(1).any(|name| !name.is_empty()) || ctx.has(4) || ctx.has(5) {
            return Err("it keeps keys and values for the next step".into());
        }
        let parts = (0..3).map(|input| ctx.ids(input)).collect::<Result<Vec<_>, _>>()?;
        if ctx.has(3) {
            let mask = ctx.ids(3)?;
            ctx.protect_all(&mask, "it is a mask over heads and positions");
        }
        let flat = parts[0].rank() == 3;
        if !flat && parts[0].rank() != 4 {
            return Err("its query has neither three nor four axes".into());
        }
        let heads = if flat {
            let given = |name: &str| usize::try_from(ctx.int(name, 0)).ok().filter(|&heads| heads > 0);
            [given("q_num_heads"), given("kv_num_heads"), given("kv_num_heads")]
        } else {
            [0, 1, 2].map(|part: usize| parts[part].shape.get(1).copied())
        };
        let [Some(heads), Some(keys), Some(values)] = heads else { return Err("its heads are not given".into()) };
        if (heads, keys) != (keys, values) || parts.iter().any(|part| part.rank() != parts[0].rank()) {
            return Err("its queries share keys and values".into());
        }
        if heads == 0 || (flat && parts.iter().any(|part| part.shape[2] % heads != 0)) {
            return Err("its features do not part into heads".into());
        }
        let axis = if flat { 2 } else { 1 };
        let mut one_each: Option<Vec<ChannelIndex>> = None;
        for part in &parts {
            if !flat {
                // Features that belong to a head go with it; others are of all heads.
                let beside = part.factors.iter().filter(|factor| factor.axes.contains(&3) && !factor.axes.contains(&1));
                let channel_indices = beside.flat_map(|factor| factor.ids.iter().copied()).collect();
                ctx.protect(channel_indices, FEATURES);
            }
            let channel_indices = ctx.indices_along(part, axis);
            let own = channel_indices.as_deref().map(|channel_indices| per_head(ctx, channel_indices, heads));
            if let Some(known) = &one_each {
                ctx.bind(Some(known), own.as_deref(), "another of its inputs has no heads to cut");
            } else if own.is_some() {
                one_each.clone_from(&own);
            }
        }
        let (query, value) = (&parts[0], &parts[2]);
        count(ctx, &parts, flat);
        let mut shape = query.shape.clone();
        *shape.last_mut().ok_or("its query is a scalar")? = value.shape[value.rank() - 1];
        let width = if flat { shape[2] / heads } else { 1 };
        let channel_indices = one_each
            .map(|each| each.iter().flat_map(|&channel_index| std::iter::repeat_n(channel_index, width)).collect());
        let result = channel_indices.map_or_else(
            || Ids::plain(shape.clone()),
            |channel_indices| Ids::along(shape.clone(), axis, channel_indices),
        );
        ctx.set(0, result);
        Ok(())
    }

    fn rewrite(&self, rewrite: &mut Rewrite<'_>) {
        let (before, after) = (rewrite.old_in(0), rewrite.new_in(0));
        if before.len() != 3 || before[2] == after[2] || before[2] == 0 {
            return;
        }
        for name in ["q_num_heads", "kv_num_heads"] {
            let heads = rewrite.node.int(name).unwrap_or(1);
            rewrite.set_int(name, heads * whole(&after)[2] / whole(&before)[2]);
        }
    }
}

/// One channel index for each head, after uniting its features.
fn per_head(ctx: &mut RuleContext<'_, '_>, channel_indices: &[ChannelIndex], heads: usize) -> Vec<ChannelIndex> {
    let width = channel_indices.len() / heads;
    for (number, &channel_index) in channel_indices.iter().enumerate() {
        ctx.run.channel_indices.unite(channel_indices[number / width * width], channel_index);
    }
    channel_indices.iter().step_by(width.max(1)).copied().collect()
}

/// Multiply-accumulates of the scores and of the mixture.
fn count(ctx: &mut RuleContext<'_, '_>, parts: &[Ids], flat: bool) {
    let (length, keys) =
        if flat { (parts[0].shape[1], parts[1].shape[1]) } else { (parts[0].shape[2], parts[1].shape[2]) };
    for part in [&parts[0], &parts[2]] {
        let sizes = if flat { vec![Dim::of(part, 2)] } else { vec![Dim::of(part, 1), Dim::of(part, 3)] };
        ctx.macs(&[part.shape[0], length, keys], sizes);
    }
}
