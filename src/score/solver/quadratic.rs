//! The quadratic form of the problem: one matrix for all responses, or one for each.

use nalgebra::DMatrix;
use rayon::prelude::*;

/// `Q`, symmetric and positive definite (ridge included).
#[derive(Debug, Clone, PartialEq)]
pub enum Quadratic {
    /// The same `c x c` matrix for every response (`docs/method.md` 4.1).
    Shared(DMatrix<f64>),
    /// A matrix for each response (`docs/method.md` 4.7).
    PerResponse(PerResponse),
}

/// One `c x c` matrix for each of `K` responses; what a row has with all others lies side by side, response by response.
#[derive(Debug, Clone, PartialEq)]
pub struct PerResponse {
    rows: usize,
    responses: usize,
    /// `[row, response, other row]`.
    values: Vec<f64>,
}

impl PerResponse {
    /// From `value(row, other, response)`, which must not change if `row` and `other` are exchanged.
    pub fn from_fn(rows: usize, responses: usize, value: impl Fn(usize, usize, usize) -> f64 + Sync) -> Self {
        let mut values = vec![0.0; rows * rows * responses];
        let stripe = (rows * responses).max(1);
        values.par_chunks_mut(stripe).enumerate().for_each(|(row, stripe)| {
            for (response, cells) in stripe.chunks_mut(rows.max(1)).enumerate() {
                for (other, cell) in cells.iter_mut().enumerate() {
                    *cell = value(row, other, response);
                }
            }
        });
        Self { rows, responses, values }
    }

    /// The values of a row with all others for one response.
    fn line(&self, row: usize, response: usize) -> &[f64] {
        &self.values[(row * self.responses + response) * self.rows..][..self.rows]
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
            Self::PerResponse(matrices) => matrices.line(row, response)[other],
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
                // Every thread owns whole rows of the gradient, so the sums do not depend on how many there are.
                let (responses, by_response) = (matrices.responses.max(1), coefficients.transpose());
                let used: Vec<bool> = by_response.column_iter().map(|own| own.iter().any(|b| *b != 0.0)).collect();
                gradient.as_mut_slice().par_chunks_mut(responses).enumerate().for_each(|(row, gradient)| {
                    for (response, gradient) in gradient.iter_mut().enumerate().filter(|(response, _)| used[*response])
                    {
                        let own = by_response.column(response);
                        *gradient -=
                            matrices.line(row, response).iter().zip(own.iter()).map(|(q, b)| q * b).sum::<f64>();
                    }
                });
            }
        }
    }

    /// Subtracts `Q_{:,row} change^T` from a gradient that is held response by response (`c x K`).
    pub(super) fn subtract_row(&self, row: usize, change: &[f64], gradient: &mut DMatrix<f64>) {
        for (response, (&change, mut gradient)) in change.iter().zip(gradient.column_iter_mut()).enumerate() {
            if change == 0.0 {
                continue;
            }
            let line = match self {
                // Symmetric: the column is the row.
                Self::Shared(matrix) => &matrix.as_slice()[row * matrix.nrows()..][..matrix.nrows()],
                Self::PerResponse(matrices) => matrices.line(row, response),
            };
            for (gradient, weight) in gradient.as_mut_slice().iter_mut().zip(line) {
                *gradient -= weight * change;
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
