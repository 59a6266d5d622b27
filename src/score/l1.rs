//! Sum of absolute producing weights.

use super::{Criterion, GroupInput, GroupScores, ScoreError, norm};

/// Sum of the absolute values of all weights that produce the pruning unit (Li et al., *Pruning Filters for Efficient
/// `ConvNets`*, 2017), added over several producers and divided by the group's mean. Needs no data.
#[derive(Debug, Clone, Copy, Default)]
pub struct L1;

impl Criterion for L1 {
    fn name(&self) -> &'static str {
        "l1"
    }

    fn score(&self, input: &GroupInput<'_>) -> Result<GroupScores, ScoreError> {
        norm::scores(self.name(), input, f64::abs, |sum| sum)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::score::tests::weights_only;

    #[test]
    fn producers_add_up_and_the_mean_is_one() {
        let (first, second) = (array![[1.0, -2.0], [0.0, 1.0]], array![[3.0], [1.0]]);
        let input = weights_only(2, &[&first, &second]);
        let scores = L1.score(&input).unwrap().scores;
        assert_eq!(scores, [1.5, 0.5]);
    }

    #[test]
    fn a_group_of_zeros_scores_zero() {
        let weights = array![[0.0], [0.0]];
        assert_eq!(L1.score(&weights_only(2, &[&weights])).unwrap().scores, [0.0, 0.0]);
    }

    #[test]
    fn wrong_width_and_nan_are_errors() {
        let weights = array![[0.0], [0.0]];
        assert!(matches!(
            L1.score(&weights_only(3, &[&weights])),
            Err(ScoreError::Shape { expected: 3, found: 2, .. })
        ));
        let weights = array![[f32::NAN]];
        assert!(matches!(L1.score(&weights_only(1, &[&weights])), Err(ScoreError::NotFinite { .. })));
        assert!(matches!(L1.score(&weights_only(1, &[])), Err(ScoreError::Missing { .. })));
    }
}
