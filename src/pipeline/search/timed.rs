//! Candidates under the clock: plans sliced and timed beside the dense model.

use super::Search;
use super::candidate::{CandidateError, Proposal};
use super::goals::{LatencyTarget, Limits};
use super::latency::{Found, Precision, Timing, WITHIN, between, nearest, search};
use crate::bench::latency::{InParts, Interval, TimingOptions, percentile};
use crate::engine::Tensor;
use crate::error::Error;
use crate::evaluate::{input_specs, random_inputs};
use crate::model::Model;
use crate::pipeline::explain::describe;
use crate::pipeline::run::Run;
use crate::pipeline::timing::Pairing;
use crate::plan::{Plan, PlanError};
use crate::report::{LatencyChange, Tried};
use crate::rewrite;

/// A plan that was timed.
struct Timed {
    planned: Proposal,
    limits: Limits,
    precision: Precision,
    ratio: Interval,
}

impl Precision {
    /// Long enough for a ratio within a few percent, or within half a percent, on a quiet machine.
    pub(super) fn options(self, seed: u64) -> TimingOptions {
        let (least_ms, most_ms, width) = match self {
            Self::Short => (400.0, 2e3, 0.04),
            Self::Long => (1.5e3, 6e3, 0.015),
        };
        TimingOptions { least_ms, most_ms, width, seed, ..TimingOptions::default() }
    }
}

impl Search<'_, '_> {
    /// Finds the plan that takes the time asked for; its limits bind the rest of the search.
    pub(super) fn land_latency(&mut self, target: LatencyTarget) -> Result<Proposal, CandidateError> {
        let specs = input_specs(&self.run.model);
        let feed = random_inputs(&specs, &self.run.options.model.sizes, 1, self.run.options.seed);
        self.run.progress.phase("time", None);
        let target = self.as_ratio(target, &feed)?;
        let mut timed: Vec<Timed> = Vec::new();
        let found =
            search(target, self.limits.macs, |share, precision| self.time(share, precision, &feed, &mut timed))?;
        let found = nearest(target, self.fill_gap(found, target, &feed, &mut timed)?);
        let (plan, complaint) = outcome(&found, target);
        let Some(plan) = plan else {
            let why = "no share of the multiply-accumulates leaves a channel out".to_owned();
            return Err(PlanError::Nothing { why }.into());
        };
        self.warnings.extend(complaint.map(|why| format!("the latency x{target:.2} {why}")));
        for (number, own) in timed.iter().enumerate() {
            self.tried.push(Tried {
                budget: describe(&own.planned.plan.budget),
                macs: self.run.macs_share(&own.planned.cut),
                bytes: None,
                latency: Some(own.ratio),
                loss: None,
                accepted: number == plan,
            });
        }
        let chosen = timed.swap_remove(plan);
        if unsure(&chosen.ratio) {
            let Interval { median, low, high } = chosen.ratio;
            self.warnings.push(format!(
                "other programs disturb the timing: x{median:.2} is x{low:.2} to x{high:.2}; a quiet machine tells more"
            ));
        }
        self.limits = chosen.limits;
        // That floors keep the multiply-accumulates above a share nobody asked for is no news.
        let planned = Proposal { warnings: Vec::new(), ..chosen.planned };
        Ok(self.give_back(planned, &feed)?)
    }

    /// The target as a share of the dense model's time.
    fn as_ratio(&mut self, target: LatencyTarget, feed: &[(String, Tensor)]) -> Result<f64, Error> {
        let ms = match target {
            LatencyTarget::Share(share) => return Ok(share),
            LatencyTarget::Ms(ms) => ms,
        };
        let options = Precision::Long.options(self.run.options.seed);
        let found = self.run.compared((None, None), feed, &options)?.found;
        let dense = percentile(&found.before_ms, 0.5);
        self.run.notes.push(format!("a latency of {ms} ms is x{:.3} of the dense model's {dense:.3} ms", ms / dense));
        if ms >= dense {
            let why = format!("the dense model takes {dense:.3} ms, no more than the {ms} ms asked for");
            return Err(PlanError::Nothing { why }.into());
        }
        Ok(ms / dense)
    }

