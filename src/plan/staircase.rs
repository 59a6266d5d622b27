//! Widths by the engine's cost staircase: none is kept beside a block for nothing.

use super::Allocator;
use super::allocate::per_atom;

impl Allocator<'_> {
    /// `widths` raised to the end of the engine's channel block: what costs no time stays. Where the end of the block is
    /// the whole group, nothing of it is cut.
    pub fn block_ends(&self, widths: &[usize]) -> Vec<usize> {
        let raised = |(group, &width): (usize, &usize)| {
            let info = &self.groups[group];
            self.rounding.block_end(width, info.width(), per_atom(info))
        };
        widths.iter().enumerate().map(raised).collect()
    }
}
