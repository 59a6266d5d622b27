//! From scores and a budget to a plan.

use rayon::prelude::*;

use super::Scored;
use crate::Explain as _;
use crate::channels::{CostModel, Cut};
use crate::engine::EngineError;
use crate::error::Error;
use crate::evaluate::{EvaluateError, Reference, Sensitivity};
use crate::pipeline::options::Criteria;
use crate::pipeline::record::Told;
use crate::pipeline::session::Session;
use crate::plan::{
    Allocation, Allocator, BLOCKS_SCHEMA_VERSION, Curve, PLAN_SCHEMA_VERSION, Plan, PlanError, PlannedBlock,
    PlannedGroup, RoundTo, choose,
};
use crate::quantize::Precision;
use crate::score::GroupScores;

/// Multiply-accumulates of all trials of widths, about.
const SENSITIVITY_MACS: f64 = 3e12;

/// A plan with what a person should know about it.
#[derive(Debug, Clone)]
pub(crate) struct Proposal {
    pub(crate) plan: Plan,
    pub(crate) cut: Cut,
    pub(crate) warnings: Vec<String>,
    /// What the outputs lose by the curves, if there are some.
    pub(crate) loss: Option<f64>,
}

/// What came of planning.
pub(crate) struct Planned {
    /// The plan, or why the budget leaves every channel.
    pub(crate) proposal: Result<Proposal, PlanError>,
    /// Sensitivities of these scores, if they were measured for this plan or before: the next plan's input.
    pub(crate) curves: Option<Vec<Curve>>,
}

/// What to say where the engine that runs does not decide widths.
const ASSUMED: &str = "widths go in steps of 16, which suit most engines: the embedded one is seldom the one that deploys; \
                       `--for ENGINE` or `--round-to N` chooses others";

/// Plans a budget, given the dense model's costs, without some blocks, by their places. `curves`: those that an earlier plan of the same scores came with.
pub(crate) fn plan(
    session: &Session<'_>,
    scored: &Scored<'_>,
    criteria: &Criteria,
    (dense_cost, blocks): (&CostModel, &[usize]),
    curves: Option<Vec<Curve>>,
) -> Result<Told<Planned>, Error> {
    session.step("plan", |record| {
        let images = scored.calibration.is_some_and(|own| !own.observed.batches.is_empty());
        let allocation = session.allocation(criteria, images);
        let values = compared(scored, allocation)?;
        let (cost, mut gone) = session.without_blocks(dense_cost, blocks);
        let written = session.options.quantize.as_ref().filter(|own| own.precision == Precision::Int8);
        let rounding = match (written, criteria.round_to) {
            (Some(own), RoundTo::Auto) => session.integer_rounding(own)?,
            _ => session.rounding()?,
        };
        let integers = written.is_some();
        if !integers && criteria.round_to.assumed(session.device().engine()) {
            record.notes.push(ASSUMED.into());
        }
        if integers {
            gone.extend(rounding.whole(&session.channels.groups));
        }
        let mut allocator = Allocator {
            groups: &session.channels.groups,
            cost: &cost,
            scores: &values,
            allocation,
            rounding,
            residual_streams: criteria.residual_streams,
            floor: criteria.floor,
            gone: &gone,
            curves: &[],
        };
        let mut curves = curves;
        if allocation == Allocation::Sensitivity && scored.calibration.is_some() {
            let least = allocator.wanted_curves(&criteria.budget)?;
            match sensitivities(session, scored, &values, &least, curves.as_deref())? {
                Measured::Known => {}
                Measured::New(new) => curves = Some(new),
                Measured::Refused(why) => {
                    let reason = why.why().map(|own| format!(" ({})", own.lines().next().unwrap_or_default()));
                    record.notes.push(format!(
                        "every group keeps the same share, since its effect could not be measured: {why}{}",
                        reason.unwrap_or_default()
                    ));
                    allocator.allocation = Allocation::Uniform;
                }
            }
        }
        let raised: Vec<Curve> = curves.iter().flatten().map(|own| own.raised(criteria.loss_power)).collect();
        allocator.curves = &raised;
        let proposal = match allocator.cutting_widths(&criteria.budget, criteria.whole_steps) {
            Ok(widths) => {
                let loss = curves.as_ref().filter(|_| allocator.allocation == Allocation::Sensitivity);
                let loss = loss.map(|own| Curve::sum(own, &widths));
                let proposal = propose(session, scored, criteria, &allocator, (blocks, &widths))?;
                Ok(Proposal { loss, ..proposal })
            }
            Err(nothing @ PlanError::Nothing { .. }) => Err(nothing),
            Err(error) => return Err(error.into()),
        };
        Ok(Planned { proposal, curves })
    })
}

