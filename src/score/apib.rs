//! APIB: one lasso on the label kernel.

use super::lasso::{self, LassoOptions, Target};
use super::solver::L1Norm;
use super::{Criterion, GroupInput, GroupScores, Needs, ScoreError};

/// HSIC lasso with one response (Guo et al., ICCV 2023, as reconstructed in `method.md` 0 and 2.2): the plain l1 lasso on
/// response 0. Scores are entry values divided by the group's largest.
#[derive(Debug, Clone, Copy, Default)]
pub struct Apib {
    /// Statistics, path and signs.
    pub options: LassoOptions,
}

impl Criterion for Apib {
    fn name(&self) -> &'static str {
        "apib"
    }

    fn needs(&self) -> Needs {
        self.options.needs()
    }

    fn score(&self, input: &GroupInput<'_>) -> Result<GroupScores, ScoreError> {
        let responses = lasso::responses(self.name(), input)?;
        lasso::score(input, responses, Target::Whole, &L1Norm(self.options.sign), &self.options)
    }
}
