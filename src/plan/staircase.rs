//! Widths by the engine's cost staircase: none is kept beside a step for nothing.

use super::{Allocator, Rounding};
use crate::channels::Group;

impl Allocator<'_> {
    /// `widths` raised to the end of their step of the engine's cost: what is kept beyond it would cost as much.
    pub fn step_ends(&self, widths: &[usize]) -> Vec<usize> {
        let raised = |(group, &width): (usize, &usize)| {
            let full = self.groups[group].width();
            width.next_multiple_of(self.rounding.step(full, per_unit(&self.groups[group])).max(1)).min(full)
        };
        widths.iter().enumerate().map(raised).collect()
    }
}

impl Rounding {
    /// Whether the engine's channel block says that keeping `width` pruning units of `group` takes as long as keeping all.
    pub fn saves_nothing(&self, group: &Group, width: usize) -> bool {
        let blocks = |width: usize| (width * per_unit(group)).div_ceil(self.block.max(1));
        blocks(width) == blocks(group.width())
    }
}

/// Channels that one pruning unit of `group` makes at its first producer.
fn per_unit(group: &Group) -> usize {
    group.producers.first().and_then(|slices| slices.indices.first()).map_or(1, Vec::len).max(1)
}
