//! Rank of feature maps.

use super::{Criterion, GroupInput, GroupScores, Needs, ScoreError, norm};

/// Mean rank of the pruning unit's feature maps, as the consumers read them, over the images; divided by the group's mean (Lin et
/// al., *`HRank`: Filter Pruning using High-Rank Feature Map*, 2020). Needs images, no labels.
#[derive(Debug, Clone, Copy, Default)]
pub struct HRank;

impl Criterion for HRank {
    fn name(&self) -> &'static str {
        "hrank"
    }

    fn needs(&self) -> Needs {
        Needs { ranks: true, ..Needs::default() }
    }

    fn score(&self, input: &GroupInput<'_>) -> Result<GroupScores, ScoreError> {
        input.check()?;
        if input.ranks.is_empty() {
            // Nobody sums over these channels.
            return super::L2.score(input);
        }
        norm::by_mean(input, input.ranks.to_vec(), "mean rank of the feature maps")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::tests::weights_only;

    #[test]
    fn ranks_are_scores() {
        let input = GroupInput { ranks: &[2.0, 6.0], ..weights_only(2, &[]) };
        assert_eq!(HRank.score(&input).unwrap().scores, [0.5, 1.5]);
        let wrong = GroupInput { ranks: &[2.0], ..weights_only(2, &[]) };
        assert!(matches!(HRank.score(&wrong), Err(ScoreError::Shape { .. })));
    }
}
