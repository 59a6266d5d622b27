//! Blocks and widths together: for sets of blocks that go, the widths that the rest of the budget asks for, and of those that
//! promise least the one whose repaired network is nearest to the dense one on held-out inputs (`docs/method.md` 8.9).

use super::latency_search::{as_ratio, land_latency, ratio};
use super::nearest::nearest;
use super::planner::Planner;
use super::{Landed, nothing};
use crate::bench::block_times;
use crate::channels::Measure;
use crate::error::Error;
use crate::pipeline::options::{Criteria, Depth};
use crate::pipeline::session::Session;
use crate::pipeline::steps::{CandidateError, Proposal, can_try_blocks, removals};
use crate::plan::search::depth::{Limit, Removal};
use crate::plan::search::latency::Precision;
use crate::plan::{Allocation, Budget, LatencyTarget, Limits, PlanError};
use crate::repair::Compensation;

/// Sets of blocks for which widths are looked for, and plans that are repaired and compared.
const MOST_SETS: usize = 8;
const MOST_LANDED: usize = 5;
const MOST_MADE: usize = 3;

/// The same of a budget that is counted: blocks gain less there than where the clock decides, and are not to take long. Who
/// gives the refinement its time has time for as many plans as with a latency.
const MOST_MADE_COUNTED: usize = 1;

/// Sets in a row that promise nothing, in a budget that is counted, before no larger one is looked for.
const MOST_IN_VAIN: usize = 2;

/// Multiply-accumulates of all trials of blocks, about, for a latency and for a budget that is counted.
const TIMED_MACS: f64 = 3e12;
const COUNTED_MACS: f64 = 1e12;

/// Whether plans may leave blocks out of their own accord.
pub(super) fn tries_blocks(planner: &Planner<'_>) -> bool {
    let options = &planner.session.options;
    let measured = planner.session.allocation(&options.criteria, true) == Allocation::Sensitivity
        && options.compensation == Compensation::Sequential
        && options.goals.max_drop.is_none()
        && options.goals.size.is_none();
    options.depth == Depth::Auto && measured && can_try_blocks(planner.session, planner.scored)
}

/// Takes out as many blocks as the options say, for all plans that follow; refuses what cannot be done.
pub(super) fn fixed_blocks(planner: &mut Planner<'_>) -> Result<(), Error> {
    let session = planner.session;
    let Depth::Blocks(wanted) = session.options.depth else { return Ok(()) };
    let found = session.channels.blocks.len();
    if wanted > found {
        let what = format!("`--depth {wanted}` asks for more blocks than the {found} that the model has");
        return Err(Error::Usage { what, help: "`onnx-prune inspect MODEL` lists them".into() });
    }
    if wanted > 0 && !can_try_blocks(session, planner.scored) {
        let what = format!(
            "`--depth {wanted}` takes out the blocks that the outputs miss least, and there is nothing to see them by"
        );
        return Err(Error::Usage { what, help: "give images or arrays with `--data`".into() });
    }
    let saved = by_cost(planner, Measure::Macs);
    let limit = Limit { blocks: found, needed: f64::INFINITY, most: wanted, most_loss: f64::INFINITY };
    let steps = removals(session, planner.scored, (limit, TIMED_MACS), &saved, &mut |_, _| Ok(true))?;
    let steps = steps.merge_into(&mut planner.record);
    planner.blocks = steps.into_iter().next_back().map(|own| own.blocks).unwrap_or_default();
    Ok(())
}

/// What sets of blocks save of a measure, as a share.
fn by_cost<'s>(planner: &Planner<'s>, measure: Measure) -> impl Fn(&[usize]) -> f64 + use<'s> {
    let session = planner.session;
    move |blocks: &[usize]| {
        let cost = session.without_blocks(&session.cost, blocks).0;
        1.0 - cost.at(measure, cost.full()) / cost.dense(measure).max(1.0)
    }
}

