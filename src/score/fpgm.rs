//! Distance to the other filters.

use rayon::prelude::*;

use super::{Criterion, GroupInput, GroupScores, ScoreError, norm};

/// Sum of the Euclidean distances to all other filters of the group, divided by the group's mean: a filter near the
/// geometric median of all can be replaced by the others (He et al., *Filter Pruning via Geometric Median*, 2019). With
/// several producers the filters are the concatenation of their slices. Needs no data.
#[derive(Debug, Clone, Copy, Default)]
pub struct Fpgm;

impl Criterion for Fpgm {
    fn name(&self) -> &'static str {
        "fpgm"
    }

    fn score(&self, input: &GroupInput<'_>) -> Result<GroupScores, ScoreError> {
        input.check()?;
        if input.producer_weights.is_empty() {
            let what = "the weights of its producers";
            return Err(ScoreError::Missing { criterion: self.name(), group: input.name.into(), what });
        }
        let distance = |a: usize, b: usize| {
            let squared = |matrix: &ndarray::ArrayView2<'_, f32>| -> f64 {
                let pairs = matrix.row(a).into_iter().zip(matrix.row(b));
                pairs.map(|(x, y)| (f64::from(*x) - f64::from(*y)).powi(2)).sum()
            };
            input.producer_weights.iter().map(squared).sum::<f64>().sqrt()
        };
        let sum = |a: usize| (0..input.width).map(|b| distance(a, b)).sum();
        let sums: Vec<f64> = (0..input.width).into_par_iter().map(sum).collect();
        norm::by_mean(input, sums, "sum of distances to the other filters")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::tests::weights_only;

    #[test]
    fn the_filter_in_the_middle_goes_first() {
        let weights = ndarray::array![[0.0_f32, 0.0], [3.0, 4.0], [6.0, 8.0]];
        let scores = Fpgm.score(&weights_only(3, &[&weights])).unwrap().scores;
        assert!((scores[1] - 10.0 * 3.0 / 40.0).abs() < 1e-12 && scores[1] < scores[0], "{scores:?}");
    }
}