    /// Times the plan of a share, unless it was timed as precisely before.
    fn time(
        &mut self,
        share: f64,
        precision: Precision,
        feed: &[(String, Tensor)],
        timed: &mut Vec<Timed>,
    ) -> Result<Option<Timing>, Error> {
        let limits = self.limits.at_most(share);
        let Some(planned) = self.by_steps(limits)? else { return Ok(None) };
        let known = timed.iter().position(|own| own.planned.plan.groups == planned.plan.groups);
        if let Some(plan) = known.filter(|&plan| timed[plan].precision >= precision) {
            return Ok(Some(Timing { plan, ratio: timed[plan].ratio.median }));
        }
        let pruned = rewrite::slice(&self.run.model, &self.run.channels, &planned.cut)?;
        let seed = self.run.options.seed;
        let mut ratio = self.run.ratio((None, &pruned), feed, &precision.options(seed))?;
        if precision == Precision::Short && unsure(&ratio) {
            ratio = self.run.ratio((None, &pruned), feed, &Precision::Long.options(seed))?;
        }
        let own = Timed { planned, limits, precision, ratio };
        let plan = known.unwrap_or(timed.len());
        if let Some(place) = timed.get_mut(plan) {
            *place = own;
        } else {
            timed.push(own);
        }
        Ok(Some(Timing { plan, ratio: ratio.median }))
    }

    /// Where the stairs of whole plans leave the target out, widens the plan below it group by group.
    fn fill_gap(
        &mut self,
        found: Found,
        target: f64,
        feed: &[(String, Tensor)],
        timed: &mut Vec<Timed>,
    ) -> Result<Found, Error> {
        let Found::Gap(below, above) = found else { return Ok(found) };
        let narrow = timed[below.plan].planned.plan.clone();
        let wider = wider(&narrow, timed);
        let options = Precision::Long.options(self.run.options.seed);
        let first = timed.len();
        let limits = timed[below.plan].limits;
        between(target, wider.len(), |parts| {
            let mut plan = narrow.clone();
            for (group, kept) in parts.iter().map(|&part| &wider[part]) {
                plan.groups[*group].kept.clone_from(kept);
            }
            let cut = plan.cut(&self.run.channels)?;
            let planned = Proposal { plan, cut, warnings: Vec::new() };
            if self.exceeds(&planned) {
                return Ok(f64::INFINITY);
            }
            let pruned = rewrite::slice(&self.run.model, &self.run.channels, &planned.cut)?;
            let ratio = self.run.ratio((None, &pruned), feed, &options)?;
            timed.push(Timed { planned, limits, precision: Precision::Long, ratio });
            Ok::<_, Error>(ratio.median)
        })?;
        let best = (first..timed.len()).filter(|&plan| timed[plan].ratio.median <= target);
        let best = best.max_by(|&a, &b| timed[a].ratio.median.total_cmp(&timed[b].ratio.median));
        let Some(plan) = best else { return Ok(found) };
        let timing = Timing { plan, ratio: timed[plan].ratio.median };
        Ok(if timing.ratio >= (1.0 - WITHIN) * target {
            Found::Met(timing)
        } else if timing.ratio > below.ratio {
            Found::Gap(timing, above)
        } else {
            found
        })
    }

    /// The plan within the limits with every width at the end of its step; with the widths as they are where whole
    /// steps would exceed a limit of the user's.
    pub(super) fn by_steps(&mut self, limits: Limits) -> Result<Option<Proposal>, Error> {
        match self.plan_at(limits, true)? {
            Some(planned) if !self.exceeds(&planned) => Ok(Some(planned)),
            None if self.limits.none() => Ok(None),
            _ => self.plan_at(limits, false),
        }
    }
}

impl Run<'_> {
    /// Time of the second model as a share of the first's, the dense one if none is given.
    pub(super) fn ratio(
        &mut self,
        (before, after): (Option<&Model>, &Model),
        feed: &[(String, Tensor)],
        options: &TimingOptions,
    ) -> Result<Interval, Error> {
        Ok(self.compared((before, Some(after)), feed, options)?.found.ratio(options.seed))
    }

    /// Two models, the dense one in place of one that is not given.
    fn compared(
        &mut self,
        (before, after): (Option<&Model>, Option<&Model>),
        feed: &[(String, Tensor)],
        options: &TimingOptions,
    ) -> Result<InParts, Error> {
        self.timed("time", |run| {
            let [before, after] = [before, after].map(|model| model.unwrap_or(&run.model));
            let engine = run.engine.as_ref();
            Pairing { engine, before, after, feed, cancel: run.cancel }.compare(options)
        })
    }
}

