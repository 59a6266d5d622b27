//! sTLP-IB: the class-wise lasso with a tree over the classes.

use super::lasso::{self, LassoOptions, Target};
use super::solver::Tree;
use super::{Criterion, GroupInput, GroupScores, Needs, ScoreError};

/// Sparse tree-guided lasso (`method.md` 4.2, a reconstruction): class responses, with groups of related classes
/// entering together. Scores are entry values divided by the group's largest.
#[derive(Debug, Clone, Copy, Default)]
pub struct StlpIb {
    /// Statistics, path and signs.
    pub options: LassoOptions,
}

impl Criterion for StlpIb {
    fn name(&self) -> &'static str {
        "stlp-ib"
    }

    fn needs(&self) -> Needs {
        self.options.needs()
    }

    fn score(&self, input: &GroupInput<'_>) -> Result<GroupScores, ScoreError> {
        let responses = lasso::responses(self.name(), input)?;
        let related = lasso::relatedness(self.name(), input, responses)?;
        let penalty = Tree::new(related.tree_groups(), self.options.sign);
        lasso::score(input, responses, Target::Classes, &penalty, &self.options)
    }
}
