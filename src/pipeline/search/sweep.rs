//! One model for each of several budgets, after one calibration.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use super::candidate::{CandidateError, Proposal, Scored};
use crate::error::Error;
use crate::pipeline::options::{Criteria, PlanFile, PruneOptions};
use crate::pipeline::prune::{Attempt, repeat};
use crate::pipeline::run::Run;
use crate::pipeline::{Progress, writing};
use crate::plan::{Budget, PlanError, Target};
use crate::report::{SWEEP_SCHEMA_VERSION, Swept, SweptModel};

/// Prunes to each of `shares` of the multiply-accumulates, from the mildest cut to the strongest, and writes the models
/// and their plans ([`PruneOptions::swept_path`]). The images are run through the dense model once, channels are scored
/// once; the budget and the goals of the options do not count. All cuts are proven before the first file is written.
///
/// # Errors
/// As [`crate::pipeline::prune`]; models that were written before an error stay, each complete.
pub fn sweep(
    options: &PruneOptions,
    shares: &[f64],
    progress: &dyn Progress,
    cancel: &AtomicBool,
) -> Result<Swept, Error> {
    for path in shares.iter().flat_map(|&share| files(options, share)) {
        writing::check(&options.model.path, &path, options.force)?;
    }
    repeat(options, None, (progress, cancel), |run| attempt(run, shares))
}

/// The files of one share.
fn files(options: &PruneOptions, share: f64) -> Vec<PathBuf> {
    [Some(options.swept_path(share)), plan_path(options, share)].into_iter().flatten().collect()
}

fn plan_path(options: &PruneOptions, share: f64) -> Option<PathBuf> {
    (options.plan != PlanFile::None).then(|| options.swept_path(share).with_extension("plan.json"))
}

fn attempt(mut run: Run<'_>, shares: &[f64]) -> Result<Attempt<Swept>, Error> {
    let ready = run.prepare()?;
    match swept(&mut run, &ready, shares) {
        Ok(done) => Ok(Attempt::Done(Box::new(done))),
        Err(CandidateError::Broken(found)) => Ok(Attempt::Broken(found)),
        Err(CandidateError::Failed(error)) => Err(error),
    }
}

fn swept(run: &mut Run<'_>, ready: &Scored, shares: &[f64]) -> Result<Swept, CandidateError> {
    let (plans, warnings) = plans(run, ready, shares)?;
    for (_, planned) in &plans {
        run.proven(planned)?;
    }
    let options = run.options;
    let mut models = Vec::new();
    for (share, planned) in plans {
        let made = run.make(ready, planned)?;
        run.output = options.swept_path(share);
        run.plan_path = plan_path(options, share);
        models.push(SweptModel { share, summary: run.finish(ready, made, None)? });
    }
    Ok(Swept { schema_version: SWEEP_SCHEMA_VERSION, models, warnings })
}

/// Plans with the shares that they were made for.
type Plans = Vec<(f64, Proposal)>;

/// The plans that differ, and why some shares have none.
fn plans(run: &mut Run<'_>, ready: &Scored, shares: &[f64]) -> Result<(Plans, Vec<String>), Error> {
    let mut plans = Plans::new();
    let mut warnings = Vec::new();
    for &share in shares {
        let criteria = Criteria { budget: Budget::Macs(Target::Share(share)), ..run.options.criteria.clone() };
        let Some(planned) = run.planned_if_any(ready, &criteria)? else {
            warnings.push(format!("x{share} leaves every channel, or rounding does: no model was written for it"));
            continue;
        };
        match plans.iter().find(|(_, known)| known.plan.groups == planned.plan.groups) {
            Some((known, _)) => {
                warnings.push(format!("x{share} is the model of x{known}: floors and steps allow no other"));
            }
            None => plans.push((share, planned)),
        }
    }
    if plans.is_empty() {
        return Err(PlanError::Nothing { why: "every share leaves all channels, or rounding does".into() }.into());
    }
    Ok((plans, warnings))
}
