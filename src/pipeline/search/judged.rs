//! Candidates before the judge: pruned, compensated, and compared with the dense model on held-out images.

use super::Search;
use super::candidate::{CandidateError, Made, Proposal};
use super::drop::{LEAST_SHARE, Test, rungs, walk};
use crate::error::Error;
use crate::evaluate::{Predictions, VerifyError};
use crate::model::Model;
use crate::pipeline::dense::{Source, held_out};
use crate::pipeline::explain::describe;
use crate::pipeline::run::Run;
use crate::report::{Loss, Tried};

/// Held-out labelled images and the dense model's answers.
struct HeldOut {
    source: Source,
    indices: Vec<usize>,
    dense: Predictions,
}

impl HeldOut {
    fn open(run: &mut Run<'_>) -> Result<Option<Self>, Error> {
        let data = &run.options.data;
        let Some(path) = data.eval.as_deref() else { return Ok(None) };
        let source = Source::open(&run.model, path, data)?;
        let indices = held_out(&source, data, run.options.seed);
        let mut found = Self { source, indices, dense: Predictions::default() };
        found.dense = run.timed("evaluate", |run| found.judge(run, &run.model))?;
        run.judged = Some(found.dense.clone());
        Ok(Some(found))
    }

    fn judge(&self, run: &Run<'_>, model: &Model) -> Result<Predictions, Error> {
        run.progress.phase("evaluate", Some(self.indices.len() as u64));
        let (engine, data) = (run.engine.as_ref(), &run.options.data);
        self.source.judge(engine, model, &self.indices, data, run.progress, run.cancel)
    }
}

impl Search<'_, '_> {
    /// Walks from the mildest cut to the strongest that the other bounds ask for, `last`, while the loss stays within
    /// `points`.
    pub(super) fn walk_down(&mut self, points: f64, last: Option<&Proposal>) -> Result<Made, CandidateError> {
        let Some(held) = HeldOut::open(self.run)? else { return self.make_last(last.cloned()) };
        let least = self.limits.macs.min(self.limits.params);
        let least = if self.limits.none() { LEAST_SHARE } else { least };
        let mut before = None;
        let mut mildest = None;
        let (best, all) = walk(&rungs(least), |share| {
            let planned = match last {
                Some(last) if share <= least => Some(last.clone()),
                _ => self.milder(share)?,
            };
            let Some(planned) = planned.filter(|own| before.as_ref() != Some(&own.plan.groups)) else {
                return Ok(Test::Same);
            };
            before = Some(planned.plan.groups.clone());
            let made = self.run.make(self.ready, planned)?;
            let judge = self.run.timed("evaluate", |run| held.judge(run, &made.pruned))?;
            let loss = Loss::from(held.dense.paired(&judge));
            mildest.get_or_insert(loss);
            let accepted = loss.upper <= points;
            self.tried.push(Tried {
                budget: describe(&made.planned.plan.budget),
                macs: self.run.macs_share(&made.planned.cut),
                bytes: None,
                latency: None,
                loss: Some(loss),
                accepted,
            });
            Ok::<_, CandidateError>(if accepted { Test::Accepted(made) } else { Test::Refused })
        })?;
        let Some(made) = best else { return Err(nothing_within(points, mildest)) };
        if !all && !self.limits.none() {
            let share = self.run.macs_share(&made.planned.cut);
            self.warnings.push(format!(
                "the other bounds cannot be reached: beyond MACs x{share:.2} the loss may exceed {points} points"
            ));
        }
        Ok(made)
    }

    fn milder(&mut self, share: f64) -> Result<Option<Proposal>, Error> {
        let limits = if self.limits.none() { self.limits.at_most(share) } else { self.limits.mild(share) };
        self.plan_at(limits, self.whole_steps)
    }
}

/// Why there is no model.
fn nothing_within(points: f64, mildest: Option<Loss>) -> CandidateError {
    match mildest {
        None => crate::plan::PlanError::Nothing { why: "the bounds leave every channel".into() }.into(),
        Some(Loss { paired, points: loss, upper, .. }) => {
            VerifyError::Loss { allowed: points, loss, upper, images: paired.images }.into()
        }
    }
}
