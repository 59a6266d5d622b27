//! A choice of channel indices and blocks to remove.

use std::collections::BTreeSet;

use super::analysis::Channels;
use super::indices::ChannelIndex;

/// Which channel indices and which blocks go. Made from the pruning units that every group keeps.
#[derive(Debug, Clone)]
pub struct Cut {
    /// By index of a class's root channel index.
    gone: Vec<bool>,
    /// Places of the blocks that go, in [`Channels::blocks`].
    blocks: BTreeSet<usize>,
    /// Nodes that go with them.
    nodes: BTreeSet<usize>,
}

impl Cut {
    /// The cut that leaves `kept[g]` (indices of pruning units) in group `g` and removes the rest.
    pub fn new(channels: &Channels, kept: &[Vec<usize>]) -> Self {
        let mut gone = vec![false; channels.channel_indices.len()];
        for (group, kept) in channels.groups.iter().zip(kept) {
            let mut stays = vec![false; group.width()];
            for &unit in kept {
                if let Some(stay) = stays.get_mut(unit) {
                    *stay = true;
                }
            }
            for (unit, _) in stays.iter().enumerate().filter(|(_, stays)| !**stays) {
                gone[group.roots[unit].index()] = true;
            }
        }
        Self { gone, blocks: BTreeSet::new(), nodes: BTreeSet::new() }
    }

    /// The cut that removes one class of channel indices, whether it is free or not.
    pub(super) fn of_class(channels: &Channels, root: ChannelIndex) -> Self {
        let mut gone = vec![false; channels.channel_indices.len()];
        gone[root.index()] = true;
        Self { gone, blocks: BTreeSet::new(), nodes: BTreeSet::new() }
    }

    /// The cut that removes one block, by its place in [`Channels::blocks`], and no channels.
    pub fn block(channels: &Channels, block: usize) -> Self {
        let gone = vec![false; channels.channel_indices.len()];
        Self { gone, blocks: BTreeSet::new(), nodes: BTreeSet::new() }.with_blocks(channels, &[block])
    }

    /// The same cut without these blocks too, by their places in [`Channels::blocks`]; places that there are not do nothing.
    #[must_use]
    pub fn with_blocks(mut self, channels: &Channels, blocks: &[usize]) -> Self {
        for &block in blocks.iter().filter(|&&block| block < channels.blocks.len()) {
            self.blocks.insert(block);
            self.nodes.extend(&channels.blocks[block].nodes);
            for root in channels.roots_of_branch(&channels.blocks[block]) {
                self.gone[root.index()] = true;
            }
        }
        self
    }

    /// Whether blocks go.
    pub fn has_blocks(&self) -> bool {
        !self.blocks.is_empty()
    }

    /// Places of the blocks that go, in [`Channels::blocks`].
    pub fn blocks(&self) -> impl Iterator<Item = usize> + '_ {
        self.blocks.iter().copied()
    }

    /// Whether a node goes with a block.
    pub fn removes_node(&self, node: usize) -> bool {
        self.nodes.contains(&node)
    }

    /// Whether nothing is removed.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty() && !self.gone.contains(&true)
    }

    pub(crate) fn removes(&self, channels: &Channels, channel_index: ChannelIndex) -> bool {
        self.gone[channels.root(channel_index).index()]
    }
}