/// What to say where a model that was found fast enough is clearly slower when it is timed for the report.
pub(in crate::pipeline) fn slower(target: LatencyTarget, found: &LatencyChange) -> Option<String> {
    let least = match target {
        LatencyTarget::Share(share) => found.ratio_low / share,
        LatencyTarget::Ms(ms) => found.after * found.ratio_low / found.ratio / ms,
    };
    (least > 1.0 + WITHIN).then(|| {
        format!(
            "timed again at the end, the model takes x{:.2} [{:.2}, {:.2}]: other programs, or the repair, take the time",
            found.ratio, found.ratio_low, found.ratio_high
        )
    })
}

/// For every group that is cut the channels of the next wider form that some timed plan has, else all of them; the
/// groups that gain fewest come first.
fn wider(narrow: &Plan, timed: &[Timed]) -> Vec<(usize, Vec<usize>)> {
    let mut found: Vec<(usize, Vec<usize>)> = Vec::new();
    for (group, own) in narrow.groups.iter().enumerate().filter(|(_, own)| own.kept.len() < own.width) {
        let others = timed.iter().map(|other| &other.planned.plan.groups[group].kept);
        let next = others.filter(|kept| kept.len() > own.kept.len()).min_by_key(|kept| kept.len());
        found.push((group, next.cloned().unwrap_or_else(|| (0..own.width).collect())));
    }
    found.sort_by_key(|(group, kept)| kept.len() - narrow.groups[*group].kept.len());
    found
}

/// Whether an interval is wider than the band in which a plan lands.
fn unsure(ratio: &Interval) -> bool {
    ratio.high - ratio.low > 2.0 * WITHIN * ratio.median
}

/// The plan that is taken, and why it is not what was asked for.
fn outcome(found: &Found, target: f64) -> (Option<usize>, Option<String>) {
    match found {
        Found::Met(timing) => (Some(timing.plan), None),
        Found::Above(timing) => {
            let why = "is missed by a little: the next faster widths that suit the engine are further below";
            (Some(timing.plan), Some(format!("{why}; this plan takes x{:.3}", timing.ratio)))
        }
        Found::Floor(timing) => {
            let why = "what is left is in protected channels, floors and what every run costs";
            let what = format!("cannot be reached: the fastest plan takes x{:.2}; {why}", timing.ratio);
            (Some(timing.plan), Some(what))
        }
        Found::Gap(timing, next) => {
            let below = 100.0 * (1.0 - timing.ratio / target);
            let why = format!(
                "falls between two steps of the engine's cost: this plan takes x{:.2}, {below:.0} % less, the next \
                 larger one x{:.2}",
                timing.ratio,
                next.map_or(1.0, |next| next.ratio)
            );
            (Some(timing.plan), Some(why))
        }
        Found::Nothing => (None, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How a search on a made-up curve from share to latency ends: the ratio of the plan, and what is said.
    fn on(target: f64, latency: impl Fn(f64) -> f64) -> (f64, Option<String>) {
        let mut ratios = Vec::new();
        let found = search(target, 1.0, |share, _| {
            ratios.push(latency(share));
            let timing = Timing { plan: ratios.len() - 1, ratio: latency(share) };
            Ok::<_, ()>((share < 0.999).then_some(timing))
        });
        let (plan, complaint) = outcome(&nearest(target, found.unwrap()), target);
        (ratios[plan.unwrap()], complaint)
    }

    #[test]
    fn every_way_to_end_is_said_for_what_it_is() {
        let (ratio, told) = on(0.6, |share| 0.1 + 0.9 * share);
        assert!((0.57..=0.6).contains(&ratio) && told.is_none(), "{ratio} {told:?}");
        for (low, high, words) in [
            (0.5, 0.61, "is missed by a little: the next faster widths"),
            (
                0.5,
                0.9,
                "falls between two steps of the engine's cost: this plan takes x0.50, 17 % less, the next larger",
            ),
            (0.7, 0.9, "cannot be reached: the fastest plan takes x0.70; what is left"),
        ] {
            let (_, told) = on(0.6, |share| if share > 0.5 { high } else { low });
            assert!(told.as_deref().is_some_and(|own| own.starts_with(words)), "{words}: {told:?}");
        }
        assert_eq!(outcome(&Found::Nothing, 0.6), (None, None));
    }
}
