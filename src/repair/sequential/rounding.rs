//! Weights rounded to a grid in order, the error of each passed on to those that are left.
//!
//! Frantar et al., "GPTQ", arXiv:2210.17323; in the order of the columns it is Babai's nearest plane in the lattice of the
//! weights under the metric of the second moments (Chen et al., arXiv:2507.18553). One Cholesky factor suffices: with
//! `H = R R^T`, `R` upper triangular, `(w - q)^T H (w - q)` is the squared length of `R^T (w - q)`, whose entry `i` depends on
//! weights up to `i` alone.

use faer::{Mat, Side};
use rayon::prelude::*;

/// Rounds `[d, O]` weights to multiples of `steps` (one for every output), at most `most` of them. `moments`: second moments
/// `[d, d]` of what they multiply; where there are none or they have no factor, every weight goes to the nearest step.
pub(super) fn in_order(moments: Option<&Mat<f64>>, weights: &Mat<f64>, steps: &[f64], most: f64) -> Mat<f64> {
    let d = weights.nrows();
    let factor = moments.and_then(lower);
    let column = |o: usize| -> Vec<f64> {
        let step = steps[o].max(f64::MIN_POSITIVE);
        let nearest = |value: f64| (value / step).round_ties_even().clamp(-most, most) * step;
        let Some(factor) = &factor else { return (0..d).map(|i| nearest(weights[(i, o)])).collect() };
        let (mut errors, mut rounded) = (vec![0.0; d], vec![0.0; d]);
        for i in 0..d {
            let row = &factor[i * (i + 1) / 2..][..=i];
            let passed: f64 = row[..i].iter().zip(&errors).map(|(factor, error)| factor * error).sum();
            rounded[i] = nearest(weights[(i, o)] + passed / row[i]);
            errors[i] = weights[(i, o)] - rounded[i];
        }
        rounded
    };
    let columns: Vec<Vec<f64>> = (0..weights.ncols()).into_par_iter().map(column).collect();
    Mat::from_fn(d, weights.ncols(), |i, o| columns[o][i])
}

/// `R^T` of `H = R R^T` with `R` upper triangular, row by row.
fn lower(moments: &Mat<f64>) -> Option<Vec<f64>> {
    let d = moments.nrows();
    let reversed = Mat::from_fn(d, d, |i, j| moments[(d - 1 - i, d - 1 - j)]);
    let factor = reversed.llt(Side::Lower).ok()?;
    let factor = factor.L();
    // `R = P L P` with `P` the reversal: `R^T[i, j] = L[d - 1 - j, d - 1 - i]`.
    Some((0..d).flat_map(|i| (0..=i).map(move |j| factor[(d - 1 - j, d - 1 - i)])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(moments: &Mat<f64>, weights: &Mat<f64>, rounded: &Mat<f64>) -> f64 {
        let difference = weights - rounded;
        let square = difference.transpose() * moments * &difference;
        (0..square.nrows()).map(|i| square[(i, i)]).sum()
    }

    #[test]
    fn what_one_loses_another_makes_up_for() {
        // Inputs that go together: errors of one sign add up, and may be balanced.
        let moments = Mat::from_fn(16, 16, |i, j| 0.9 + if i == j { 0.1 } else { 0.0 });
        let weights = Mat::from_fn(16, 24, |i, o| ((i * 37 + o * 53) % 101) as f64 / 20.0 - 2.5);
        let steps: Vec<f64> = (0..24).map(|o| [1.0, 0.5, 0.25][o % 3]).collect();
        let rounded = in_order(Some(&moments), &weights, &steps, 127.0);
        let plain = Mat::from_fn(16, 24, |i, o| (weights[(i, o)] / steps[o]).round_ties_even() * steps[o]);
        assert!(error(&moments, &weights, &rounded) < 0.5 * error(&moments, &weights, &plain));
        for (o, step) in steps.iter().enumerate() {
            assert!((0..16).all(|i| (rounded[(i, o)] / step).fract() == 0.0));
        }
    }

    #[test]
    fn without_correlations_it_is_the_nearest() {
        let moments = Mat::from_fn(4, 4, |i, j| if i == j { 2.0 } else { 0.0 });
        let weights = Mat::from_fn(4, 1, |i, _| i as f64 * 0.4 - 0.7);
        let rounded = in_order(Some(&moments), &weights, &[1.0], 1.0);
        assert_eq!((0..4).map(|i| rounded[(i, 0)]).collect::<Vec<_>>(), [-1.0, -0.0, 0.0, 1.0]);
    }
}
