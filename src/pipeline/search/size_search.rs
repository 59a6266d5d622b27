//! Candidates by the size of their file.

use super::planner::{Candidate, Planner};
use super::{Bound, Findings, Found, make_last, tried};
use crate::error::Error;
use crate::pipeline::session::Session;
use crate::pipeline::steps::{CandidateError, Proposal};
use crate::plan::search::size::{FileSize, fit};
use crate::plan::{Limits, PlanError, Target};
use crate::report::{Tried, bytes};
use crate::rewrite;

/// Times that a candidate is made anew because the repair made its file too large.
const REPEATS: usize = 3;

/// Limits at which the file is as small as asked for.
pub(super) struct Sized {
    pub(super) limits: Limits,
    pub(super) findings: Findings,
}

/// The most bytes of the file.
pub(super) fn most_bytes(session: &Session<'_>, target: Target) -> Result<u64, Error> {
    let dense = session.file.bytes as f64;
    let wanted = match target {
        Target::Share(share) => share * dense,
        Target::Absolute(number) => number,
    };
    if wanted >= dense {
        let why = format!("the file has {} already, {} are allowed", bytes(dense), bytes(wanted));
        return Err(PlanError::Nothing { why }.into());
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "above 0 and below a file's size")]
    Ok(wanted as u64)
}

/// Bounds the parameters so that the file has at most so many bytes.
pub(super) fn fit_size(planner: &mut Planner<'_>, unbounded: Limits, most: u64) -> Result<Sized, Error> {
    let session = planner.session;
    let at = |share: f64| Limits { params: unbounded.params.min(share), ..unbounded };
    let mut findings = Findings::default();
    let dense = planner.integers.as_ref().map_or(session.file.bytes, |own| own.bytes);
    let found = fit(most, dense, |share| {
        let Some(proposal) = planner.plan_within(at(share), false)? else { return Ok::<_, Error>(dense) };
        let sliced = rewrite::slice(&session.model, &session.channels, &proposal.cut)?;
        let size = planner.as_written(sliced)?.saved_bytes()?;
        findings.tried.push(Tried { bytes: Some(size), ..tried(session, &proposal, size <= most) });
        Ok(size)
    })?;
    let FileSize { share, bytes: size } = found;
    for own in &mut findings.tried {
        own.accepted &= own.bytes == Some(size);
    }
    if size > most {
        findings.warnings.push(format!(
            "the budget of {} for the file cannot be reached: {} remain in protected channels and floors",
            bytes(most as f64),
            bytes(size as f64)
        ));
    }
    Ok(Sized { limits: at(share), findings })
}

/// Makes the candidate, and again with fewer parameters as long as its file is too large with the repair. `before`: what
/// was tried to fit the size.
pub(super) fn make_within(
    planner: &mut Planner<'_>,
    bound: Bound,
    most: u64,
    proposal: Option<Proposal>,
    before: &[Tried],
) -> Result<Found, CandidateError> {
    let mut bound = bound;
    let mut found = make_last(planner, bound, proposal)?;
    for _ in 0..REPEATS {
        let size = found.candidate.written().saved_bytes()?;
        // The floors may have kept every file above the bound.
        let smallest = before.iter().chain(&found.findings.tried).filter_map(|own| own.bytes).min();
        if size <= most || smallest.is_some_and(|smallest| smallest > most) {
            break;
        }
        let too_large = tried(planner.session, &found.candidate.proposal, false);
        found.findings.tried.push(Tried { bytes: Some(size), ..too_large });
        let sized = fit_size(planner, bound.limits, most.saturating_sub(size - most))?;
        bound.limits = sized.limits;
        found.findings.merge(sized.findings);
        let last = make_last(planner, bound, None)?;
        found.findings.merge(last.findings);
        found.candidate = last.candidate;
    }
    Ok(found)
}

/// What to say where the file is larger than asked for.
pub(super) fn too_large(candidate: &Candidate, most: Option<u64>) -> Result<Option<String>, Error> {
    let size = candidate.written().saved_bytes()?;
    Ok(most.filter(|&most| size > most).map(|most| {
        let (size, most) = (bytes(size as f64), bytes(most as f64));
        format!("the file has {size} with the repair, {most} were asked for")
    }))
}
