//! What the lasso criteria share: features to statistics to the path to entry values.

use nalgebra::DMatrix;

use super::ScoreError;
use super::criterion::{GroupInput, GroupScores, Needs, PathInfo};
use super::relatedness::{GraphOptions, Relatedness};
use super::responses::Responses;
use super::solver::{Path, PathOptions, Penalty, Problem, Sign, path};
use crate::statistics::{Blocks, Kernel, Normalisation, NormalisedGram, add_taps, gram, normalise, stratified_blocks};

/// Largest number of products that the exact Gaussian form may cost before blocks are used (`method.md` 11).
const EXACT_COST: f64 = 2e11;
/// Least number of images of an automatic block.
const LEAST_BLOCK: usize = 50;

/// Settings of the lasso criteria (`method.md` 1.3, 1.7, 4, 5.6).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LassoOptions {
    /// Kernel of the channels.
    pub kernel: Kernel,
    /// Bins per position axis of the features.
    pub pool: usize,
    /// Scaling of the statistics.
    pub normalisation: Normalisation,
    /// Whether coefficients may be negative.
    pub sign: Sign,
    /// Grid of lambdas and accuracy.
    pub path: PathOptions,
    /// Edges of the class graph (`sglp-ib`).
    pub graph: GraphOptions,
    /// Weight of the fusion term of the class graph (`sglp-ib`).
    pub theta: f64,
    /// Which pairs of images are compared.
    pub pairs: Pairs,
}

/// Which pairs of images are compared; the linear kernel always takes all under `Auto`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pairs {
    /// All while `n(n+1)/2 c(c+1) <= 2e11`, else inside blocks of `max(50, 2 K)` images.
    #[default]
    Auto,
    /// All.
    All,
    /// Inside blocks of at least this many images.
    Blocks(usize),
}

impl Default for LassoOptions {
    /// Linear kernel, `energy` normalisation, lambda ratio 0.003: clearly better than the literal form (`method.md` 11).
    fn default() -> Self {
        Self {
            kernel: Kernel::Linear,
            pool: 4,
            normalisation: Normalisation::Energy,
            sign: Sign::NonNegative,
            path: PathOptions { ratio: 0.003, ..PathOptions::default() },
            graph: GraphOptions::default(),
            theta: 1.0,
            pairs: Pairs::Auto,
        }
    }
}

impl LassoOptions {
    /// The literal HSIC lasso: Gaussian kernels of unit Frobenius norm, lambda ratio 0.01.
    pub fn frobenius() -> Self {
        Self {
            kernel: Kernel::Gaussian,
            normalisation: Normalisation::Frobenius,
            path: PathOptions::default(),
            ..Self::default()
        }
    }

    pub(super) fn needs(&self) -> Needs {
        Needs { features: true, pool: self.pool, outputs: true, ..Needs::default() }
    }
}

/// Which responses are explained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// Response 0 alone.
    Whole,
    /// Every class.
    Classes,
}

/// The class responses, or the error that they are missing or of another number of images than the taps.
pub(super) fn responses<'a>(criterion: &'static str, input: &GroupInput<'a>) -> Result<&'a Responses, ScoreError> {
    let missing = |what| ScoreError::Missing { criterion, group: input.name.into(), what };
    input.check()?;
    if input.taps.is_empty() {
        return Err(missing("the features of its consumers' inputs"));
    }
    input.responses.ok_or_else(|| missing("class responses"))
}

/// The relatedness of as many classes as there are responses.
pub(super) fn relatedness<'a>(
    criterion: &'static str,
    input: &GroupInput<'a>,
    responses: &Responses,
) -> Result<&'a Relatedness, ScoreError> {
    let what = "the relatedness of the classes";
    let found = input.relatedness.ok_or_else(|| ScoreError::Missing { criterion, group: input.name.into(), what })?;
    if found.classes() != responses.count() {
        let (expected, found) = (responses.count(), found.classes());
        return Err(ScoreError::Shape { group: input.name.into(), what: "class relatedness", expected, found });
    }
    Ok(found)
}

/// Entry values of all atoms, divided by the group's largest (6.2, 6.3 `--scale layer`); 0 for dead atoms.
pub(super) fn score(
    input: &GroupInput<'_>,
    responses: &Responses,
    target: Target,
    penalty: &dyn Penalty,
    options: &LassoOptions,
) -> Result<GroupScores, ScoreError> {
    let statistics = group_statistics(input, responses, target, options)?;
    let (quadratic, linear, rows) = statistics.living();
    let problem = Problem::new(quadratic, &linear, statistics.constant, penalty);
    let solved = path(&problem, options.path);
    let largest = solved.entries.iter().copied().fold(0.0, f64::max);
    let mut scores = vec![0.0; input.width];
    for (&row, &entry) in rows.iter().zip(&solved.entries) {
        scores[row] = if largest > 0.0 { entry / largest } else { 0.0 };
    }
    if scores.iter().any(|score| !score.is_finite()) {
        return Err(ScoreError::NotFinite { group: input.name.into(), what: "scores" });
    }
    let dead: Vec<usize> = (0..input.width).filter(|&row| !statistics.alive[row]).collect();
    let explanation = explain(&solved, linear.ncols(), rows.len(), dead.len());
    let Path { lambdas, active, residual, sweeps, converged, .. } = solved;
    Ok(GroupScores { scores, explanation, path: Some(PathInfo { lambdas, active, residual, sweeps, converged, dead }) })
}

fn explain(path: &Path, responses: usize, living: usize, dead: usize) -> String {
    let entered = path.active.iter().copied().max().unwrap_or(0);
    let first = path.lambdas.first().copied().unwrap_or(0.0);
    let last = path.lambdas.last().copied().unwrap_or(0.0);
    let dead = if dead > 0 { format!(", {dead} dead") } else { String::new() };
    let stopped = if path.converged { "" } else { ", NOT converged" };
    format!(
        "entry values over {responses} responses, lambda {first:.3e} to {last:.3e}, up to {entered} of {living} atoms \
         active{dead}, relative KKT residual {:.1e}{stopped}",
        path.residual
    )
}

/// Normalised statistics of the group, added over its taps.
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
    let mut taps = Vec::with_capacity(input.taps.len());
    for tap in input.taps {
        let blocks = blocks(options, responses, tap.images(), input.width);
        let raw = gram(tap.features.view(), factors, options.kernel, &blocks, norms.as_deref())?;
        taps.push(normalise(&raw, weights, options.normalisation));
    }
    let missing = || ScoreError::Shape { group: input.name.into(), what: "taps", expected: 1, found: 0 };
    add_taps(taps).ok_or_else(missing)
}

fn blocks(options: &LassoOptions, responses: &Responses, images: usize, atoms: usize) -> Blocks {
    let (n, c) = (images as f64, atoms as f64);
    let cheap = options.kernel == Kernel::Linear || 0.5 * n * (n + 1.0) * c * (c + 1.0) <= EXACT_COST;
    let size = match options.pairs {
        Pairs::All => return Blocks::All,
        Pairs::Auto if cheap => return Blocks::All,
        Pairs::Auto => LEAST_BLOCK.max(2 * responses.count()),
        Pairs::Blocks(size) => size,
    };
    Blocks::Inside(stratified_blocks(responses.labels(), size))
}

/// Euclidean norm of all weights that read each atom; all 1 where no consumer has weights.
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
