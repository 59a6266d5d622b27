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
use crate::ops::quantised::range;
use crate::ops::real::RealWeight;
use crate::ops::{Int8, operator};
use crate::surgery::{Graph, Node, NodeId, SurgeryError};

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Readied {
    /// `BatchNormalization` that went into weights.
    pub normalizations: usize,
    /// `BatchNormalization` that became a convolution of every channel alone.
    pub convolutions: usize,
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
            "BatchNormalization" => match normalization(&mut graph, id) {
                Some(()) => done.normalizations += 1,
                None => done.convolutions += usize::from(depthwise(&mut graph, id, rank).is_some()),
            },
            "MaxPool" => trim(&mut graph, id),
            "Pad" => done.pads += usize::from(pad(&mut graph, id).is_some()),
            "ReduceMean" => done.means += usize::from(mean(&mut graph, id, rank).is_some()),
            _ => {}
        }
    }
    for id in graph.walk() {
        if graph.node(id).is_some_and(|node| node.op_type() == "Identity") {
            // What ends in an output stays.
            let _ = graph.bypass(id);
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

/// Lets readers of a rounded value read it as it was, within the bounds that rounding set it where one of them is zero: an
/// activation may be hidden in it.
fn unrounded(graph: &mut Graph<'_>, id: NodeId) -> bool {
    let Some(node) = graph.node(id).cloned() else { return false };
    let Some(output) = node.output.first() else { return false };
    real_pads(graph, output);
    let readers = graph.readers(output);
    let dequantized = |id: NodeId| graph.node(id).is_some_and(|node| node.op_type() == "DequantizeLinear");
    if readers.is_empty() || readers.iter().any(|reader| reader.input != Some(0) || !dequantized(reader.node)) {
        return false;
    }
    let Some(input) = node.input.first().cloned() else { return false };
    // What only moves integers has been within their range before.
    let maker = graph.producer(&input).and_then(|id| graph.node(id)).and_then(operator);
    let hidden = hidden_bounds(graph, &node).filter(|_| maker.is_some_and(|own| own.int8 != Int8::Moves));
    let edit = graph.atomically(|graph| -> Result<(), SurgeryError> {
        let mut operands = vec![input.clone()];
        if let Some(bounds) = hidden {
            for (bound, name) in bounds.into_iter().zip(["least", "most"]) {
                let name = graph.fresh_name(&format!("{output}_{name}"));
                graph.add_initializer(&name, &TensorData::from_f32(Vec::new(), &[bound]))?;
                operands.push(name);
            }
        }
        for reader in &readers {
            graph.update(reader.node, |node| {
                let op = if hidden.is_some() { "Clip" } else { "Identity" };
                *node =
                    Node { input: operands.clone(), attribute: Vec::new(), op_type: Some(op.into()), ..node.clone() };
            })?;
        }
        graph.remove(id).map(drop)
    });
    edit.is_ok()
}

/// Lets every `Pad` of integers, which adds what stands for zero, stand behind a `DequantizeLinear` of its own and add zeros.
fn real_pads(graph: &mut Graph<'_>, integers: &str) {
    for reader in graph.readers(integers) {
        let Some(pad) = graph.node(reader.node).filter(|node| node.op_type() == "Pad").cloned() else { continue };
        let Some(padded) = pad.output.first() else { continue };
        let behind = graph.readers(padded);
        let &[only] = &behind[..] else { continue };
        let Some(last) = graph.node(only.node).filter(|node| node.op_type() == "DequantizeLinear").cloned() else {
            continue;
        };
        if pad.input.get(2) != last.input.get(2) && !same_constants(graph, [pad.input.get(2), last.input.get(2)]) {
            continue;
        }
        let real = graph.fresh_name(&format!("{integers}_real"));
        let mut before = Node { output: vec![real.clone()], name: None, ..last.clone() };
        integers.clone_into(&mut before.input[0]);
        let mut zeros = Node { output: last.output.clone(), ..pad.clone() };
        zeros.input[0] = real;
        zeros.input.truncate(2);
        // A graph that refuses stays as it is.
        let _ = graph.replace_nodes(&[reader.node, only.node], vec![before, zeros]);
    }
}

/// Whether two stored tensors hold the same.
fn same_constants(graph: &Graph<'_>, names: [Option<&String>; 2]) -> bool {
    let [a, b] = names.map(|name| graph.constant(name?).ok());
    a.is_some() && a == b
}

/// The range that a `QuantizeLinear` lets through, where it begins at zero.
fn hidden_bounds(graph: &Graph<'_>, node: &Node) -> Option<[f32; 2]> {
    let scale = graph.constant(node.input.get(1)?).ok()?.to_f32().filter(|own| own.len() == 1)?;
    let zero = match node.input.get(2).filter(|name| !name.is_empty()) {
        Some(name) => graph.constant(name).ok()?,
        None => TensorData { dtype: DataType::Uint8, dims: Vec::new(), bytes: vec![0].into() },
    };
    let (low, high) = range(zero.dtype)?;
    let own = zero.to_i64()?;
    #[allow(clippy::cast_precision_loss, reason = "8 and 16 bits")]
    (own == [low]).then(|| [0.0, scale[0] * (high - low) as f32])
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

/// Writes a normalisation that no product comes before as a convolution of every channel alone: that runs on integers.
#[allow(clippy::cast_possible_truncation, reason = "weights are stored in single precision")]
fn depthwise(graph: &mut Graph<'_>, id: NodeId, rank: &dyn Fn(&str) -> Option<usize>) -> Option<()> {
    let node = graph.node(id)?.clone();
    let stored = |input: usize| floats(graph, node.input.get(input)?).map(|(_, values)| values);
    let [scale, shift] = Statistics::of(&node, stored)?.fold(&stored(GAMMA)?, &stored(BETA)?)?;
    let (input, output) = (node.input.first()?, node.output.first()?.clone());
    let kernel = rank(input).filter(|rank| (3..=5).contains(rank))? - 2;
    let channels = scale.len();
    let single = |values: &[f64]| values.iter().map(|value| *value as f32).collect::<Vec<f32>>();
    let dims: Vec<usize> = [channels, 1].into_iter().chain(std::iter::repeat_n(1, kernel)).collect();
    let edit = graph.atomically(|graph| -> Result<(), SurgeryError> {
        let weight = graph.fresh_name(&format!("{output}_weight"));
        let bias = graph.fresh_name(&format!("{output}_bias"));
        graph.add_initializer(&weight, &TensorData::from_f32(dims, &single(&scale)))?;
        graph.add_initializer(&bias, &TensorData::from_f32(vec![channels], &single(&shift)))?;
        let group = i64::try_from(channels).unwrap_or(1);
        let conv = Node::new("Conv").input(input).input(&weight).input(&bias).output(&output).attr("group", group);
        graph.replace(id, Node { name: node.name.clone(), ..conv.attr("kernel_shape", vec![1_i64; kernel]) })
    });
    edit.ok()
}

/// Takes names of outputs that are left out from the end of a node's list: engines stumble over them.
fn trim(graph: &mut Graph<'_>, id: NodeId) {
    if graph.node(id).is_some_and(|node| node.output.last().is_some_and(String::is_empty)) {
        // A node that refuses stays as it is.
        let _ = graph.update(id, |node| {
            while node.output.last().is_some_and(String::is_empty) {
                node.output.pop();
            }
        });
    }
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
