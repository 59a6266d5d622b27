//! Rewriting a model by a cut: slices, attributes, operands, declared shapes.
//!
//! [`slice()`] removes the cut channel indices physically. [`mask`] leaves every shape as it is, zeroes the cut channel indices in the
//! weights that sum over them, adds nothing where a block goes, and lets what combines channels without weights (a
//! `LayerNormalization`, a mean over channels) see only those that stay. Both must compute the same numbers; `verify` checks that they do.

mod added;
mod blocks;
mod operands;
mod restricted;
mod weights;

use std::collections::HashSet;

use crate::channels::ops::{self, Rewrite};
use crate::channels::{Channels, Cut};
use crate::explain::Explain;
use crate::model::{Model, ModelError};
use crate::proto::onnx::tensor_shape_proto::dimension::Value as Size;
use crate::proto::onnx::type_proto::Value as Kind;
use crate::proto::onnx::{GraphProto, NodeProto, ValueInfoProto};
use crate::surgery::{Names, SurgeryError, references};
use added::Added;
pub use blocks::{tidy, without_block};
use operands::Required;

/// An input of a node.
#[derive(Debug, Clone, Copy)]
struct InputPlace {
    node: usize,
    input: usize,
}

/// Why a cut cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RewriteError {
    /// A weight cannot be read.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A graph cannot be edited.
    #[error(transparent)]
    Surgery(#[from] SurgeryError),
    /// An operand that carries a channel count cannot be adapted.
    #[error("cannot adapt input {input} of {op} `{node}`")]
    Operand {
        /// Name of the node.
        node: String,
        /// Operator type.
        op: String,
        /// Index of the input.
        input: usize,
    },
    /// A layer that is left out reads other channels than it makes.
    #[error("the cut leaves other channels before the layer of `{value}` than behind it")]
    Layer {
        /// Name of the value that it makes.
        value: String,
    },
    /// A value would be left without channels.
    #[error("the cut leaves nothing of `{value}`")]
    Emptied {
        /// Name of the value.
        value: String,
        /// The axis of which nothing is left.
        axis: usize,
    },
}

impl Explain for RewriteError {
    fn location(&self) -> Option<String> {
        match self {
            Self::Model(error) => error.location(),
            Self::Surgery(error) => error.location(),
            Self::Operand { .. } | Self::Emptied { .. } | Self::Layer { .. } => None,
        }
    }

    fn why(&self) -> Option<String> {
        match self {
            Self::Model(error) => error.why(),
            Self::Surgery(error) => error.why(),
            Self::Layer { .. } => Some("it is left out, and what it reads is passed on".into()),
            Self::Operand { .. } => Some("its content after the cut could not be determined".into()),
            Self::Emptied { axis, .. } => Some(format!("every index along its axis {axis} is cut")),
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            Self::Model(error) => error.help(),
            Self::Surgery(error) => error.help(),
            Self::Layer { .. } => Some("leave the groups of `Channels::whole_groups` whole".into()),
            Self::Emptied { .. } => Some("leave at least one unit of each of `Group::keep_sets`".into()),
            Self::Operand { node, .. } => Some(format!("keep the channels around it with `--ignore '{node}'`")),
        }
    }
}

/// The model without the channel indices and blocks of `cut`. What is left of a block is an `Identity`, so that every value
/// keeps its name; [`tidy`] takes it out.
///
/// # Errors
/// If a weight cannot be read, an operand cannot be adapted, or nothing would be left of a value.
pub fn slice(model: &Model, channels: &Channels, cut: &Cut) -> Result<Model, RewriteError> {
    if cut.is_empty() {
        return Ok(model.clone());
    }
    if let Some((value, axis)) = channels.emptied(cut) {
        return Err(RewriteError::Emptied { value, axis });
    }
    if let Some(value) = blocks::mismatch(channels, cut) {
        return Err(RewriteError::Layer { value });
    }
    let mut result = model.clone();
    let mut names = Names::of(model.graph());
    let mut required = Vec::new();
    let mut added = Added::to(model);
    for index in (0..model.graph().node.len()).filter(|&index| !cut.removes_node(index)) {
        let node = &mut result.graph_mut().node[index];
        let opset = model.opset("").unwrap_or(1);
        let (operands, shapes, picks) = (Vec::new(), Vec::new(), Vec::new());
        let mut rewrite = Rewrite { node, index, opset, channels, cut, operands, shapes, picks };
        if let Some(rule) = ops::rule(rewrite.node).filter(|_| channels.understands(index, &model.graph().node[index]))
        {
            rule.rewrite(&mut rewrite);
        }
        let Rewrite { operands, shapes, picks, .. } = rewrite;
        let wanted = operands.iter().map(|(input, _)| *input).collect::<Vec<_>>();
        required.extend(unchanged(&model.graph().node[index], channels).filter_map(|(input, values)| {
            let shape = None;
            (!wanted.contains(&input)).then_some(Required { node: index, input, values, shape })
        }));
        required.extend(operands.into_iter().map(|(input, values)| Required {
            node: index,
            input,
            shape: shapes.iter().find(|(of, _)| *of == input).map(|(_, shape)| shape.clone()),
            values,
        }));
        for (axis, indices) in picks {
            added.gather_after(&mut result, index, axis, &indices, &mut names);
        }
    }
    weights::slice(model, &mut result, channels, cut, &mut names)?;
    operands::adapt(model, &mut result, channels, required, &mut names, &mut added)?;
    blocks::leave_out(&mut result, channels, cut);
    added.place(&mut result);
    declare(result.graph_mut(), channels, cut);
    remove_unused(model.graph(), result.graph_mut());
    Ok(result)
}

