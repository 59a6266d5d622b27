//! What the norm criteria share.

use super::{GroupInput, GroupScores, ScoreError};

/// Scores from sums over all elements that produce an pruning unit: `finish(sum of term(w))`, divided by the group's mean.
///
/// With several producers the sums run over all of them, as if their slices were one long vector per pruning unit: the group
/// norm of the structured-pruning literature. A wide producer counts for more than a narrow one.
pub(super) fn scores(
    criterion: &'static str,
    input: &GroupInput<'_>,
    term: impl Fn(f64) -> f64,
    finish: impl Fn(f64) -> f64,
) -> Result<GroupScores, ScoreError> {
    input.check()?;
    if input.producer_weights.is_empty() {
        return Err(ScoreError::Missing { criterion, group: input.name.into(), what: "the weights of its producers" });
    }
    let mut sums = vec![0.0; input.width];
    for matrix in &input.producer_weights {
        for (sum, row) in sums.iter_mut().zip(matrix.rows()) {
            *sum += row.iter().map(|&weight| term(f64::from(weight))).sum::<f64>();
        }
    }
    let tensors = input.producer_weights.len();
    let sums = sums.into_iter().map(finish).collect();
    by_mean(input, sums, &format!("{criterion} norm of the producing weights ({tensors} tensors)"))
}

/// Scores divided by the group's mean, so that 1 is the group's average pruning unit.
pub(super) fn by_mean(input: &GroupInput<'_>, mut scores: Vec<f64>, what: &str) -> Result<GroupScores, ScoreError> {
    if scores.len() != input.width {
        let (expected, found) = (input.width, scores.len());
        return Err(ScoreError::Shape { group: input.name.into(), what: "scores", expected, found });
    }
    if scores.iter().any(|score| !score.is_finite()) {
        return Err(ScoreError::NotFinite { group: input.name.into(), what: "weights or activations" });
    }
    let mean = scores.iter().sum::<f64>() / scores.len().max(1) as f64;
    if mean > 0.0 {
        for score in &mut scores {
            *score /= mean;
        }
    }
    let explanation = format!("{what}, divided by the group's mean {mean:.4e}");
    Ok(GroupScores { scores, unit: None, explanation, path: None })
}
