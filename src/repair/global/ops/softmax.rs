//! Softmax and its logarithm.
//!
//! <https://onnx.ai/onnx/operators/onnx__Softmax.html>, `LogSoftmax` (opset 1, 11: over all axes from `axis` on, 13: over
//! one axis)

use super::super::site::Site;
use super::segments::Segments;
use super::{Array, At, Keeps, Made, Operator, array, elements};
use crate::model::axes::resolve_axis;

pub(super) fn make(site: &Site<'_>) -> Option<Made> {
    let shape = site.shape(0)?;
    let log = match site.node.op_type() {
        "Softmax" => false,
        "LogSoftmax" => true,
        _ => return None,
    };
    let one_axis = site.opset >= 13;
    let axis = resolve_axis(site.int("axis").unwrap_or(if one_axis { -1 } else { 1 }), shape.len())?;
    let segments = if one_axis { Segments::along(shape, axis) } else { Segments::from_axis(shape, axis) };
    Some(Made::new(Softmax { segments, log, shape: shape.to_vec() }, &[0]))
}

struct Softmax {
    segments: Segments,
    log: bool,
    shape: Vec<usize>,
}

impl Softmax {
    /// Shares from the output.
    fn share(&self, output: f32) -> f32 {
        if self.log { output.exp() } else { output }
    }
}

impl Operator for Softmax {
    fn keeps(&self) -> Keeps {
        Keeps::Output
    }

    fn forward(&self, inputs: &[&Array], _numbers: &[f32]) -> Option<Array> {
        let x = elements(inputs.first()?);
        let mut out = vec![0.0; x.len()];
        self.segments.each(|own| {
            let most = own.clone().map(|at| x[at]).fold(f32::NEG_INFINITY, f32::max);
            let sum: f32 = own.clone().map(|at| (x[at] - most).exp()).sum();
            let log_sum = sum.ln();
            own.for_each(|at| out[at] = if self.log { x[at] - most - log_sum } else { (x[at] - most).exp() / sum });
        });
        array(&self.shape, out)
    }

    fn jvp(&self, at: &At<'_>, tangents: &[Option<&Array>], _step: &[f32]) -> Option<Array> {
        let (y, t) = (elements(at.output?), elements(tangents.first().copied().flatten()?));
        let mut out = vec![0.0; t.len()];
        self.segments.each(|own| {
            let mean: f32 = own.clone().map(|at| self.share(y[at]) * t[at]).sum();
            own.for_each(|at| out[at] = (t[at] - mean) * if self.log { 1.0 } else { y[at] });
        });
        array(&self.shape, out)
    }

    fn vjp(&self, at: &At<'_>, cotangent: Array, wanted: &[bool], _gradient: &mut [f32]) -> Vec<Option<Array>> {
        let (Some(y), [true]) = (at.output.map(elements), wanted) else { return vec![None] };
        let up = elements(&cotangent);
        let mut out = vec![0.0; up.len()];
        self.segments.each(|own| {
            let weighted = |at: usize| if self.log { up[at] } else { y[at] * up[at] };
            let sum: f32 = own.clone().map(weighted).sum();
            own.for_each(|at| out[at] = weighted(at) - self.share(y[at]) * sum);
        });
        vec![array(&self.shape, out)]
    }
}
