//! What comes of a layer's output: an affine map per channel, a sum with a shortcut, an activation that hides errors.

use std::collections::BTreeSet;

use crate::model::{Model, TensorData};
use crate::ops::constant::{ConstantId, Constants};
use crate::ops::normalization::{BETA, GAMMA, Statistics};
use crate::ops::quantised::range;
use crate::ops::scalar::bounds;
use crate::proto::onnx::{GraphProto, NodeProto};
use crate::surgery::Uses;

/// Who makes and who reads the values of a graph, and where its constants are.
#[derive(Debug)]
pub(super) struct Readers {
    pub(super) uses: Uses,
    pub(super) constants: Constants,
}

impl Readers {
    pub(super) fn of(graph: &GraphProto) -> Self {
        Self { uses: Uses::of(graph), constants: Constants::of(graph) }
    }
}

/// What comes of a layer's output.
#[derive(Debug, Clone)]
pub(super) struct Chain {
    /// Constant scale and shift per channel, if any follows at once.
    pub(super) affine: Option<Affine>,
    /// The value after scale and shift, if nothing else reads it on the way.
    scaled: String,
    sum: Option<String>,
    /// What is added to it (`docs/method.md` 9.6).
    pub(super) shortcut: Option<String>,
    /// Range outside which an activation hides differences (`docs/method.md` 9.7), of the sum and of the value alone.
    bounds: [Option<(f32, f32)>; 2],
    /// The last value that blocks which are gone pass on in place of the sum, and of the value alone, if nothing else reads
    /// them: the layer stands in for those blocks too (`docs/method.md` 9.11).
    passed_on: [Option<String>; 2],
}

/// `scale * y + shift`, of which the shift can be moved.
#[derive(Debug, Clone)]
pub(super) struct Affine {
    pub(super) scale: Vec<f64>,
    pub(super) shift: Vec<f64>,
    /// The constant to whose elements a shift can be added.
    pub(super) bias: ConstantId,
}

impl Chain {
    pub(super) fn after(
        model: &Model,
        readers: &Readers,
        output: &str,
        from_end: usize,
        gone: &BTreeSet<usize>,
    ) -> Self {
        let graph = model.graph();
        let follows = |value: &str| behind_rounding(graph, &readers.uses, value);
        let hidden = |value: &str| {
            let node = readers.uses.only(value).map(|index| &graph.node[index])?;
            bounds(model, &readers.constants, node).or_else(|| rounded_bounds(model, &readers.constants, node))
        };
        let (mut affine, mut scaled) = (None, output.to_owned());
        if let Some(node) = follows(output)
            && let Some(found) = normalised(model, readers, node).or_else(|| biased(model, readers, node, from_end))
            && let Some(name) = node.output.first()
        {
            (affine, scaled) = (Some(found), name.clone());
        }
        let mut chain = Self {
            affine,
            sum: None,
            shortcut: None,
            bounds: [None, hidden(&scaled)],
            passed_on: [None, None],
            scaled,
        };
        chain.pass_on(1, model, readers, gone);
        let constant = |name: &String| readers.constants.find(name).is_some() || readers.uses.maker(name).is_none();
        if let Some(node) = follows(&chain.scaled).filter(|node| node.op_type() == "Add")
            && let [a, b] = &node.input[..]
            && let Some(sum) = node.output.first()
        {
            let own = |name: &String| readers.uses.only(&chain.scaled).is_some_and(|reader| reads(graph, reader, name));
            let other = if *a == chain.scaled || own(a) { b } else { a };
            if !constant(other) && *other != chain.scaled && !own(other) {
                chain.shortcut = Some(other.clone());
                chain.bounds[0] = hidden(sum);
                chain.sum = Some(sum.clone());
                chain.pass_on(0, model, readers, gone);
            }
        }
        chain
    }

    /// Follows the sum (0) or the value alone (1) through what blocks left behind.
    fn pass_on(&mut self, which: usize, model: &Model, readers: &Readers, gone: &BTreeSet<usize>) {
        let graph = model.graph();
        let start = if which == 0 { self.sum.clone() } else { Some(self.scaled.clone()) };
        let Some(mut end) = start else { return };
        while let Some(index) = readers.uses.only(&end) {
            let node = &graph.node[index];
            let Some(output) = node.output.first() else { return };
            if gone.contains(&index) {
                self.passed_on[which] = Some(output.clone());
            } else if self.bounds[which].is_none() || bounds(model, &readers.constants, node) != self.bounds[which] {
                break;
            }
            end.clone_from(output);
        }
        if let (Some(last), None) = (&self.passed_on[which], self.bounds[which]) {
            self.bounds[which] =
                readers.uses.only(last).and_then(|index| bounds(model, &readers.constants, &graph.node[index]));
        }
    }

