//! sGLP-IB: the class-wise lasso with a graph over the classes.

use super::lasso::{self, Target};
use super::options::LassoOptions;
use super::relatedness::Relatedness;
use super::solver::{Graph, Penalty};
use super::{Criterion, GroupInput, GroupScores, Needs, ScoreError};
use crate::statistics::Centring;

/// Sparse graph-structured lasso (`docs/method.md` 4.2, 4.7; a reconstruction): one regression for each class,
/// with the coefficients of related classes drawn together. Scores are entry values divided by the group's largest.
#[derive(Debug, Clone, Copy, Default)]
pub struct SglpIb {
    /// Response, statistics, path, signs and graph.
    pub options: LassoOptions,
}

/// The graph-guided penalty over related classes.
pub(super) fn penalty(related: &Relatedness, options: &LassoOptions) -> Box<dyn Penalty> {
    Box::new(Graph::new(related.edges(options.edges()), options.theta, options.sign))
}

impl Criterion for SglpIb {
    fn name(&self) -> &'static str {
        "sglp-ib"
    }

    fn needs(&self) -> Needs {
        self.options.needs()
    }

    fn centring(&self) -> Option<Centring> {
        Some(self.options.centring)
    }

    fn score(&self, input: &GroupInput<'_>) -> Result<GroupScores, ScoreError> {
        let penalty = |related: &Relatedness| penalty(related, &self.options);
        lasso::score(self.name(), input, Target::Classes, &penalty, &self.options)
    }
}
