//! Convolution over any number of axes, grouped and depthwise ones too.
//!
//! <https://onnx.ai/onnx/operators/onnx__Conv.html> (opset 1, 11, 22),
//! <https://onnx.ai/onnx/operators/onnx__ConvTranspose.html> (opset 1, 11, 22): an output position of a transposed
//! convolution reads those input positions that its stride leads to.

use std::ops::Range;

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par};

use super::super::blocks::{Affine, Layout, Stored, add_moments, kept_input};
use super::super::site::Site;
use super::{Array, At, Keeps, Made, Operator, array, elements, placed};
use crate::ops::linear::{BIAS, LinearMap, WEIGHT};
use crate::ops::vector;
use crate::ops::window::{Copies, Direct, PlacedWindow, Weights};

pub(super) fn make(site: &Site<'_>) -> Option<Made> {
    let weight = site.floats(WEIGHT)?.shape();
    let map = LinearMap::of(site.node, weight)?;
    let (batch, c, o) = (*site.shape(0)?.first()?, *site.shape(0)?.get(1)?, *site.output_shape(0)?.get(1)?);
    let (groups, channels) = (map.layout.groups, map.layout.channels());
    if map.layout.len() == 0 || channels * groups != c || map.layout.outputs != o {
        return None;
    }
    let bias = site.name(BIAS).is_some();
    if bias && site.floats(BIAS)?.len() != o {
        return None;
    }
    let window = placed(site, Some(&weight[2..]))?;
    let layout = Layout { groups, outputs: o / groups, inputs: map.layout.columns, bias };
    // A window of one position is the image itself.
    let direct = if window.is_pointwise() { None } else { window.direct(channels, layout.outputs) };
    Some(Made::new(Conv { window, direct, layout, stored: Stored::Linear(map), channels, batch }, &[0]))
}

struct Conv {
    window: PlacedWindow,
    /// Sums without windows; `None` where they are the image itself, and where they would be padding for the most part.
    direct: Option<Direct>,
    layout: Layout,
    stored: Stored,
    /// Input channels of one group.
    channels: usize,
    batch: usize,
}

impl Conv {
    /// Numbers of one image of one group in the input and in the output.
    fn sizes(&self) -> (usize, usize) {
        (self.channels * self.window.area(), self.layout.outputs * self.window.positions())
    }

    /// Group, range of the input and range of the output for every image of every group, group by group.
    fn parts(&self) -> impl Iterator<Item = (usize, Range<usize>, Range<usize>)> {
        let ((input, output), groups, batch) = (self.sizes(), self.layout.groups, self.batch);
        (0..groups).flat_map(move |group| {
            (0..batch).map(move |image| {
                let (x, y) = ((image * groups + group) * input, (image * groups + group) * output);
                (group, x..x + input, y..y + output)
            })
        })
    }

    fn fits(&self, input: &Array) -> bool {
        input.len() == self.batch * self.layout.groups * self.sizes().0
    }

    /// Memory for the windows of one group of one image, where they are gathered.
    fn buffer(&self) -> Vec<f32> {
        vec![0.0; if self.window.is_pointwise() { 0 } else { self.layout.inputs * self.window.positions() }]
    }

    /// Windows of one group of one image, `[inputs, positions]`.
    fn windows<'a>(&self, planes: &'a [f32], buffer: &'a mut [f32]) -> MatRef<'a, f32> {
        let columns = if self.window.is_pointwise() {
            planes
        } else {
            self.window.gather(planes, buffer);
            buffer
        };
        MatRef::from_row_major_slice(columns, self.layout.inputs, self.window.positions())
    }

    /// `output += weights * windows of input` over all images and groups.
    fn product(&self, input: &[f32], weights: &[f32], output: &mut [f32]) {
        if let Some(direct) = &self.direct {
            let ready = |group: usize| direct.forward(&weights[self.layout.range(group)]);
            self.add_directly(direct, ready, |(_, x, y)| (x, y), input, output);
            return;
        }
        let (positions, mut buffer) = (self.window.positions(), self.buffer());
        for (group, x, y) in self.parts() {
            let out = MatMut::from_row_major_slice_mut(&mut output[y], self.layout.outputs, positions);
            let columns = self.windows(&input[x], &mut buffer);
            matmul(out, Accum::Add, self.layout.matrix(weights, group), columns, 1.0, Par::Seq);
        }
    }

    /// Adds over all images and groups what one side gives to the other. `ready`: the weight of a group; `way`: ranges of the
    /// part in `from` and in `to`.
    fn add_directly(
        &self,
        direct: &Direct,
        ready: impl Fn(usize) -> Weights,
        way: impl Fn((usize, Range<usize>, Range<usize>)) -> (Range<usize>, Range<usize>),
        from: &[f32],
        to: &mut [f32],
    ) {
        let mut own: Option<(usize, Weights, Copies)> = None;
        for part in self.parts() {
            let group = part.0;
            let (source, target) = way(part);
            if own.as_ref().is_none_or(|own| own.0 != group) {
                let weights = ready(group);
                let copies = own.map_or_else(|| direct.copies(&weights), |own| own.2);
                own = Some((group, weights, copies));
            }
            if let Some((_, weights, copies)) = &mut own {
                direct.add(weights, &from[source], &mut to[target], copies);
            }
        }
    }

    /// The output's array filled with biases.
    fn biased(&self, numbers: &[f32]) -> Vec<f32> {
        let (outputs, positions) = (self.layout.groups * self.layout.outputs, self.window.positions());
        let mut out = vec![0.0; self.batch * outputs * positions];
        let biases = self.layout.biases(numbers);
        for (plane, bias) in out.chunks_exact_mut(positions.max(1)).zip(biases.iter().cycle()) {
            plane.fill(*bias);
        }
        out
    }

