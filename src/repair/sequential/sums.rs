//! Sums over the rows of a problem, formed in a fixed order: single precision within a block, double across.

use faer::linalg::matmul::matmul;
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::{Accum, ColRef, Mat, MatRef, Par};
use rayon::prelude::*;

/// Rows that are multiplied in single precision before the sum goes on in double.
pub(super) const BLOCK: usize = 2048;

/// Parts of the rows that are summed side by side; a fixed number, so that threads do not change the result.
const PARTS: usize = 4;

/// Sums over rows, of what a layer reads.
pub(super) struct Moments {
    /// Rows.
    pub(super) n: f64,
    sum: Vec<f64>,
    /// Lower triangle of the products of the columns; empty where they are not formed.
    gram: Mat<f64>,
}

impl Moments {
    /// Of rows `[d, n]`, with or without the products of the columns.
    pub(super) fn of(x: MatRef<'_, f32>, products: bool) -> Self {
        if !products {
            let mut sum = vec![0.0; x.nrows()];
            add_columns(&mut sum, x);
            return Self { n: x.ncols() as f64, sum, gram: Mat::zeros(0, 0) };
        }
        let parts: Vec<Self> = parts(x.ncols()).into_par_iter().map(|(from, to)| Self::part(x, from, to)).collect();
        let mut all = Self { n: 0.0, sum: vec![0.0; x.nrows()], gram: Mat::zeros(x.nrows(), x.nrows()) };
        for part in parts {
            all.add(&part);
        }
        all
    }

    fn part(x: MatRef<'_, f32>, from: usize, to: usize) -> Self {
        let d = x.nrows();
        let (mut sum, mut gram) = (vec![0.0; d], Mat::zeros(d, d));
        let mut block = Mat::<f32>::zeros(d, d);
        for start in (from..to).step_by(BLOCK) {
            let rows = x.subcols(start, BLOCK.min(to - start));
            add_columns(&mut sum, rows);
            let (lower, full) = (BlockStructure::TriangularLower, BlockStructure::Rectangular);
            let seq = Par::Seq;
            triangular::matmul(block.as_mut(), lower, Accum::Replace, rows, full, rows.transpose(), full, 1.0, seq);
            add(&mut gram, block.as_ref());
        }
        Self { n: (to - from) as f64, sum, gram }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.n += other.n;
        self.sum.iter_mut().zip(&other.sum).for_each(|(sum, more)| *sum += more);
        self.gram += &other.gram;
    }

    pub(super) fn means(&self, intercept: bool) -> Vec<f64> {
        self.sum.iter().map(|sum| if intercept { sum / self.n } else { 0.0 }).collect()
    }

    /// Covariance, both triangles; `None` without the products of the columns.
    pub(super) fn covariance(&self, means: &[f64]) -> Option<Mat<f64>> {
        let of = |i: usize, j: usize| self.gram[(i.max(j), i.min(j))] / self.n - means[i] * means[j];
        (self.gram.nrows() == means.len()).then(|| Mat::from_fn(means.len(), means.len(), of))
    }
}

/// Adds a matrix in single precision.
pub(super) fn add(sum: &mut Mat<f64>, block: MatRef<'_, f32>) {
    for (column, more) in sum.col_iter_mut().zip(block.col_iter()) {
        let Some(column) = column.try_as_col_major_mut() else { continue };
        column.as_slice_mut().iter_mut().zip(numbers(more)).for_each(|(sum, more)| *sum += f64::from(*more));
    }
}

/// Adds the columns of a matrix, one after the other.
pub(super) fn add_columns(sum: &mut [f64], columns: MatRef<'_, f32>) {
    for column in columns.col_iter() {
        sum.iter_mut().zip(numbers(column)).for_each(|(sum, value)| *sum += f64::from(*value));
    }
}

/// A column of a matrix that is stored column by column.
pub(super) fn numbers(column: ColRef<'_, f32>) -> &[f32] {
    column.try_as_col_major().map(ColRef::as_slice).unwrap_or_default()
}

/// Ranges of rows that are summed side by side.
fn parts(rows: usize) -> Vec<(usize, usize)> {
    let count = rows.div_ceil(BLOCK).clamp(1, PARTS);
    let size = rows.div_ceil(count);
    (0..count).map(|part| (part * size, ((part + 1) * size).min(rows))).collect()
}

/// `X Z^T`, `[d, O]`, and the sum of every row of `Z`.
pub(super) fn cross(x: MatRef<'_, f32>, z: MatRef<'_, f32>) -> (Mat<f64>, Vec<f64>) {
    let found: Vec<(Mat<f64>, Vec<f64>)> = parts(x.ncols())
        .into_par_iter()
        .map(|(from, to)| {
            let (mut product, mut sum) = (Mat::zeros(x.nrows(), z.nrows()), vec![0.0; z.nrows()]);
            let mut block = Mat::<f32>::zeros(x.nrows(), z.nrows());
            for start in (from..to).step_by(BLOCK) {
                let length = BLOCK.min(to - start);
                let (rows, targets) = (x.subcols(start, length), z.subcols(start, length));
                matmul(block.as_mut(), Accum::Replace, rows, targets.transpose(), 1.0, Par::Seq);
                add(&mut product, block.as_ref());
                add_columns(&mut sum, targets);
            }
            (product, sum)
        })
        .collect();
    let mut all = (Mat::zeros(x.nrows(), z.nrows()), vec![0.0; z.nrows()]);
    for (product, sum) in found {
        all.0 += &product;
        all.1.iter_mut().zip(&sum).for_each(|(all, sum)| *all += sum);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_sum_to_the_whole() {
        let x = Mat::from_fn(3, 9000, |i, row| ((row * 7 + i * 13) % 11) as f32 - 5.0);
        let (moments, one) = (Moments::of(x.as_ref(), true), Moments::part(x.as_ref(), 0, 9000));
        assert!((&moments.gram - &one.gram).norm_max() < 1e-3);
        assert_eq!(parts(9000).last().map(|part| part.1), Some(9000));
    }
}
