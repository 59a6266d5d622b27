//! Candidates by their time: plans sliced and timed beside the dense model.

use super::give_back::give_back;
use super::planner::Planner;
use super::{Findings, tried, widths};
use crate::bench::latency::{Device, InParts, Interval, LatencyChange, Pairing, TimingOptions, percentile};
use crate::engine::Feed;
use crate::error::Error;
use crate::model::Model;
use crate::pipeline::steps::{CandidateError, Proposal};
use crate::plan::search::latency::{Found, Precision, Timing, WITHIN, between, nearest, search, unsure};
use crate::plan::{LatencyTarget, Limits, Plan, PlanError};
use crate::report::Tried;
use crate::rewrite;

/// A plan that was timed.
struct TimedPlan {
    proposal: Proposal,
    limits: Limits,
    precision: Precision,
    ratio: Interval,
}

/// The plan that takes the time asked for, and its limits.
pub(super) struct Landed {
    /// The time that was asked for, as a share of the dense model's.
    pub(super) target: f64,
    pub(super) proposal: Proposal,
    pub(super) limits: Limits,
    /// Whether the plan takes no more than that.
    pub(super) met: bool,
    pub(super) findings: Findings,
}

/// Finds the plan that takes the time asked for.
pub(super) fn land_latency(
    planner: &mut Planner<'_>,
    bound: Limits,
    target: LatencyTarget,
) -> Result<Landed, CandidateError> {
    let session = planner.session;
    let feed = session.timing_feed();
    session.progress.phase("time", None);
    let target = as_ratio(planner, target, &feed)?;
    planner.know_times(&feed)?;
    let mut plans = TimedPlans { planner, bound, feed: &feed, timed: Vec::new() };
    let found = search(target, 1.0, |share, precision| plans.time(share, precision))?;
    let found = nearest(target, plans.fill_gap(found, target)?);
    let Some(plan) = found.plan() else {
        let why = "no share of the time leaves a channel out".to_owned();
        return Err(PlanError::Nothing { why }.into());
    };
    let TimedPlans { planner, mut timed, .. } = plans;
    let mut findings = Findings::default();
    let shortfall = found.shortfall(target);
    let met = shortfall.is_none();
    findings.warnings.extend(shortfall.map(|why| format!("the latency x{target:.2} {why}")));
    let tried = |(number, own): (usize, &TimedPlan)| Tried {
        latency: Some(own.ratio),
        ..tried(session, &own.proposal, number == plan)
    };
    findings.tried.extend(timed.iter().enumerate().map(tried));
    let chosen = timed.swap_remove(plan);
    let Interval { median, low, high } = chosen.ratio;
    if unsure(median, low, high) {
        findings.warnings.push(format!(
            "other programs disturb the timing: x{median:.2} is x{low:.2} to x{high:.2}; a quiet machine tells more"
        ));
    }
    // That floors keep the multiply-accumulates above a share nobody asked for is no news.
    let proposal = Proposal { warnings: Vec::new(), ..chosen.proposal };
    let proposal = give_back(planner, chosen.limits, proposal, &feed)?;
    Ok(Landed { target, proposal, limits: chosen.limits, met, findings })
}

/// How long to time: long enough for a ratio within a few percent, or within half a percent, on a quiet machine.
fn timing_options(precision: Precision, seed: u64) -> TimingOptions {
    let (least_ms, most_ms, width) = match precision {
        Precision::Short => (400.0, 2e3, 0.04),
        Precision::Long => (1.5e3, 6e3, 0.015),
    };
    TimingOptions { least_ms, most_ms, width, seed, ..TimingOptions::default() }
}

/// Times two models.
fn compared(planner: &mut Planner<'_>, pairing: &Pairing<'_>, options: &TimingOptions) -> Result<InParts, Error> {
    let session = planner.session;
    planner.record.timed(session, "time", |_| Ok(pairing.compare(options)?))
}

