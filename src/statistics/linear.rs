//! The linear kernel through centred features, without anything of size `n x n` (`docs/method.md` 1.6).

use faer::linalg::matmul::matmul;
use faer::mat::{MatMut, MatRef};
use faer::{Accum, Par};
use nalgebra::DMatrix;
use rayon::prelude::*;

use super::gram::Part;

/// Columns of a panel of features.
const PANEL: usize = 512;

/// `Q_jl = ||X_j^T X_l||_F^2` (`c x c`) and `R_jk = ||X_j^T U_k||_F^2` (`c x K`) of a block of images.
///
/// The product of all features with all features is made in panels and squared at once; it is never held.
pub(super) fn statistics<T: Copy + Into<f64> + Send + Sync>(part: &Part<'_, T>) -> (DMatrix<f64>, DMatrix<f64>) {
    let (_, channels, depth) = part.features.dim();
    let features = centred(part);
    let width = (PANEL / depth.max(1)).max(1);
    let panels: Vec<usize> = (0..channels).step_by(width).collect();
    let pairs: Vec<(usize, usize)> = panels
        .iter()
        .flat_map(|&first| panels.iter().filter(move |&&second| second <= first).map(move |&s| (first, s)))
        .collect();
    let size = |start: usize| width.min(channels - start);
    let columns = |start: usize| {
        let column = features.nrows() * depth;
        &features.as_slice()[start * column..(start + size(start)) * column]
    };
    let products: Vec<DMatrix<f64>> = pairs
        .par_iter()
        .map(|&(first, second)| {
            let block = product(columns(first), columns(second), features.nrows());
            block_norms(&block, size(first), size(second))
        })
        .collect();
    let mut quadratic = DMatrix::zeros(channels, channels);
    for (&(first, second), block) in pairs.iter().zip(&products) {
        quadratic.view_mut((first, second), block.shape()).copy_from(block);
        quadratic.view_mut((second, first), (block.ncols(), block.nrows())).copy_from(&block.transpose());
    }
    let mut linear = DMatrix::zeros(channels, part.factors.len());
    for (k, factor) in part.factors.iter().enumerate() {
        let block = product(features.as_slice(), factor.as_slice(), features.nrows());
        linear.set_column(k, &block_norms(&block, channels, 1).column(0));
    }
    (quadratic, linear)
}

/// Centred features, `n x (c d)`: column `j d + a` is feature `a` of channel `j`.
fn centred<T: Copy + Into<f64>>(part: &Part<'_, T>) -> DMatrix<f64> {
    let (_, channels, depth) = part.features.dim();
    let images = part.images.len();
    let mut out = DMatrix::zeros(images, channels * depth);
    let mut rows = vec![0.0; images * depth];
    for channel in 0..channels {
        part.gather(channel, 0..images, &mut rows);
        for feature in 0..depth {
            let mut column = out.column_mut(channel * depth + feature);
            for (value, row) in column.iter_mut().zip(rows.chunks_exact(depth)) {
                *value = row[feature];
            }
            let mean = column.mean();
            column.add_scalar_mut(-mean);
        }
    }
    out
}

/// `A^T B` of two column-major matrices of `rows` rows.
fn product(left: &[f64], right: &[f64], rows: usize) -> DMatrix<f64> {
    let (height, width) = (left.len() / rows, right.len() / rows);
    let mut out = DMatrix::zeros(height, width);
    let target = MatMut::from_column_major_slice_mut(out.as_mut_slice(), height, width);
    let (left, right) =
        (MatRef::from_column_major_slice(left, rows, height), MatRef::from_column_major_slice(right, rows, width));
    matmul(target, Accum::Replace, left.transpose(), right, 1.0, Par::Seq);
    out
}

/// Squared Frobenius norms of the blocks of a matrix that is cut into `rows x columns` equal blocks.
fn block_norms(matrix: &DMatrix<f64>, rows: usize, columns: usize) -> DMatrix<f64> {
    let (height, width) = (matrix.nrows() / rows.max(1), matrix.ncols() / columns.max(1));
    DMatrix::from_fn(rows, columns, |row, column| {
        matrix.view((row * height, column * width), (height, width)).norm_squared()
    })
}