/// The proposals with blocks for a budget that a plan itself meets, which promise to lose less than `widths` alone.
pub(super) fn proposals(
    planner: &mut Planner<'_>,
    criteria: &Criteria,
    widths: &Proposal,
) -> Result<Vec<Proposal>, Error> {
    let (Some(loss), true) = (widths.loss, !matches!(criteria.budget, Budget::Ratio(_))) else {
        return Ok(Vec::new());
    };
    let session = planner.session;
    let cost = &session.cost;
    let mut parts = criteria.budget.parts().into_iter().filter_map(|part| part.limit(cost).ok().flatten());
    let Some((measure, limit)) = parts.next() else { return Ok(Vec::new()) };
    let needed = 1.0 - limit / cost.dense(measure).max(1.0);
    let steps = nested_sets(planner, (measure, needed, loss), criteria)?;
    let mut better: Vec<(f64, Proposal)> = Vec::new();
    for step in some(steps.get(1..).unwrap_or_default(), MOST_SETS) {
        if let Some((whole, proposal)) =
            with_blocks(planner, criteria, &step.blocks, step.loss)?.filter(|own| own.0 < loss)
        {
            better.push((whole, Proposal { loss: Some(whole), ..proposal }));
        }
    }
    better.sort_by(|a, b| a.0.total_cmp(&b.0));
    let most = if session.options.takes_its_time() { MOST_MADE } else { MOST_MADE_COUNTED };
    Ok(better.into_iter().map(|own| own.1).take(most).collect())
}

/// The plan without some blocks, which lose `loss`, and what both lose together; `None` where it leaves every channel.
fn with_blocks(
    planner: &mut Planner<'_>,
    criteria: &Criteria,
    blocks: &[usize],
    loss: f64,
) -> Result<Option<(f64, Proposal)>, Error> {
    planner.blocks = blocks.to_vec();
    let proposal = planner.plan_if_any(criteria);
    planner.blocks.clear();
    Ok(proposal?.map(|own| (loss + own.loss.unwrap_or(0.0), own)))
}

/// Sets of blocks up to the first that saves what is needed. They end earlier where several in a row promise nothing: to lose
/// no less, with the widths for the rest, than the set before or than widths alone. The price of blocks mostly grows as
/// blocks go, that of widths falls. Where several plans want them, all are measured, once.
fn nested_sets(
    planner: &mut Planner<'_>,
    (measure, needed, most_loss): (Measure, f64, f64),
    criteria: &Criteria,
) -> Result<Vec<Removal<()>>, Error> {
    let saved = by_cost(planner, measure);
    let blocks = planner.session.channels.blocks.len();
    let known = planner.removals.take().filter(|own| own.0 == measure);
    let all = if let Some((_, known)) = known {
        known
    } else {
        let (needed, most_loss) = match planner.strongest {
            Some(share) => (needed.max(1.0 - share), f64::INFINITY),
            None => (needed, most_loss),
        };
        let limit = Limit { blocks, needed, most: usize::MAX, most_loss };
        let (session, scored, all_wanted) = (planner.session, planner.scored, planner.strongest.is_some());
        let (mut before, mut in_vain) = (most_loss, 0);
        let mut goes_on = |blocks: &[usize], loss: f64| {
            if all_wanted {
                return Ok(true);
            }
            let whole = with_blocks(planner, criteria, blocks, loss)?.map_or(loss, |own| own.0);
            in_vain = if whole < before.min(most_loss) { 0 } else { in_vain + 1 };
            before = whole;
            Ok(in_vain < MOST_IN_VAIN)
        };
        let found = removals(session, scored, (limit, COUNTED_MACS), &saved, &mut goes_on)?;
        found.merge_into(&mut planner.record)
    };
    let end = all.iter().position(|own| own.saved >= needed).map_or(all.len(), |last| last + 1);
    let steps = all[..end].to_vec();
    planner.removals = Some((measure, all)).filter(|_| planner.strongest.is_some());
    Ok(steps)
}

