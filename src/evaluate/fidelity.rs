//! How far a model's outputs are from another's, without labels.

use ndarray::{ArrayD, Axis};

/// Difference between the outputs of the dense and of another model on the same images, summed up batch by batch.
///
/// A row of class scores is compared by the Kullback-Leibler divergence of its softmax (in nats); any other output by its
/// squared error relative to the dense output's spread. Several outputs count alike.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fidelity {
    divergence: f64,
    images: usize,
    /// Squared error, sum, sum of squares and number of values per output.
    errors: Vec<[f64; 4]>,
}

impl Fidelity {
    /// Adds a batch. `scores`: whether the first output is a row of class scores `[N, K]`.
    pub fn add(&mut self, dense: &[ArrayD<f32>], other: &[ArrayD<f32>], scores: bool) {
        self.errors.resize(dense.len(), [0.0; 4]);
        for (at, (a, b)) in dense.iter().zip(other).enumerate() {
            if at == 0 && scores && a.ndim() == 2 {
                self.images += a.len_of(Axis(0));
                self.divergence += a.outer_iter().zip(b.outer_iter()).map(|(a, b)| divergence(&a, &b)).sum::<f64>();
                continue;
            }
            let sums = &mut self.errors[at];
            for (a, b) in a.iter().zip(b).map(|(a, b)| (f64::from(*a), f64::from(*b))) {
                let more = [(a - b).powi(2), a, a * a, 1.0];
                sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
            }
            // Values that one of the two lacks count as wrong.
            let lacking = a.len().abs_diff(b.len()) as f64;
            sums[0] += lacking * sums[2] / sums[3].max(1.0);
        }
    }

    /// The loss of a model's outputs, batch by batch, beside those of the dense model.
    pub fn between(dense: &[Vec<ArrayD<f32>>], other: &[Vec<ArrayD<f32>>], scores: bool) -> f64 {
        let mut fidelity = Self::default();
        for (dense, other) in dense.iter().zip(other) {
            fidelity.add(dense, other, scores);
        }
        fidelity.loss()
    }

    /// The mean over the outputs; 0: no difference.
    pub fn loss(&self) -> f64 {
        let relative = |[error, sum, squares, n]: &[f64; 4]| {
            let spread = squares - sum * sum / n;
            if *error == 0.0 { 0.0 } else { error / spread.max(1e-12 * squares).max(f64::MIN_POSITIVE) }
        };
        let mut losses: Vec<f64> = self.errors.iter().filter(|own| own[3] > 0.0).map(relative).collect();
        if self.images > 0 {
            losses.push(self.divergence / self.images as f64);
        }
        losses.iter().sum::<f64>() / losses.len().max(1) as f64
    }
}

fn divergence(a: &ndarray::ArrayViewD<'_, f32>, b: &ndarray::ArrayViewD<'_, f32>) -> f64 {
    let (a, b) = (log_softmax(a), log_softmax(b));
    a.iter().zip(&b).map(|(a, b)| if a.exp() > 0.0 { a.exp() * (a - b) } else { 0.0 }).sum::<f64>().max(0.0)
}

/// Logarithm of the probabilities. Rows that are probabilities already (not negative, with sum 1) are taken as such.
fn log_softmax(row: &ndarray::ArrayViewD<'_, f32>) -> Vec<f64> {
    let values: Vec<f64> = row.iter().map(|value| f64::from(*value)).collect();
    let sum: f64 = values.iter().sum();
    if (sum - 1.0).abs() < 1e-4 && values.iter().all(|value| *value >= 0.0) {
        return values.iter().map(|value| value.max(1e-12).ln()).collect();
    }
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total = values.iter().map(|value| (value - most).exp()).sum::<f64>().ln();
    values.iter().map(|value| value - most - total).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(values: &[[f32; 3]]) -> ArrayD<f32> {
        ndarray::Array2::from(values.to_vec()).into_dyn()
    }

    #[test]
    fn divergence_of_scores_and_relative_error_of_the_rest() {
        let (a, b) = (rows(&[[1.0, 2.0, 3.0]]), rows(&[[1.0, 2.0, 4.0]]));
        let mut own = Fidelity::default();
        own.add(std::slice::from_ref(&a), std::slice::from_ref(&a), true);
        assert!(own.loss().abs() < 1e-12);
        let mut own = Fidelity::default();
        own.add(std::slice::from_ref(&a), std::slice::from_ref(&b), true);
        // By hand: log Z = 3.407606 and 4.169846, sum p (a - b) = -0.665241.
        assert!((own.loss() - (4.169_846 - 3.407_606 - 0.665_241)).abs() < 1e-5, "{}", own.loss());
        let mut own = Fidelity::default();
        own.add(&[a], &[b], false);
        assert!((own.loss() - 0.5).abs() < 1e-12);
    }
}
