//! Convolution over any number of axes, grouped and depthwise ones too.
//!
//! <https://onnx.ai/onnx/operators/onnx__Conv.html> (opset 1, 11, 22),
//! <https://onnx.ai/onnx/operators/onnx__ConvTranspose.html> (opset 1, 11, 22): an output position of a transposed
//! convolution reads those input positions that its stride leads to.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par};

use super::super::blocks::{Affine, Layout, Stored, add_moments, kept_input};
use super::super::site::Site;
use super::{Array, At, Keeps, Made, Operator, array, elements, placed};
use crate::ops::linear::{BIAS, LinearMap, WEIGHT};
use crate::ops::window::{Copies, PlacedWindow, Polyphase};

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
    let depthwise = if channels == 1 && layout.outputs == 1 { Some(window.polyphase()?) } else { None };
    Some(Made::new(Conv { window, depthwise, layout, stored: Stored::Linear(map), channels, batch }, &[0]))
}

struct Conv {
    window: PlacedWindow,
    /// Where every group has one input and one output.
    depthwise: Option<Polyphase>,
    layout: Layout,
    stored: Stored,
    /// Input channels of one group.
    channels: usize,
    batch: usize,
}

/// Memory for one group of one image.
struct Workspace {
    /// Windows; none are needed where they are the image itself.
    windows: Vec<f32>,
    copies: Option<Copies>,
}

impl Conv {
    /// Numbers of one image of one group in the input and in the output.
    fn sizes(&self) -> (usize, usize) {
        (self.channels * self.window.area(), self.layout.outputs * self.window.positions())
    }

    /// Calls `each(group, range of the input, range of the output)` for every group of every image.
    fn parts(&self, mut each: impl FnMut(usize, std::ops::Range<usize>, std::ops::Range<usize>)) {
        let (input, output) = self.sizes();
        for index in 0..self.batch * self.layout.groups {
            let (x, y) = (index * input, index * output);
            each(index % self.layout.groups, x..x + input, y..y + output);
        }
    }

    fn fits(&self, input: &Array) -> bool {
        input.len() == self.batch * self.layout.groups * self.sizes().0
    }

    fn workspace(&self) -> Workspace {
        let direct = self.window.is_pointwise() || self.depthwise.is_some();
        let windows = vec![0.0; if direct { 0 } else { self.layout.inputs * self.window.positions() }];
        Workspace { windows, copies: self.depthwise.as_ref().map(Polyphase::copies) }
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
    fn product(&self, input: &[f32], weights: &[f32], output: &mut [f32], workspace: &mut Workspace) {
        let positions = self.window.positions();
        self.parts(|group, x, y| {
            let (planes, out) = (&input[x], &mut output[y]);
            if let (Some(own), Some(copies)) = (&self.depthwise, &mut workspace.copies) {
                own.pull(&weights[self.layout.range(group)], planes, out, copies);
                return;
            }
            let out = MatMut::from_row_major_slice_mut(out, self.layout.outputs, positions);
            let columns = self.windows(planes, &mut workspace.windows);
            matmul(out, Accum::Add, self.layout.matrix(weights, group), columns, 1.0, Par::Seq);
        });
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
        let mut workspace = self.workspace();
        let (weights, biases) = gradient.split_at_mut(self.layout.weights());
        self.parts(|group, x, y| {
            let planes = &input[x];
            let sums = &mut weights[self.layout.range(group)];
            let ups = &cotangent[y];
            if let Some(biases) = biases.get_mut(group * self.layout.outputs..(group + 1) * self.layout.outputs) {
                let planes = ups.chunks_exact(positions);
                biases.iter_mut().zip(planes).for_each(|(bias, plane)| *bias += plane.iter().sum::<f32>());
            }
            if let (Some(own), Some(copies)) = (&self.depthwise, &mut workspace.copies) {
                own.correlate(ups, planes, sums, copies);
                return;
            }
            let sums = MatMut::from_row_major_slice_mut(sums, self.layout.outputs, self.layout.inputs);
            let up = MatRef::from_row_major_slice(ups, self.layout.outputs, positions);
            let columns = self.windows(planes, &mut workspace.windows);
            matmul(sums, Accum::Add, up, columns.transpose(), 1.0, Par::Seq);
        });
    }

    /// Cotangent of the input.
    fn back(&self, weights: &[f32], cotangent: &[f32]) -> Vec<f32> {
        let positions = self.window.positions();
        let (input, _) = self.sizes();
        let mut out = vec![0.0; self.batch * self.layout.groups * input];
        let mut workspace = self.workspace();
        self.parts(|group, x, y| {
            let (planes, ups) = (&mut out[x], &cotangent[y]);
            if let (Some(own), Some(copies)) = (&self.depthwise, &mut workspace.copies) {
                own.push(&weights[self.layout.range(group)], ups, planes, copies);
                return;
            }
            let up = MatRef::from_row_major_slice(ups, self.layout.outputs, positions);
            let matrix = self.layout.matrix(weights, group).transpose();
            if self.window.is_pointwise() {
                let target = MatMut::from_row_major_slice_mut(planes, self.layout.inputs, positions);
                matmul(target, Accum::Replace, matrix, up, 1.0, Par::Seq);
            } else {
                let windows = &mut workspace.windows;
                let columns = MatMut::from_row_major_slice_mut(windows, self.layout.inputs, positions);
                matmul(columns, Accum::Replace, matrix, up, 1.0, Par::Seq);
                self.window.scatter(windows, planes);
            }
        });
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
        self.product(elements(input), numbers, &mut out, &mut self.workspace());
        self.shaped(out)
    }

    fn jvp(&self, at: &At<'_>, tangents: &[Option<&Array>], step: &[f32]) -> Option<Array> {
        let tangent = tangents.first().copied().flatten().filter(|tangent| self.fits(tangent));
        if tangent.is_none() && step.is_empty() {
            return None;
        }
        let (mut out, mut workspace) = (self.biased(step), self.workspace());
        if let Some(tangent) = tangent {
            self.product(elements(tangent), at.numbers, &mut out, &mut workspace);
        }
        if let Some(input) = kept_input(at).filter(|_| !step.is_empty()) {
            self.product(elements(input), step, &mut out, &mut workspace);
        }
        self.shaped(out)
    }

    fn vjp(&self, at: &At<'_>, cotangent: &Array, wanted: &[bool], gradient: &mut [f32]) -> Vec<Option<Array>> {
        let up = elements(cotangent);
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
        let mut buffer = vec![0.0; self.layout.inputs * self.window.positions()];
        let (input, positions) = (elements(input), self.window.positions());
        self.parts(|own, x, _| {
            if own == group {
                let columns = self.windows(&input[x], &mut buffer);
                add_moments(moments, columns);
                sums.iter_mut().enumerate().for_each(|(row, sum)| *sum += columns.row(row).iter().sum::<f32>());
            }
        });
        self.batch * positions
    }

    fn output_moments(&self, cotangent: &Array, group: usize, moments: &mut Mat<f32>) {
        let up = elements(cotangent);
        self.parts(|own, _, y| {
            if own == group {
                let rows = MatRef::from_row_major_slice(&up[y], self.layout.outputs, self.window.positions());
                add_moments(moments, rows);
            }
        });
    }
}