/// Time of the second model as a share of the first's. Of several devices that counts which needs most of the time that is asked
/// for on it; its ratio is told as a share of the first device's target.
pub(super) fn ratio(planner: &mut Planner<'_>, pairing: &Pairing<'_>, precision: Precision) -> Result<Interval, Error> {
    let weights = planner.device_weights.clone();
    weighed(planner, pairing, precision, &weights)
}

/// The same where no device counts more than another.
pub(super) fn slowest(
    planner: &mut Planner<'_>,
    pairing: &Pairing<'_>,
    precision: Precision,
) -> Result<Interval, Error> {
    weighed(planner, pairing, precision, &[])
}

fn weighed(
    planner: &mut Planner<'_>,
    pairing: &Pairing<'_>,
    precision: Precision,
    weights: &[f64],
) -> Result<Interval, Error> {
    let session = planner.session;
    let options = timing_options(precision, session.options.seed);
    let mut worst = compared(planner, pairing, &options)?.found.ratio(options.seed);
    for (at, (device, _)) in session.other_devices().enumerate() {
        let own = compared(planner, &Pairing { device, ..*pairing }, &options)?.found.ratio(options.seed);
        let weight = weights.get(at).copied().unwrap_or(1.0);
        if weight * own.median > worst.median {
            worst = Interval { median: weight * own.median, low: weight * own.low, high: weight * own.high };
        }
    }
    Ok(worst)
}

/// The target as a share of the dense model's time on the first device. What the dense model takes is measured once on every device
/// of which milliseconds are asked for.
pub(super) fn as_ratio(planner: &mut Planner<'_>, target: LatencyTarget, feed: &Feed) -> Result<f64, Error> {
    if let Some(share) = planner.wanted {
        return Ok(share);
    }
    let session = planner.session;
    let first = share_on(planner, session.device(), session.latency_of(0).unwrap_or(target), feed)?;
    let mut weights = Vec::new();
    for (device, own) in session.other_devices() {
        weights.push(first / share_on(planner, device, own.unwrap_or(target), feed)?);
    }
    (planner.wanted, planner.device_weights) = (Some(first), weights);
    Ok(first)
}

/// The target as a share of the dense model's time on a device.
fn share_on(planner: &mut Planner<'_>, device: &dyn Device, target: LatencyTarget, feed: &Feed) -> Result<f64, Error> {
    let ms = match target {
        LatencyTarget::Share(share) => return Ok(share),
        LatencyTarget::Ms(ms) => ms,
    };
    let session = planner.session;
    let options = timing_options(Precision::Long, session.options.seed);
    let pairing = Pairing { device, ..session.pairing(&session.model, &session.model, feed) };
    let dense = percentile(&compared(planner, &pairing, &options)?.found.before_ms, 0.5);
    let on = device.name().filter(|_| session.options.devices.len() > 1).map(|name| format!(" on `{name}`"));
    let on = on.unwrap_or_default();
    planner
        .record
        .notes
        .push(format!("a latency of {ms} ms{on} is x{:.3} of the dense model's {dense:.3} ms", ms / dense));
    if ms >= dense {
        let why = format!("the dense model takes {dense:.3} ms{on}, no more than the {ms} ms asked for");
        return Err(PlanError::Nothing { why }.into());
    }
    Ok(ms / dense)
}

/// Plans that were timed, each once.
struct TimedPlans<'p, 's> {
    planner: &'p mut Planner<'s>,
    /// What the other goals bound.
    bound: Limits,
    feed: &'p Feed,
    timed: Vec<TimedPlan>,
}

