//! A graph made ready for integers, in real numbers: its outputs stay what they were.
//!
//! Batch normalisation behind a product goes into its weight, zeros round an image into the window of the convolution that
//! reads it, a mean over all positions becomes `GlobalAveragePool`, values rounded before are real numbers again.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::{DataType, Model, TensorData};
use crate::ops::constant::Constants;
use crate::ops::linear::{BIAS, LinearMap, WEIGHT};
use crate::ops::normalization::{BETA, GAMMA, Statistics};
use crate::ops::real::RealWeight;
use crate::surgery::{Graph, Node, NodeId, SurgeryError};

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Readied {
    /// `BatchNormalization` that went into weights.
    pub normalizations: usize,
    /// `Pad` that went into windows.
    pub pads: usize,
    /// Means over all positions that became `GlobalAveragePool`.
    pub means: usize,
    /// Values that were rounded before.
    pub rounded: usize,
}

/// Makes a graph ready. `rank`: number of axes of a value, where it is known.
///
/// # Errors
/// If the graph breaks a rule of [`Graph::of`].
pub(crate) fn ready(model: &mut Model, rank: &dyn Fn(&str) -> Option<usize>) -> Result<Readied, SurgeryError> {
    let mut done = Readied { rounded: real_weights(model), ..Readied::default() };
    let mut graph = Graph::of(model)?;
    for id in graph.walk() {
        let Some(op) = graph.node(id).map(|node| node.op_type().to_owned()) else { continue };
        match op.as_str() {
            "QuantizeLinear" => done.rounded += usize::from(unrounded(&mut graph, id)),
            "Identity" => drop(graph.bypass(id)),
            "BatchNormalization" => done.normalizations += usize::from(normalization(&mut graph, id).is_some()),
            "Pad" => done.pads += usize::from(pad(&mut graph, id).is_some()),
            "ReduceMean" => done.means += usize::from(mean(&mut graph, id, rank).is_some()),
            _ => {}
        }
    }
    graph.remove_unused();
    graph.finish();
    Ok(done)
}

/// Stores weights that are kept in integers as the real numbers they stand for.
fn real_weights(model: &mut Model) -> usize {
    let constants = Constants::of(model.graph());
    let dequantized = |node: &&Node| node.op_type() == "DequantizeLinear";
    let names: Vec<String> =
        model.graph().node.iter().filter(dequantized).filter_map(|node| node.output.first().cloned()).collect();
    let mut found = Vec::new();
    for name in names {
        if let Some(own) = RealWeight::of(model, &constants, &name) {
            found.push((name, TensorData::from_f32(own.dims, &own.values)));
        }
    }
    let Ok(mut graph) = Graph::of(model) else { return 0 };
    found.into_iter().filter(|(name, data)| stored(&mut graph, name, data).is_ok()).count()
}

/// Lets a value be a stored tensor in place of what made it.
fn stored(graph: &mut Graph<'_>, value: &str, data: &TensorData) -> Result<(), SurgeryError> {
    graph.atomically(|graph| {
        let Some(maker) = graph.producer(value) else { return Ok(()) };
        let name = graph.fresh_name(&format!("{value}_real"));
        graph.add_initializer(&name, data)?;
        graph.redirect(value, &name)?;
        graph.remove(maker).map(drop)
    })
}

/// Lets readers of a rounded value read it as it was.
fn unrounded(graph: &mut Graph<'_>, id: NodeId) -> bool {
    let Some(output) = graph.node(id).and_then(|node| node.output.first()).cloned() else { return false };
    let readers = graph.readers(&output);
    let dequantized = |id: NodeId| graph.node(id).is_some_and(|node| node.op_type() == "DequantizeLinear");
    if readers.is_empty() || readers.iter().any(|reader| reader.input != Some(0) || !dequantized(reader.node)) {
        return false;
    }
    let Some(input) = graph.node(id).and_then(|node| node.input.first()).cloned() else { return false };
    let edit = graph.atomically(|graph| {
        for reader in &readers {
            graph.set_input(reader.node, 0, &input)?;
            graph.update(reader.node, |node| {
                "Identity".clone_into(node.op_type.get_or_insert_default());
                node.input.truncate(1);
                node.attribute.clear();
            })?;
        }
        graph.remove(id).map(drop)
    });
    edit.is_ok()
}

/// Numbers of a stored value.
fn floats(graph: &Graph<'_>, name: &str) -> Option<(Vec<usize>, Vec<f32>)> {
    let data = graph.constant(name).ok().filter(|data| data.dtype == DataType::Float)?;
    Some((data.dims.clone(), data.to_f32()?))
}

