//! Ridge least squares about weights that are there, in one of two forms with the same solution: by the covariance of the
//! columns, or, where there are fewer rows than columns, by the products of the rows with each other.
//!
//! With centred rows `X` (`[d, n]`), `C = X X^T / n`, `K = X^T X / n` and what is missing `R` (`[n, O]`):
//! `(C + rho I)^-1 X R / n = X (K + rho I)^-1 R / n`.

use faer::linalg::matmul::matmul;
use faer::linalg::solvers::{Llt, Solve as _};
use faer::{Accum, Mat, MatRef, Par, Side};
use rayon::prelude::*;

use super::fit::predict;
use super::sums::{BLOCK, Moments, add, add_columns, cross, numbers};

/// Columns up to which the matrix of all their pairs is small; and where it is wanted for more than the solution.
const WIDE: usize = 2048;
const WIDEST: usize = 8192;

/// Rows that a layer is fitted on: what it reads, `[d, n]` each, and what the ridge draws to.
pub(super) struct System<'a> {
    rows: Vec<MatRef<'a, f32>>,
    /// Weights so far, `[d, O]`.
    weights: &'a Mat<f64>,
    /// Rows in all.
    n: f64,
    /// What the columns are moved by; zeros where constants cannot be changed.
    pub(super) means: Vec<f64>,
    form: Form,
}

enum Form {
    /// `C`, `[d, d]`.
    Columns(Mat<f64>),
    /// Centred rows, `[d, n]`, and `K`, `[n, n]`.
    Rows(Mat<f32>, Mat<f64>),
}

/// Whether rows are to be taken by their products with each other. `wanted`: whether the covariance of the columns is wanted.
pub(super) fn by_rows(columns: usize, rows: usize, wanted: bool) -> bool {
    columns > if wanted { WIDEST } else { WIDE } && rows < columns
}

impl<'a> System<'a> {
    /// `moments`: sums over the rows, with products of the columns unless they are taken [`by_rows`].
    pub(super) fn new(rows: Vec<MatRef<'a, f32>>, weights: &'a Mat<f64>, moments: &Moments, intercept: bool) -> Self {
        let means = moments.means(intercept);
        let form = if let Some(covariance) = moments.covariance(&means) {
            Form::Columns(covariance)
        } else {
            let centred = centred(&rows, &means);
            let products = products(centred.as_ref());
            Form::Rows(centred, products)
        };
        Self { rows, weights, n: moments.n, means, form }
    }

    /// The covariance of the columns, where it is formed.
    pub(super) fn covariance(&self) -> Option<&Mat<f64>> {
        match &self.form {
            Form::Columns(covariance) => Some(covariance),
            Form::Rows(..) => None,
        }
    }

    /// The factor for a ridge relative to the mean variance of the columns.
    pub(super) fn factor(&self, ridge: f64) -> Option<Llt<f64>> {
        let mut square = match &self.form {
            Form::Columns(square) | Form::Rows(_, square) => square.clone(),
        };
        strengthen(&mut square, ridge, self.means.len());
        square.llt(Side::Lower).ok()
    }

    /// Weights `[d, O]` for targets `[O, n]` of the rows, and the means of those: `W0 + (C + rho I)^-1 (C_xz - C W0)`.
    pub(super) fn solve(&self, factor: &Llt<f64>, targets: &[Mat<f32>]) -> (Mat<f64>, Vec<f64>) {
        match &self.form {
            Form::Columns(covariance) => {
                let (d, outputs) = self.weights.shape();
                let (mut product, mut sums) = (Mat::zeros(d, outputs), vec![0.0; outputs]);
                for (rows, aim) in self.rows.iter().zip(targets) {
                    let more = cross(*rows, aim.as_ref());
                    product += &more.0;
                    sums.iter_mut().zip(&more.1).for_each(|(sum, more)| *sum += more);
                }
                let averages: Vec<f64> = sums.iter().map(|sum| sum / self.n).collect();
                let own = covariance * self.weights;
                let right = Mat::from_fn(d, outputs, |i, o| {
                    product[(i, o)] / self.n - self.means[i] * averages[o] - own[(i, o)]
                });
                (self.weights + factor.solve(&right), averages)
            }
            Form::Rows(centred, _) => {
                let mut sums = vec![0.0; self.weights.ncols()];
                for aim in targets {
                    add_columns(&mut sums, aim.as_ref());
                }
                let right = self.missing(targets);
                let change = combined(centred.as_ref(), &factor.solve(&right));
                (self.weights + change, sums.iter().map(|sum| sum / self.n).collect())
            }
        }
    }

