//! Scales of batch normalisation.

use super::{Criterion, GroupInput, GroupScores, ScoreError, norm};

/// Absolute scale (gamma) of the batch normalisations that the pruning unit passes, added over several and divided by the group's
/// mean (Liu et al., *Learning Efficient Convolutional Networks through Network Slimming*, 2017). Needs no data. Groups
/// without a batch normalisation (it was folded into the convolution, say) are scored by the norm of their filters.
#[derive(Debug, Clone, Copy, Default)]
pub struct BnScale;

impl Criterion for BnScale {
    fn name(&self) -> &'static str {
        "bn-scale"
    }

    fn score(&self, input: &GroupInput<'_>) -> Result<GroupScores, ScoreError> {
        input.check()?;
        if input.scales.is_empty() {
            let mut scores = super::L2.score(input)?;
            scores.explanation = format!("no batch normalisation left: {}", scores.explanation);
            return Ok(scores);
        }
        let mut sums = vec![0.0; input.width];
        for scales in &input.scales {
            sums.iter_mut().zip(scales).for_each(|(sum, scale)| *sum += scale.abs());
        }
        let what = format!("absolute scale of {} batch normalisations", input.scales.len());
        norm::by_mean(input, sums, &what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::tests::weights_only;

    #[test]
    fn scales_add_up_and_folded_ones_fall_back() {
        let weights = ndarray::array![[1.0_f32], [3.0]];
        let folded = weights_only(2, &[&weights]);
        assert_eq!(BnScale.score(&folded).unwrap().scores, [0.5, 1.5]);
        let input = GroupInput { scales: vec![vec![-2.0, 1.0], vec![1.0, 0.0]], ..folded };
        assert_eq!(BnScale.score(&input).unwrap().scores, [1.5, 0.5]);
    }
}