/// Scores as the allocation compares them.
fn compared(scored: &Scored<'_>, allocation: Allocation) -> Result<Vec<Vec<f64>>, Error> {
    let adaptive = allocation == Allocation::Adaptive;
    if adaptive && scored.scores.iter().all(|own| own.unit.is_none()) {
        return Err(Error::Usage {
            what: format!("`--widths adaptive` cannot compare the scores of `{}`", scored.criterion.name()),
            help: "its threshold is a lambda: use it with `--criterion` apib, sglp-ib or stlp-ib".into(),
        });
    }
    let compared = |own: &GroupScores| -> Vec<f64> {
        let unit = own.unit.filter(|_| adaptive).unwrap_or(1.0);
        own.scores.iter().map(|score| score * unit).collect()
    };
    Ok(scored.scores.iter().map(compared).collect())
}

/// What came of measuring sensitivities.
enum Measured {
    /// Those measured before cover the same groups.
    Known,
    New(Vec<Curve>),
    /// The engine cannot run parts of the model.
    Refused(EngineError),
}

/// The curves of these scores, for the groups that may be cut down to `least`.
fn sensitivities(
    session: &Session<'_>,
    scored: &Scored<'_>,
    scores: &[Vec<f64>],
    least: &[Option<usize>],
    known: Option<&[Curve]>,
) -> Result<Measured, Error> {
    let Some(calibration) = scored.calibration else { return Ok(Measured::Known) };
    if known.is_some_and(|known| Curve::cover(known, least)) {
        return Ok(Measured::Known);
    }
    let Session { model, channels, cancel, progress, .. } = session;
    // Consumers are refitted on the calibration images: on those themselves too little would seem lost.
    let judging = calibration.reference.as_ref().map(Reference::feeds).unwrap_or_default();
    let sensitivity = Sensitivity {
        model,
        channels,
        engine: session.engine.as_ref(),
        moments: calibration.observed.moments.as_ref(),
        batches: if judging.is_empty() { &calibration.observed.batches } else { &judging },
        scores,
        least,
        effort: session.options.trials(SENSITIVITY_MACS),
        memory: calibration.shares.activations,
        cancel,
    };
    let measured = sensitivity.measure(&mut |groups| match groups {
        0 => progress.advance(1),
        count => progress.phase("sensitivity", Some(count as u64)),
    });
    match measured {
        Ok(curves) => Ok(Measured::New(curves)),
        Err(EvaluateError::Engine(why)) => Ok(Measured::Refused(why)),
        Err(error) => Err(error.into()),
    }
}

/// The plan of these widths without these blocks: in every group the channels that the criterion keeps.
fn propose(
    session: &Session<'_>,
    scored: &Scored<'_>,
    criteria: &Criteria,
    allocator: &Allocator<'_>,
    (blocks, widths): (&[usize], &[usize]),
) -> Result<Proposal, Error> {
    let (scorer, all) = (scored.scorer(session), &session.channels.groups);
    let chosen = |index: usize| {
        let group = &all[index];
        let kept = choose(&allocator.scores[index], &group.keep_sets, widths[index]);
        Ok(PlannedGroup::new(group, scorer.refine(index, kept)?))
    };
    let groups = (0..widths.len()).into_par_iter().map(chosen).collect::<Result<_, Error>>()?;
    let blocks: Vec<PlannedBlock> = blocks.iter().map(|&at| PlannedBlock::new(&session.channels.blocks[at])).collect();
    let plan = Plan {
        schema_version: if blocks.is_empty() { PLAN_SCHEMA_VERSION } else { BLOCKS_SCHEMA_VERSION },
        tool_version: env!("CARGO_PKG_VERSION").into(),
        model_sha256: session.file.sha256.clone(),
        criterion: scored.criterion.name().into(),
        budget: criteria.budget,
        allocation: allocator.allocation,
        rounding: allocator.rounding,
        seed: session.options.seed,
        ignore: session.ignore.clone(),
        groups,
        blocks,
    };
    let cut = plan.cut(&session.channels)?;
    Ok(Proposal { plan, cut, warnings: allocator.out_of_reach(&criteria.budget, widths), loss: None })
}