    fn shape(&self, channels: usize, spatial: &[usize]) -> Vec<usize> {
        [&[self.batch, channels], spatial].concat()
    }

    fn shaped(&self, elements: Vec<f32>) -> Option<Array> {
        array(&self.shape(self.layout.groups * self.layout.outputs, self.window.output()), elements)
    }

    /// Sums of cotangents times windows, and of cotangents.
    fn add_gradient(&self, input: &[f32], cotangent: &[f32], gradient: &mut [f32]) {
        let positions = self.window.positions();
        let (weights, biases) = gradient.split_at_mut(self.layout.weights());
        if !biases.is_empty() {
            for (group, _, y) in self.parts() {
                let own = &mut biases[group * self.layout.outputs..][..self.layout.outputs];
                let planes = cotangent[y].chunks_exact(positions);
                own.iter_mut().zip(planes).for_each(|(bias, plane)| *bias += vector::sum(plane));
            }
        }
        if let Some(direct) = &self.direct {
            let parts: Vec<_> = self.parts().map(|(_, x, y)| (&input[x], &cotangent[y])).collect();
            for (group, images) in parts.chunks_exact(self.batch).enumerate() {
                direct.add_gradient(images, &mut weights[self.layout.range(group)]);
            }
            return;
        }
        let mut buffer = self.buffer();
        for (group, x, y) in self.parts() {
            let sums = &mut weights[self.layout.range(group)];
            let sums = MatMut::from_row_major_slice_mut(sums, self.layout.outputs, self.layout.inputs);
            let up = MatRef::from_row_major_slice(&cotangent[y], self.layout.outputs, positions);
            let columns = self.windows(&input[x], &mut buffer);
            matmul(sums, Accum::Add, up, columns.transpose(), 1.0, Par::Seq);
        }
    }

    /// Cotangent of the input.
    fn back(&self, weights: &[f32], cotangent: &[f32]) -> Vec<f32> {
        let positions = self.window.positions();
        let mut out = vec![0.0; self.batch * self.layout.groups * self.sizes().0];
        if let Some(direct) = &self.direct {
            let ready = |group: usize| direct.backward(&weights[self.layout.range(group)]);
            self.add_directly(direct, ready, |(_, x, y)| (y, x), cotangent, &mut out);
            return out;
        }
        let mut buffer = self.buffer();
        for (group, x, y) in self.parts() {
            let up = MatRef::from_row_major_slice(&cotangent[y], self.layout.outputs, positions);
            let matrix = self.layout.matrix(weights, group).transpose();
            let target = if self.window.is_pointwise() { &mut out[x.clone()] } else { &mut buffer[..] };
            let target = MatMut::from_row_major_slice_mut(target, self.layout.inputs, positions);
            matmul(target, Accum::Replace, matrix, up, 1.0, Par::Seq);
            if !self.window.is_pointwise() {
                self.window.scatter(&mut buffer, &mut out[x]);
            }
        }
        out
    }
}

impl Operator for Conv {
    fn keeps(&self) -> Keeps {
        Keeps::Inputs
    }

    fn forward(&self, inputs: &[&Array], numbers: &[f32]) -> Option<Array> {
        let input = inputs.first().filter(|input| self.fits(input))?;
        let mut out = self.biased(numbers);
        self.product(elements(input), numbers, &mut out);
        self.shaped(out)
    }

    fn jvp(&self, at: &At<'_>, tangents: &[Option<&Array>], step: &[f32]) -> Option<Array> {
        let tangent = tangents.first().copied().flatten().filter(|tangent| self.fits(tangent));
        if tangent.is_none() && step.is_empty() {
            return None;
        }
        let mut out = self.biased(step);
        if let Some(tangent) = tangent {
            self.product(elements(tangent), at.numbers, &mut out);
        }
        if let Some(input) = kept_input(at).filter(|_| !step.is_empty()) {
            self.product(elements(input), step, &mut out);
        }
        self.shaped(out)
    }

    fn vjp(&self, at: &At<'_>, cotangent: Array, wanted: &[bool], gradient: &mut [f32]) -> Vec<Option<Array>> {
        let up = elements(&cotangent);
        if let Some(input) = kept_input(at).filter(|_| !gradient.is_empty()) {
            self.add_gradient(elements(input), up, gradient);
        }
        if wanted != [true] {
            return vec![None];
        }
        let shape = self.shape(self.layout.groups * self.channels, self.window.input());
        vec![array(&shape, self.back(at.numbers, up))]
    }

    fn affine(&self) -> Option<&dyn Affine> {
        Some(self)
    }
}

impl Affine for Conv {
    fn layout(&self) -> Layout {
        self.layout
    }

    fn stored(&self) -> &Stored {
        &self.stored
    }

    fn input_moments(&self, input: &Array, group: usize, moments: &mut Mat<f32>, sums: &mut [f32]) -> usize {
        let mut buffer = self.buffer();
        let (input, positions) = (elements(input), self.window.positions());
        for (_, x, _) in self.parts().filter(|part| part.0 == group) {
            let columns = self.windows(&input[x], &mut buffer);
            add_moments(moments, columns);
            sums.iter_mut().enumerate().for_each(|(row, sum)| *sum += columns.row(row).iter().sum::<f32>());
        }
        self.batch * positions
    }

    fn output_moments(&self, cotangent: &Array, group: usize, moments: &mut Mat<f32>) {
        let up = elements(cotangent);
        for (_, _, y) in self.parts().filter(|part| part.0 == group) {
            let rows = MatRef::from_row_major_slice(&up[y], self.layout.outputs, self.window.positions());
            add_moments(moments, rows);
        }
    }
}
