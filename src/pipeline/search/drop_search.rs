//! Candidates from the mildest cut to the strongest, while what they lose stays within a bound.

use super::integers::uncut;
use super::planner::{Candidate, Planner};
use super::{Bound, Findings, tried};
use crate::error::Error;
use crate::model::Model;
use crate::pipeline::steps::{CandidateError, Proposal};
use crate::plan::search::drop::{LEAST_SHARE, Test, shares, strongest_accepted};
use crate::report::{Loss, MetricLoss, Tried};

/// What a candidate loses, and whether that is within the bound.
pub(super) struct Verdict {
    pub(super) accepted: bool,
    pub(super) loss: Option<Loss>,
    pub(super) metric: Option<MetricLoss>,
}

/// The strongest cut that was accepted.
pub(super) struct Strongest {
    /// `None` where the mildest cut was refused.
    pub(super) candidate: Option<Candidate>,
    pub(super) findings: Findings,
    /// Whether no candidate was refused: the other bounds ended the search.
    pub(super) all: bool,
}

/// Goes from the mildest cut to the strongest that the other bounds ask for, `last`, while `test` accepts.
pub(super) fn mildest_first(
    planner: &mut Planner<'_>,
    bound: Bound,
    last: Option<&Proposal>,
    test: &mut dyn FnMut(&mut Planner<'_>, &Model) -> Result<Verdict, Error>,
) -> Result<Strongest, CandidateError> {
    let session = planner.session;
    let limits = bound.limits;
    let least = if limits.none() { LEAST_SHARE } else { limits.least() };
    let mut findings = Findings::default();
    let mut before = None;
    // The dense model in integers is milder than every cut, and all that is wanted where it is enough.
    let mut shares = shares(least);
    let form = planner.integers.as_ref().map(|own| own.name);
    if let Some(integers) = &planner.integers {
        shares.insert(0, 1.0);
        shares.truncate(if integers.enough { 1 } else { shares.len() });
    }
    let (candidate, all) = strongest_accepted(&shares, |share| {
        if share >= 1.0 {
            let candidate = uncut(planner)?;
            let Verdict { accepted, loss, metric } = test(planner, candidate.written())?;
            let alone = tried(session, &candidate.proposal, accepted);
            findings.tried.push(Tried { budget: format!("{} alone", form.unwrap_or("dense")), loss, metric, ..alone });
            return Ok(if accepted { Test::Accepted(candidate) } else { Test::Refused });
        }
        let proposal = match last {
            Some(last) if share <= least => Some(last.clone()),
            _ => milder(planner, bound, share)?,
        };
        let Some(proposal) = proposal.filter(|own| before.as_ref() != Some(&own.plan.groups)) else {
            return Ok(Test::Same);
        };
        before = Some(proposal.plan.groups.clone());
        let candidate = planner.make(proposal)?;
        let Verdict { accepted, loss, metric } = test(planner, candidate.written())?;
        findings.tried.push(Tried { loss, metric, ..tried(session, &candidate.proposal, accepted) });
        Ok::<_, CandidateError>(if accepted { Test::Accepted(candidate) } else { Test::Refused })
    })?;
    Ok(Strongest { candidate, findings, all })
}

/// The plan of a share between the dense model and the bound.
fn milder(planner: &mut Planner<'_>, bound: Bound, share: f64) -> Result<Option<Proposal>, Error> {
    let limits = if bound.limits.none() { bound.limits.at_most(share) } else { bound.limits.mild(share) };
    planner.plan_within(limits, bound.whole_steps)
}

/// That the loss ended the search before the other bounds were reached; `most`: the bound on the loss in words.
pub(super) fn ended_early(planner: &Planner<'_>, candidate: &Candidate, most: &str) -> String {
    let share = planner.session.macs_share(&candidate.proposal.cut);
    format!("the other bounds cannot be reached: beyond MACs x{share:.2} the loss may exceed {most}")
}
