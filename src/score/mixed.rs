//! sGLP-OBS and sTLP-OBS: class-wise selection and second-order selection together (`docs/method.md` 7.2, 7.3).

use super::lasso::{self, Target};
use super::options::LassoOptions;
use super::relatedness::Relatedness;
use super::solver::Penalty;
use super::{Criterion, GroupInput, GroupScores, Needs, Obs, ScoreError, sglp_ib, stlp_ib, sweep};
use crate::statistics::Centring;

/// How the two are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mixture {
    /// Second-order selection, in which the removal of an pruning unit costs up to twice as much the earlier it enters
    /// the class-wise path (`docs/method.md` 7.2).
    #[default]
    Prior,
    /// The class-wise lasso chooses; then pruning units are exchanged while the error of the refitted consumers falls
    /// (`docs/method.md` 7.3).
    Exchange,
}

/// Which structure over the classes the lasso has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Structure {
    /// That of sGLP-IB.
    Graph,
    /// That of sTLP-IB.
    Tree,
}

/// Class-wise lasso and second-order selection. The mixture is ours, not the paper's.
#[derive(Debug, Clone, Copy)]
pub struct Mixed {
    /// Graph or tree.
    pub structure: Structure,
    /// How the two are put together.
    pub mixture: Mixture,
    /// Settings of the lasso.
    pub options: LassoOptions,
}

impl Mixed {
    fn lasso(&self, input: &GroupInput<'_>) -> Result<GroupScores, ScoreError> {
        let penalty = |related: &Relatedness| -> Box<dyn Penalty> {
            match self.structure {
                Structure::Graph => sglp_ib::penalty(related, &self.options),
                Structure::Tree => stlp_ib::penalty(related, &self.options),
            }
        };
        lasso::score(self.name(), input, Target::Classes, &penalty, &self.options)
    }
}

impl Criterion for Mixed {
    fn name(&self) -> &'static str {
        match self.structure {
            Structure::Graph => "sglp-obs",
            Structure::Tree => "stlp-obs",
        }
    }

    fn needs(&self) -> Needs {
        Needs { moments: true, ..self.options.needs() }
    }

    fn centring(&self) -> Option<Centring> {
        Some(self.options.centring)
    }

    fn score(&self, input: &GroupInput<'_>) -> Result<GroupScores, ScoreError> {
        let first = self.lasso(input)?;
        if self.mixture == Mixture::Exchange || input.regressions.is_empty() {
            return Ok(first);
        }
        let mut order: Vec<usize> = (0..input.width).collect();
        order.sort_by(|&a, &b| first.scores[b].total_cmp(&first.scores[a]).then(a.cmp(&b)));
        let mut factors = vec![1.0; input.width];
        let last = (input.width.max(2) - 1) as f64;
        for (rank, unit) in order.into_iter().enumerate() {
            factors[unit] = 2.0 - rank as f64 / last;
        }
        let scores = Obs::with_factors(input, Some(&factors))?;
        let explanation = format!("{}; weighted by: {}", scores.explanation, first.explanation);
        Ok(GroupScores { explanation, path: first.path, ..scores })
    }

    fn refines(&self) -> bool {
        self.mixture == Mixture::Exchange
    }

    fn refine(&self, input: &GroupInput<'_>, kept: Vec<usize>) -> Result<Vec<usize>, ScoreError> {
        if !self.refines() {
            return Ok(kept);
        }
        Ok(sweep::exchange(input, &kept)?.0)
    }
}
