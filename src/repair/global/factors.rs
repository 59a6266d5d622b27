//! Preconditioner: for every matrix the product of the second moments of its inputs and of its outputs' cotangents.
//!
//! Martens and Grosse 2015 (arXiv:1503.05671), for convolutions Grosse and Martens 2016 (arXiv:1602.01407): cotangents
//! of random targets with the objective's metric have the moments of the Gauss-Newton matrix.

use std::sync::Arc;

use faer::linalg::matmul::matmul;
use faer::linalg::solvers::DenseSolveCore as _;
use faer::{Accum, Mat, MatRef, Par, Side};
use rayon::prelude::*;

use super::blocks::{Affine, Block, Layout};
use super::descent::dot;
use super::linear::Linear;
use super::ops::Array;
use super::program::{Program, Step, Trace};

/// Matrices larger than this get the diagonal of their moments.
const LARGEST: usize = 1200;

pub(super) struct Inverse {
    /// `[n, n]`, or the diagonal as one column; empty where there are no moments.
    inverse: Mat<f32>,
}

/// The preconditioner: one pair of sides for every group of every block.
pub(super) struct Factors {
    /// (inputs, outputs) of every group.
    blocks: Vec<Vec<(Inverse, Inverse)>>,
    /// Length of every block's step, see [`Factors::calibrate`].
    pub(super) lengths: Vec<f32>,
}

/// A pass whose cotangents of the steps with blocks were kept: by step.
pub(super) type Watched = Vec<Option<Array>>;

/// Second moments of what the blocks' matrices read and of the cotangents at their outputs, summed pass by pass.
pub(super) struct Moments<'a> {
    program: &'a Program,
    readers: Vec<Vec<Reader<'a>>>,
    /// By block, the groups.
    blocks: Vec<Vec<Sums>>,
}

/// The sums of one group.
struct Sums {
    inputs: Mat<f32>,
    outputs: Mat<f32>,
    /// Sums of the inputs, for the bias.
    first: Vec<f32>,
    rows: usize,
}

impl<'a> Moments<'a> {
    pub(super) fn new(program: &'a Program) -> Self {
        let columns = |size: usize| if size > LARGEST { 1 } else { size };
        let square = |size: usize| Mat::zeros(size, columns(size));
        let zero = |layout: Layout| Sums {
            inputs: square(layout.inputs),
            outputs: square(layout.outputs),
            first: vec![0.0; layout.inputs],
            rows: 0,
        };
        let groups = |block: &Block| (0..block.layout.groups).map(|_| zero(block.layout)).collect();
        let readers = |index: usize| {
            let own = program.steps.iter().enumerate().filter(|(_, step)| step.block == Some(index));
            let reader = |(at, step): (usize, &'a Step)| {
                Some(Reader { affine: step.operator.affine()?, input: *step.inputs.first()?, step: at })
            };
            own.filter_map(reader).collect()
        };
        Self {
            program,
            readers: (0..program.blocks.len()).map(readers).collect(),
            blocks: program.blocks.iter().map(groups).collect(),
        }
    }

    /// Adds passes with random cotangents.
    pub(super) fn add(&mut self, passes: &[(Arc<Trace>, Watched)]) {
        self.blocks.par_iter_mut().zip(&self.readers).for_each(|(groups, readers)| {
            for (group, sums) in groups.iter_mut().enumerate() {
                for (trace, watched) in passes {
                    for Reader { affine, input, step } in readers {
                        let (Some(read), Some(cotangent)) = (&trace.arrays[*input], &watched[*step]) else { continue };
                        sums.rows += affine.input_moments(read, group, &mut sums.inputs, &mut sums.first);
                        affine.output_moments(cotangent, group, &mut sums.outputs);
                    }
                }
            }
        });
    }

    /// The preconditioner. `images` were summed; `ridge` is relative to the mean of the moments.
    pub(super) fn invert(self, images: usize, ridge: f64) -> Factors {
        let blocks = self
            .blocks
            .into_par_iter()
            .zip(&self.program.blocks)
            .map(|(groups, block)| groups.into_iter().map(|sums| sums.invert(block.layout, images, ridge)).collect())
            .collect();
        Factors { blocks, lengths: vec![1.0; self.program.blocks.len()] }
    }
}

impl Sums {
    /// Both sides: of the inputs, with the constant that stands for the bias, and of the outputs.
    fn invert(self, layout: Layout, images: usize, ridge: f64) -> (Inverse, Inverse) {
        let Self { inputs, outputs, first, rows } = self;
        if rows == 0 {
            return (Inverse::none(), Inverse::none());
        }
        let share = 1.0 / rows as f64;
        // A constant input stands for the bias.
        let bias = usize::from(layout.bias);
        let diagonal = inputs.ncols() == 1 && layout.inputs > 1;
        let size = layout.inputs + bias;
        let moments =
            Mat::from_fn(size, if diagonal { 1 } else { size }, |i, j| match (i < layout.inputs, j < layout.inputs) {
                (true, true) => f64::from(inputs[(i, j)]) * share,
                (true, false) => f64::from(first[i]) * share,
                (false, true) if !diagonal => f64::from(first[j]) * share,
                _ => 1.0,
            });
        let scale = 1.0 / images.max(1) as f64;
        let outputs = Mat::from_fn(outputs.nrows(), outputs.ncols(), |i, j| f64::from(outputs[(i, j)]) * scale);
        (Inverse::new(&moments, ridge), Inverse::new(&outputs, ridge))
    }
}