impl TimedPlans<'_, '_> {
    /// Times the plan of a share, unless it was timed as precisely before.
    fn time(&mut self, share: f64, precision: Precision) -> Result<Option<Timing>, Error> {
        let limits = self.bound.in_time(share);
        let Some(proposal) = self.by_steps(limits)? else { return Ok(None) };
        let known = self.timed.iter().position(|own| own.proposal.plan.groups == proposal.plan.groups);
        if let Some(plan) = known.filter(|&plan| self.timed[plan].precision >= precision) {
            return Ok(Some(Timing { plan, ratio: self.timed[plan].ratio.median }));
        }
        let session = self.planner.session;
        let pruned = self.planner.as_written(rewrite::slice(&session.model, &session.channels, &proposal.cut)?)?;
        let mut ratio = self.ratio(&pruned, precision)?;
        if precision == Precision::Short && unsure(ratio.median, ratio.low, ratio.high) {
            ratio = self.ratio(&pruned, Precision::Long)?;
        }
        let own = TimedPlan { proposal, limits, precision, ratio };
        let plan = known.unwrap_or(self.timed.len());
        if let Some(place) = self.timed.get_mut(plan) {
            *place = own;
        } else {
            self.timed.push(own);
        }
        Ok(Some(Timing { plan, ratio: ratio.median }))
    }

    /// Time of a pruned model as a share of the dense one's.
    fn ratio(&mut self, pruned: &Model, precision: Precision) -> Result<Interval, Error> {
        let session = self.planner.session;
        ratio(self.planner, &session.pairing(&session.model, pruned, self.feed), precision)
    }

    /// The plan within the limits with every width at the end of its step; with the widths as they are where whole
    /// steps would exceed the bound.
    fn by_steps(&mut self, limits: Limits) -> Result<Option<Proposal>, Error> {
        match self.planner.plan_within(limits, true)? {
            Some(proposal) if !self.exceeded(&proposal) => Ok(Some(proposal)),
            None if self.bound.none() => Ok(None),
            _ => self.planner.plan_within(limits, false),
        }
    }

    fn exceeded(&self, proposal: &Proposal) -> bool {
        self.bound.exceeded(&self.planner.cost(), &widths(proposal))
    }

    /// Where the steps of whole plans leave the target out, widens the plan below it group by group.
    fn fill_gap(&mut self, found: Found, target: f64) -> Result<Found, Error> {
        let Found::Gap(below, _) = found else { return Ok(found) };
        let TimedPlan { proposal, limits, .. } = &self.timed[below.plan];
        // A widened plan loses less, but nobody knows how much.
        let (narrow, limits, loss) = (proposal.plan.clone(), *limits, proposal.loss);
        let others: Vec<&Plan> = self.timed.iter().map(|own| &own.proposal.plan).collect();
        let wider = narrow.wider(&others);
        let first = self.timed.len();
        between(target, wider.len(), |parts| {
            let mut plan = narrow.clone();
            for own in parts.iter().map(|&part| &wider[part]) {
                plan.groups[own.group].kept.clone_from(&own.kept);
            }
            self.time_widened(plan, limits, loss)
        })?;
        let widened = self.timed.iter().enumerate().skip(first);
        Ok(found.filled(target, widened.map(|(plan, own)| Timing { plan, ratio: own.ratio.median })))
    }

    /// Times a widened plan, unless it costs more than the bound allows.
    fn time_widened(&mut self, plan: Plan, limits: Limits, loss: Option<f64>) -> Result<f64, Error> {
        let session = self.planner.session;
        let cut = plan.cut(&session.channels)?;
        let proposal = Proposal { plan, cut, warnings: Vec::new(), loss };
        if self.exceeded(&proposal) {
            return Ok(f64::INFINITY);
        }
        let pruned = self.planner.as_written(rewrite::slice(&session.model, &session.channels, &proposal.cut)?)?;
        let ratio = self.ratio(&pruned, Precision::Long)?;
        self.timed.push(TimedPlan { proposal, limits, precision: Precision::Long, ratio });
        Ok(ratio.median)
    }
}

/// What to say where a model that was found fast enough is clearly slower when it is timed for the report.
pub(crate) fn slower(target: LatencyTarget, found: &LatencyChange) -> Option<String> {
    let least = target.exceeded_by(found.after, found.ratio, found.ratio_low);
    (least > 1.0 + WITHIN).then(|| {
        format!(
            "timed again at the end, the model takes x{:.2} [{:.2}, {:.2}]: other programs, or the repair, take the time",
            found.ratio, found.ratio_low, found.ratio_high
        )
    })
}
