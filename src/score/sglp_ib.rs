//! sGLP-IB: the class-wise lasso with a graph over the classes.

use super::lasso::{self, LassoOptions, Target};
use super::relatedness::GraphOptions;
use super::solver::{Graph, Sign};
use super::{Criterion, GroupInput, GroupScores, Needs, ScoreError};

/// Sparse graph-structured lasso (`method.md` 4.2, a reconstruction): class responses, with the coefficients of related
/// classes drawn together. Scores are entry values divided by the group's largest.
#[derive(Debug, Clone, Copy, Default)]
pub struct SglpIb {
    /// Statistics, path, signs and graph.
    pub options: LassoOptions,
}

impl Criterion for SglpIb {
    fn name(&self) -> &'static str {
        "sglp-ib"
    }

    fn needs(&self) -> Needs {
        self.options.needs()
    }

    fn score(&self, input: &GroupInput<'_>) -> Result<GroupScores, ScoreError> {
        let responses = lasso::responses(self.name(), input)?;
        let related = lasso::relatedness(self.name(), input, responses)?;
        // With coefficients that cannot be negative, a negative edge would only add to the l1 term.
        let negative = self.options.graph.negative && self.options.sign == Sign::Free;
        let edges = related.edges(GraphOptions { negative, ..self.options.graph });
        let penalty = Graph::new(edges, self.options.theta, self.options.sign);
        lasso::score(input, responses, Target::Classes, &penalty, &self.options)
    }
}
