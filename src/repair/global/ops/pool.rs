//! Pooling over windows. The largest number of a window stays the one that it is.
//!
//! <https://onnx.ai/onnx/operators/onnx__MaxPool.html> (opset 1, 8, 10, 11, 12, 22),
//! <https://onnx.ai/onnx/operators/onnx__AveragePool.html> (opset 1, 7, 10, 11, 19, 22)

use super::super::site::Site;
use super::{Array, At, Keeps, Made, Operator, array, elements, placed};
use crate::ops::window::PlacedWindow;

pub(super) fn make(site: &Site<'_>) -> Option<Made> {
    let window = placed(site, None)?;
    let (input, output) = (site.shape(0)?.to_vec(), site.output_shape(0)?.to_vec());
    if site.node.op_type() == "MaxPool" {
        return Some(Made::new(MaxPool { window, input, output }, &[0]));
    }
    let padded = site.int("count_include_pad").unwrap_or(0) != 0;
    let mut inside = vec![0usize; window.positions()];
    window.segments(|_, own| own.pairs().for_each(|(output, _)| inside[output] += 1));
    // Windows that reach over the padding in `ceil_mode` count less; the comparison with the engine finds them.
    let count = |&inside: &usize| if padded { window.kernel_size() } else { inside };
    let shares = inside.iter().map(|inside| 1.0 / count(inside).max(1) as f32).collect();
    Some(Made::new(AveragePool { window, shares, input, output }, &[0]))
}

struct AveragePool {
    window: PlacedWindow,
    /// Share of each number in the mean, position by position.
    shares: Vec<f32>,
    input: Vec<usize>,
    output: Vec<usize>,
}

impl Operator for AveragePool {
    fn keeps(&self) -> Keeps {
        Keeps::Nothing
    }

    fn forward(&self, inputs: &[&Array], _numbers: &[f32]) -> Option<Array> {
        let mut out = vec![0.0; self.output.iter().product()];
        let planes = elements(inputs.first()?).chunks_exact(self.window.area());
        for (plane, out) in planes.zip(out.chunks_exact_mut(self.shares.len().max(1))) {
            self.window.segments(|_, own| own.pull(out, plane, |sum, value| *sum += value));
            out.iter_mut().zip(&self.shares).for_each(|(sum, share)| *sum *= share);
        }
        array(&self.output, out)
    }

    fn jvp(&self, _at: &At<'_>, tangents: &[Option<&Array>], _step: &[f32]) -> Option<Array> {
        self.forward(&[tangents.first().copied().flatten()?], &[])
    }

    fn vjp(&self, _at: &At<'_>, cotangent: Array, wanted: &[bool], _gradient: &mut [f32]) -> Vec<Option<Array>> {
        if wanted != [true] {
            return vec![None];
        }
        let mut out = vec![0.0; self.input.iter().product()];
        let ups = elements(&cotangent).chunks_exact(self.shares.len().max(1));
        for (plane, up) in out.chunks_exact_mut(self.window.area()).zip(ups) {
            let shared: Vec<f32> = up.iter().zip(&self.shares).map(|(value, share)| value * share).collect();
            self.window.segments(|_, own| own.push(&shared, plane, |target, value| *target += value));
        }
        vec![array(&self.input, out)]
    }
}

struct MaxPool {
    window: PlacedWindow,
    input: Vec<usize>,
    output: Vec<usize>,
}

impl MaxPool {
    /// For every output of all planes the index of the largest input; the first of equals.
    fn largest(&self, input: &Array) -> Vec<usize> {
        let (area, positions) = (self.window.area(), self.window.positions());
        let mut found = vec![usize::MAX; self.output.iter().product()];
        let values = elements(input);
        for (number, best) in found.chunks_exact_mut(positions.max(1)).enumerate() {
            let offset = number * area;
            self.window.segments(|_, own| {
                for (output, input) in own.pairs() {
                    let (index, best) = (offset + input, &mut best[output]);
                    if *best == usize::MAX
                        || values[index] > values[*best]
                        || (values[index] >= values[*best] && index < *best)
                    {
                        *best = index;
                    }
                }
            });
        }
        found
    }

    fn pick(&self, places: &[usize], values: &Array) -> Option<Array> {
        let values = elements(values);
        array(&self.output, places.iter().map(|&place| values.get(place).copied().unwrap_or(0.0)).collect())
    }
}

impl Operator for MaxPool {
    fn keeps(&self) -> Keeps {
        Keeps::Inputs
    }

    fn forward(&self, inputs: &[&Array], _numbers: &[f32]) -> Option<Array> {
        let input = inputs.first()?;
        self.pick(&self.largest(input), input)
    }

    fn jvp(&self, at: &At<'_>, tangents: &[Option<&Array>], _step: &[f32]) -> Option<Array> {
        let tangent = tangents.first().copied().flatten()?;
        self.pick(&self.largest(at.input(0)?), tangent)
    }

    fn vjp(&self, at: &At<'_>, cotangent: Array, wanted: &[bool], _gradient: &mut [f32]) -> Vec<Option<Array>> {
        let (Some(input), [true]) = (at.input(0), wanted) else { return vec![None] };
        let mut out = vec![0.0; self.input.iter().product()];
        for (place, value) in self.largest(input).into_iter().zip(elements(&cotangent)) {
            if let Some(target) = out.get_mut(place) {
                *target += value;
            }
        }
        vec![array(&self.input, out)]
    }
}
