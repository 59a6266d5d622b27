//! Plans that differ in their widths, each evaluated on its whole pruned and repaired network (`docs/method.md` 8.7):
//! curves see one group at a time, the network all of them.

use ndarray::ArrayD;

use super::depth_search;
use super::planner::{Candidate, Planner};
use crate::error::Error;
use crate::evaluate::{Fidelity, Observed, class_scores, outputs_on};
use crate::model::Model;
use crate::pipeline::options::{Criteria, Effort};
use crate::pipeline::session::Session;
use crate::pipeline::steps::{CandidateError, Proposal, Scored};
use crate::plan::{Allocation, PlanError};

/// Powers of the measured losses: below 1 the losses of mild cuts weigh more, above 1 those of strong ones.
const POWERS: [f64; 3] = [1.0, 0.7, 1.4];

/// Of so many batches one is evaluated.
const EVERY: usize = 2;

/// Whether several plans are tried.
pub(super) fn tries_plans(session: &Session<'_>, scored: &Scored<'_>) -> bool {
    let images = scored.calibration.is_some_and(|own| !own.observed.batches.is_empty());
    let allocation = session.allocation(&session.options.criteria, images);
    session.options.effort == Effort::Max && images && allocation == Allocation::Sensitivity
}

/// The plan whose repaired network is nearest to the dense one, refined.
pub(super) fn best_whole(planner: &mut Planner<'_>) -> Result<Candidate, CandidateError> {
    let session = planner.session;
    let mut proposals = proposals(planner)?;
    if depth_search::tries_blocks(planner)
        && let Some(widths) = proposals.first().cloned()
    {
        let with_blocks = depth_search::proposals(planner, &session.options.criteria, widths)?;
        proposals.extend(with_blocks.into_iter().skip(1));
    }
    let Some(calibration) = planner.scored.calibration else {
        return planner.make(proposals.into_iter().next().ok_or_else(none)?);
    };
    let observed = &calibration.observed;
    let dense = outputs(session, &session.model, observed)?;
    let scores = class_scores(&session.model, &session.channels).is_some();
    let mut losses = Vec::new();
    let mut best: Option<(f64, Candidate)> = None;
    for proposal in proposals {
        let candidate = planner.make_coarse(proposal)?;
        let loss = Fidelity::between(&dense, &outputs(session, &candidate.pruned, observed)?, scores);
        losses.push(format!("{loss:.3}"));
        if best.as_ref().is_none_or(|best| loss < best.0) {
            best = Some((loss, candidate));
        }
    }
    let (loss, candidate) = best.ok_or_else(none)?;
    if losses.len() > 1 {
        planner.record.notes.push(format!(
            "{} plans were repaired and judged whole, by the divergence of their outputs: {}; the one of {loss:.3} was \
             taken",
            losses.len(),
            losses.join(", ")
        ));
    }
    Ok(planner.complete(candidate)?)
}

/// Different plans within the budget, the usual one first.
fn proposals(planner: &mut Planner<'_>) -> Result<Vec<Proposal>, Error> {
    let base = &planner.session.options.criteria;
    let powers = POWERS.iter().map(|&loss_power| Criteria { loss_power, ..base.clone() });
    let uniform = Criteria { allocation: Some(Allocation::Uniform), ..base.clone() };
    let mut proposals: Vec<Proposal> = Vec::new();
    for criteria in powers.chain([uniform]) {
        let proposal = planner.plan(&criteria)?;
        if proposals.iter().all(|other| other.plan.groups != proposal.plan.groups) {
            proposals.push(proposal);
        }
    }
    Ok(proposals)
}

fn outputs(session: &Session<'_>, model: &Model, observed: &Observed) -> Result<Vec<Vec<ArrayD<f32>>>, Error> {
    let batches = observed.batches.iter().step_by(EVERY);
    Ok(outputs_on(session.engine.as_ref(), model, batches, session.cancel)?)
}

fn none() -> Error {
    PlanError::Nothing { why: "the budget leaves every channel, or rounding does".into() }.into()
}