/// Some of the steps, evenly, the last among them.
fn some<T>(steps: &[T], most: usize) -> impl Iterator<Item = &T> {
    let count = most.min(steps.len());
    (1..=count).map(move |at| &steps[(at * steps.len()).div_ceil(count) - 1])
}

/// The plan that takes the time asked for, with blocks where that loses less than widths alone.
pub(super) fn land(planner: &mut Planner<'_>, bound: Limits, target: LatencyTarget) -> Result<Landed, CandidateError> {
    if !tries_blocks(planner) {
        return land_latency(planner, bound, target);
    }
    let session = planner.session;
    let feed = session.timing_feed();
    let widths = match land_latency(planner, bound, target) {
        Ok(own) => Some(own),
        // Where no width can be cut, blocks may go.
        Err(CandidateError::Failed(Error::Plan(PlanError::Nothing { .. }))) => None,
        Err(error) => return Err(error),
    };
    let wanted = widths.as_ref().map_or_else(|| as_ratio(planner, target, &feed), |own| Ok(own.target))?;
    let met = widths.as_ref().is_some_and(|own| own.met);
    let loss = widths.as_ref().filter(|_| met).and_then(|own| own.proposal.loss);
    let most_loss = loss.unwrap_or(f64::INFINITY);
    session.progress.phase("time", None);
    // In integers a block saves its share of what the whole takes there.
    let alone = planner.integers.as_ref().map_or(1.0, |own| own.time);
    let base = planner.as_written(session.model.clone())?;
    let times = block_times(&session.model, &session.channels, |without| {
        let without = planner.as_written(without.clone())?;
        let found = ratio(planner, &session.pairing(&base, &without, &feed), Precision::Short)?.median;
        Ok::<_, Error>(1.0 - alone * (1.0 - found))
    })?;
    let saved = |blocks: &[usize]| outermost(session, blocks).map(|block| times[block]).sum::<f64>();
    let limit = Limit { blocks: times.len(), needed: alone - wanted, most: usize::MAX, most_loss };
    let steps = removals(session, planner.scored, (limit, TIMED_MACS), &saved, &mut |_, _| Ok(true))?;
    let steps = steps.merge_into(&mut planner.record);
    let mut landed: Vec<(f64, Landed, Vec<usize>)> = Vec::new();
    for step in some(steps.get(1..).unwrap_or_default(), MOST_LANDED) {
        planner.blocks.clone_from(&step.blocks);
        let own = land_latency(planner, bound, target)?;
        if own.met {
            landed.push((step.loss + own.proposal.loss.unwrap_or(0.0), own, step.blocks.clone()));
        }
    }
    landed.retain(|own| own.0 < most_loss);
    landed.sort_by(|a, b| a.0.total_cmp(&b.0));
    landed.truncate(MOST_MADE);
    if let Some(widths) = widths.filter(|_| met || landed.is_empty()) {
        landed.insert(0, (most_loss, widths, Vec::new()));
    }
    if landed.is_empty() {
        return Err(nothing().into());
    }
    let proposals = landed.iter().map(|own| own.1.proposal.clone()).collect();
    planner.blocks.clear();
    let taken = nearest(planner, proposals)?;
    let at = landed.iter().position(|own| own.1.proposal.plan == taken.plan).unwrap_or(0);
    let (_, chosen, blocks) = landed.swap_remove(at);
    planner.blocks = blocks;
    Ok(chosen)
}

/// The blocks of a set that lie in no other of it: those save what the others would.
fn outermost<'a>(session: &'a Session<'_>, blocks: &'a [usize]) -> impl Iterator<Item = usize> + 'a {
    let nodes = |block: usize| &session.channels.blocks[block].nodes;
    let inside = move |a: usize, b: usize| a != b && nodes(a).iter().all(|node| nodes(b).binary_search(node).is_ok());
    blocks.iter().copied().filter(move |&block| !blocks.iter().any(|&other| inside(block, other)))
}
