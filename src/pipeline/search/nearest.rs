//! Of several plans within a budget the one whose repaired network is nearest to the dense one on held-out inputs
//! (`docs/method.md` 8.9).

use super::nothing;
use super::planner::{Candidate, Planner};
use crate::error::Error;
use crate::pipeline::steps::{CandidateError, Proposal};
use crate::repair::global::RefineOptions;

/// Share of the refinement's time and rounds that each plan is refined for before the plans are compared, where there is time.
const TRIAL: f64 = 0.05;

/// Plans are refined if their error before is at most so many times the least so far.
const NEAR: f64 = 2.0;

/// The proposal whose network is nearest, as it is with single layers repaired or, where whoever asks gives the refinement more time
/// than it takes of its own accord, after a short refinement: what layers alone cannot repair all of them together may. Its candidate is
/// kept for [`Planner::make`].
pub(super) fn nearest(planner: &mut Planner<'_>, mut proposals: Vec<Proposal>) -> Result<Proposal, CandidateError> {
    if proposals.len() < 2 {
        return proposals.pop().ok_or_else(|| nothing().into());
    }
    let options = planner.session.options.refinement().filter(|_| planner.session.options.takes_its_time());
    let trial = options.map(shortly);
    let mut found: Option<(f64, Candidate)> = None;
    let (mut told, mut least, mut tried) = (Vec::new(), f64::INFINITY, 0.0);
    for proposal in proposals {
        let blocks = proposal.cut.blocks().count();
        let candidate = match planner.make_coarse(proposal) {
            Ok(candidate) => candidate,
            Err(CandidateError::Failed(Error::Interrupted)) => return Err(Error::Interrupted.into()),
            // Widths alone come first: what does not hold with blocks is left.
            Err(_) if blocks > 0 && found.is_some() => continue,
            Err(error) => return Err(error),
        };
        let layers = candidate.error();
        least = layers.min(least);
        let refined = match trial.filter(|_| layers <= NEAR * least) {
            Some(trial) => Some(planner.tried(&candidate, trial)?),
            None => None,
        };
        tried += refined.map_or(0.0, |_| TRIAL);
        told.push(describe(layers, refined, blocks));
        let error = refined.unwrap_or(if trial.is_some() { f64::INFINITY } else { layers });
        if found.as_ref().is_none_or(|best| error < best.0) {
            found = Some((error, candidate));
        }
    }
    let (error, mut candidate) = found.ok_or_else(nothing)?;
    candidate.tried = tried;
    planner.record.notes.push(format!(
        "plans within the budget, by the error of the outputs: {}; the plan of {error:.3} was taken",
        told.join(", ")
    ));
    let proposal = candidate.proposal.clone();
    planner.keep(candidate);
    Ok(proposal)
}

/// A refinement that takes a small share of another's time and rounds.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small count")]
fn shortly(options: RefineOptions) -> RefineOptions {
    let rounds = options.rounds.map(|rounds| (rounds as f64 * TRIAL).ceil() as usize);
    RefineOptions { rounds, seconds: options.seconds * TRIAL, ..options }
}

fn describe(layers: f64, refined: Option<f64>, blocks: usize) -> String {
    let which = match blocks {
        0 => "with widths alone".to_owned(),
        1 => "without 1 block".to_owned(),
        many => format!("without {many} blocks"),
    };
    match refined {
        Some(refined) => format!("{layers:.3} and shortly refined {refined:.3} {which}"),
        None => format!("{layers:.3} {which}"),
    }
}
