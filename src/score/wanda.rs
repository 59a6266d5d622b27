//! Weights times activations.

use super::{Criterion, GroupInput, GroupScores, Needs, Regression, ScoreError, norm};

/// Absolute weights of the consumers times the root mean square of what they read, summed over the pruning unit's weights and
/// divided by the group's mean: the metric of Wanda (Sun et al., *A Simple and Effective Pruning Approach for Large
/// Language Models*, 2024), added up over whole channels. Needs images, no labels.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanda;

impl Criterion for Wanda {
    fn name(&self) -> &'static str {
        "wanda"
    }

    fn needs(&self) -> Needs {
        Needs { moments: true, ..Needs::default() }
    }

    fn score(&self, input: &GroupInput<'_>) -> Result<GroupScores, ScoreError> {
        input.check()?;
        if input.regressions.is_empty() {
            // Nobody reads these channels through a weight that can be seen as a matrix.
            return super::L2.score(input);
        }
        let of = |own: &Regression, unit: usize| -> f64 {
            let column = |&column: &usize| {
                let square = own.covariance[(column, column)] + own.means[column].powi(2);
                let weights: f64 = own.weights.row(column).iter().map(|weight| weight.abs()).sum();
                weights * square.max(0.0).sqrt()
            };
            own.columns[unit].iter().map(column).sum()
        };
        let sums = (0..input.width).map(|unit| input.regressions.iter().map(|own| of(own, unit)).sum()).collect();
        norm::by_mean(input, sums, "absolute weights of the consumers times what they read")
    }
}

#[cfg(test)]
mod tests {
    use faer::Mat;

    use super::*;
    use crate::score::tests::weights_only;

    #[test]
    fn weights_times_root_mean_square() {
        let own = Regression {
            covariance: Mat::from_fn(2, 2, |a, b| if a == b { 7.0 } else { 1.0 }),
            ridge: 1e-3,
            means: vec![3.0, 1.0],
            weights: Mat::from_fn(2, 2, |a, b| if a == b { -1.0 } else { 0.0 }),
            columns: vec![vec![0], vec![1]],
        };
        let regressions = [own];
        let input = GroupInput { regressions: &regressions, ..weights_only(2, &[]) };
        let scores = Wanda.score(&input).unwrap().scores;
        let ratio = 4.0 / 8.0_f64.sqrt();
        assert!((scores[0] / scores[1] - ratio).abs() < 1e-12, "{scores:?}");
    }
}
