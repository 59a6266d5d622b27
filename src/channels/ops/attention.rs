//! Attention as one operator: whole heads can go, with the keys and values that they share.
//!
//! <https://onnx.ai/onnx/operators/onnx__Attention.html> (23, 24),
//! <https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.GroupQueryAttention>

use super::{Rewrite, Rule};
use crate::channels::context::RuleContext;
use crate::channels::ids::Ids;
use crate::channels::indices::ChannelIndex;
use crate::channels::propagation::Protect;
use crate::model::axes::whole;

/// `Attention`: query, key and value as `[N, heads, length, features]` or `[N, length, heads * features]`.
pub(super) struct Attention;

/// Why single features stay: the scale is that of all of them.
const FEATURES: &str = "it scales by the number of features of a head";

/// How queries, keys and values part into heads.
struct Heads {
    queries: usize,
    /// Keys and values alike.
    keys: usize,
    /// Whether heads and features are one axis.
    flat: bool,
}

impl Heads {
    /// The axis along which heads lie.
    fn axis(&self) -> usize {
        if self.flat { 2 } else { 1 }
    }

    /// What can be cut: a head of keys and values with the queries that share it, or each query where all share one.
    fn units(&self) -> usize {
        if self.keys == 1 { self.queries } else { self.keys }
    }

    /// Queries of a unit.
    fn each(&self) -> usize {
        self.queries / self.units()
    }

    fn check(self, parts: &[Ids]) -> Result<Self, Protect> {
        if self.keys == 0 || self.queries == 0 || !self.queries.is_multiple_of(self.keys) {
            return Err("its queries do not share keys and values evenly".into());
        }
        let counts = [self.queries, self.keys, self.keys];
        let uneven = |(part, heads): (&Ids, usize)| {
            let size = part.shape[self.axis()];
            size == 0 || if self.flat { !size.is_multiple_of(heads) } else { size != heads }
        };
        if parts.iter().any(|part| part.rank() != parts[0].rank()) || parts.iter().zip(counts).any(uneven) {
            return Err("its features do not part into heads".into());
        }
        Ok(self)
    }
}

impl Rule for Attention {
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect> {
        if ctx.node.output.iter().skip(1).any(|name| !name.is_empty()) || ctx.has(4) || ctx.has(5) {
            return Err("it keeps keys and values for the next step".into());
        }
        let parts = (0..3).map(|input| ctx.ids(input)).collect::<Result<Vec<_>, _>>()?;
        let flat = parts[0].rank() == 3;
        if parts.iter().any(|part| part.rank() != if flat { 3 } else { 4 }) {
            return Err("its query has neither three nor four axes".into());
        }
        let given = |name: &str| usize::try_from(ctx.int(name, 0)).unwrap_or(0);
        let (queries, keys) =
            if flat { (given("q_num_heads"), given("kv_num_heads")) } else { (parts[0].shape[1], parts[1].shape[1]) };
        let heads = Heads { queries, keys, flat }.check(&parts)?;
        let groups = head_groups(ctx, &parts, &heads);
        if ctx.has(3) {
            bind_mask(ctx, groups.as_deref(), &heads)?;
        }
        let result = mixed(&parts, groups.as_deref(), &heads);
        ctx.set(0, result);
        Ok(())
    }

    fn rewrite(&self, rewrite: &mut Rewrite<'_>) {
        if rewrite.old_in(0).len() == 3 {
            fewer(rewrite, 0, "q_num_heads");
            fewer(rewrite, 1, "kv_num_heads");
        }
    }
}

/// `GroupQueryAttention` of ONNX Runtime: flat, with keys and values of earlier steps.
pub(super) struct GroupQueryAttention;

impl Rule for GroupQueryAttention {
    fn propagate(&self, ctx: &mut RuleContext<'_, '_>) -> Result<(), Protect> {
        if !ctx.has(1) || !ctx.has(2) {
            return Err("query, key and value are packed in one input".into());
        }
        if (9..ctx.node.input.len()).any(|input| ctx.has(input)) {
            return Err("it has inputs beside keys, values, lengths and angles".into());
        }
        let parts = (0..3).map(|input| ctx.ids(input)).collect::<Result<Vec<_>, _>>()?;
        if parts.iter().any(|part| part.rank() != 3) {
            return Err("its query does not have three axes".into());
        }
        let given = |name: &str| usize::try_from(ctx.int(name, 0)).unwrap_or(0);
        let heads = Heads { queries: given("num_heads"), keys: given("kv_num_heads"), flat: true }.check(&parts)?;
        let groups = head_groups(ctx, &parts, &heads);
        let mut length = parts[0].shape[1];
        for input in 3..9 {
            if ctx.has(input) {
                let beside = ctx.ids(input)?;
                if input == 3 && beside.rank() == 4 {
                    length += beside.shape[2];
                }
                let own = if input < 5 && beside.rank() == 4 { ctx.indices_along(&beside, 1) } else { None };
                ctx.protect_all(&beside, "it holds earlier steps, or angles");
                if input < 5 {
                    ctx.bind(groups.as_deref(), own.as_deref(), "it keeps keys and values for the next step");
                }
            }
        }
        let result = mixed(&parts, groups.as_deref(), &heads);
        ctx.set(0, result);
        for (output, part) in [(1, &parts[1]), (2, &parts[2])] {
            let mut kept = Ids::plain(vec![part.shape[0], heads.keys, length, part.shape[2] / heads.keys]);
            if let Some(groups) = &groups {
                kept.set_axis(1, groups.clone());
            }
            ctx.set(output, kept);
        }
        Ok(())
    }

