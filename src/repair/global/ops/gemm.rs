//! Products with a stored matrix.
//!
//! <https://onnx.ai/onnx/operators/onnx__Gemm.html> (opset 1, 6, 7, 9, 11, 13),
//! <https://onnx.ai/onnx/operators/onnx__MatMul.html> (opset 1, 9, 13)

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par};

use super::super::blocks::{Affine, Layout, Stored, add_moments, kept_input};
use super::super::site::Site;
use super::{Array, At, Keeps, Made, Operator, array, elements};
use crate::ops::linear::{BIAS, LinearMap, WEIGHT};

pub(super) fn make(site: &Site<'_>) -> Option<Made> {
    let (weight, input, output) = (site.floats(WEIGHT)?, site.shape(0)?, site.output_shape(0)?);
    let map = LinearMap::of(site.node, weight.shape())?;
    let (outputs, inputs) = (map.layout.outputs, map.layout.columns);
    let few = |factor: f32| factor.abs() < f32::MIN_POSITIVE;
    if few(map.alpha) || few(map.beta) || input.last() != Some(&inputs) || inputs == 0 || outputs == 0 {
        return None;
    }
    let bias = map.takes_bias && site.name(BIAS).is_some();
    if bias && !map.is_per_output(site.floats(BIAS)?.shape()) {
        return None;
    }
    let layout = Layout { groups: 1, outputs, inputs, bias };
    let rows = input.iter().product::<usize>() / inputs;
    let stored = Stored::Linear(map);
    Some(Made::new(Gemm { layout, stored, rows, input: input.to_vec(), output: output.to_vec() }, &[0]))
}

struct Gemm {
    layout: Layout,
    stored: Stored,
    /// Rows of the input.
    rows: usize,
    input: Vec<usize>,
    output: Vec<usize>,
}

impl Gemm {
    fn inputs<'a>(&self, values: &'a [f32]) -> MatRef<'a, f32> {
        MatRef::from_row_major_slice(values, self.rows, self.layout.inputs)
    }

    fn outputs<'a>(&self, values: &'a [f32]) -> MatRef<'a, f32> {
        MatRef::from_row_major_slice(values, self.rows, self.layout.outputs)
    }

    fn biased(&self, numbers: &[f32]) -> Vec<f32> {
        let biases = self.layout.biases(numbers);
        if biases.is_empty() { vec![0.0; self.rows * self.layout.outputs] } else { biases.repeat(self.rows) }
    }

    fn product(&self, input: &Array, numbers: &[f32], out: &mut [f32]) {
        let out = MatMut::from_row_major_slice_mut(out, self.rows, self.layout.outputs);
        let matrix = self.layout.matrix(numbers, 0).transpose();
        matmul(out, Accum::Add, self.inputs(elements(input)), matrix, 1.0, Par::Seq);
    }

    fn fits(&self, input: &Array) -> bool {
        input.len() == self.rows * self.layout.inputs
    }
}

impl Operator for Gemm {
    fn keeps(&self) -> Keeps {
        Keeps::Inputs
    }

    fn forward(&self, inputs: &[&Array], numbers: &[f32]) -> Option<Array> {
        let input = inputs.first().filter(|input| self.fits(input))?;
        let mut out = self.biased(numbers);
        self.product(input, numbers, &mut out);
        array(&self.output, out)
    }

    fn jvp(&self, at: &At<'_>, tangents: &[Option<&Array>], step: &[f32]) -> Option<Array> {
        let tangent = tangents.first().copied().flatten().filter(|tangent| self.fits(tangent));
        if tangent.is_none() && step.is_empty() {
            return None;
        }
        let mut out = self.biased(step);
        if let Some(tangent) = tangent {
            self.product(tangent, at.numbers, &mut out);
        }
        if let Some(input) = kept_input(at).filter(|_| !step.is_empty()) {
            self.product(input, step, &mut out);
        }
        array(&self.output, out)
    }

    fn vjp(&self, at: &At<'_>, cotangent: Array, wanted: &[bool], gradient: &mut [f32]) -> Vec<Option<Array>> {
        let up = self.outputs(elements(&cotangent));
        if let Some(input) = kept_input(at).filter(|_| !gradient.is_empty()) {
            let (weights, biases) = gradient.split_at_mut(self.layout.weights());
            let sums = MatMut::from_row_major_slice_mut(weights, self.layout.outputs, self.layout.inputs);
            matmul(sums, Accum::Add, up.transpose(), self.inputs(elements(input)), 1.0, Par::Seq);
            for (bias, column) in biases.iter_mut().zip(up.col_iter()) {
                *bias += column.iter().sum::<f32>();
            }
        }
        if wanted != [true] {
            return vec![None];
        }
        let mut out = vec![0.0; self.rows * self.layout.inputs];
        let target = MatMut::from_row_major_slice_mut(&mut out, self.rows, self.layout.inputs);
        matmul(target, Accum::Replace, up, self.layout.matrix(at.numbers, 0), 1.0, Par::Seq);
        vec![array(&self.input, out)]
    }

    fn affine(&self) -> Option<&dyn Affine> {
        Some(self)
    }
}

impl Affine for Gemm {
    fn layout(&self) -> Layout {
        self.layout
    }

    fn stored(&self) -> &Stored {
        &self.stored
    }

    fn input_moments(&self, input: &Array, _group: usize, moments: &mut Mat<f32>, sums: &mut [f32]) -> usize {
        let rows = self.inputs(elements(input));
        add_moments(moments, rows.transpose());
        sums.iter_mut().zip(rows.col_iter()).for_each(|(sum, column)| *sum += column.iter().sum::<f32>());
        self.rows
    }

    fn output_moments(&self, cotangent: &Array, _group: usize, moments: &mut Mat<f32>) {
        let rows = self.outputs(elements(cotangent));
        add_moments(moments, rows.transpose());
    }
}
