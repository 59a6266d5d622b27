//! The quadratic form of the problem: one matrix for all responses, or one for each.

use nalgebra::DMatrix;
use rayon::prelude::*;

/// `Q`, symmetric and positive definite (ridge included).
#[derive(Debug, Clone, PartialEq)]
pub enum Quadratic {
    /// The same `c x c` matrix for every response (`method.md` 4.1).
    Shared(DMatrix<f64>),
    /// A matrix for each response (`classwise.md` C2).
    PerResponse(PerResponse),
}

/// One `c x c` matrix for each of `K` responses, the `K` values of a pair of rows side by side.
#[derive(Debug, Clone, PartialEq)]
pub struct PerResponse {
    rows: usize,
    responses: usize,
    /// `[row, other row, response]`.
    values: Vec<f64>,
}

impl PerResponse {
    /// From `value(row, other, response)`, which must not change if `row` and `other` are exchanged.
    pub fn from_fn(rows: usize, responses: usize, value: impl Fn(usize, usize, usize) -> f64 + Sync) -> Self {
        let mut values = vec![0.0; rows * rows * responses];
        let stripe = (rows * responses).max(1);
        values.par_chunks_mut(stripe).enumerate().for_each(|(row, stripe)| {
            for (other, cells) in stripe.chunks_mut(responses.max(1)).enumerate() {
                for (response, cell) in cells.iter_mut().enumerate() {
                    *cell = value(row, other, response);
                }
            }
        });
        Self { rows, responses, values }
    }

    /// The values of all responses between a row and every other, `[other, response]`.
    fn stripe(&self, row: usize) -> &[f64] {
        let length = self.rows * self.responses;
        &self.values[row * length..][..length]
    }
}

impl From<DMatrix<f64>> for Quadratic {
    fn from(matrix: DMatrix<f64>) -> Self {
        Self::Shared(matrix)
    }
}

impl From<PerResponse> for Quadratic {
    fn from(matrices: PerResponse) -> Self {
        Self::PerResponse(matrices)
    }
}

impl Quadratic {
    /// Number of rows `c`.
    pub fn rows(&self) -> usize {
        match self {
            Self::Shared(matrix) => matrix.nrows(),
            Self::PerResponse(matrices) => matrices.rows,
        }
    }

    /// The entry of two rows for one response.
    pub fn at(&self, row: usize, other: usize, response: usize) -> f64 {
        match self {
            Self::Shared(matrix) => matrix[(row, other)],
            Self::PerResponse(matrices) => matrices.stripe(row)[other * matrices.responses + response],
        }
    }

    /// Largest diagonal entry of a row over the responses: the curvature that bounds a step of this row.
    pub fn curvature(&self, row: usize) -> f64 {
        match self {
            Self::Shared(matrix) => matrix[(row, row)],
            Self::PerResponse(matrices) => {
                (0..matrices.responses).map(|response| self.at(row, row, response)).fold(0.0, f64::max)
            }
        }
    }

    /// The form of the given rows alone.
    #[must_use]
    pub fn restricted(&self, rows: &[usize]) -> Self {
        match self {
            Self::Shared(matrix) => {
                Self::Shared(DMatrix::from_fn(rows.len(), rows.len(), |a, b| matrix[(rows[a], rows[b])]))
            }
            Self::PerResponse(matrices) => {
                let value = |a: usize, b: usize, response: usize| self.at(rows[a], rows[b], response);
                Self::PerResponse(PerResponse::from_fn(rows.len(), matrices.responses, value))
            }
        }
    }

    /// Subtracts `Q B` from a gradient; both are held transposed (`K x c`).
    pub fn subtract_product(&self, coefficients: &DMatrix<f64>, gradient: &mut DMatrix<f64>) {
        match self {
            Self::Shared(matrix) => gradient.gemm(-1.0, coefficients, matrix, 1.0),
            Self::PerResponse(matrices) => {
                let live: Vec<usize> =
                    (0..matrices.rows).filter(|&row| coefficients.column(row).iter().any(|b| *b != 0.0)).collect();
                // Every thread owns whole rows of the gradient, so the sums do not depend on how many there are.
                let responses = matrices.responses.max(1);
                gradient.as_mut_slice().par_chunks_mut(responses).enumerate().for_each(|(row, gradient)| {
                    let stripe = matrices.stripe(row);
                    for &other in &live {
                        let values = &stripe[other * responses..][..responses];
                        let own = coefficients.column(other);
                        for ((gradient, value), own) in gradient.iter_mut().zip(values).zip(own.iter()) {
                            *gradient -= value * own;
                        }
                    }
                });
            }
        }
    }

    /// Subtracts `Q_{:,row} change^T` from a gradient (`K x c`).
    pub fn subtract_row(&self, row: usize, change: &[f64], gradient: &mut DMatrix<f64>) {
        let responses = change.len().max(1);
        let rows = gradient.as_mut_slice().chunks_exact_mut(responses);
        match self {
            Self::Shared(matrix) => {
                for (gradient, weight) in rows.zip(matrix.column(row).iter()) {
                    for (gradient, change) in gradient.iter_mut().zip(change) {
                        *gradient -= weight * change;
                    }
                }
            }
            Self::PerResponse(matrices) => {
                for (gradient, weights) in rows.zip(matrices.stripe(row).chunks_exact(responses)) {
                    for ((gradient, weight), change) in gradient.iter_mut().zip(weights).zip(change) {
                        *gradient -= weight * change;
                    }
                }
            }
        }
    }

    /// Largest eigenvalue over the responses.
    pub fn largest_eigenvalue(&self) -> f64 {
        let of = |matrix: &DMatrix<f64>| matrix.symmetric_eigenvalues().iter().copied().fold(0.0, f64::max);
        match self {
            Self::Shared(matrix) => of(matrix),
            Self::PerResponse(matrices) => (0..matrices.responses)
                .into_par_iter()
                .map(|k| of(&DMatrix::from_fn(matrices.rows, matrices.rows, |a, b| self.at(a, b, k))))
                .reduce(|| 0.0, f64::max),
        }
    }
}
