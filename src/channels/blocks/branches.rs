//! Inputs of a `Concat` that lose all of their channels.

use std::collections::BTreeSet;

use super::{Block, BlockKind, Walk};
use crate::channels::indices::ChannelIndex;
use crate::model::axes::resolve_axis;
use crate::model::node::is_onnx;

impl Walk<'_> {
    /// The inputs of a `Concat` along an axis of channels that have nodes of their own and whose channels can all go.
    pub(super) fn branches(&self, index: usize) -> Vec<Block> {
        let node = self.node(index);
        let Some(output) = node.output.first().filter(|_| is_onnx(node) && node.op_type() == "Concat") else {
            return Vec::new();
        };
        let Some(shape) = self.channels.shape(output) else { return Vec::new() };
        let axis = node.int("axis").and_then(|axis| resolve_axis(axis, shape.len()));
        let Some(axis) = axis else { return Vec::new() };
        let mut found: Vec<Block> = (0..node.input.len()).filter_map(|input| self.branch(index, input, axis)).collect();
        if found.len() == node.input.len() {
            // All together would leave nothing: the one with most work stays.
            let most = (0..found.len()).max_by_key(|&at| found[at].macs);
            most.map(|at| found.remove(at));
        }
        found
    }

    fn branch(&self, index: usize, input: usize, axis: usize) -> Option<Block> {
        let node = self.node(index);
        let value = &node.input[input];
        if node.input.iter().filter(|name| *name == value).count() != 1 || !self.variable.contains(value.as_str()) {
            return None;
        }
        let side = self.leading_to(value, Some(index), None);
        if side.macs == 0 || !self.are_whole_groups(value, axis, &side.nodes) {
            return None;
        }
        self.block(BlockKind::Branch, [index, input], value, side)
    }

    /// Whether the channels of a value are those of whole groups that only these nodes make.
    fn are_whole_groups(&self, value: &str, axis: usize, nodes: &BTreeSet<usize>) -> bool {
        let channels = self.channels;
        let Some(columns) = channels.value_ids(value).and_then(|ids| ids.columns(axis)) else { return false };
        let mut roots: BTreeSet<ChannelIndex> = BTreeSet::new();
        for column in &columns {
            let own: BTreeSet<ChannelIndex> = column.iter().map(|&channel| channels.root(channel)).collect();
            if own.len() != 1 {
                return false;
            }
            roots.extend(own);
        }
        let mut left = roots.clone();
        for group in channels.groups.iter().filter(|group| group.roots.iter().any(|root| roots.contains(root))) {
            let made_here = group.producers.iter().all(|own| nodes.contains(&own.operator));
            if !made_here || !group.roots.iter().all(|root| left.remove(root)) {
                return false;
            }
        }
        left.is_empty()
    }
}
