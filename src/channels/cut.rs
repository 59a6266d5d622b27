//! A choice of channel indices to remove.

use super::analysis::Channels;
use super::indices::ChannelIndex;

/// Which channel indices go. Made from the pruning units that every group keeps.
#[derive(Debug, Clone)]
pub struct Cut {
    /// By index of a class's root channel index.
    gone: Vec<bool>,
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
        Self { gone }
    }

    /// The cut that removes one class of channel indices, whether it is free or not.
    pub(super) fn of_class(channels: &Channels, root: ChannelIndex) -> Self {
        let mut gone = vec![false; channels.channel_indices.len()];
        gone[root.index()] = true;
        Self { gone }
    }

    /// Whether nothing is removed.
    pub fn is_empty(&self) -> bool {
        !self.gone.contains(&true)
    }

    pub(crate) fn removes(&self, channels: &Channels, channel_index: ChannelIndex) -> bool {
        self.gone[channels.root(channel_index).index()]
    }
}
