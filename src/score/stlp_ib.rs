//! sTLP-IB: the class-wise lasso with a tree over the classes.

use super::lasso::{self, Target};
use super::options::LassoOptions;
use super::relatedness::Relatedness;
use super::solver::{Penalty, Tree};
use super::{Criterion, GroupInput, GroupScores, Needs, ScoreError};
use crate::statistics::Centring;

/// Sparse tree-guided lasso (`docs/method.md` 4.2, 4.7; a reconstruction): one regression for each class, with
/// groups of related classes entering together. Scores are entry values divided by the group's largest.
#[derive(Debug, Clone, Copy, Default)]
pub struct StlpIb {
    /// Response, statistics, path and signs.
    pub options: LassoOptions,
}

/// The tree-guided penalty over related classes.
pub(super) fn penalty(related: &Relatedness, options: &LassoOptions) -> Box<dyn Penalty> {
    Box::new(Tree::new(related.tree_groups(), options.sign))
}

impl Criterion for StlpIb {
    fn name(&self) -> &'static str {
        "stlp-ib"
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
