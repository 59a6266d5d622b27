//! Masking what combines channels without weights: it sees only the channels that stay.

use super::InputPlace;
use super::added::Added;
use crate::channels::{Channels, Cut};
use crate::model::Model;
use crate::model::axes::whole;
use crate::surgery::Names;

/// Leaves the cut channels out of every restricted node. Where its output keeps the channel axis, the places of the
/// cut channels hold some other channel's values: nobody sums over them.
pub(super) fn mask(model: &Model, result: &mut Model, channels: &Channels, cut: &Cut, names: &mut Names) {
    let mut added = Added::to(result);
    for restriction in channels.restrictions() {
        let mut kept = None;
        for &(input, axis) in &restriction.inputs {
            let node = &model.graph().node[restriction.node];
            let named = || node.input.get(input).and_then(|name| channels.value_ids(name));
            let Some(ids) = channels.use_ids(restriction.node, input).or_else(named) else { continue };
            let left = channels.kept(cut, ids, axis);
            if left.len() < ids.shape[axis] {
                added.gather_before(result, InputPlace { node: restriction.node, input }, axis, &whole(&left), names);
                kept = Some((left, ids.shape[axis]));
            }
        }
        if let (Some(axis), Some((kept, size))) = (restriction.output_axis, kept) {
            let back: Vec<usize> = (0..size).map(|index| kept.binary_search(&index).unwrap_or(0)).collect();
            added.gather_after(result, restriction.node, axis, &whole(&back), names);
        }
    }
    added.place(result);
}