impl Factors {
    /// Finds for every block the length of a step along its part of `direction`, which is from another draw, that is best
    /// for it alone: the factors know nothing of how cotangents at different positions go together, which differs from
    /// layer to layer by orders. `direction` is scaled by the lengths.
    #[allow(clippy::cast_possible_truncation, reason = "single precision is enough")]
    pub(super) fn calibrate(&mut self, linear: &Linear<'_>, right: &[f32], direction: &mut [f32], seed: u64) {
        let along = linear.curvature_of_blocks(direction, seed);
        let best = |(block, curvature): (&Block, f64)| {
            let range = block.range.clone();
            let length = dot(&direction[range.clone()], &right[range]) / curvature;
            if length > 0.0 && length.is_finite() { length as f32 } else { 0.0 }
        };
        self.lengths = linear.program.blocks.iter().zip(along).map(best).collect();
        for (block, length) in linear.program.blocks.iter().zip(&self.lengths) {
            direction[block.range.clone()].iter_mut().for_each(|value| *value *= length);
        }
    }

    /// The inverse times a vector of all numbers.
    pub(super) fn apply(&self, blocks: &[Block], vector: &[f32]) -> Vec<f32> {
        let parts: Vec<Vec<f32>> = blocks
            .par_iter()
            .zip(&self.blocks)
            .zip(&self.lengths)
            .map(|((block, sides), &length)| {
                let own = &vector[block.range.clone()];
                let mut out = vec![0.0; own.len()];
                for (group, (inputs, outputs)) in sides.iter().enumerate() {
                    let wide = widened(&block.layout, own, group);
                    let solved = inputs.right(&outputs.left(&wide));
                    narrow(&block.layout, &solved, group, &mut out);
                }
                for value in &mut out {
                    *value *= length;
                }
                out
            })
            .collect();
        parts.concat()
    }
}

impl Inverse {
    fn none() -> Self {
        Self { inverse: Mat::zeros(0, 0) }
    }

    /// The inverse of `moments + ridge * mean`, in double precision.
    #[allow(clippy::cast_possible_truncation, reason = "single precision is enough")]
    fn new(moments: &Mat<f64>, ridge: f64) -> Self {
        let size = moments.nrows();
        let diagonal = moments.ncols() == 1 && size > 1;
        let trace: f64 = (0..size).map(|i| moments[(i, if diagonal { 0 } else { i })]).sum();
        let mean = trace / size.max(1) as f64;
        if !mean.is_finite() || mean <= 0.0 {
            return Self::none();
        }
        let damping = ridge * mean;
        if diagonal {
            return Self { inverse: Mat::from_fn(size, 1, |i, _| (1.0 / (moments[(i, 0)] + damping)) as f32) };
        }
        let damped = Mat::from_fn(size, size, |i, j| moments[(i, j)] + if i == j { damping } else { 0.0 });
        let Ok(factor) = damped.llt(Side::Lower) else { return Self::none() };
        let inverse = factor.inverse();
        Self { inverse: Mat::from_fn(size, size, |i, j| inverse[(i, j)] as f32) }
    }

    fn is_diagonal(&self) -> bool {
        self.inverse.ncols() == 1 && self.inverse.nrows() > 1
    }

    /// The inverse times `matrix`, `[outputs, inputs]`.
    fn left(&self, matrix: &Mat<f32>) -> Mat<f32> {
        if self.inverse.nrows() != matrix.nrows() {
            return Mat::zeros(matrix.nrows(), matrix.ncols());
        }
        if self.is_diagonal() {
            return Mat::from_fn(matrix.nrows(), matrix.ncols(), |i, j| self.inverse[(i, 0)] * matrix[(i, j)]);
        }
        product(self.inverse.as_ref(), matrix.as_ref())
    }

    fn right(&self, matrix: &Mat<f32>) -> Mat<f32> {
        if self.inverse.nrows() != matrix.ncols() {
            return Mat::zeros(matrix.nrows(), matrix.ncols());
        }
        if self.is_diagonal() {
            return Mat::from_fn(matrix.nrows(), matrix.ncols(), |i, j| matrix[(i, j)] * self.inverse[(j, 0)]);
        }
        product(matrix.as_ref(), self.inverse.as_ref())
    }
}

fn product(left: MatRef<'_, f32>, right: MatRef<'_, f32>) -> Mat<f32> {
    let mut out = Mat::zeros(left.nrows(), right.ncols());
    matmul(out.as_mut(), Accum::Replace, left, right, 1.0, Par::Seq);
    out
}

/// A step that reads a block, and the value that it multiplies.
struct Reader<'a> {
    affine: &'a dyn Affine,
    input: usize,
    step: usize,
}

/// The matrix of a group with its biases as a last column.
fn widened(layout: &Layout, numbers: &[f32], group: usize) -> Mat<f32> {
    let matrix = layout.matrix(numbers, group);
    let biases = layout.biases(numbers);
    Mat::from_fn(layout.outputs, layout.inputs + usize::from(layout.bias), |i, j| {
        if j < layout.inputs { matrix[(i, j)] } else { biases[group * layout.outputs + i] }
    })
}

fn narrow(layout: &Layout, matrix: &Mat<f32>, group: usize, numbers: &mut [f32]) {
    let (weights, biases) = numbers.split_at_mut(layout.weights());
    let own = &mut weights[layout.range(group)];
    for (i, row) in own.chunks_exact_mut(layout.inputs).enumerate() {
        row.iter_mut().enumerate().for_each(|(j, value)| *value = matrix[(i, j)]);
        if layout.bias {
            biases[group * layout.outputs + i] = matrix[(i, layout.inputs)];
        }
    }
}
