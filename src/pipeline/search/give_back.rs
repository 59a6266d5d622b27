//! Channels whose cut saves no time are given back.
//!
//! The engine's channel block names the suspects: groups that fill as many blocks whole as cut. What the block says of
//! the layer that makes the channels need not hold for those that read them, so the clock decides.

use super::latency_search::slowest;
use super::planner::Planner;
use super::widths;
use crate::engine::Feed;
use crate::error::Error;
use crate::pipeline::session::Session;
use crate::pipeline::steps::Proposal;
use crate::plan::Limits;
use crate::plan::search::halving::free;
use crate::plan::search::latency::Precision;
use crate::rewrite;

/// Timings at most: suspects are tried together and halved where they cost time.
const MOST_TIMINGS: usize = 6;

/// A model that takes at most so much longer, as a share and with confidence, takes as long.
const FREE: f64 = 0.01;

/// `proposal` with those groups whole again that take no time.
pub(super) fn give_back(
    planner: &mut Planner<'_>,
    limits: Limits,
    proposal: Proposal,
    feed: &Feed,
) -> Result<Proposal, Error> {
    let session = planner.session;
    let (mut timings, cost) = (0, planner.cost());
    let free = free(&suspects(session, &proposal), &mut |groups| {
        let trial = restored(session, &proposal, groups)?;
        let uncut = trial.plan.groups.iter().all(|group| group.kept.len() == group.width);
        if timings >= MOST_TIMINGS || uncut || limits.exceeded(&cost, &widths(&trial)) {
            return Ok::<_, Error>(false);
        }
        timings += 1;
        let sliced = |own: &Proposal| rewrite::slice(&session.model, &session.channels, &own.cut);
        let (cut, whole) = (planner.as_written(sliced(&proposal)?)?, planner.as_written(sliced(&trial)?)?);
        Ok(slowest(planner, &session.pairing(&cut, &whole, feed), Precision::Long)?.high <= 1.0 + FREE)
    })?;
    if free.is_empty() {
        return Ok(proposal);
    }
    let restored = restored(session, &proposal, &free)?;
    let kept = |own: &Proposal| widths(own).iter().sum::<usize>();
    let channels = kept(&restored) - kept(&proposal);
    let groups = free.len();
    planner.record.notes.push(format!("{channels} channels of {groups} groups stay: their cut would save no time"));
    Ok(restored)
}

/// Groups whose cut saves nothing by the engine's channel block.
fn suspects(session: &Session<'_>, proposal: &Proposal) -> Vec<usize> {
    let plan = &proposal.plan;
    let suspect = |&group: &usize| {
        let kept = plan.groups[group].kept.len();
        kept < plan.groups[group].width && plan.rounding.saves_nothing(&session.channels.groups[group], kept)
    };
    (0..plan.groups.len()).filter(suspect).collect()
}

/// The plan with some groups whole.
fn restored(session: &Session<'_>, proposal: &Proposal, groups: &[usize]) -> Result<Proposal, Error> {
    let mut plan = proposal.plan.clone();
    for &group in groups {
        plan.groups[group].kept = (0..plan.groups[group].width).collect();
    }
    let cut = plan.cut(&session.channels)?;
    Ok(Proposal { plan, cut, warnings: proposal.warnings.clone(), loss: proposal.loss })
}
