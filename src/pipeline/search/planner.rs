//! From a budget to a candidate: plan, cut and verify, repair.

use super::integers::Integers;
use super::layer_times::with_times;
use crate::channels::{CostModel, Cut, Measure};
use crate::engine::Feed;
use crate::error::Error;
use crate::evaluate::Reference;
use crate::model::Model;
use crate::pipeline::options::Criteria;
use crate::pipeline::record::{Record, Told};
use crate::pipeline::session::Session;
use crate::pipeline::steps::{
    CandidateError, CutModel, Planned, Proposal, QuantizedModel, Repaired, Scored, cut, plan, quantize, refine, refit,
    wants_data,
};
use crate::plan::search::depth::Removal;
use crate::plan::{Curve, Limits, PlanError};
use crate::repair::global::{RefineOptions, Refined};
use crate::repair::{Compensation, Refit};
use crate::report::{Repair, StageError, Verified};
use crate::rewrite::tidy;

/// A pruned model, verified and repaired.
#[derive(Clone)]
pub(crate) struct Candidate {
    pub(crate) proposal: Proposal,
    pub(crate) pruned: Model,
    pub(crate) verification: Option<Verified>,
    pub(crate) repair: Repair,
    /// The same in integers, if it is to be written so and is repaired.
    pub(crate) integers: Option<QuantizedModel>,
    /// Share of the refinement's time that went into comparing it with other plans.
    pub(crate) tried: f64,
}

impl Candidate {
    /// The model as it is written.
    pub(crate) fn written(&self) -> &Model {
        self.integers.as_ref().map_or(&self.pruned, |own| &own.model)
    }

    /// Error of the outputs after the last stage of the repair.
    pub(super) fn error(&self) -> f64 {
        self.repair.stages.last().map_or(f64::INFINITY, |own| own.after)
    }
}

/// Makes plans and candidates from one set of scores, and keeps what the steps told.
pub(crate) struct Planner<'s> {
    pub(crate) session: &'s Session<'s>,
    pub(crate) scored: &'s Scored<'s>,
    /// What all steps so far told.
    pub(crate) record: Record,
    /// Costs of the dense model; with what each layer takes, once a latency is searched for.
    pub(super) dense_cost: CostModel,
    times_known: bool,
    /// Blocks that all plans leave out, by their places.
    pub(super) blocks: Vec<usize>,
    /// Sensitivities of the scores, once a plan wanted them.
    curves: Option<Vec<Curve>>,
    /// Nested sets of blocks that go, by what they save of a measure, once a plan wanted them.
    pub(super) removals: Option<(Measure, Vec<Removal<()>>)>,
    /// The strongest budget that plans are wanted for, if there will be several.
    pub(crate) strongest: Option<f64>,
    /// The time that is asked for as a share of the dense model's on the first device, once it is known.
    pub(super) wanted: Option<f64>,
    /// What a ratio on every other device counts: the first device's share over the one asked for there.
    pub(super) device_weights: Vec<f64>,
    /// Models in integers, if they are written so.
    pub(super) integers: Option<Integers>,
    /// Candidates that were made without refinement and may be wanted again.
    made: Vec<Candidate>,
}

impl<'s> Planner<'s> {
    pub(crate) fn new(session: &'s Session<'s>, scored: &'s Scored<'s>) -> Self {
        Self {
            session,
            scored,
            record: Record::default(),
            dense_cost: session.cost.clone(),
            times_known: false,
            blocks: Vec::new(),
            curves: None,
            removals: None,
            strongest: None,
            wanted: None,
            device_weights: Vec::new(),
            integers: None,
            made: Vec::new(),
        }
    }

    /// A sliced model as it is to be timed and weighed: in integers, where it will be written so.
    pub(super) fn as_written(&self, model: Model) -> Result<Model, Error> {
        match &self.integers {
            Some(own) => own.rough.write(self.session, &model),
            None => Ok(model),
        }
    }

    /// A result with everything that was told on the way.
    pub(crate) fn told<T>(self, value: T) -> Told<T> {
        Told::new(value, self.record)
    }

    /// The plan of a budget, or why there is none.
    fn planned(&mut self, criteria: &Criteria) -> Result<Result<Proposal, PlanError>, Error> {
        let planned = plan(self.session, self.scored, criteria, (&self.dense_cost, &self.blocks), self.curves.take())?;
        let Planned { proposal, curves } = planned.merge_into(&mut self.record);
        self.curves = curves;
        Ok(proposal)
    }

    /// From now on layers count in the time by what they take on the devices; asked once.
    pub(super) fn know_times(&mut self, feed: &Feed) -> Result<(), Error> {
        if !self.times_known {
            self.dense_cost = with_times(self, feed)?;
            self.times_known = true;
        }
        Ok(())
    }

    /// Costs without the blocks that all plans leave out.
    pub(super) fn cost(&self) -> CostModel {
        self.session.without_blocks(&self.dense_cost, &self.blocks).0
    }

