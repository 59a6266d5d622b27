//! Sums of products of the columns that a consumer reads.

use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::{Accum, Mat, MatRef, Par};

use crate::statistics::Estimate;

/// Second moments of columns at sampled rows.
#[derive(Debug, Clone)]
pub(in crate::repair) struct Pairs {
    /// Columns per channel: 1, or one per kernel position.
    pub(in crate::repair) per_channel: usize,
    /// Rows seen.
    pub(in crate::repair) rows: usize,
    /// Sum of the rows' weights.
    pub(in crate::repair) mass: f64,
    /// Weighted sum of every column.
    pub(in crate::repair) sum: Vec<f64>,
    /// Weighted sum of products, lower triangle.
    pub(in crate::repair) gram: Mat<f64>,
}

impl Pairs {
    /// Nothing seen yet.
    pub(in crate::repair) fn new(per_channel: usize, columns: usize) -> Self {
        Self { per_channel, rows: 0, mass: 0.0, sum: vec![0.0; columns], gram: Mat::zeros(columns, columns) }
    }

    /// Adds rows `[columns, rows]` that all weigh 1.
    pub(in crate::repair) fn add(&mut self, rows: MatRef<'_, f64>) {
        self.rows += rows.ncols();
        self.mass += rows.ncols() as f64;
        add_rows(&mut self.sum, rows);
        products(&mut self.gram, Accum::Add, rows);
    }

    /// Adds what another has seen, weighted.
    pub(in crate::repair) fn add_weighted(&mut self, other: &Self, weight: f64) {
        self.rows += other.rows;
        self.mass += weight * other.mass;
        self.sum.iter_mut().zip(&other.sum).for_each(|(sum, more)| *sum += weight * more);
        for (column, more) in self.gram.col_iter_mut().zip(other.gram.col_iter()) {
            column.iter_mut().zip(more.iter()).for_each(|(sum, more)| *sum += weight * more);
        }
    }

    /// Forgets what was seen and looks at `rows`.
    pub(in crate::repair) fn replace(&mut self, rows: MatRef<'_, f64>) {
        self.rows = rows.ncols();
        self.mass = rows.ncols() as f64;
        self.sum.fill(0.0);
        add_rows(&mut self.sum, rows);
        products(&mut self.gram, Accum::Replace, rows);
    }

    /// Mean of a column.
    pub(in crate::repair) fn mean(&self, column: usize) -> f64 {
        self.sum[column] / self.mass
    }

    /// Covariance of two columns.
    pub(in crate::repair) fn covariance(&self, a: usize, b: usize) -> f64 {
        self.gram[(a.max(b), a.min(b))] / self.mass - self.mean(a) * self.mean(b)
    }

    /// Strength of the ridge of a regression on these columns, relative to their mean variance.
    pub(in crate::repair) fn ridge(&self) -> f64 {
        let columns = self.sum.len();
        let trace = (0..columns).map(|at| self.covariance(at, at)).sum();
        let below = |row: usize| (0..row).map(|column| self.covariance(row, column).powi(2)).sum::<f64>();
        let squares = (0..columns).map(|row| self.covariance(row, row).powi(2) + 2.0 * below(row)).sum();
        Estimate { rows: self.rows, columns, trace, squares }.ridge()
    }
}

fn add_rows(sums: &mut [f64], rows: MatRef<'_, f64>) {
    for row in rows.col_iter() {
        sums.iter_mut().zip(row.iter()).for_each(|(sum, value)| *sum += value);
    }
}

fn products(gram: &mut Mat<f64>, accumulate: Accum, rows: MatRef<'_, f64>) {
    triangular::matmul(
        gram.as_mut(),
        BlockStructure::TriangularLower,
        accumulate,
        rows,
        BlockStructure::Rectangular,
        rows.transpose(),
        BlockStructure::Rectangular,
        1.0,
        Par::Seq,
    );
}
