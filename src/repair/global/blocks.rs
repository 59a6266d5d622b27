//! Adjustable numbers: the matrix and the bias of one node, and how the file stores them.

use std::ops::Range;

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};

use super::ops::{Array, At};
use crate::ops::linear::{LinearMap, WEIGHT};
use crate::ops::normalization::Statistics;

/// Shape of a node's adjustable numbers: for each group a matrix `[outputs, inputs]` in row-major order, one group after
/// the other, then a bias for every output of every group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) groups: usize,
    /// Outputs of one group.
    pub(super) outputs: usize,
    /// Inputs of one group: channels times kernel positions.
    pub(super) inputs: usize,
    pub(super) bias: bool,
}

impl Layout {
    /// Numbers in the matrices.
    pub(super) fn weights(&self) -> usize {
        self.groups * self.outputs * self.inputs
    }

    /// The matrix of a group, `[outputs, inputs]`.
    pub(super) fn matrix<'a>(&self, numbers: &'a [f32], group: usize) -> MatRef<'a, f32> {
        let size = self.outputs * self.inputs;
        MatRef::from_row_major_slice(&numbers[group * size..(group + 1) * size], self.outputs, self.inputs)
    }

    /// Where the matrix of a group lies.
    pub(super) fn range(&self, group: usize) -> Range<usize> {
        let size = self.outputs * self.inputs;
        group * size..(group + 1) * size
    }

    /// The biases; empty if there are none.
    pub(super) fn biases<'a>(&self, numbers: &'a [f32]) -> &'a [f32] {
        numbers.get(self.weights()..).unwrap_or_default()
    }
}

/// How a node's tensors hold its numbers.
#[derive(Debug, Clone)]
pub(super) enum Stored {
    /// A weight and a bias.
    Linear(LinearMap),
    /// Gamma and beta of a normalisation.
    Normalised(Statistics),
    /// A weight alone: where every number stands among its elements.
    Placed(Vec<u32>),
}

impl Stored {
    /// Numbers from stored weight and bias; `None` if they are not as many as they should be.
    pub(super) fn load(&self, layout: &Layout, weight: &[f32], bias: Option<&[f32]>) -> Option<Vec<f32>> {
        if weight.len() != layout.weights() || layout.bias != bias.is_some() {
            return None;
        }
        if bias.is_some_and(|bias| bias.len() != layout.groups * layout.outputs) {
            return None;
        }
        let bias = bias.unwrap_or_default();
        match self {
            Self::Linear(map) => {
                let mut numbers = map.layout.rows(weight);
                for value in &mut numbers {
                    *value *= map.alpha;
                }
                numbers.extend(bias.iter().map(|value| value * map.beta));
                Some(numbers)
            }
            Self::Placed(places) => Some(places.iter().map(|&place| weight[place as usize]).collect()),
            Self::Normalised(statistics) => Some(single(&statistics.fold(weight, bias)?.concat())),
        }
    }

    /// Weight and bias to store.
    pub(super) fn store(&self, layout: &Layout, numbers: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let (weight, bias) = numbers.split_at(layout.weights());
        match self {
            Self::Linear(map) => {
                let mut weight = map.layout.elements(weight);
                for value in &mut weight {
                    *value /= map.alpha;
                }
                (weight, bias.iter().map(|value| value / map.beta).collect())
            }
            Self::Placed(places) => {
                let mut elements = vec![0.0; weight.len()];
                places.iter().zip(weight).for_each(|(&place, value)| elements[place as usize] = *value);
                (elements, Vec::new())
            }
            Self::Normalised(statistics) => {
                let [gamma, beta] = statistics.unfold(weight, bias);
                (single(&gamma), single(&beta))
            }
        }
    }
}

#[allow(clippy::cast_possible_truncation, reason = "weights are stored in single precision")]
fn single(values: &[f64]) -> Vec<f32> {
    values.iter().map(|value| *value as f32).collect()
}

/// An operator that multiplies its input with adjustable matrices.
pub(super) trait Affine: Send + Sync {
    fn layout(&self) -> Layout;

    /// How the tensors hold the numbers.
    fn stored(&self) -> &Stored;

    /// Input of the node that is the weight.
    fn weight_input(&self) -> usize {
        WEIGHT
    }

    /// Adds the second moments of what the matrix of `group` is multiplied with, `[inputs, inputs]`, and their sums,
    /// over a batch; returns the number of rows. If
    /// `moments` has one column, the squares alone.
    fn input_moments(&self, input: &Array, group: usize, moments: &mut Mat<f32>, sums: &mut [f32]) -> usize;

    /// Adds the second moments of cotangents of the outputs of `group`, `[outputs, outputs]`.
    fn output_moments(&self, cotangent: &Array, group: usize, moments: &mut Mat<f32>);
}

/// Numbers of one adjustable node within the vector of all.
#[derive(Debug, Clone)]
pub(super) struct Block {
    /// Name of the node.
    pub(super) node: String,
    pub(super) range: Range<usize>,
    pub(super) layout: Layout,
    pub(super) stored: Stored,
    /// Names of the tensors.
    pub(super) weight: String,
    pub(super) bias: Option<String>,
}

impl Block {
    /// Whether another node's numbers are these: the same tensors, read in the same way.
    pub(super) fn is_shared_with(&self, other: &Self) -> bool {
        let alike = match (&self.stored, &other.stored) {
            (Stored::Linear(a), Stored::Linear(b)) => {
                a.layout == b.layout && a.alpha.to_bits() == b.alpha.to_bits() && a.beta.to_bits() == b.beta.to_bits()
            }
            (Stored::Normalised(a), Stored::Normalised(b)) => a == b,
            (Stored::Placed(a), Stored::Placed(b)) => a == b,
            _ => false,
        };
        alike && self.layout == other.layout && self.weight == other.weight && self.bias == other.bias
    }
}

/// The kept input of an affine operator.
pub(super) fn kept_input<'a>(at: &At<'a>) -> Option<&'a Array> {
    at.input(0)
}

/// Adds the second moments of `rows`, `[variables, observations]`, or the squares if `moments` has one column.
pub(super) fn add_moments(moments: &mut Mat<f32>, rows: MatRef<'_, f32>) {
    if moments.ncols() == 1 {
        for (row, variable) in rows.row_iter().enumerate() {
            moments[(row, 0)] += variable.iter().map(|value| value * value).sum::<f32>();
        }
    } else {
        matmul(moments.as_mut(), Accum::Add, rows, rows.transpose(), 1.0, Par::Seq);
    }
}
