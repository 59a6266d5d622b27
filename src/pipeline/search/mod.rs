//! Budgets that take measuring, and how the plan is found that meets them.
//!
//! Every strategy is a search over numbers in [`crate::plan::search`] with what it measures in a file here; all make their
//! candidates by a [`Planner`]. Where several bounds are given, the size bounds the parameters, the latency then the time of
//! the layers, and the loss of accuracy or of the user's metric how far the cuts towards both go.

mod accuracy_search;
mod depth_search;
mod drop_search;
mod give_back;
mod integers;
mod latency_search;
mod layer_times;
mod metric_search;
mod nearest;
mod other_widths;
mod planner;
mod size_search;

pub(super) use integers::uncut;
use latency_search::Landed;
pub(super) use latency_search::slower;
pub(super) use planner::{Candidate, Planner};

use super::options::Criteria;
use super::record::Told;
use super::session::Session;
use super::steps::{CandidateError, DenseAnswers, Proposal, Scored};
use crate::channels::Measure;
use crate::error::Error;
use crate::plan::{Goals, Limits, PlanError};
use crate::report::{Searched, Tried};

/// The candidate that is taken, and how it was found.
pub(super) struct Chosen {
    pub(super) candidate: Candidate,
    /// What was tried, where the budget takes measuring.
    pub(super) searched: Option<Searched>,
    /// What a person should know about the choice.
    pub(super) warnings: Vec<String>,
    /// The dense model's answers on the images that pruned models are evaluated on, if they were needed.
    pub(super) dense: Option<DenseAnswers>,
    /// The user's own metric of the candidate, if it was needed.
    pub(super) metric: Option<f64>,
}

/// What a search tried, and what a person should know about it.
#[derive(Default)]
struct Findings {
    tried: Vec<Tried>,
    warnings: Vec<String>,
}

impl Findings {
    fn merge(&mut self, other: Self) {
        self.tried.extend(other.tried);
        self.warnings.extend(other.warnings);
    }
}

/// Where the last plan may lie.
#[derive(Debug, Clone, Copy)]
struct Bound {
    limits: Limits,
    /// Whether widths are raised to the end of their step.
    whole_steps: bool,
}

/// A candidate with the findings that led to it.
struct Found {
    candidate: Candidate,
    findings: Findings,
    /// The dense model's answers on the images that pruned models are evaluated on, if they were needed.
    dense: Option<DenseAnswers>,
    /// The user's own metric of the candidate, if it was needed.
    metric: Option<f64>,
}

/// The model that meets the budget and all goals, or comes as near as floors and accuracy allow.
pub(super) fn choose(session: &Session<'_>, scored: &Scored<'_>) -> Result<Told<Chosen>, CandidateError> {
    let mut planner = Planner::new(session, scored);
    let goals = session.options.goals;
    integers::prepare(&mut planner)?;
    if let Some(chosen) = integers::alone(&mut planner)? {
        return Ok(planner.told(chosen));
    }
    depth_search::fixed_blocks(&mut planner)?;
    if !goals.is_empty() {
        let chosen = reach(&mut planner, goals)?;
        return Ok(planner.told(chosen));
    }
    let criteria = &session.options.criteria;
    let widths = planner.plan(criteria)?;
    let proposal = best_within(&mut planner, criteria, widths)?;
    let candidate = planner.make(proposal)?;
    let warnings = candidate.proposal.warnings.clone();
    Ok(planner.told(Chosen { candidate, searched: None, warnings, dense: None, metric: None }))
}

/// The plan of a budget that it meets by itself: `widths` alone, or other widths, or blocks and widths, where those lose less.
pub(super) fn best_within(
    planner: &mut Planner<'_>,
    criteria: &Criteria,
    widths: Proposal,
) -> Result<Proposal, CandidateError> {
    let mut proposals = Vec::new();
    if other_widths::tries_widths(planner) {
        proposals.extend(other_widths::proposals(planner, criteria, &widths)?);
    }
    if depth_search::tries_blocks(planner) {
        proposals.extend(depth_search::proposals(planner, criteria, &widths)?);
    }
    proposals.insert(0, widths);
    nearest::nearest(planner, proposals)
}