    /// `R / n`, `[n, O]`: targets less what the weights so far give. What constants make up for is in the rows' null space.
    fn missing(&self, targets: &[Mat<f32>]) -> Mat<f64> {
        let none = vec![0.0; self.weights.ncols()];
        let mut right = Mat::zeros(self.rows.iter().map(MatRef::ncols).sum(), none.len());
        let mut at = 0;
        for (rows, aim) in self.rows.iter().zip(targets) {
            let found = predict(*rows, self.weights, &none);
            for (aim, found) in aim.col_iter().zip(found.col_iter()) {
                for (o, (aim, found)) in numbers(aim).iter().zip(numbers(found)).enumerate() {
                    right[(at, o)] = f64::from(aim - found) / self.n;
                }
                at += 1;
            }
        }
        right
    }
}

/// Rows about their means, one matrix after the other.
#[allow(clippy::cast_possible_truncation, reason = "rows are in single precision")]
fn centred(rows: &[MatRef<'_, f32>], means: &[f64]) -> Mat<f32> {
    let mut out = Mat::zeros(means.len(), rows.iter().map(MatRef::ncols).sum());
    let columns = out.col_iter_mut().filter_map(faer::ColMut::try_as_col_major_mut);
    for (out, own) in columns.zip(rows.iter().flat_map(|rows| rows.col_iter())) {
        for ((out, own), mean) in out.as_slice_mut().iter_mut().zip(numbers(own)).zip(means) {
            *out = (f64::from(*own) - mean) as f32;
        }
    }
    out
}

/// `X^T X / n`, `[n, n]`: single precision within a block of columns, double across.
fn products(x: MatRef<'_, f32>) -> Mat<f64> {
    let (d, n) = x.shape();
    let starts: Vec<usize> = (0..d).step_by(BLOCK).collect();
    let mut sum = Mat::zeros(n, n);
    // Two at a time: a block for every pair of rows takes memory.
    for pair in starts.chunks(2) {
        let block = |&from: &usize| {
            let part = x.subrows(from, BLOCK.min(d - from));
            let mut block = Mat::<f32>::zeros(n, n);
            matmul(block.as_mut(), Accum::Replace, part.transpose(), part, 1.0, Par::Seq);
            block
        };
        let blocks: Vec<Mat<f32>> = pair.par_iter().map(block).collect();
        for block in &blocks {
            add(&mut sum, block.as_ref());
        }
    }
    sum.col_iter_mut().flat_map(faer::ColMut::iter_mut).for_each(|value: &mut f64| *value /= n as f64);
    sum
}

/// `X S`, `[d, O]`.
#[allow(clippy::cast_possible_truncation, reason = "rows are in single precision")]
fn combined(x: MatRef<'_, f32>, shares: &Mat<f64>) -> Mat<f64> {
    let single = Mat::from_fn(shares.nrows(), shares.ncols(), |row, o| shares[(row, o)] as f32);
    let mut out = Mat::<f32>::zeros(x.nrows(), shares.ncols());
    out.par_row_chunks_mut(BLOCK).zip(x.par_row_chunks(BLOCK)).for_each(|(mut out, rows)| {
        matmul(out.as_mut(), Accum::Replace, rows, single.as_ref(), 1.0, Par::Seq);
    });
    Mat::from_fn(out.nrows(), out.ncols(), |i, o| f64::from(out[(i, o)]))
}

/// Adds a ridge relative to the trace over `d`, the mean variance of the columns: `C` and `K` have one trace.
pub(super) fn strengthen(square: &mut Mat<f64>, ridge: f64, d: usize) {
    let n = square.nrows();
    let mean = (0..n).map(|i| square[(i, i)]).sum::<f64>() / d.max(1) as f64;
    let rho = ridge * mean.max(f64::MIN_POSITIVE);
    for i in 0..n {
        square[(i, i)] += rho;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values about 0.2 that no two places share.
    fn value(at: usize) -> f32 {
        let x = (at as f32 * 12.989).sin() * 43_758.547;
        x - x.floor() - 0.3
    }

    #[test]
    fn both_forms_have_one_solution() {
        let rows = [
            Mat::from_fn(40, 13, |i, row| value(i * 97 + row)),
            Mat::from_fn(40, 6, |i, row| value(i * 89 + row + 7000)),
        ];
        let aims = [13, 6].map(|n| Mat::from_fn(3, n, |o, row| value(o * 31 + row + n * 911)));
        let weights = Mat::from_fn(40, 3, |i, o| f64::from(value(i + 50 * o)));
        let views: Vec<MatRef<'_, f32>> = rows.iter().map(Mat::as_ref).collect();
        for intercept in [true, false] {
            let solved = [true, false].map(|pairs| {
                let mut moments = Moments::of(views[0], pairs);
                moments.add(&Moments::of(views[1], pairs));
                let system = System::new(views.clone(), &weights, &moments, intercept);
                assert_eq!(system.covariance().is_some(), pairs);
                system.solve(&system.factor(1e-2).unwrap(), &aims)
            });
            let [columns, rows] = &solved;
            assert!((&columns.0 - &rows.0).norm_max() < 1e-4, "{}", (&columns.0 - &rows.0).norm_max());
            assert!(columns.1.iter().zip(&rows.1).all(|(a, b)| (a - b).abs() < 1e-6));
        }
    }
}
