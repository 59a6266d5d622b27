//! What the lasso criteria share: features to statistics to the path to entry values.

use nalgebra::DMatrix;

use super::classwise;
use super::criterion::{GroupInput, GroupScores, PathInfo};
use super::options::{LassoOptions, Pairs, Response};
use super::relatedness::Relatedness;
use super::responses::Responses;
use super::solver::{L1Norm, Path, Penalty, Problem, path};
use super::{Criterion as _, ScoreError};
use crate::statistics::{
    Blocks, Kernel, Normalisation, NormalisedGram, add_inputs, gram, normalise, stratified_blocks,
};

/// Largest number of products that the exact Gaussian form may cost before blocks are used (`docs/method.md` 1.8).
const EXACT_COST: f64 = 2e11;
/// Least number of images of an automatic block.
const LEAST_BLOCK: usize = 50;

/// Which responses are explained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// Response 0 alone.
    Whole,
    /// Every class.
    Classes,
}

/// The relatedness of as many classes as there are responses.
fn relatedness<'a>(
    criterion: &'static str,
    input: &GroupInput<'a>,
    classes: usize,
) -> Result<&'a Relatedness, ScoreError> {
    let what = "the relatedness of the classes";
    let found = input.relatedness.ok_or_else(|| ScoreError::Missing { criterion, group: input.name.into(), what })?;
    if found.classes() != classes {
        let (expected, found) = (classes, found.classes());
        return Err(ScoreError::Shape { group: input.name.into(), what: "class relatedness", expected, found });
    }
    Ok(found)
}

/// Scores by the form of the lasso that the options and the group allow: on what the consumers receive, on the labels
/// where no consumer's outputs can be told apart by channel, by norms where nobody sums over the channels.
pub(super) fn score(
    criterion: &'static str,
    input: &GroupInput<'_>,
    target: Target,
    penalty: &dyn Fn(&Relatedness) -> Box<dyn Penalty>,
    options: &LassoOptions,
) -> Result<GroupScores, ScoreError> {
    input.check()?;
    let outputs = options.response == Response::Outputs && !input.contributions.is_empty();
    if !outputs && input.consumer_inputs.is_empty() && !input.producer_weights.is_empty() && input.responses.is_some() {
        return super::L2.score(input);
    }
    let missing = |what| ScoreError::Missing { criterion, group: input.name.into(), what };
    let classes = match (outputs, input.contributions.first(), input.responses) {
        (true, Some(own), _) => own.classes(),
        (_, _, Some(_)) if input.consumer_inputs.is_empty() => {
            return Err(missing("the features of its consumers' inputs"));
        }
        (_, _, Some(responses)) => responses.count(),
        _ => return Err(missing("class responses")),
    };
    let penalty = match target {
        Target::Whole => Box::new(L1Norm(options.sign)),
        Target::Classes => penalty(relatedness(criterion, input, classes)?),
    };
    match input.responses {
        Some(responses) if !outputs => on_labels(input, responses, target, &*penalty, options),
        _ => classwise::score(input, target == Target::Whole, &*penalty, options),
    }
}

/// The lasso on class responses, from the kernels of pooled features.
fn on_labels(
    input: &GroupInput<'_>,
    responses: &Responses,
    target: Target,
    penalty: &dyn Penalty,
    options: &LassoOptions,
) -> Result<GroupScores, ScoreError> {
    let statistics = group_statistics(input, responses, target, options)?;
    let (quadratic, linear, rows) = statistics.living();
    let problem = Problem::new(quadratic, &linear, statistics.constant, penalty);
    from_path(input, &rows, linear.ncols(), path(&problem, options.path))
}