    /// The plan of a budget.
    pub(crate) fn plan(&mut self, criteria: &Criteria) -> Result<Proposal, Error> {
        Ok(self.planned(criteria)??)
    }

    /// The plan of a budget; `None` where it leaves every channel.
    pub(crate) fn plan_if_any(&mut self, criteria: &Criteria) -> Result<Option<Proposal>, Error> {
        Ok(self.planned(criteria)?.ok())
    }

    /// The plan at some limits; `None` where they leave every channel.
    pub(super) fn plan_within(&mut self, limits: Limits, whole_steps: bool) -> Result<Option<Proposal>, Error> {
        let criteria = &self.session.options.criteria;
        self.plan_if_any(&Criteria { budget: limits.budget(), whole_steps, ..criteria.clone() })
    }

    /// Slices and proves that the result is the masked original.
    pub(crate) fn cut(&mut self, proposal: &Proposal) -> Result<CutModel, CandidateError> {
        Ok(cut(self.session, proposal, self.scored.calibration.map(|own| &own.source))?.merge_into(&mut self.record))
    }

    /// Cuts, repairs as far as the options say, and writes in integers where they say so.
    pub(crate) fn make(&mut self, proposal: Proposal) -> Result<Candidate, CandidateError> {
        let coarse = self.make_coarse(proposal)?;
        Ok(self.complete(coarse)?)
    }

    /// As [`Planner::make`], without refinement and in real numbers.
    pub(super) fn make_coarse(&mut self, proposal: Proposal) -> Result<Candidate, CandidateError> {
        if let Some(at) = self.made.iter().position(|own| own.proposal.plan == proposal.plan) {
            return Ok(self.made.swap_remove(at));
        }
        let CutModel { model, verified } = self.cut(&proposal)?;
        let Repaired { model, report, stages } = self.refit(model, &proposal.cut, self.session.options.compensation)?;
        let judged_on = self.scored.calibration.and_then(|own| own.reference.as_ref()).map_or(0, Reference::len);
        let repair = Repair { refit: report, refined: None, stages, judged_on };
        Ok(Candidate { proposal, pruned: model, verification: verified, repair, integers: None, tried: 0.0 })
    }

    /// Keeps a candidate for [`Planner::make`].
    pub(super) fn keep(&mut self, candidate: Candidate) {
        self.made.push(candidate);
    }

    /// Refines what was refitted, leaves nothing of blocks that are gone, and writes it in integers if it is to be.
    pub(super) fn complete(&mut self, candidate: Candidate) -> Result<Candidate, Error> {
        let Candidate { proposal, mut pruned, verification, mut repair, tried, .. } = candidate;
        if self.session.options.compensation == Compensation::Sequential {
            let options = self.session.options.refinement();
            let options = options.map(|own| RefineOptions { seconds: own.seconds * (1.0 - tried), ..own });
            let refined = self.refine(pruned, &proposal.cut, repair.stages, options)?;
            pruned = refined.model;
            repair = Repair { refined: refined.report, stages: refined.stages, ..repair };
        }
        let pruned = tidy(pruned, &self.session.channels, &proposal.cut)?;
        let integers = self.in_integers(&pruned)?;
        Ok(Candidate { proposal, pruned, verification, repair, integers, tried })
    }

    /// A repaired model in integers, where that is asked for.
    pub(super) fn in_integers(&mut self, pruned: &Model) -> Result<Option<QuantizedModel>, Error> {
        let Some(options) = &self.session.options.quantize else { return Ok(None) };
        let calibration = self.scored.calibration.ok_or_else(wants_data)?;
        Ok(Some(quantize(self.session, pruned, calibration, options)?.merge_into(&mut self.record)))
    }

    /// Refits the consumers of what was cut.
    pub(crate) fn refit(&mut self, model: Model, cut: &Cut, how: Compensation) -> Result<Repaired<Refit>, Error> {
        Ok(refit(self.session, model, cut, self.scored.calibration, how)?.merge_into(&mut self.record))
    }

    /// Adjusts all weights that are left. `stages`: errors of the outputs so far.
    pub(crate) fn refine(
        &mut self,
        model: Model,
        cut: &Cut,
        stages: Vec<StageError>,
        options: Option<RefineOptions>,
    ) -> Result<Repaired<Option<Refined>>, Error> {
        Ok(refine(self.session, model, cut, (self.scored.calibration, options), stages)?.merge_into(&mut self.record))
    }

    /// Error of the outputs of a candidate after a refinement of its own, which is not kept.
    pub(super) fn tried(&mut self, candidate: &Candidate, options: RefineOptions) -> Result<f64, Error> {
        let stages = candidate.repair.stages.clone();
        let refined = self.refine(candidate.pruned.clone(), &candidate.proposal.cut, stages, Some(options))?;
        Ok(refined.stages.last().map_or(f64::INFINITY, |own| own.after))
    }
}
