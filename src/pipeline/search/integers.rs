//! Models in integers or half precision as searches time and weigh them, and whether that alone is enough.

use super::Chosen;
use super::latency_search::{as_ratio, ratio};
use super::planner::{Candidate, Planner};
use super::size_search::most_bytes;
use crate::channels::Cut;
use crate::error::Error;
use crate::pipeline::session::Session;
use crate::pipeline::steps::{CandidateError, Proposal, Rough, wants_data};
use crate::plan::search::latency::Precision;
use crate::plan::{Allocation, PLAN_SCHEMA_VERSION, Plan, PlannedGroup};
use crate::report::{Repair, bytes};

/// Models in integers, or in half precision.
pub(super) struct Integers {
    /// `int8` or `fp16`.
    pub(super) name: &'static str,
    /// How they are written to be timed and weighed.
    pub(super) rough: Rough,
    /// Time of the dense model so written as a share of that in real numbers; 1 where no time is asked for.
    pub(super) time: f64,
    /// Bytes of its file.
    pub(super) bytes: u64,
    /// Whether it is as fast and as small as asked for, where that is.
    pub(super) enough: bool,
}

/// Prepares models in integers, where they are asked for.
pub(super) fn prepare(planner: &mut Planner<'_>) -> Result<(), Error> {
    let session = planner.session;
    let Some(options) = &session.options.quantize else { return Ok(()) };
    let batches = planner.scored.calibration.map(|own| &own.observed.batches[..]).unwrap_or_default();
    if batches.is_empty() {
        return Err(wants_data());
    }
    let rough = Rough::of(session, batches, options)?;
    let written = rough.write(session, &session.model)?;
    let (goals, name) = (session.options.goals, options.precision.name());
    let (mut enough, mut time, mut said) = (goals.latency.is_some() || goals.size.is_some(), 1.0, Vec::new());
    let size = written.saved_bytes()?;
    if let Some(target) = goals.latency {
        let feed = session.timing_feed();
        time = ratio(planner, &session.pairing(&session.model, &written, &feed), Precision::Long)?.median;
        let wanted = as_ratio(planner, target, &feed)?;
        enough &= time <= wanted;
        said.push(format!("takes x{time:.2} of the time, x{wanted:.2} was asked for"));
    }
    if let Some(target) = goals.size {
        let most = most_bytes(session, target)?;
        enough &= size <= most;
        said.push(format!("makes a file of {}, {} was asked for", bytes(size as f64), bytes(most as f64)));
    }
    if !said.is_empty() {
        let end = if enough { ": nothing was pruned" } else { "" };
        planner.record.notes.push(format!("{name} alone {}{end}", said.join(" and ")));
    }
    planner.integers = Some(Integers { name, rough, time, bytes: size, enough });
    Ok(())
}

/// The dense model in integers, if that is as fast and as small as asked for and no loss has to be bounded.
pub(super) fn alone(planner: &mut Planner<'_>) -> Result<Option<Chosen>, CandidateError> {
    let enough = planner.integers.as_ref().is_some_and(|own| own.enough);
    if !enough || planner.session.options.goals.max_drop.is_some() {
        return Ok(None);
    }
    let candidate = uncut(planner)?;
    Ok(Some(Chosen { candidate, searched: None, warnings: Vec::new(), dense: None, metric: None }))
}

/// The dense model in integers.
pub(crate) fn uncut(planner: &mut Planner<'_>) -> Result<Candidate, Error> {
    let session = planner.session;
    let integers = planner.in_integers(&session.model)?;
    let (pruned, repair) = (session.model.clone(), Repair::default());
    Ok(Candidate { proposal: whole(planner)?, pruned, verification: None, repair, integers, tried: 0.0 })
}

/// The plan that leaves everything.
fn whole(planner: &Planner<'_>) -> Result<Proposal, Error> {
    let Session { channels, options, file, ignore, .. } = planner.session;
    let criteria = &options.criteria;
    let groups = channels.groups.iter().map(|group| PlannedGroup::new(group, (0..group.width()).collect()));
    let plan = Plan {
        schema_version: PLAN_SCHEMA_VERSION,
        tool_version: env!("CARGO_PKG_VERSION").into(),
        model_sha256: file.sha256.clone(),
        criterion: planner.scored.criterion.name().into(),
        budget: criteria.budget,
        allocation: Allocation::Uniform,
        rounding: planner.session.rounding()?,
        seed: options.seed,
        ignore: ignore.clone(),
        groups: groups.collect(),
        blocks: Vec::new(),
    };
    let cut: Cut = plan.cut(channels)?;
    Ok(Proposal { plan, cut, warnings: Vec::new(), loss: None })
}
