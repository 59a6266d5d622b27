//! One channel and everything that goes with it.

use std::collections::BTreeSet;

use super::analysis::Channels;
use super::cut::Cut;
use super::indices::{ChannelIndex, Reason, Role};

/// One output channel of a node, with what is coupled to it.
#[derive(Debug, Clone)]
pub struct Coupled {
    /// The cut that removes the channel and all that must go with it. Where it is protected, the cut changes the
    /// model's interface or what it means.
    pub cut: Cut,
    /// Why it may not be cut; empty if it may.
    pub reasons: Vec<Reason>,
    /// Group and pruning unit that it belongs to, if it may be cut.
    pub unit: Option<(usize, usize)>,
}

impl Channels {
    /// Number of channels that the weight of a node makes; 0 for nodes that make none.
    pub fn made_by(&self, node: usize) -> usize {
        self.indices_made_by(node).len()
    }

    /// What is coupled to channel `index` of those that the weight of `node` makes (the filters of a `Conv`, the
    /// output features of a `Gemm`). `None` if the node makes no such channel.
    pub fn coupled(&self, node: usize, index: usize) -> Option<Coupled> {
        let channel_index = ChannelIndex(self.indices_made_by(node).start.checked_add(u32::try_from(index).ok()?)?);
        if !self.indices_made_by(node).contains(&channel_index.0) {
            return None;
        }
        let root = self.root(channel_index);
        let pinned =
            self.channel_indices.pinned().iter().filter(|(channel_index, _)| self.root(*channel_index) == root);
        let reasons: BTreeSet<&Reason> = pinned.map(|(_, reason)| reason).collect();
        let unit = self
            .groups
            .iter()
            .enumerate()
            .find_map(|(group, info)| Some((group, info.roots.iter().position(|&other| other == root)?)));
        Some(Coupled { cut: Cut::of_class(self, root), reasons: reasons.into_iter().cloned().collect(), unit })
    }

    /// Why channels stay that a node makes, carries or sums over.
    pub fn reasons_at(&self, node: usize) -> Vec<Reason> {
        let own = self.channel_indices.sites().iter().filter(|site| site.role.is_some_and(|(_, by)| by == node));
        let roots: BTreeSet<ChannelIndex> = own
            .flat_map(|site| (site.first.0..).take(site.len))
            .map(|channel_index| self.root(ChannelIndex(channel_index)))
            .collect();
        let pinned = self
            .channel_indices
            .pinned()
            .iter()
            .filter(|(channel_index, _)| roots.contains(&self.root(*channel_index)));
        let reasons: BTreeSet<&Reason> = pinned.map(|(_, reason)| reason).collect();
        reasons.into_iter().cloned().collect()
    }

    fn indices_made_by(&self, node: usize) -> std::ops::Range<u32> {
        let site = self.channel_indices.sites().iter().find(|site| site.role == Some((Role::Output, node)));
        site.map_or(0..0, |site| site.first.0..site.first.0 + u32::try_from(site.len).unwrap_or(0))
    }
}