/// Inputs of a node that are computed from shapes and leave shape arithmetic here: whatever is computed from the size of
/// a channel axis (the scale of an attention, say) must come out as before the cut.
fn unchanged<'a>(node: &'a NodeProto, channels: &'a Channels) -> impl Iterator<Item = (usize, Vec<i64>)> + 'a {
    let arithmetic = node.output.iter().all(|name| name.is_empty() || channels.computed_numbers(name).is_some());
    let inputs = node.input.iter().enumerate().filter(move |_| !arithmetic);
    inputs.filter_map(|(input, name)| Some((input, channels.computed_numbers(name)?.to_vec())))
}

/// The model with the channel indices of `cut` zeroed wherever a weight sums over them, and left out wherever channels are
/// combined without weights, and with the results of its blocks times zero; all shapes stay.
///
/// # Errors
/// If a weight cannot be read.
pub fn mask(model: &Model, channels: &Channels, cut: &Cut) -> Result<Model, RewriteError> {
    let mut result = model.clone();
    let mut names = Names::of(model.graph());
    weights::mask(model, &mut result, channels, cut, &mut names)?;
    restricted::mask(model, &mut result, channels, cut, &mut names);
    blocks::mask(&mut result, channels, cut, &mut names);
    remove_unused(model.graph(), result.graph_mut());
    Ok(result)
}

/// Corrects the shapes that the file declares.
fn declare(graph: &mut GraphProto, channels: &Channels, cut: &Cut) {
    let fix = |info: &mut ValueInfoProto| {
        let Some(ids) = channels.value_ids(info.name.as_deref().unwrap_or_default()) else { return };
        let Some(Kind::TensorType(tensor)) = info.r#type.as_mut().and_then(|kind| kind.value.as_mut()) else { return };
        let Some(shape) = tensor.shape.as_mut() else { return };
        for (axis, dim) in shape.dim.iter_mut().enumerate().take(ids.shape.len()) {
            let kept = channels.kept(cut, ids, axis).len();
            if kept != ids.shape[axis] {
                dim.value = i64::try_from(kept).ok().map(Size::DimValue);
            }
        }
    };
    graph.value_info.iter_mut().for_each(fix);
    let sizes: std::collections::HashMap<String, Vec<i64>> =
        graph.initializer.iter().map(|tensor| (tensor.name().to_owned(), tensor.dims.clone())).collect();
    // Before IR version 4 every weight is listed as a graph input too; some exporters declare weights as values.
    for input in graph.input.iter_mut().chain(&mut graph.value_info) {
        let Some(dims) = sizes.get(input.name()) else { continue };
        let Some(Kind::TensorType(tensor)) = input.r#type.as_mut().and_then(|kind| kind.value.as_mut()) else {
            continue;
        };
        for (dim, size) in tensor.shape.iter_mut().flat_map(|shape| &mut shape.dim).zip(dims) {
            dim.value = Some(Size::DimValue(*size));
        }
    }
}

/// Removes nodes and initializers that were read before the rewrite and no longer are.
fn remove_unused(before: &GraphProto, graph: &mut GraphProto) {
    let read_before = references(before);
    loop {
        let read = references(graph);
        let gone = |name: &str| read_before.contains_key(name) && !read.contains_key(name);
        let count = graph.node.len() + graph.initializer.len();
        graph.node.retain(|node| {
            !node.output.iter().any(|name| gone(name)) || node.output.iter().any(|n| read.contains_key(n))
        });
        graph.initializer.retain(|tensor| !gone(tensor.name()));
        if graph.node.len() + graph.initializer.len() == count {
            break;
        }
    }
    let left: HashSet<String> = graph
        .initializer
        .iter()
        .map(|tensor| tensor.name().to_owned())
        .chain(graph.node.iter().flat_map(|node| node.output.iter().cloned()))
        .collect();
    let stored: HashSet<&str> = before.initializer.iter().map(crate::proto::onnx::TensorProto::name).collect();
    graph.input.retain(|input| !stored.contains(input.name()) || left.contains(input.name()));
    let inputs: HashSet<String> = graph.input.iter().map(|input| input.name().to_owned()).collect();
    let made_before: HashSet<&str> =
        before.node.iter().flat_map(|node| node.output.iter().map(String::as_str)).collect();
    graph.value_info.retain(|info| {
        left.contains(info.name()) || inputs.contains(info.name()) || !made_before.contains(info.name())
    });
}