/// Reaches one goal after the other; each narrows the limits of the next.
fn reach(planner: &mut Planner<'_>, goals: Goals) -> Result<Chosen, CandidateError> {
    let Session { cost, options, .. } = planner.session;
    let full = |measure| cost.at(measure, cost.full());
    let limits = Limits::of(&options.criteria.budget, full(Measure::Macs), full(Measure::Params))?;
    let mut bound = Bound { limits, whole_steps: false };
    let mut findings = Findings::default();
    let mut goal = goals.describe(options.metric.is_some() && planner.session.dense_metric.is_some());
    for own in options.devices.iter().filter(|_| options.devices.len() > 1 && goals.latency.is_some()) {
        let latency = Goals { latency: own.latency.or(goals.latency), ..Goals::default() };
        goal = format!("{goal}; {} on {}", latency.describe(false), own.target);
    }
    // What integers alone reach is not to be searched for.
    let enough = planner.integers.as_ref().is_some_and(|own| own.enough);
    let goals = if enough { Goals { max_drop: goals.max_drop, ..Goals::default() } } else { goals };
    let most = goals.size.map(|target| size_search::most_bytes(planner.session, target)).transpose()?;
    if let Some(most) = most {
        let sized = size_search::fit_size(planner, bound.limits, most)?;
        bound.limits = sized.limits;
        findings.merge(sized.findings);
    }
    let mut last = None;
    if let Some(target) = goals.latency {
        let landed = depth_search::land(planner, bound.limits, target)?;
        bound = Bound { limits: landed.limits, whole_steps: true };
        findings.merge(landed.findings);
        last = Some(landed.proposal);
    }
    let own_metric = options.metric.as_ref().zip(planner.session.dense_metric);
    let Found { candidate, findings: own, dense, metric } = match (goals.max_drop, own_metric, most) {
        (Some(loss), Some(own), _) => metric_search::within_metric(planner, bound, own, loss, last.as_ref())?,
        (Some(points), None, _) => accuracy_search::within_loss(planner, bound, points, last)?,
        (None, _, Some(most)) => size_search::make_within(planner, bound, most, last, &findings.tried)?,
        (None, _, None) => make_last(planner, bound, last)?,
    };
    findings.merge(own);
    if goals.max_drop.is_some() && findings.warnings.is_empty() {
        findings.warnings.extend(size_search::too_large(&candidate, most)?);
    }
    let searched = Some(Searched { goal, candidates: findings.tried });
    Ok(Chosen { candidate, searched, warnings: findings.warnings, dense, metric })
}

/// The candidate of a plan, or else of the one at the bound.
fn make_last(planner: &mut Planner<'_>, bound: Bound, proposal: Option<Proposal>) -> Result<Found, CandidateError> {
    let proposal = match proposal {
        Some(proposal) => proposal,
        None => planner.plan_within(bound.limits, bound.whole_steps)?.ok_or_else(nothing)?,
    };
    let candidate = planner.make(proposal)?;
    let findings = Findings { warnings: candidate.proposal.warnings.clone(), ..Findings::default() };
    Ok(Found { candidate, findings, dense: None, metric: None })
}

fn nothing() -> Error {
    PlanError::Nothing { why: "the bounds leave every channel, or rounding does".into() }.into()
}

/// Pruning units that a plan keeps of each group.
fn widths(proposal: &Proposal) -> Vec<usize> {
    proposal.plan.groups.iter().map(|group| group.kept.len()).collect()
}

/// A plan that was tried, before what was measured of it is filled in.
fn tried(session: &Session<'_>, proposal: &Proposal, accepted: bool) -> Tried {
    let (budget, macs) = (proposal.plan.budget.describe(), session.macs_share(&proposal.cut));
    Tried { budget, macs, bytes: None, latency: None, loss: None, metric: None, accepted }
}
