//! The trait behind every criterion, what it is given and what it returns.

use faer::Mat;
use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};

use super::ScoreError;
use super::relatedness::Relatedness;
use super::responses::Responses;
use crate::statistics::{Centring, ClassGram, InputFeatures};

/// Gives every pruning unit of a coupled group a score.
pub trait Criterion: Send + Sync {
    /// The name on the command line and in reports.
    fn name(&self) -> &'static str;

    /// What must be measured before [`score`](Self::score) is called. Nothing by default.
    fn needs(&self) -> Needs {
        Needs::default()
    }

    /// Scores of all pruning units of one group.
    ///
    /// # Errors
    /// [`ScoreError`] where the input lacks what [`needs`](Self::needs) asks for, or its shapes disagree.
    fn score(&self, input: &GroupInput<'_>) -> Result<GroupScores, ScoreError>;

    /// About what [`GroupInput::contributions`] are centred.
    fn centring(&self) -> Option<Centring> {
        None
    }

    /// Whether [`refine`](Self::refine) does anything.
    fn refines(&self) -> bool {
        false
    }

    /// A better set of as many pruning units as `kept` (ascending), where the criterion judges sets and not single pruning units. The
    /// same set by default.
    ///
    /// # Errors
    /// As [`score`](Self::score).
    fn refine(&self, _input: &GroupInput<'_>, kept: Vec<usize>) -> Result<Vec<usize>, ScoreError> {
        Ok(kept)
    }
}

/// What a criterion must be given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::struct_excessive_bools, reason = "one per kind of measurement")]
pub struct Needs {
    /// Pooled features of the group's consumer inputs over the calibration images ([`GroupInput::consumer_inputs`]) and
    /// [`GroupInput::responses`].
    pub features: bool,
    /// Pooled features of the groups that have no contributions.
    pub fallback: bool,
    /// Bins per spatial axis of the adaptive average pool (`docs/method.md` 1.2); 0 where no features are needed.
    pub pool: usize,
    /// Moments of what the consumers read ([`GroupInput::regressions`]).
    pub moments: bool,
    /// What the pruning units contribute to their consumers' outputs, class by class ([`GroupInput::contributions`]).
    pub contributions: bool,
    /// Ranks of the feature maps ([`GroupInput::ranks`]).
    pub ranks: bool,
    /// The dense model's class outputs, for [`GroupInput::relatedness`] (and for responses where there are no labels).
    pub outputs: bool,
}

impl Needs {
    /// Whether images are needed at all.
    pub fn images(&self) -> bool {
        self.features || self.fallback || self.moments || self.contributions || self.ranks || self.outputs
    }

    /// Whether what was measured for these suffices for `other`.
    pub fn cover(self, other: Self) -> bool {
        let pooled = other.features || other.fallback;
        self.and(other) == Self { pool: self.pool.max(other.pool), ..self } && (!pooled || self.pool == other.pool)
    }

    /// What this and another criterion need.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            features: self.features || other.features,
            fallback: self.fallback || other.fallback,
            pool: self.pool.max(other.pool),
            moments: self.moments || other.moments,
            contributions: self.contributions || other.contributions,
            ranks: self.ranks || other.ranks,
            outputs: self.outputs || other.outputs,
        }
    }
}

/// One coupled group as a criterion sees it. `units` = `width` everywhere.
#[derive(Debug, Clone, Default)]
pub struct GroupInput<'a> {
    /// The group's name; random scores are seeded by it.
    pub name: &'a str,
    /// Number of pruning units.
    pub width: usize,
    /// For each tensor whose slices produce the pruning units (kernels, biases left out): `[units, elements]`, all weights
    /// of the pruning unit's slices.
    pub producer_weights: Vec<ArrayView2<'a, f32>>,
    /// For each tensor whose slices read the pruning units: `[units, elements]`.
    pub consumer_weights: Vec<ArrayView2<'a, f32>>,
    /// One entry per distinct tensor that the consumers read (`docs/method.md` 1.1); empty for norm criteria.
    pub consumer_inputs: &'a [InputFeatures],
    /// One entry per consumer that can be refitted: what it reads and its weights; empty where no moments were asked for.
    pub regressions: &'a [Regression],
    /// One entry per consumer whose outputs can be told apart by channel; empty where none were asked for or there are
    /// none.
    pub contributions: &'a [ClassGram],
    /// Scales (gamma) of every batch normalisation that the pruning units pass on their way, one per pruning unit.
    pub scales: Vec<Vec<f64>>,
    /// Mean rank of every pruning unit's feature maps over the images; empty where they were not asked for.
    pub ranks: &'a [f64],
    /// Class responses of the same calibration images in the same order.
    pub responses: Option<&'a Responses>,
    /// Relatedness of the classes, as many as there are class responses.
    pub relatedness: Option<&'a Relatedness>,
    /// Weight of every class in [`contributions`](Self::contributions); all 1 if empty.
    pub class_weights: &'a [f64],
    /// Seed of the run.
    pub seed: u64,
}

