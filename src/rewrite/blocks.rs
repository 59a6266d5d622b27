//! Blocks left out: the sum passes its shortcut on, or adds the block's result times zero.

use super::RewriteError;
use crate::channels::{Block, BlockKind, Channels, Cut};
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
        let node = &mut result.graph_mut().node[block.node];
        if block.kind == BlockKind::Branch {
            node.input.retain(|name| *name != block.shortcut);
            continue;
        }
        pass_on(node, &block.shortcut);
        if let Some(index) = block.repeated {
            pass_on(&mut result.graph_mut().node[index], &block.output);
        }
    }
}

/// The value of a block whose shortcut and output a cut leaves other channels of.
pub(super) fn mismatch(channels: &Channels, cut: &Cut) -> Option<String> {
    let kept = |name: &str| {
        let ids = channels.value_ids(name)?;
        Some((0..ids.rank()).map(|axis| channels.kept(cut, ids, axis)).collect::<Vec<_>>())
    };
    let layers = gone(channels, cut).filter(|block| block.kind == BlockKind::Layer);
    layers.filter(|block| kept(&block.shortcut) != kept(&block.output)).map(|block| block.output.clone()).next()
}

/// A model, dense or sliced, without one block more; nothing else changes. What is left of the block is an `Identity`, as in
/// [`super::slice()`]; a branch is replaced by zeros, so that every shape stays.
#[must_use]
pub fn without_block(model: &Model, block: &Block) -> Model {
    let mut result = model.clone();
    let makes = |node: &NodeProto, value: &str| node.output.first().is_some_and(|output| output == value);
    if block.kind == BlockKind::Branch {
        add_zero(&mut result, block, &mut Names::of(model.graph()));
        return result;
    }
    for node in &mut result.graph_mut().node {
        if makes(node, &block.output) {
            pass_on(node, &block.shortcut);
        } else if block.repeated_output.as_deref().is_some_and(|output| makes(node, output)) {
            pass_on(node, &block.output);
        }
    }
    super::remove_unused(model.graph(), result.graph_mut());
    result
}

/// Makes an `Identity` of a node.
fn pass_on(node: &mut NodeProto, value: &str) {
    node.op_type = Some("Identity".into());
    node.input = vec![value.to_owned()];
    node.attribute.clear();
}

/// Lets the sums of the blocks of the cut add zeros; what is passed on in place of a layer is passed on here too. The channels of
/// branches are zeroed where they are summed over, like any other.
pub(super) fn mask(result: &mut Model, channels: &Channels, cut: &Cut, names: &mut Names) {
    for block in gone(channels, cut) {
        match block.kind {
            BlockKind::Residual | BlockKind::Stage => add_zero(result, block, names),
            BlockKind::Layer => {
                let made = |node: &&mut NodeProto| node.output.first() == Some(&block.output);
                if let Some(node) = result.graph_mut().node.iter_mut().find(made) {
                    pass_on(node, &block.shortcut);
                }
            }
            BlockKind::Branch => {}
        }
    }
}

/// Replaces a block's result, where the node behind it reads it, by its difference from itself: zero, in any element type.
fn add_zero(result: &mut Model, block: &Block, names: &mut Names) {
    let nodes = &mut result.graph_mut().node;
    let behind = |node: &NodeProto| node.output.first() == Some(&block.output);
    let Some(at) = nodes.iter().position(behind) else { return };
    let Some(value) = nodes[at].input.get_mut(block.input) else { return };
    let zero = names.fresh(&format!("{value}_masked"));
    let read = std::mem::replace(value, zero.clone());
    let difference = NodeProto {
        op_type: Some("Sub".into()),
        name: Some(zero.clone()),
        input: vec![read.clone(), read],
        output: vec![zero],
        ..NodeProto::default()
    };
    nodes.insert(at, difference);
}

/// Takes out the `Identity` nodes that the blocks of a cut left in a sliced model; where a graph output needs its name, one
/// stays.
///
/// # Errors
/// If the model is no valid graph.
pub fn tidy(sliced: Model, channels: &Channels, cut: &Cut) -> Result<Model, RewriteError> {
    let mut result = sliced;
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
    gone(channels, cut).filter(|block| block.kind != BlockKind::Branch).flat_map(|block| {
        let activation = block.repeated_output.as_deref();
        std::iter::once(block.output.as_str()).chain(activation)
    })
}
