//! Layers in a row that read and make values of one shape.

use super::{Block, BlockKind, Walk};

/// Nodes behind the one with weights that belong to its layer, at most.
const LONGEST: usize = 8;

impl Walk<'_> {
    /// The layer that begins with a node with weights: on to the next value that is made by the same operator as the one
    /// that it reads, if both have one shape. Without it the next layer reads what it was made for: an activation of as many
    /// channels.
    pub(super) fn layer(&self, first: usize) -> Option<Block> {
        let node = self.node(first);
        let from = node.input.first().filter(|name| self.variable.contains(name.as_str()))?;
        let before = self.node(self.uses.maker(from)?);
        let only = |index: usize, value: &str| {
            self.node(index).input.iter().all(|name| name == value || !self.variable.contains(name.as_str()))
        };
        if self.macs.get(&first).is_none_or(|&macs| macs == 0) || !only(first, from) {
            return None;
        }
        let mut last = first;
        for _ in 0..LONGEST {
            let value = self.node(last).output.first()?;
            let next = self.uses.only(value)?;
            if !only(next, value) || self.macs.get(&next).is_some_and(|&macs| macs > 0) {
                return None;
            }
            last = next;
            if self.node(last).op_type() == before.op_type() {
                break;
            }
        }
        let end = self.node(last);
        let output = end.output.first()?;
        let shape = self.channels.shape(output)?;
        if end.op_type() != before.op_type() || self.channels.shape(from) != Some(shape) || shape.len() < 2 {
            return None;
        }
        let mut side = self.leading_to(output, None, Some(from));
        if !side.nodes.contains(&first) || !side.nodes.remove(&last) {
            return None;
        }
        self.block(BlockKind::Layer, [last, 0], from, side)
    }
}