/// A consumer as a linear regression of its outputs on the columns that it reads (`docs/method.md` 1.10, 7.1).
#[derive(Debug, Clone)]
pub struct Regression {
    /// Covariance of the columns, `[columns, columns]`; channels of other groups are among them.
    pub covariance: Mat<f64>,
    /// Strength of the ridge, relative to the mean variance of the columns (`docs/method.md` 7.1).
    pub ridge: f64,
    /// Mean of every column.
    pub means: Vec<f64>,
    /// The dense weights, `[columns, outputs]`.
    pub weights: Mat<f64>,
    /// The columns of every pruning unit: one per channel, or one per channel and kernel position.
    pub columns: Vec<Vec<usize>>,
}

impl Regression {
    /// The covariance with a ridge on its diagonal.
    pub(super) fn ridged(&self) -> Mat<f64> {
        let size = self.covariance.nrows();
        let mean = (0..size).map(|at| self.covariance[(at, at)]).sum::<f64>() / size.max(1) as f64;
        let mut ridged = self.covariance.clone();
        for at in 0..size {
            ridged[(at, at)] += self.ridge * mean.max(f64::MIN_POSITIVE);
        }
        ridged
    }

    /// Covariance of the columns with the consumer's outputs, `[columns, outputs]`, and the variance of all outputs
    /// together, above 0.
    pub(super) fn target(&self) -> (Mat<f64>, f64) {
        let target = &self.covariance * &self.weights;
        let variance = (0..self.weights.ncols())
            .map(|output| (0..target.nrows()).map(|at| self.weights[(at, output)] * target[(at, output)]).sum::<f64>())
            .sum::<f64>();
        (target, variance.max(f64::MIN_POSITIVE))
    }
}

/// Scores of one group.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupScores {
    /// One score per pruning unit, finite, larger = keep.
    pub scores: Vec<f64>,
    /// The lambda that a score of 1 stands for, where scores are entry values divided by the group's largest
    /// (`docs/method.md` 6.3).
    pub unit: Option<f64>,
    /// One line for the report: what the scores are and what was seen.
    pub explanation: String,
    /// The regularisation path, for the lasso criteria.
    pub path: Option<PathInfo>,
}

/// Summary of a regularisation path (`docs/method.md` 5.6).
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct PathInfo {
    /// The lambdas, falling; the first is the smallest at which every coefficient is zero.
    pub lambdas: Vec<f64>,
    /// Pruning units with a non-zero row of coefficients at each lambda.
    pub active: Vec<usize>,
    /// Largest KKT residual over the path, divided by the first lambda (`docs/method.md` 5.4).
    pub residual: f64,
    /// Largest duality gap over the path, divided by the objective of no coefficients (`docs/method.md` 5.5).
    pub gap: f64,
    /// Sweeps over rows of all solves together.
    pub sweeps: usize,
    /// Whether every solve met its tolerance.
    pub converged: bool,
    /// Pruning units whose features do not vary over the images; their score is 0.
    pub dead: Vec<usize>,
}

impl GroupInput<'_> {
    /// Checks that every weight matrix and consumer input has `width` pruning units.
    ///
    /// # Errors
    /// [`ScoreError::Shape`] naming the first that does not.
    pub fn check(&self) -> Result<(), ScoreError> {
        let all = (self.producer_weights.iter().map(|matrix| ("producer weights", matrix.nrows())))
            .chain(self.consumer_weights.iter().map(|matrix| ("consumer weights", matrix.nrows())))
            .chain(self.consumer_inputs.iter().map(|consumer_input| ("input features", consumer_input.units())))
            .chain(self.regressions.iter().map(|own| ("moments", own.columns.len())))
            .chain(self.contributions.iter().flat_map(|own| &own.quadratic).map(|own| ("contributions", own.nrows())))
            .chain(Some(("ranks", self.ranks.len())).filter(|_| !self.ranks.is_empty()))
            .chain(self.scales.iter().map(|own| ("normalisation scales", own.len())));
        for (what, found) in all {
            if found != self.width {
                return Err(ScoreError::Shape { group: self.name.into(), what, expected: self.width, found });
            }
        }
        Ok(())
    }
}
