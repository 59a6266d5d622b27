//! A choice of lanes to remove.

use super::analysis::Channels;
use super::lanes::LaneId;

/// Which lanes go. Made from the atoms that every group keeps.
#[derive(Debug, Clone)]
pub struct Cut {
    /// By index of a class's root lane.
    gone: Vec<bool>,
}

impl Cut {
    /// The cut that leaves `kept[g]` (indices of atoms) in group `g` and removes the rest.
    pub fn new(channels: &Channels, kept: &[Vec<usize>]) -> Self {
        let mut gone = vec![false; channels.lanes.len()];
        for (group, kept) in channels.groups.iter().zip(kept) {
            let mut stays = vec![false; group.width()];
            for &atom in kept {
                if let Some(stay) = stays.get_mut(atom) {
                    *stay = true;
                }
            }
            for (atom, _) in stays.iter().enumerate().filter(|(_, stays)| !**stays) {
                gone[group.roots[atom].index()] = true;
            }
        }
        Self { gone }
    }

    /// The cut that removes one class of lanes, whether it is free or not.
    pub(super) fn of_class(channels: &Channels, root: LaneId) -> Self {
        let mut gone = vec![false; channels.lanes.len()];
        gone[root.index()] = true;
        Self { gone }
    }

    /// Whether nothing is removed.
    pub fn is_empty(&self) -> bool {
        !self.gone.contains(&true)
    }

    pub(crate) fn removes(&self, channels: &Channels, lane: LaneId) -> bool {
        self.gone[channels.root(lane).index()]
    }
}
