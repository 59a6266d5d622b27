//! Operators: value, derivative along a direction and its transpose. One small file per family.
//!
//! An operator is made for the sizes of one batch and knows its constant operands; it is given its run-time inputs and
//! its adjustable numbers. Piecewise linear operators are taken on the piece where they are: that is the
//! Gauss-Newton linearisation.

mod concat;
mod contraction;
mod conv;
mod elementwise;
mod gemm;
mod moving;
mod normalization;
mod pool;
mod quantize;
mod reduce;
mod resize;
mod segments;
mod softmax;
mod spread;
mod stacked;
mod standardize;
mod unary;

use ndarray::ArrayD;

use super::blocks::Affine;
use super::site::Site;
use crate::ops::window::{PlacedWindow, Window};
use crate::ops::{Family, operator, vector};
use crate::proto::onnx::NodeProto;

/// Values of one batch, in row-major order.
pub(super) type Array = ArrayD<f32>;

/// What an operator wants to see again after the forward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keeps {
    /// Nothing: it is linear without adjustable numbers.
    Nothing,
    /// Its inputs.
    Inputs,
    /// Its output.
    Output,
}

/// Where an operator is linearised: what it asked to be kept.
pub(super) struct At<'a> {
    pub(super) inputs: Vec<Option<&'a Array>>,
    pub(super) output: Option<&'a Array>,
    /// The node's adjustable numbers, or the constants in their place.
    pub(super) numbers: &'a [f32],
}

impl<'a> At<'a> {
    pub(super) fn input(&self, index: usize) -> Option<&'a Array> {
        self.inputs.get(index).copied().flatten()
    }
}

/// An operator with its constant operands. Missing arrays stand for zeros.
pub(super) trait Operator: Send + Sync {
    /// What [`Operator::jvp`] and [`Operator::vjp`] need.
    fn keeps(&self) -> Keeps;

    /// The output from the run-time inputs; `None` if the sizes are not those it was made for.
    fn forward(&self, inputs: &[&Array], numbers: &[f32]) -> Option<Array>;

    /// [`Operator::forward`] in the memory of its only input, where nothing else reads that; gives it back where it cannot.
    ///
    /// # Errors
    /// The input.
    fn overwrite(&self, input: Array) -> Result<Array, Array> {
        Err(input)
    }

    /// Change of the output for changes of the inputs and of the adjustable numbers (`step`, empty if they are constant).
    fn jvp(&self, at: &At<'_>, tangents: &[Option<&Array>], step: &[f32]) -> Option<Array>;

    /// The transpose of [`Operator::jvp`]: one array for each input that is `wanted`, and sums into `gradient` (empty
    /// if the numbers are constant).
    fn vjp(&self, at: &At<'_>, cotangent: Array, wanted: &[bool], gradient: &mut [f32]) -> Vec<Option<Array>>;

    /// The operator as a product with adjustable matrices, if it is one.
    fn affine(&self) -> Option<&dyn Affine> {
        None
    }
}

/// An operator that can compute one output of a node.
pub(super) struct Made {
    pub(super) operator: Box<dyn Operator>,
    /// Which inputs of the node are its run-time inputs, in order.
    pub(super) inputs: Vec<usize>,
}

impl Made {
    fn new(operator: impl Operator + 'static, inputs: &[usize]) -> Self {
        Self { operator: Box::new(operator), inputs: inputs.to_vec() }
    }
}

/// Whether there are derivatives of a node's operator.
pub(super) fn is_known(node: &NodeProto) -> bool {
    operator(node).is_some_and(|own| own.derivative)
}

/// The operator for output `output` of a node, or `None` where it is not known or its form is not.
pub(super) fn make(site: &Site<'_>, output: usize) -> Option<Made> {
    let family = operator(site.node).filter(|own| own.derivative)?.family;
    if output > 0 && family != Family::Split {
        return None;
    }
    match family {
        Family::Conv | Family::ConvTranspose => conv::make(site),
        Family::Gemm | Family::MatMul => {
            gemm::make(site).or_else(|| stacked::make(site)).or_else(|| contraction::make(site))
        }
        Family::Einsum => stacked::make(site).or_else(|| contraction::make(site)),
        Family::BatchNormalization => normalization::make(site),
        Family::InstanceNormalization | Family::GroupNormalization | Family::LayerNormalization => {
            standardize::make(site)
        }
        Family::Broadcast => elementwise::make(site),
        Family::PRelu => unary::make(site).or_else(|| elementwise::make(site)),
        Family::Softmax => softmax::make(site),
        Family::Resize => resize::make(site),
        Family::Concat => concat::make(site),
        Family::Quantize => quantize::make(site),
        Family::Pool if !site.node.op_type().starts_with("Global") => pool::make(site),
        Family::Pool | Family::Reduce => reduce::make(site),
        Family::Scalar | Family::BiasedActivation => unary::make(site),
        Family::Pad
        | Family::Slice
        | Family::Transpose
        | Family::Reshape
        | Family::Flatten
        | Family::Squeeze
        | Family::Identity
        | Family::Expand
        | Family::Tile
        | Family::Gather
        | Family::DepthToSpace
        | Family::Split => moving::make(site, output),
        _ => None,
    }
}

/// An array of `shape` from its elements; `None` if there are not as many.
pub(super) fn array(shape: &[usize], elements: Vec<f32>) -> Option<Array> {
    Array::from_shape_vec(shape, elements).ok()
}

/// The elements; empty for an array that is not in row-major order, which is never made here.
pub(super) fn elements(array: &Array) -> &[f32] {
    array.as_slice().unwrap_or_default()
}

/// Adds an array of the same size.
pub(super) fn add(to: &mut Array, more: &Array) {
    if let Some(to) = to.as_slice_mut() {
        vector::update(to, elements(more), |to, more| *to += more);
    }
}

/// The window of a convolution (`kernel`: the spatial shape of its weight) or pool. The output's size is the engine's, which
/// settles `ceil_mode`.
pub(super) fn placed(site: &Site<'_>, kernel: Option<&[usize]>) -> Option<PlacedWindow> {
    let (input, output) = (site.shape(0)?, site.output_shape(0)?);
    if input.len() < 3 || output.len() != input.len() {
        return None;
    }
    Window::of(site.node, kernel).ok()?.place(&input[2..], &output[2..])
}
