//! Budgets that take measuring, and how the plan is found that meets them.
//!
//! Every strategy is a function of numbers (`latency`, `size`, `drop`) with what it measures beside it (`timed`, `weighed`,
//! `judged`); all make their candidates in `candidate`. Where several bounds are given, the size bounds the parameters,
//! the latency then the multiply-accumulates, and the loss of accuracy how far the walk towards both goes.

mod candidate;
mod drop;
mod give_back;
mod goals;
mod held_out;
mod judged;
mod latency;
mod size;
mod sweep;
mod timed;
mod weighed;
mod whole;

pub use goals::{Goals, LatencyTarget};
pub use sweep::sweep;

pub(super) use candidate::{CandidateError, Made, Proposal, Scored};
pub(super) use held_out::set_aside;
pub(super) use timed::slower;

use goals::Limits;

use super::classes::class_scores;
use super::options::Criteria;
use super::run::Run;
use crate::channels::Measure;
use crate::error::Error;
use crate::plan::PlanError;
use crate::report::{Searched, Tried};

/// A search under way.
struct Search<'r, 'a> {
    run: &'r mut Run<'a>,
    ready: &'r Scored,
    /// Bounds of the plan; each goal that is reached narrows them.
    limits: Limits,
    /// Whether widths are raised to the end of their step.
    whole_steps: bool,
    tried: Vec<Tried>,
    warnings: Vec<String>,
}

impl Run<'_> {
    /// Fails before the work if a goal does not suit the model or the other options.
    pub(super) fn check_goals(&self) -> Result<(), Error> {
        let Goals { latency, max_drop, .. } = self.options.goals;
        if max_drop.is_some() && class_scores(&self.model, &self.channels).is_none() {
            return Err(Error::Usage {
                what: "`--max-drop` needs a classifier: the model's first output is not a row of class scores".into(),
                help: "bound the multiply-accumulates, the parameters or the latency instead".into(),
            });
        }
        if latency.is_some() && self.options.skip_timing {
            return Err(Error::Usage {
                what: "a latency cannot be met without timing".into(),
                help: "leave out `--no-timing`, or bound the multiply-accumulates instead".into(),
            });
        }
        Ok(())
    }

    /// The model that meets the budget and all goals, or comes as near as floors and accuracy allow, and what was tried.
    pub(super) fn choose(&mut self, ready: &Scored) -> Result<(Made, Option<Searched>), CandidateError> {
        let goals = self.options.goals;
        if goals.is_empty() && self.tries_plans(ready) {
            return Ok((self.best_whole(ready)?, None));
        }
        if goals.is_empty() {
            let planned = self.planned(ready, &self.options.criteria)?;
            return Ok((self.make(ready, planned)?, None));
        }
        let full = |measure| self.cost.at(measure, self.cost.full());
        let limits = Limits::of(&self.options.criteria.budget, full(Measure::Macs), full(Measure::Params))?;
        let mut search =
            Search { run: self, ready, limits, whole_steps: false, tried: Vec::new(), warnings: Vec::new() };
        let mut made = search.reach(goals)?;
        let Search { tried, warnings, .. } = search;
        made.planned.warnings = warnings;
        Ok((made, Some(Searched { goal: goals.describe(), candidates: tried })))
    }
}

impl Search<'_, '_> {
    fn reach(&mut self, goals: Goals) -> Result<Made, CandidateError> {
        let most = goals.size.map(|target| self.most_bytes(target)).transpose()?;
        if let Some(most) = most {
            self.fit_size(most)?;
        }
        let mut last = None;
        if let Some(target) = goals.latency {
            last = Some(self.land_latency(target)?);
            self.whole_steps = true;
        }
        match (goals.max_drop, most) {
            (Some(points), most) => {
                let made = self.walk_down(points, last.as_ref())?;
                self.weigh_last(most, &made)?;
                Ok(made)
            }
            (None, Some(most)) => self.make_within(most, last),
            (None, None) => self.make_last(last),
        }
    }

    /// The candidate at the limits.
    fn make_last(&mut self, planned: Option<Proposal>) -> Result<Made, CandidateError> {
        let planned = match planned {
            Some(planned) => planned,
            None => self.plan_at(self.limits, self.whole_steps)?.ok_or_else(|| {
                let why = "the bounds leave every channel, or rounding does".to_owned();
                Error::from(PlanError::Nothing { why })
            })?,
        };
        let warnings = planned.warnings.clone();
        let made = self.run.make(self.ready, planned)?;
        self.warnings.extend(warnings);
        Ok(made)
    }

    /// The plan at some limits; `None` where it leaves every channel.
    fn plan_at(&mut self, limits: Limits, whole_steps: bool) -> Result<Option<Proposal>, Error> {
        let options = self.run.options;
        let criteria = Criteria { budget: limits.budget(), whole_steps, ..options.criteria.clone() };
        self.run.planned_if_any(self.ready, &criteria)
    }

    /// Whether a plan costs more than the limits allow.
    fn exceeds(&self, planned: &Proposal) -> bool {
        let widths: Vec<usize> = planned.plan.groups.iter().map(|group| group.kept.len()).collect();
        let cost = &self.run.cost;
        let over = |measure, share: f64| {
            let full = cost.at(measure, cost.full());
            share < 1.0 && cost.at(measure, &widths) > share * full * 1.000_001
        };
        over(Measure::Macs, self.limits.macs) || over(Measure::Params, self.limits.params)
    }
}
