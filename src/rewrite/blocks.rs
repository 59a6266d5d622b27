//! Blocks left out: the sum passes its shortcut on, or adds the block's result times zero.

use std::collections::HashMap;

use super::RewriteError;
use crate::channels::{Block, Channels, Cut};
use crate::model::Model;
use crate::proto::onnx::NodeProto;
use crate::surgery::{Graph, Names};

fn gone<'a>(channels: &'a Channels, cut: &'a Cut) -> impl Iterator<Item = &'a Block> {
    cut.blocks().map(|block| &channels.blocks[block])
}

/// Lets the sums of the blocks of the cut pass their shortcuts on, as `Identity`: every value keeps its name, and nothing
/// reads the blocks any more. So does an activation that does nothing then.
pub(super) fn leave_out(result: &mut Model, channels: &Channels, cut: &Cut) {
    for block in gone(channels, cut) {
        pass_on(&mut result.graph_mut().node[block.sum], 1 - block.input);
        if let Some(index) = block.repeated {
            pass_on(&mut result.graph_mut().node[index], 0);
        }
    }
}

/// A model, dense or sliced, without one block more; nothing else changes. What is left of the block is an `Identity`, as in
/// [`super::slice()`].
#[must_use]
pub fn without_block(model: &Model, block: &Block) -> Model {
    let mut result = model.clone();
    let makes = |node: &NodeProto, value: &str| node.output.first().is_some_and(|output| output == value);
    for node in &mut result.graph_mut().node {
        if makes(node, &block.output) && node.input.len() > 1 {
            pass_on(node, 1 - block.input);
        } else if block.repeated_output.as_deref().is_some_and(|output| makes(node, output)) {
            pass_on(node, 0);
        }
    }
    super::remove_unused(model.graph(), result.graph_mut());
    result
}

/// Makes an `Identity` of a node.
fn pass_on(node: &mut NodeProto, input: usize) {
    node.op_type = Some("Identity".into());
    node.input = node.input.get(input).cloned().into_iter().collect();
    node.attribute.clear();
}

/// Lets the sums of the blocks of the cut add the difference of the block's result and itself: zero, in any element type.
pub(super) fn mask(result: &mut Model, channels: &Channels, cut: &Cut, names: &mut Names) {
    let mut wanted: HashMap<&str, usize> = gone(channels, cut).map(|own| (own.output.as_str(), own.input)).collect();
    let nodes = std::mem::take(&mut result.graph_mut().node);
    for mut node in nodes {
        let masked = node.output.first().and_then(|output| wanted.remove(output.as_str()));
        if let Some(value) = masked.and_then(|input| node.input.get_mut(input)) {
            let zero = names.fresh(&format!("{value}_masked"));
            let read = std::mem::replace(value, zero.clone());
            result.graph_mut().node.push(NodeProto {
                op_type: Some("Sub".into()),
                name: Some(zero.clone()),
                input: vec![read.clone(), read],
                output: vec![zero],
                ..NodeProto::default()
            });
        }
        result.graph_mut().node.push(node);
    }
}

/// Takes out the `Identity` nodes that the blocks of a cut left in a sliced model; where a graph output needs its name, one
/// stays.
///
/// # Errors
/// If the model is no valid graph.
pub fn tidy(sliced: &Model, channels: &Channels, cut: &Cut) -> Result<Model, RewriteError> {
    let mut result = sliced.clone();
    if !cut.has_blocks() {
        return Ok(result);
    }
    let left: Vec<String> = left_by_blocks(channels, cut).map(ToOwned::to_owned).collect();
    let mut graph = Graph::of(&mut result)?;
    for id in graph.walk() {
        let node = graph.node(id);
        let own = node.is_some_and(|own| {
            own.op_type() == "Identity" && own.output.first().is_some_and(|output| left.contains(output))
        });
        if own {
            // A value that two outputs are named after keeps its Identity.
            let _kept = graph.bypass(id);
        }
    }
    graph.finish();
    Ok(result)
}

/// Names of the values that the blocks of a cut pass on.
fn left_by_blocks<'a>(channels: &'a Channels, cut: &'a Cut) -> impl Iterator<Item = &'a str> {
    gone(channels, cut).flat_map(|block| {
        let activation = block.repeated_output.as_deref();
        std::iter::once(block.output.as_str()).chain(activation)
    })
}
