//! Candidates by the accuracy that they lose: pruned, repaired, and compared with the dense model on held-out images.

use super::drop_search::{Strongest, Verdict, ended_early, mildest_first};
use super::planner::Planner;
use super::{Bound, Found, make_last};
use crate::error::Error;
use crate::evaluate::{EvaluateError, Predictions, Source};
use crate::model::Model;
use crate::pipeline::steps::{CandidateError, Proposal};
use crate::plan::PlanError;
use crate::report::Loss;

/// Answers of a model to the held-out images.
fn predictions(
    planner: &mut Planner<'_>,
    source: &Source,
    indices: &[u32],
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
    let mut mildest = None;
    let found = mildest_first(planner, bound, last.as_ref(), &mut |planner, pruned| {
        let loss = Loss::from(dense.paired(&predictions(planner, &source, &indices, pruned)?));
        mildest.get_or_insert(loss);
        Ok(Verdict { accepted: loss.upper <= points, loss: Some(loss), metric: None })
    })?;
    let Strongest { candidate, mut findings, all } = found;
    let Some(candidate) = candidate else { return Err(nothing_within(points, mildest)) };
    if !all && !bound.limits.none() {
        findings.warnings.push(ended_early(planner, &candidate, &format!("{points} points")));
    }
    Ok(Found { candidate, findings, dense: Some(dense.into()), metric: None })
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
