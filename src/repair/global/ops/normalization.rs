//! Normalisation by stored statistics: a scale and a shift of every channel.
//!
//! <https://onnx.ai/onnx/operators/onnx__BatchNormalization.html> (opset 1, 6, 7, 9, 14, 15)

use faer::Mat;

use super::super::blocks::{Affine, Layout, Stored, kept_input};
use super::super::site::Site;
use super::{Array, At, Keeps, Made, Operator, array, elements};
use crate::ops::normalization::{BETA, GAMMA, Statistics};
use crate::ops::vector;

pub(super) fn make(site: &Site<'_>) -> Option<Made> {
    let shape = site.shape(0)?;
    let channels = *shape.get(1)?;
    let statistics = Statistics::of(site.node, |input| Some(elements(site.floats(input)?).to_vec()))?;
    let fits = |input: usize| site.floats(input).map(Array::len) == Some(channels);
    if statistics.len() != channels || !fits(GAMMA) || !fits(BETA) {
        return None;
    }
    let layout = Layout { groups: channels, outputs: 1, inputs: 1, bias: true };
    let area = shape.iter().skip(2).product();
    let operator = Normalization { layout, stored: Stored::Normalised(statistics), area, shape: shape.to_vec() };
    Some(Made::new(operator, &[0]))
}

struct Normalization {
    layout: Layout,
    stored: Stored,
    /// Numbers of one channel of one image.
    area: usize,
    shape: Vec<usize>,
}

impl Normalization {
    /// `a * x + b` channel by channel; a missing array counts as zeros.
    fn apply(&self, input: Option<&Array>, numbers: &[f32], out: &mut [f32]) {
        let scales = &numbers[..self.layout.groups];
        if let Some(input) = input {
            let planes = elements(input).chunks_exact(self.area);
            for ((out, plane), scale) in out.chunks_exact_mut(self.area).zip(planes).zip(scales.iter().cycle()) {
                vector::update(out, plane, |out, value| *out += scale * value);
            }
        }
    }

    fn shift(&self, numbers: &[f32], out: &mut [f32]) {
        for (out, shift) in out.chunks_exact_mut(self.area).zip(self.layout.biases(numbers).iter().cycle()) {
            vector::replace(out, |value| value + shift);
        }
    }

    fn size(&self) -> usize {
        self.shape.iter().product()
    }

    fn fits(&self, input: &Array) -> bool {
        self.area > 0 && input.shape() == self.shape
    }

    /// Planes of one channel.
    fn planes<'a>(&self, values: &'a Array, channel: usize) -> impl Iterator<Item = &'a [f32]> + use<'a> {
        elements(values).chunks_exact(self.area).skip(channel).step_by(self.layout.groups)
    }
}

impl Operator for Normalization {
    fn keeps(&self) -> Keeps {
        Keeps::Inputs
    }

    fn forward(&self, inputs: &[&Array], numbers: &[f32]) -> Option<Array> {
        let input = inputs.first().filter(|input| self.fits(input))?;
        let mut out = vec![0.0; self.size()];
        self.apply(Some(input), numbers, &mut out);
        self.shift(numbers, &mut out);
        array(&self.shape, out)
    }

    fn jvp(&self, at: &At<'_>, tangents: &[Option<&Array>], step: &[f32]) -> Option<Array> {
        let tangent = tangents.first().copied().flatten();
        if tangent.is_none() && step.is_empty() {
            return None;
        }
        let mut out = vec![0.0; self.size()];
        self.apply(tangent, at.numbers, &mut out);
        if !step.is_empty() {
            self.apply(kept_input(at), step, &mut out);
            self.shift(step, &mut out);
        }
        array(&self.shape, out)
    }

    fn vjp(&self, at: &At<'_>, cotangent: Array, wanted: &[bool], gradient: &mut [f32]) -> Vec<Option<Array>> {
        if let Some(input) = kept_input(at).filter(|_| !gradient.is_empty()) {
            let (scales, shifts) = gradient.split_at_mut(self.layout.groups);
            let planes = elements(&cotangent).chunks_exact(self.area).zip(elements(input).chunks_exact(self.area));
            for (index, (up, plane)) in planes.enumerate() {
                let channel = index % self.layout.groups;
                scales[channel] += vector::dot(up, plane);
                shifts[channel] += vector::sum(up);
            }
        }
        if wanted != [true] {
            return vec![None];
        }
        let mut out = vec![0.0; self.size()];
        self.apply(Some(&cotangent), at.numbers, &mut out);
        vec![array(&self.shape, out)]
    }

    fn affine(&self) -> Option<&dyn Affine> {
        Some(self)
    }
}

impl Affine for Normalization {
    fn layout(&self) -> Layout {
        self.layout
    }

    fn stored(&self) -> &Stored {
        &self.stored
    }

    fn input_moments(&self, input: &Array, group: usize, moments: &mut Mat<f32>, sums: &mut [f32]) -> usize {
        let mut rows = 0;
        for plane in self.planes(input, group) {
            moments[(0, 0)] += vector::dot(plane, plane);
            sums[0] += vector::sum(plane);
            rows += plane.len();
        }
        rows
    }

    fn output_moments(&self, cotangent: &Array, group: usize, moments: &mut Mat<f32>) {
        let squares = self.planes(cotangent, group).map(|plane| vector::dot(plane, plane));
        moments[(0, 0)] += squares.sum::<f32>();
    }
}