    /// The value of the dense model that is to come out.
    pub(super) fn target(&self) -> &str {
        let own = self.sum.as_ref().unwrap_or(&self.scaled);
        self.passed_on[usize::from(self.sum.is_none())].as_ref().unwrap_or(own)
    }

    /// Whether the target lies behind blocks that are gone.
    pub(super) fn stands_in(&self) -> bool {
        self.passed_on[usize::from(self.sum.is_none())].is_some()
    }

    pub(super) fn bounds(&self) -> Option<(f32, f32)> {
        self.bounds[usize::from(self.sum.is_none())]
    }

    pub(super) fn forget_shortcut(&mut self) {
        (self.sum, self.shortcut) = (None, None);
    }
}

/// The node that alone reads a value, at once or behind `QuantizeLinear` and `DequantizeLinear`.
fn behind_rounding<'g>(graph: &'g GraphProto, uses: &Uses, value: &str) -> Option<&'g NodeProto> {
    let node = &graph.node[uses.only(value)?];
    if node.op_type() != "QuantizeLinear" {
        return Some(node);
    }
    let dequantize = &graph.node[uses.only(node.output.first()?)?];
    let rounded = dequantize.output.first().filter(|_| dequantize.op_type() == "DequantizeLinear")?;
    Some(&graph.node[uses.only(rounded)?])
}

/// Whether a value is what a `QuantizeLinear` at that index becomes behind its `DequantizeLinear`.
fn reads(graph: &GraphProto, quantize: usize, value: &str) -> bool {
    let node = &graph.node[quantize];
    let made = |other: &NodeProto| other.output.first().is_some_and(|own| own == value);
    let maker = graph.node.iter().find(|other| made(other));
    node.op_type() == "QuantizeLinear" && maker.is_some_and(|maker| maker.input.first() == node.output.first())
}

/// Range outside which rounding to unsigned integers hides differences, where that stands for an activation: from zero on.
fn rounded_bounds(model: &Model, constants: &Constants, node: &NodeProto) -> Option<(f32, f32)> {
    let input = |at: usize| constants.data(model, node.input.get(at)?);
    if node.op_type() != "QuantizeLinear" {
        return None;
    }
    let (scale, zero) = (input(1)?.to_f32()?, input(2)?);
    let (low, high) = range(zero.dtype)?;
    let alone = scale.len() == 1 && zero.to_i64()?.iter().all(|&own| own == low);
    #[allow(clippy::cast_precision_loss, reason = "8 bits")]
    alone.then(|| (0.0, scale[0] * (high - low) as f32))
}

/// Batch normalisation with stored parameters.
fn normalised(model: &Model, readers: &Readers, node: &NodeProto) -> Option<Affine> {
    let values = |input: usize| readers.constants.floats(model, node.input.get(input)?);
    let [scale, shift] = Statistics::of(node, values)?.fold(&values(GAMMA)?, &values(BETA)?)?;
    Some(Affine { scale, shift, bias: readers.constants.read_once(node.input.get(BETA)?)? })
}

/// A stored vector that is added to every position.
fn biased(model: &Model, readers: &Readers, node: &NodeProto, from_end: usize) -> Option<Affine> {
    let (a, b) = (node.input.first()?, node.input.get(1)?);
    let alone = |name: &String| readers.constants.read_once(name).map(|id| (name.clone(), id));
    let (name, bias) = alone(a).or_else(|| alone(b)).filter(|_| node.op_type() == "Add")?;
    let data = readers.constants.data(model, &name)?;
    let per_channel = per_channel(&data, from_end);
    let shift: Vec<f64> = data.to_f32()?.into_iter().map(f64::from).collect();
    per_channel.then(|| Affine { scale: vec![1.0; shift.len()], shift, bias })
}

/// Whether a constant broadcasts along all axes but that of the channels, counted from the end.
fn per_channel(data: &TensorData, from_end: usize) -> bool {
    let channels = data.dims.len().checked_sub(from_end);
    channels.is_some_and(|axis| data.dims.iter().enumerate().all(|(at, &size)| at == axis || size == 1))
}
