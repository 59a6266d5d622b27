//! Means and sums over axes.
//!
//! <https://onnx.ai/onnx/operators/onnx__GlobalAveragePool.html>,
//! <https://onnx.ai/onnx/operators/onnx__ReduceMean.html> (opset 1, 11, 13, 18)

use ndarray::{ArrayD, IxDyn};

use super::super::site::Site;
use super::{Array, At, Keeps, Made, Operator, array, elements};
use crate::model::axes::resolve_axis;

pub(super) fn make(site: &Site<'_>) -> Option<Made> {
    let (input, output) = (site.shape(0)?, site.output_shape(0)?);
    let rank = input.len();
    let axes: Vec<usize> = if site.node.op_type() == "GlobalAveragePool" {
        (2..rank).collect()
    } else {
        if site.int("noop_with_empty_axes").unwrap_or(0) != 0 {
            return None;
        }
        let axes = site.listed("axes", 1, || (0..).take(rank).collect())?;
        axes.iter().map(|&axis| resolve_axis(axis, rank)).collect::<Option<_>>()?
    };
    let kept: Vec<usize> = (0..rank).map(|axis| if axes.contains(&axis) { 1 } else { input[axis] }).collect();
    let count = output.iter().product::<usize>();
    if kept.iter().product::<usize>() != count || count == 0 {
        return None;
    }
    let numbers = ArrayD::from_shape_vec(IxDyn(&kept), (0..u32::try_from(count).ok()?).collect()).ok()?;
    let into: Vec<u32> = numbers.broadcast(IxDyn(input))?.iter().copied().collect();
    let share = count as f32 / into.len().max(1) as f32;
    let factor = if site.node.op_type() == "ReduceSum" { 1.0 } else { share };
    Some(Made::new(Reduce { into, factor, input: input.to_vec(), output: output.to_vec() }, &[0]))
}

struct Reduce {
    /// For every input the output that it goes into.
    into: Vec<u32>,
    factor: f32,
    input: Vec<usize>,
    output: Vec<usize>,
}

impl Operator for Reduce {
    fn keeps(&self) -> Keeps {
        Keeps::Nothing
    }

    fn forward(&self, inputs: &[&Array], _numbers: &[f32]) -> Option<Array> {
        let mut out = vec![0.0; self.output.iter().product()];
        for (value, &index) in elements(inputs.first()?).iter().zip(&self.into) {
            out[index as usize] += value;
        }
        for value in &mut out {
            *value *= self.factor;
        }
        array(&self.output, out)
    }

    fn jvp(&self, _at: &At<'_>, tangents: &[Option<&Array>], _step: &[f32]) -> Option<Array> {
        self.forward(&[tangents.first().copied().flatten()?], &[])
    }

    fn vjp(&self, _at: &At<'_>, cotangent: &Array, wanted: &[bool], _gradient: &mut [f32]) -> Vec<Option<Array>> {
        if wanted != [true] {
            return vec![None];
        }
        let up = elements(cotangent);
        vec![array(&self.input, self.into.iter().map(|&index| self.factor * up[index as usize]).collect())]
    }
}
