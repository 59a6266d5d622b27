//! Attention as one operator: whole heads can go.
//!
//! <https://onnx.ai/onnx/operators/onnx__Attention.html> (23, 24)

use super::{Rewrite, Rule};
use crate::channels::flow::Flow;
use crate::channels::identity::Ids;
use crate::channels::lanes::LaneId;
use crate::channels::run::{Dim, Protect};
use crate::model::axes::whole;

/// `Attention`: query, key and value as `[N, heads, length, features]` or `[N, length, heads * features]`.
pub(super) struct Attention;

/// Why single features stay: the scale is that of all of them.
const FEATURES: &str = "it scales by the number of features of a head";

impl Rule for Attention {
    fn flow(&self, flow: &mut Flow<'_, '_>) -> Result<(), Protect> {
        if flow.node.output.iter().skip(1).any(|name| !name.is_empty()) || flow.has(4) || flow.has(5) {
            return Err("it keeps keys and values for the next step".into());
        }
        let parts = (0..3).map(|input| flow.ids(input)).collect::<Result<Vec<_>, _>>()?;
        if flow.has(3) {
            let mask = flow.ids(3)?;
            flow.protect_all(&mask, "it is a mask over heads and positions");
        }
        let flat = parts[0].rank() == 3;
        if !flat && parts[0].rank() != 4 {
            return Err("its query has neither three nor four axes".into());
        }
        let heads = if flat {
            let given = |name: &str| usize::try_from(flow.int(name, 0)).ok().filter(|&heads| heads > 0);
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
        let mut one_each: Option<Vec<LaneId>> = None;
        for part in &parts {
            if !flat {
                // Features that belong to a head go with it; others are of all heads.
                let beside = part.factors.iter().filter(|factor| factor.axes.contains(&3) && !factor.axes.contains(&1));
                let lanes = beside.flat_map(|factor| factor.ids.iter().copied()).collect();
                flow.protect(lanes, FEATURES);
            }
            let lanes = flow.lanes_along(part, axis);
            let own = lanes.as_deref().map(|lanes| per_head(flow, lanes, heads));
            if let Some(known) = &one_each {
                flow.bind(Some(known), own.as_deref(), "another of its inputs has no heads to cut");
            } else if own.is_some() {
                one_each.clone_from(&own);
            }
        }
        let (query, value) = (&parts[0], &parts[2]);
        count(flow, &parts, flat);
        let mut shape = query.shape.clone();
        *shape.last_mut().ok_or("its query is a scalar")? = value.shape[value.rank() - 1];
        let width = if flat { shape[2] / heads } else { 1 };
        let lanes = one_each.map(|each| each.iter().flat_map(|&lane| std::iter::repeat_n(lane, width)).collect());
        let result = lanes.map_or_else(|| Ids::plain(shape.clone()), |lanes| Ids::along(shape.clone(), axis, lanes));
        flow.set(0, result);
        Ok(())
    }

    fn rewrite(&self, rewrite: &mut Rewrite<'_>) {
        let (before, after) = (rewrite.old_in(0), rewrite.new_in(0));
        if before.len() != 3 || before[2] == after[2] || before[2] == 0 {
            return;
        }
        for name in ["q_num_heads", "kv_num_heads"] {
            let heads = crate::model::node::int_attribute(rewrite.node, name).unwrap_or(1);
            rewrite.set_int(name, heads * whole(&after)[2] / whole(&before)[2]);
        }
    }
}

/// One lane for each head, after uniting its features.
fn per_head(flow: &mut Flow<'_, '_>, lanes: &[LaneId], heads: usize) -> Vec<LaneId> {
    let width = lanes.len() / heads;
    for (number, &lane) in lanes.iter().enumerate() {
        flow.run.lanes.unite(lanes[number / width * width], lane);
    }
    lanes.iter().step_by(width.max(1)).copied().collect()
}

/// Multiply-accumulates of the scores and of the mixture.
fn count(flow: &mut Flow<'_, '_>, parts: &[Ids], flat: bool) {
    let (length, keys) =
        if flat { (parts[0].shape[1], parts[1].shape[1]) } else { (parts[0].shape[2], parts[1].shape[2]) };
    for part in [&parts[0], &parts[2]] {
        let sizes = if flat { vec![Dim::of(part, 2)] } else { vec![Dim::of(part, 1), Dim::of(part, 3)] };
        flow.macs(&[part.shape[0], length, keys], sizes);
    }
}
