//! Euclidean norm of the producing weights.

use super::{Criterion, GroupInput, GroupScores, ScoreError, norm};

/// Root of the sum of squares of all weights that produce the pruning unit, over all producers together, divided by the
/// group's mean. Needs no data.
#[derive(Debug, Clone, Copy, Default)]
pub struct L2;

impl Criterion for L2 {
    fn name(&self) -> &'static str {
        "l2"
    }

    fn score(&self, input: &GroupInput<'_>) -> Result<GroupScores, ScoreError> {
        norm::scores(self.name(), input, |weight| weight * weight, f64::sqrt)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::score::tests::weights_only;

    #[test]
    fn squares_of_all_producers_are_added_before_the_root() {
        let (first, second) = (array![[3.0], [0.0]], array![[0.0, 4.0], [-15.0, 0.0]]);
        let scores = L2.score(&weights_only(2, &[&first, &second])).unwrap().scores;
        assert_eq!(scores, [0.5, 1.5]);
    }
}
