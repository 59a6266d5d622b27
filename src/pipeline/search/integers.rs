//! Models in integers as searches time them, and whether integers alone are enough.

use super::latency_search::{as_ratio, ratio};
use super::{Chosen, Planner};
use crate::channels::Cut;
use crate::error::Error;
use crate::pipeline::steps::{CandidateError, Proposal, RoughIntegers, wants_data};
use crate::plan::search::latency::Precision;
use crate::plan::{Allocation, PLAN_SCHEMA_VERSION, Plan, PlannedGroup};
use crate::report::Repair;

use super::planner::Candidate;

/// Prepares models in integers to be timed, where they are asked for; the dense model so written, if it is as fast as is
/// asked for.
pub(super) fn integers_alone(planner: &mut Planner<'_>) -> Result<Option<Chosen>, CandidateError> {
    let session = planner.session;
    let Some(options) = &session.options.quantize else { return Ok(None) };
    let batches = planner.scored.calibration.map(|own| &own.observed.batches[..]).unwrap_or_default();
    if batches.is_empty() {
        return Err(wants_data().into());
    }
    let rough = RoughIntegers::of(session, batches, options)?;
    let Some(target) = session.options.goals.latency else {
        planner.integers = Some((rough, 1.0));
        return Ok(None);
    };
    let feed = session.timing_feed();
    let written = rough.write(session, &session.model)?;
    let alone = ratio(planner, &session.pairing(&session.model, &written, &feed), Precision::Long)?.median;
    planner.integers = Some((rough, alone));
    let wanted = as_ratio(planner, target, &feed)?;
    if alone > wanted {
        planner.record.notes.push(format!("integers alone take x{alone:.2} of the time"));
        return Ok(None);
    }
    planner.record.notes.push(format!(
        "integers alone take x{alone:.2} of the time, no more than the x{wanted:.2} asked for: nothing was pruned"
    ));
    let proposal = uncut(planner)?;
    let candidate =
        Candidate { proposal, pruned: session.model.clone(), verification: None, repair: Repair::default() };
    Ok(Some(Chosen { candidate, searched: None, warnings: Vec::new(), dense: None, metric: None }))
}

/// The plan that leaves everything.
fn uncut(planner: &Planner<'_>) -> Result<Proposal, Error> {
    let session = planner.session;
    let criteria = &session.options.criteria;
    let groups = session.channels.groups.iter().map(|group| PlannedGroup::new(group, (0..group.width()).collect()));
    let plan = Plan {
        schema_version: PLAN_SCHEMA_VERSION,
        tool_version: env!("CARGO_PKG_VERSION").into(),
        model_sha256: session.file.sha256.clone(),
        criterion: planner.scored.criterion.name().into(),
        budget: criteria.budget,
        allocation: Allocation::Uniform,
        rounding: criteria.round_to.rounding(session.engine.as_ref()),
        seed: session.options.seed,
        ignore: session.ignore.clone(),
        groups: groups.collect(),
        blocks: Vec::new(),
    };
    let cut: Cut = plan.cut(&session.channels)?;
    Ok(Proposal { plan, cut, warnings: Vec::new(), loss: None })
}
