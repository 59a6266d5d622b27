//! Candidates by the accuracy that they lose: pruned, repaired, and compared with the dense model on held-out images.

use super::planner::Planner;
use super::{Bound, Findings, Found, make_last, tried};
use crate::error::Error;
use crate::evaluate::{EvaluateError, Predictions, Source};
use crate::model::Model;
use crate::pipeline::steps::{CandidateError, Proposal};
use crate::plan::PlanError;
use crate::plan::search::drop::{LEAST_SHARE, Test, shares, strongest_accepted};
use crate::report::{Loss, Tried};

/// Answers of a model to the held-out images.
fn predictions(
    planner: &mut Planner<'_>,
    source: &Source,
    indices: &[usize],
    model: &Model,
) -> Result<Predictions, Error> {
    let session = planner.session;
    planner.record.timed(session, "evaluate", |_| {
        session.progress.phase("evaluate", Some(indices.len() as u64));
        Ok(session.pass(source, indices, |pass| pass.predictions(model))?)
    })
}

/// Goes from the mildest cut to the strongest that the other bounds ask for, `last`, while the loss stays within
/// `points`.
pub(super) fn within_loss(
    planner: &mut Planner<'_>,
    bound: Bound,
    points: f64,
    last: Option<Proposal>,
) -> Result<Found, CandidateError> {
    let session = planner.session;
    let data = &session.options.data;
    let Some(path) = data.eval.as_deref() else { return make_last(planner, bound, last) };
    let source = session.source(path)?;
    let indices = data.held_out_images(&source.dataset, session.options.seed);
    let dense = predictions(planner, &source, &indices, &session.model)?;
    let limits = bound.limits;
    let least = if limits.none() { LEAST_SHARE } else { limits.macs.min(limits.params) };
    let mut findings = Findings::default();
    let mut before = None;
    let mut mildest = None;
    let (best, all) = strongest_accepted(&shares(least), |share| {
        let proposal = match &last {
            Some(last) if share <= least => Some(last.clone()),
            _ => milder(planner, bound, share)?,
        };
        let Some(proposal) = proposal.filter(|own| before.as_ref() != Some(&own.plan.groups)) else {
            return Ok(Test::Same);
        };
        before = Some(proposal.plan.groups.clone());
        let candidate = planner.make(proposal)?;
        let pruned = predictions(planner, &source, &indices, &candidate.pruned)?;
        let loss = Loss::from(dense.paired(&pruned));
        mildest.get_or_insert(loss);
        let accepted = loss.upper <= points;
        findings.tried.push(Tried { loss: Some(loss), ..tried(session, &candidate.proposal, accepted) });
        Ok::<_, CandidateError>(if accepted { Test::Accepted(candidate) } else { Test::Refused })
    })?;
    let Some(candidate) = best else { return Err(nothing_within(points, mildest)) };
    if !all && !limits.none() {
        let share = session.macs_share(&candidate.proposal.cut);
        findings.warnings.push(format!(
            "the other bounds cannot be reached: beyond MACs x{share:.2} the loss may exceed {points} points"
        ));
    }
    Ok(Found { candidate, findings, dense: Some(dense) })
}

/// The plan of a share between the dense model and the bound.
fn milder(planner: &mut Planner<'_>, bound: Bound, share: f64) -> Result<Option<Proposal>, Error> {
    let limits = if bound.limits.none() { bound.limits.at_most(share) } else { bound.limits.mild(share) };
    planner.plan_within(limits, bound.whole_steps)
}

/// Why there is no model.
fn nothing_within(points: f64, mildest: Option<Loss>) -> CandidateError {
    match mildest {
        None => PlanError::Nothing { why: "the bounds leave every channel".into() }.into(),
        Some(Loss { paired, points: loss, upper, .. }) => {
            EvaluateError::Loss { allowed: points, loss, upper, images: paired.images }.into()
        }
    }
}