/// Puts a normalisation into the product before it.
#[allow(clippy::cast_possible_truncation, reason = "weights are stored in single precision")]
fn normalization(graph: &mut Graph<'_>, id: NodeId) -> Option<()> {
    let node = graph.node(id)?.clone();
    let stored = |input: usize| floats(graph, node.input.get(input)?).map(|(_, values)| values);
    let [scale, shift] = Statistics::of(&node, stored)?.fold(&stored(GAMMA)?, &stored(BETA)?)?;
    let input = node.input.first()?;
    let maker = graph.producer(input).filter(|_| graph.readers(input).len() == 1 && !graph.is_output(input))?;
    let product = graph.node(maker)?.clone();
    let (dims, weight) = floats(graph, product.input.get(WEIGHT)?)?;
    let map = LinearMap::of(&product, &dims).filter(|map| map.is_plain() && map.takes_bias)?;
    let layout = map.layout;
    if layout.outputs != scale.len() || map.window.is_none() && product.op_type() != "Gemm" {
        return None;
    }
    let old = match product.input.get(BIAS).filter(|name| !name.is_empty()) {
        Some(name) => floats(graph, name).filter(|(dims, _)| map.is_per_output(dims))?.1,
        None => vec![0.0; layout.outputs],
    };
    let rows = layout.rows(&weight);
    let rows: Vec<f32> =
        rows.iter().enumerate().map(|(at, value)| (f64::from(*value) * scale[at / layout.columns]) as f32).collect();
    let bias: Vec<f32> = old.iter().zip(&scale).zip(&shift).map(|((b, s), t)| (f64::from(*b) * s + t) as f32).collect();
    let output = node.output.first()?.clone();
    let edit = graph.atomically(|graph| -> Result<(), SurgeryError> {
        let weight_name = graph.fresh_name(&format!("{}_folded", product.input[WEIGHT]));
        let bias_name = graph.fresh_name(&format!("{output}_bias"));
        graph.add_initializer(&weight_name, &TensorData::from_f32(dims, &layout.elements(&rows)))?;
        graph.add_initializer(&bias_name, &TensorData::from_f32(vec![bias.len()], &bias))?;
        let mut folded = product.clone();
        folded.input.resize(BIAS + 1, String::new());
        folded.input[WEIGHT] = weight_name;
        folded.input[BIAS] = bias_name;
        folded.output = vec![output];
        graph.replace_nodes(&[maker, id], vec![folded]).map(drop)
    });
    edit.ok()
}

/// Puts zeros round an image into the windows of the convolutions that read it.
fn pad(graph: &mut Graph<'_>, id: NodeId) -> Option<()> {
    let node = graph.node(id)?.clone();
    let constant = node.text("mode").is_none_or(|mode| mode == "constant");
    let numbers = |input: usize| graph.constant(node.input.get(input).filter(|name| !name.is_empty())?).ok();
    let value = match numbers(2) {
        Some(data) => data.to_f32()?.first().copied()?,
        None if node.input.get(2).is_some_and(|name| !name.is_empty()) => return None,
        None => node.float("value").unwrap_or(0.0),
    };
    if !constant || value != 0.0 || node.input.len() > 3 {
        return None;
    }
    let amounts = node.ints("pads").map(<[i64]>::to_vec).or_else(|| numbers(1)?.to_i64())?;
    let rank = amounts.len() / 2;
    let (before, behind) = amounts.split_at(rank);
    let outer = |side: &[i64]| side.iter().take(2).all(|&own| own == 0);
    if rank < 3 || !outer(before) || !outer(behind) || amounts.iter().any(|&own| own < 0) {
        return None;
    }
    let more: Vec<i64> = before[2..].iter().chain(&behind[2..]).copied().collect();
    let (input, output) = (node.input.first()?.clone(), node.output.first()?.clone());
    let readers = graph.readers(&output);
    let takes = |node: &Node| {
        let whole = node.text("auto_pad").is_none_or(|own| own == "NOTSET" || own == "VALID");
        // With implicit padding the sizes decide.
        node.op_type() == "Conv" && whole && node.ints("pads").is_none_or(|own| own.len() == more.len())
    };
    let fits = |reader: &crate::surgery::Reader| reader.input == Some(0) && graph.node(reader.node).is_some_and(takes);
    if graph.is_output(&output) || readers.is_empty() || !readers.iter().all(fits) {
        return None;
    }
    let edit = graph.atomically(|graph| -> Result<(), SurgeryError> {
        for reader in &readers {
            graph.update(reader.node, |node| {
                let own = match node.text("auto_pad") {
                    Some("VALID") => vec![0; more.len()],
                    _ => node.ints("pads").map_or_else(|| vec![0; more.len()], <[i64]>::to_vec),
                };
                node.unset("auto_pad");
                node.set("pads", own.iter().zip(&more).map(|(own, more)| own + more).collect::<Vec<i64>>());
                input.clone_into(&mut node.input[0]);
            })?;
        }
        graph.remove(id).map(drop)
    });
    edit.ok()
}

/// Writes a mean over all positions of an image as `GlobalAveragePool`.
fn mean(graph: &mut Graph<'_>, id: NodeId, rank: &dyn Fn(&str) -> Option<usize>) -> Option<()> {
    let node = graph.node(id)?.clone();
    let input = node.input.first()?;
    let rank = rank(input).filter(|&rank| rank > 2)?;
    let named = node.input.get(1).filter(|name| !name.is_empty());
    let axes = match named {
        Some(name) => graph.constant(name).ok()?.to_i64()?,
        None => node.ints("axes")?.to_vec(),
    };
    let mut axes: Vec<usize> =
        axes.into_iter().map(|axis| crate::model::axes::resolve_axis(axis, rank)).collect::<Option<_>>()?;
    axes.sort_unstable();
    let positions: Vec<usize> = (2..rank).collect();
    if axes != positions {
        return None;
    }
    let output = node.output.first()?.clone();
    let pooled = |output: &str| Node::new("GlobalAveragePool").input(input).output(output);
    let edit = if node.int("keepdims").unwrap_or(1) == 1 {
        graph.replace(id, pooled(&output))
    } else {
        let whole = graph.fresh_name(&format!("{output}_pooled"));
        let flat = Node::new("Flatten").input(&whole).output(&output).attr("axis", 1);
        graph.replace_nodes(&[id], vec![pooled(&whole), flat]).map(drop)
    };
    edit.ok()
}
