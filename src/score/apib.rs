//! APIB: one lasso for all classes.

use super::lasso::{self, Target};
use super::options::LassoOptions;
use super::solver::L1Norm;
use super::{Criterion, GroupInput, GroupScores, Needs, ScoreError};
use crate::statistics::Centring;

/// Lasso with one response and the plain l1 penalty (Guo et al., ICCV 2023, as reconstructed in `docs/method.md` 2.2
/// and 4.7): the outputs of the consumers, as in the authors' code, or the label kernel. Scores are entry values
/// divided by the group's largest.
#[derive(Debug, Clone, Copy, Default)]
pub struct Apib {
    /// Response, statistics, path and signs.
    pub options: LassoOptions,
}

impl Criterion for Apib {
    fn name(&self) -> &'static str {
        "apib"
    }

    fn needs(&self) -> Needs {
        self.options.needs()
    }

    fn centring(&self) -> Option<Centring> {
        Some(self.options.centring)
    }

    fn score(&self, input: &GroupInput<'_>) -> Result<GroupScores, ScoreError> {
        let penalty = |_: &_| Box::new(L1Norm(self.options.sign)) as _;
        lasso::score(self.name(), input, Target::Whole, &penalty, &self.options)
    }
}
