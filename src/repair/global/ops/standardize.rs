//! Normalisation by statistics of the values themselves, then a constant scale and shift.
//!
//! <https://onnx.ai/onnx/operators/onnx__LayerNormalization.html> (opset 17), `RMSNormalization` (23),
//! `InstanceNormalization` (1, 6, 22), `GroupNormalization` (18: a scale for every group, 21: for every channel),
//! `LpNormalization` (1, 22; order 2)

use super::super::site::Site;
use super::segments::Segments;
use super::spread::spread;
use super::{Array, At, Keeps, Made, Operator, array, elements};
use crate::model::axes::resolve_axis;

pub(super) fn make(site: &Site<'_>) -> Option<Made> {
    let shape = site.shape(0)?;
    let rank = shape.len();
    let axis = || resolve_axis(site.int("axis").unwrap_or(-1), rank);
    let epsilon = site.float("epsilon").unwrap_or(1e-5);
    let channels = *shape.get(1)?;
    let (segments, kind) = match site.node.op_type() {
        "LayerNormalization" => (Segments::from_axis(shape, axis()?), Kind::Deviation),
        "RMSNormalization" | "SimplifiedLayerNormalization" => (Segments::from_axis(shape, axis()?), Kind::MeanSquare),
        "InstanceNormalization" => (Segments::blocks(shape, shape.first()? * channels)?, Kind::Deviation),
        "GroupNormalization" => {
            let groups = usize::try_from(site.int("num_groups")?).ok()?;
            (Segments::blocks(shape, shape.first()? * groups)?, Kind::Deviation)
        }
        "LpNormalization" if site.int("p").unwrap_or(2) == 2 => (Segments::along(shape, axis()?), Kind::Length),
        _ => return None,
    };
    let epsilon = if kind == Kind::Length { 0.0 } else { epsilon };
    let (scale, shift) = (operand(site, 1, 1.0)?, operand(site, 2, 0.0)?);
    Some(Made::new(Standardize { segments, kind, epsilon, scale, shift, shape: shape.to_vec() }, &[0]))
}

/// Scale or shift of every number; `default` where the operator has none.
fn operand(site: &Site<'_>, input: usize, default: f32) -> Option<Vec<f32>> {
    let shape = site.shape(0)?;
    if site.name(input).is_none() {
        return Some(vec![default; shape.iter().product()]);
    }
    let stored = site.floats(input)?;
    let per_channel = matches!(site.node.op_type(), "InstanceNormalization" | "GroupNormalization");
    if !per_channel {
        let map = spread(stored.shape(), shape)?;
        return Some(map.iter().map(|&at| elements(stored)[at as usize]).collect());
    }
    let (values, channels) = (elements(stored), shape[1]);
    (!values.is_empty() && channels.is_multiple_of(values.len())).then_some(())?;
    let (each, area) = (channels / values.len(), shape[2..].iter().product::<usize>().max(1));
    Some((0..shape.iter().product()).map(|at| values[at / area % channels / each]).collect())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Less the mean, by the standard deviation.
    Deviation,
    /// By the root of the mean square.
    MeanSquare,
    /// By the root of the sum of squares.
    Length,
}

struct Standardize {
    segments: Segments,
    kind: Kind,
    epsilon: f32,
    scale: Vec<f32>,
    shift: Vec<f32>,
    shape: Vec<usize>,
}

/// Mean that is subtracted, and factor, of a segment.
struct Statistics {
    mean: f32,
    factor: f32,
}

impl Standardize {
    fn statistics(&self, own: impl Iterator<Item = f32> + Clone) -> Statistics {
        let n = self.segments.length.max(1) as f32;
        let mean = if self.kind == Kind::Deviation { own.clone().sum::<f32>() / n } else { 0.0 };
        let squares: f32 = own.map(|x| (x - mean) * (x - mean)).sum();
        let divided = if self.kind == Kind::Length { squares } else { squares / n };
        Statistics { mean, factor: 1.0 / (divided + self.epsilon).sqrt() }
    }

    /// The derivative of the normalised values, a symmetric matrix for every segment, times a vector.
    fn derivative(&self, x: &[f32], vector: &[f32]) -> Vec<f32> {
        let n = self.segments.length.max(1) as f32;
        let mut out = vec![0.0; x.len()];
        self.segments.each(|own| {
            let Statistics { mean, factor } = self.statistics(own.clone().map(|at| x[at]));
            let centre =
                if self.kind == Kind::Deviation { own.clone().map(|at| vector[at]).sum::<f32>() / n } else { 0.0 };
            let normal = |at: usize| (x[at] - mean) * factor;
            let share = if self.kind == Kind::Length { 1.0 } else { 1.0 / n };
            let along: f32 = own.clone().map(|at| normal(at) * vector[at]).sum::<f32>() * share;
            own.for_each(|at| out[at] = factor * (vector[at] - centre - normal(at) * along));
        });
        out
    }
}

impl Operator for Standardize {
    fn keeps(&self) -> Keeps {
        Keeps::Inputs
    }

    fn forward(&self, inputs: &[&Array], _numbers: &[f32]) -> Option<Array> {
        let x = elements(inputs.first()?);
        let mut out = vec![0.0; x.len()];
        self.segments.each(|own| {
            let Statistics { mean, factor } = self.statistics(own.clone().map(|at| x[at]));
            own.for_each(|at| out[at] = (x[at] - mean) * factor * self.scale[at] + self.shift[at]);
        });
        array(&self.shape, out)
    }

    fn jvp(&self, at: &At<'_>, tangents: &[Option<&Array>], _step: &[f32]) -> Option<Array> {
        let (x, tangent) = (elements(at.input(0)?), elements(tangents.first().copied().flatten()?));
        let mut out = self.derivative(x, tangent);
        out.iter_mut().zip(&self.scale).for_each(|(value, scale)| *value *= scale);
        array(&self.shape, out)
    }

    fn vjp(&self, at: &At<'_>, cotangent: Array, wanted: &[bool], _gradient: &mut [f32]) -> Vec<Option<Array>> {
        let (Some(x), [true]) = (at.input(0), wanted) else { return vec![None] };
        let scaled: Vec<f32> = elements(&cotangent).iter().zip(&self.scale).map(|(up, scale)| up * scale).collect();
        vec![array(&self.shape, self.derivative(elements(x), &scaled))]
    }
}
