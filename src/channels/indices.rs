//! Channel indices and their union-find.
//!
//! A *channel index* is one index along one axis of one tensor. Channel indices that must be cut together are united; channel indices that may
//! not be cut are pinned with a [`Reason`].

use std::fmt;

/// One index along one axis of one tensor (or one zero that padding adds).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ChannelIndex(pub(crate) u32);

impl ChannelIndex {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// A run of channel indices: all indices along one axis of one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SiteId(pub(crate) u32);

/// Where the channel indices of a site live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// An axis of a constant, as one input of one node reads it.
    Constant { use_id: usize, axis: usize },
    /// Channels that a `Pad` adds.
    Padding,
    /// An axis of a value that nobody may change: a graph input, the output of an opaque node.
    Fixed,
}

/// What an axis of a constant does in the node that reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The axis makes channels: a filter of `Conv`, a column of `Gemm`.
    Output,
    /// The axis is summed over: masking zeroes its slices.
    Input,
    /// One entry per channel: bias, BatchNormalization, depthwise filter.
    Parameter,
}

/// Why channel indices may not be cut, in words a person can act on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub enum Reason {
    /// Part of the model's interface.
    GraphInput(String),
    /// Part of the model's interface.
    GraphOutput(String),
    /// An operator needs all of them.
    Operator {
        /// Operator type.
        op: String,
        /// Name of the node, or of its first output.
        node: String,
        /// Why, continuing "protected by OP `node`: ".
        why: String,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GraphInput(name) => write!(f, "channels of the graph input `{name}`"),
            Self::GraphOutput(name) => write!(f, "channels of the graph output `{name}`"),
            Self::Operator { op, node, why } => write!(f, "{op} `{node}`: {why}"),
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Site {
    pub(crate) place: Place,
    pub(crate) first: ChannelIndex,
    pub(crate) len: usize,
    /// Role and index of the node that gives it.
    pub(crate) role: Option<(Role, usize)>,
}

/// All channel indices of one dependency propagation.
#[derive(Debug, Clone, Default)]
pub(crate) struct ChannelIndices {
    parent: Vec<u32>,
    site_of: Vec<u32>,
    sites: Vec<Site>,
    pinned: Vec<(ChannelIndex, Reason)>,
}

impl ChannelIndices {
    /// `len` new channel indices.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "a model has far fewer than 2^32 channel_indices; bounded by its axes"
    )]
    pub(crate) fn site(&mut self, place: Place, len: usize) -> Vec<ChannelIndex> {
        let first = self.parent.len() as u32;
        let site = self.sites.len() as u32;
        self.parent.extend(first..first + len as u32);
        self.site_of.extend(std::iter::repeat_n(site, len));
        self.sites.push(Site { place, first: ChannelIndex(first), len, role: None });
        (first..first + len as u32).map(ChannelIndex).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.parent.len()
    }

    pub(crate) fn find(&self, channel_index: ChannelIndex) -> ChannelIndex {
        let mut at = channel_index.0;
        while self.parent[at as usize] != at {
            at = self.parent[at as usize];
        }
        ChannelIndex(at)
    }

    /// Unites two classes; the smaller root wins, so that the result does not depend on the order of unions.
    pub(crate) fn unite(&mut self, a: ChannelIndex, b: ChannelIndex) -> bool {
        let (a, b) = (self.compress(a), self.compress(b));
        if a == b {
            return false;
        }
        let (low, high) = if a < b { (a, b) } else { (b, a) };
        self.parent[high.index()] = low.0;
        true
    }

    fn compress(&mut self, channel_index: ChannelIndex) -> ChannelIndex {
        let root = self.find(channel_index);
        let mut at = channel_index.0;
        while at != root.0 {
            at = std::mem::replace(&mut self.parent[at as usize], root.0);
        }
        root
    }

    pub(crate) fn pin(&mut self, channel_index: ChannelIndex, reason: &Reason) {
        self.pinned.push((channel_index, reason.clone()));
    }

    pub(crate) fn pinned(&self) -> &[(ChannelIndex, Reason)] {
        &self.pinned
    }

    pub(crate) fn site_of(&self, channel_index: ChannelIndex) -> SiteId {
        SiteId(self.site_of[channel_index.index()])
    }

    pub(crate) fn sites(&self) -> &[Site] {
        &self.sites
    }

    /// Gives a role to the sites of `channel_indices`. An axis that both makes and sums channels keeps the first of these roles; a
    /// weight that elementwise operators prepare is a weight all the same.
    pub(crate) fn mark(&mut self, channel_indices: &[ChannelIndex], role: Role, node: usize) {
        let mut last = None;
        for &channel_index in channel_indices {
            let site = self.site_of(channel_index);
            if last != Some(site) {
                let known = &mut self.sites[site.0 as usize].role;
                if known.is_none_or(|(known, _)| known == Role::Parameter) {
                    *known = Some((role, node));
                }
                last = Some(site);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unions_do_not_depend_on_order() {
        let mut channel_indices = ChannelIndices::default();
        let ids = channel_indices.site(Place::Fixed, 4);
        channel_indices.unite(ids[3], ids[2]);
        channel_indices.unite(ids[2], ids[0]);
        assert_eq!(channel_indices.find(ids[3]), ids[0]);
        assert_eq!(channel_indices.find(ids[1]), ids[1]);
        assert!(!channel_indices.unite(ids[0], ids[3]));
    }
}
