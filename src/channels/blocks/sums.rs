//! What a sum adds to its shortcut.

use std::collections::HashSet;

use super::{Block, BlockKind, Side, Walk};
use crate::model::node::is_onnx;
use crate::ops::scalar::bounds;
use crate::proto::onnx::NodeProto;

/// A sum of two values.
pub(super) fn adds_two(node: &NodeProto) -> bool {
    let two = matches!(&node.input[..], [a, b] if a != b && !a.is_empty() && !b.is_empty());
    is_onnx(node) && matches!(node.op_type(), "Add" | "Sum") && two
}

impl Walk<'_> {
    /// What a sum adds to its shortcut, if it does.
    pub(super) fn added(&self, sum: usize) -> Option<Block> {
        let node = self.node(sum);
        let output = node.output.first()?;
        let shape = self.channels.shape(output)?;
        let whole = |name: &String| self.channels.shape(name) == Some(shape) && self.variable.contains(name.as_str());
        if !node.input.iter().all(whole) {
            return None;
        }
        let sides = [0, 1].map(|input: usize| self.leading_to(&node.input[input], Some(sum), None));
        let reads = |input: usize| sides[input].entries.contains(&node.input[1 - input]);
        let works = |input: usize| sides[input].macs > 0;
        let identity = (0..2).find(|&input| reads(input) && works(input));
        let input = identity.or_else(|| self.heavier(node, &sides).filter(|&input| works(input)))?;
        let kind = if identity.is_some() { BlockKind::Residual } else { BlockKind::Stage };
        let shortcut = &node.input[1 - input];
        let repeated = self.repeated(output, shortcut);
        let repeated_output = repeated.and_then(|index| self.node(index).output.first().cloned());
        let side = sides.into_iter().nth(input)?;
        Some(Block { repeated, repeated_output, ..self.block(kind, [sum, input], shortcut, side)? })
    }

    /// Of two sides that come of one value the one with more work, the first of equal ones.
    fn heavier(&self, sum: &NodeProto, sides: &[Side; 2]) -> Option<usize> {
        let shared: Vec<&String> = sides[0].entries.intersection(&sides[1].entries).collect();
        let heavy = usize::from(sides[1].macs > sides[0].macs);
        let light = &sides[1 - heavy];
        let carried = |entry: &&&String| self.carries(light, entry, &sum.input[1 - heavy]);
        shared.iter().find(carried).map(|_| heavy)
    }

    /// Whether a side hands numbers of `entry` on to `value`, and not its shape alone.
    fn carries(&self, side: &Side, entry: &str, value: &str) -> bool {
        let mut reached = HashSet::from([entry]);
        let mut inside: Vec<usize> = side.nodes.iter().copied().collect();
        inside.sort_by_key(|&node| self.place[node]);
        for node in inside.into_iter().map(|index| self.node(index)) {
            let numbers = !matches!(node.op_type(), "Shape" | "Size" | "ConstantOfShape");
            if numbers && node.input.iter().any(|name| reached.contains(name.as_str())) {
                reached.extend(node.output.iter().map(String::as_str));
            }
        }
        reached.contains(value)
    }

    /// The activation that alone reads the sum, if the shortcut comes of one with the same bounds.
    fn repeated(&self, output: &str, shortcut: &str) -> Option<usize> {
        let bounds = |index: usize| bounds(self.model, &self.constants, self.node(index));
        let reader = self.uses.only(output)?;
        let made = bounds(self.uses.maker(shortcut)?)?;
        (bounds(reader) == Some(made)).then_some(reader)
    }
}