    fn rewrite(&self, rewrite: &mut Rewrite<'_>) {
        fewer(rewrite, 0, "num_heads");
        fewer(rewrite, 1, "kv_num_heads");
    }
}

/// One channel index for each of [`Heads::units`]; `None` if nothing can be cut.
fn head_groups(ctx: &mut RuleContext<'_, '_>, parts: &[Ids], heads: &Heads) -> Option<Vec<ChannelIndex>> {
    let mut groups: Option<Vec<ChannelIndex>> = None;
    let mut traced = Vec::new();
    for (input, part) in parts.iter().enumerate() {
        if !heads.flat {
            // Features that belong to a head go with it; others are of all heads.
            let beside = part.factors.iter().filter(|factor| factor.axes.contains(&3) && !factor.axes.contains(&1));
            let channel_indices = beside.flat_map(|factor| factor.ids.iter().copied()).collect();
            ctx.protect(channel_indices, FEATURES);
        }
        if input > 0 && heads.units() > heads.keys {
            ctx.protect_axis(part, heads.axis(), "all queries share it");
            continue;
        }
        let channel_indices = ctx.indices_along(part, heads.axis());
        let own = channel_indices.as_deref().map(|channel_indices| per_head(ctx, channel_indices, heads.units()));
        if groups.is_none() {
            groups.clone_from(&own);
        }
        traced.push(own);
    }
    for own in &traced {
        if groups.is_some() {
            ctx.bind(groups.as_deref(), own.as_deref(), "another of its inputs has no heads to cut");
        }
    }
    groups
}

/// A mask that differs from head to head goes with the heads.
fn bind_mask(ctx: &mut RuleContext<'_, '_>, groups: Option<&[ChannelIndex]>, heads: &Heads) -> Result<(), Protect> {
    let mask = ctx.ids(3)?;
    let axis = mask.rank().checked_sub(3).filter(|&axis| mask.shape[axis] == heads.queries && heads.queries > 1);
    let beside = mask.factors.iter().filter(|factor| axis.is_none_or(|axis| !factor.axes.contains(&axis)));
    let beside = beside.flat_map(|factor| factor.ids.iter().copied()).collect();
    ctx.protect(beside, "it is a mask over positions");
    if let Some(axis) = axis {
        if !mask.varies(axis) {
            ctx.wish(3, axis);
        }
        let own = ctx.indices_along(&mask, axis);
        let groups = groups.map(|groups| repeated(groups, heads.each()));
        ctx.bind(groups.as_deref(), own.as_deref(), "its mask has no heads to cut");
    }
    Ok(())
}

fn repeated(groups: &[ChannelIndex], times: usize) -> Vec<ChannelIndex> {
    groups.iter().flat_map(|&group| std::iter::repeat_n(group, times)).collect()
}

/// The result: the query's shape with the value's features.
fn mixed(parts: &[Ids], groups: Option<&[ChannelIndex]>, heads: &Heads) -> Ids {
    let mut shape = parts[0].shape.clone();
    let features = parts[2].shape.last().copied().unwrap_or(1);
    let last = shape.len() - 1;
    let width = features / heads.keys;
    shape[last] = if heads.flat { width * heads.queries } else { features };
    let width = if heads.flat { width * heads.each() } else { heads.each() };
    let mut result = Ids::plain(shape);
    if let Some(groups) = groups {
        result.set_axis(heads.axis(), repeated(groups, width));
    }
    result
}

/// As many heads fewer as features of a flat input went.
fn fewer(rewrite: &mut Rewrite<'_>, input: usize, name: &str) {
    let (before, after) = (whole(&rewrite.old_in(input)), whole(&rewrite.new_in(input)));
    let (Some(&before), Some(&after)) = (before.get(2), after.get(2)) else { return };
    if before != after && before > 0 {
        let heads = rewrite.node.int(name).unwrap_or(1);
        rewrite.set_int(name, heads * after / before);
    }
}

/// One channel index for each of `heads` equal runs, after uniting what is in one.
pub(super) fn per_head(
    ctx: &mut RuleContext<'_, '_>,
    channel_indices: &[ChannelIndex],
    heads: usize,
) -> Vec<ChannelIndex> {
    let width = channel_indices.len() / heads;
    for (number, &channel_index) in channel_indices.iter().enumerate() {
        ctx.run.channel_indices.unite(channel_indices[number / width * width], channel_index);
    }
    channel_indices.iter().step_by(width.max(1)).copied().collect()
}
