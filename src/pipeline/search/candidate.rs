//! From a budget to a candidate: plan, rewrite and verify, compensate.

use crate::channels::Cut;
use crate::error::Error;
use crate::model::Model;
use crate::pipeline::classes::Classes;
use crate::pipeline::dense::{Observed, Source};
use crate::pipeline::options::Criteria;
use crate::pipeline::rollback::Broken;
use crate::pipeline::run::Run;
use crate::pipeline::scoring::ClassContext;
use crate::plan::{Plan, PlanError};
use crate::report::{Repair, Verified};
use crate::score::{Criterion, GroupScores};

/// What is known before the first plan: one pass over the images, one score for every channel.
pub(in crate::pipeline) struct Scored {
    pub(in crate::pipeline) source: Option<Source>,
    pub(in crate::pipeline) criterion: Box<dyn Criterion>,
    pub(in crate::pipeline) found: Option<(Observed, Classes)>,
    pub(in crate::pipeline) known: Option<ClassContext>,
    pub(in crate::pipeline) scores: Vec<GroupScores>,
}

impl Scored {
    pub(in crate::pipeline) fn observed(&self) -> Option<&Observed> {
        self.found.as_ref().map(|(observed, _)| observed)
    }
}

/// A plan with what a person should know about it.
#[derive(Debug, Clone)]
pub(in crate::pipeline) struct Proposal {
    pub(in crate::pipeline) plan: Plan,
    pub(in crate::pipeline) cut: Cut,
    pub(in crate::pipeline) warnings: Vec<String>,
}

/// A pruned model, verified and compensated.
pub(in crate::pipeline) struct Made {
    pub(in crate::pipeline) planned: Proposal,
    pub(in crate::pipeline) pruned: Model,
    pub(in crate::pipeline) verification: Option<Verified>,
    pub(in crate::pipeline) compensation: Repair,
}

/// Why there is no candidate.
pub(in crate::pipeline) enum CandidateError {
    /// Cuts of these groups do not hold; the rest is to be planned anew.
    Broken(Vec<Broken>),
    /// Anything else.
    Failed(Error),
}

impl<E: Into<Error>> From<E> for CandidateError {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Run<'_> {
    /// Calibrates and scores.
    pub(in crate::pipeline) fn prepare(&mut self) -> Result<Scored, Error> {
        let options = self.options;
        let source = self.source(options.data.data.as_deref())?;
        let criterion = self.criterion(source.is_some())?;
        let found = self.observe(source.as_ref(), criterion.needs())?;
        let known = self.known(found.as_ref(), criterion.as_ref(), options.criteria.lasso.response)?;
        let observed = found.as_ref().map(|(observed, _)| observed);
        self.progress.phase("score", None);
        let scores = self.timed("score", |run| run.scorer(criterion.as_ref(), observed, known.as_ref()).scores())?;
        Ok(Scored { source, criterion, found, known, scores })
    }

    /// The plan of a budget.
    pub(in crate::pipeline) fn planned(&mut self, ready: &Scored, criteria: &Criteria) -> Result<Proposal, Error> {
        let told = self.warnings.len();
        let known = (ready.observed(), ready.known.as_ref());
        let plan = self.plan_from(ready.criterion.as_ref(), known, criteria, &ready.scores)?;
        let cut = plan.cut(&self.channels)?;
        Ok(Proposal { plan, cut, warnings: self.warnings.split_off(told) })
    }

    /// As [`Run::planned`]; `None` where the budget leaves every channel.
    pub(super) fn planned_if_any(&mut self, ready: &Scored, criteria: &Criteria) -> Result<Option<Proposal>, Error> {
        match self.planned(ready, criteria) {
            Err(Error::Plan(PlanError::Nothing { .. })) => Ok(None),
            planned => planned.map(Some),
        }
    }

    /// Slices and proves that the result is the masked original.
    pub(super) fn proven(&mut self, planned: &Proposal) -> Result<(Model, Option<Verified>), CandidateError> {
        match self.rewrite(&planned.cut) {
            Err(error) => Err(CandidateError::Broken(self.broken(&planned.plan, error)?)),
            Ok(done) => Ok(done),
        }
    }

    /// Slices, proves that the result is the masked original, compensates and refines.
    pub(in crate::pipeline) fn make(&mut self, ready: &Scored, planned: Proposal) -> Result<Made, CandidateError> {
        let mut made = self.make_coarse(ready, planned)?;
        if let Some(observed) = ready.observed() {
            self.finish_repair(&mut made, observed)?;
        }
        Ok(made)
    }

    /// As [`Run::make`], without refinement.
    pub(super) fn make_coarse(&mut self, ready: &Scored, planned: Proposal) -> Result<Made, CandidateError> {
        let (mut pruned, verification) = self.proven(&planned)?;
        let refit = self.refitted(&mut pruned, &planned.cut, ready.observed(), self.options.compensation)?;
        Ok(Made { planned, pruned, verification, compensation: Repair { refit, refined: None } })
    }

    /// Refines what was compensated.
    pub(super) fn finish_repair(&mut self, made: &mut Made, observed: &Observed) -> Result<(), Error> {
        let Made { planned, pruned, .. } = made;
        made.compensation.refined = self.refined(pruned, &planned.cut, observed, self.options.compensation)?;
        Ok(())
    }

    /// Share of the multiply-accumulates that a cut leaves.
    pub(in crate::pipeline) fn macs_share(&self, cut: &Cut) -> f64 {
        self.channels.macs(Some(cut)) as f64 / self.channels.macs(None).max(1) as f64
    }
}