/// Entry values of all pruning units, divided by the group's largest (`docs/method.md` 6.2, 6.3); 0 for pruning units
/// that are not among the `rows` of the path.
pub(super) fn from_path(
    input: &GroupInput<'_>,
    rows: &[usize],
    responses: usize,
    solved: Path,
) -> Result<GroupScores, ScoreError> {
    let largest = solved.entries.iter().copied().fold(0.0, f64::max);
    let mut scores = vec![0.0; input.width];
    for (&row, &entry) in rows.iter().zip(&solved.entries) {
        scores[row] = if largest > 0.0 { entry / largest } else { 0.0 };
    }
    if scores.iter().any(|score| !score.is_finite()) {
        return Err(ScoreError::NotFinite { group: input.name.into(), what: "scores" });
    }
    let dead: Vec<usize> = (0..input.width).filter(|row| rows.binary_search(row).is_err()).collect();
    let explanation = explain(&solved, responses, rows.len(), dead.len());
    let Path { lambdas, active, residual, gap, sweeps, converged, .. } = solved;
    let path = PathInfo { lambdas, active, residual, gap, sweeps, converged, dead };
    Ok(GroupScores { scores, unit: Some(largest), explanation, path: Some(path) })
}

fn explain(path: &Path, responses: usize, living: usize, dead: usize) -> String {
    let entered = path.active.iter().copied().max().unwrap_or(0);
    let first = path.lambdas.first().copied().unwrap_or(0.0);
    let last = path.lambdas.last().copied().unwrap_or(0.0);
    let dead = if dead > 0 { format!(", {dead} dead") } else { String::new() };
    let stopped = if path.converged { "" } else { ", NOT converged" };
    format!(
        "entry values over {responses} responses, lambda {first:.3e} to {last:.3e}, up to {entered} of {living} units \
         active{dead}, relative KKT residual {:.1e}, gap {:.1e}{stopped}",
        path.residual, path.gap
    )
}

/// Normalised statistics of the group, added over its consumer inputs.
fn group_statistics(
    input: &GroupInput<'_>,
    responses: &Responses,
    target: Target,
    options: &LassoOptions,
) -> Result<NormalisedGram, ScoreError> {
    let whole = std::slice::from_ref(responses.whole());
    let (factors, weights): (&[DMatrix<f64>], &[f64]) = match target {
        Target::Whole => (whole, &[1.0]),
        Target::Classes => (responses.classes(), responses.weights()),
    };
    let norms = match options.normalisation {
        Normalisation::Energy => Some(consumer_norms(input)?),
        _ => None,
    };
    let mut consumer_inputs = Vec::with_capacity(input.consumer_inputs.len());
    for consumer_input in input.consumer_inputs {
        let blocks = blocks(options, responses, consumer_input.images(), input.width);
        let raw = gram(consumer_input.features.view(), factors, options.kernel, &blocks, norms.as_deref())?;
        consumer_inputs.push(normalise(&raw, weights, options.normalisation));
    }
    let missing = || ScoreError::Shape { group: input.name.into(), what: "consumer_inputs", expected: 1, found: 0 };
    add_inputs(consumer_inputs).ok_or_else(missing)
}

fn blocks(options: &LassoOptions, responses: &Responses, images: usize, units: usize) -> Blocks {
    let (n, c) = (images as f64, units as f64);
    let cheap = options.kernel == Kernel::Linear || 0.5 * n * (n + 1.0) * c * (c + 1.0) <= EXACT_COST;
    let size = match options.pairs {
        Pairs::All => return Blocks::All,
        Pairs::Auto if cheap => return Blocks::All,
        Pairs::Auto => LEAST_BLOCK.max(2 * responses.count()),
        Pairs::Blocks(size) => size,
    };
    Blocks::Inside(stratified_blocks(responses.labels(), size))
}

/// Euclidean norm of all weights that read each pruning unit; all 1 where no consumer has weights.
fn consumer_norms(input: &GroupInput<'_>) -> Result<Vec<f64>, ScoreError> {
    if input.consumer_weights.is_empty() {
        return Ok(vec![1.0; input.width]);
    }
    let mut sums = vec![0.0; input.width];
    for matrix in &input.consumer_weights {
        for (sum, row) in sums.iter_mut().zip(matrix.rows()) {
            *sum += row.iter().map(|&weight| f64::from(weight).powi(2)).sum::<f64>();
        }
    }
    if sums.iter().any(|sum: &f64| !sum.is_finite()) {
        return Err(ScoreError::NotFinite { group: input.name.into(), what: "consumer weights" });
    }
    Ok(sums.into_iter().map(f64::sqrt).collect())
}

#[cfg(test)]
mod tests;
