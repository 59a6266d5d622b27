//! One model for each of several budgets, after one calibration.

use std::sync::atomic::AtomicBool;

use super::finish::finish;
use super::prune::repeat;
use crate::error::Error;
use crate::pipeline::Progress;
use crate::pipeline::options::{Criteria, PruneOptions};
use crate::pipeline::record::Record;
use crate::pipeline::search::{Candidate, Chosen, Planner, best_within, uncut};
use crate::pipeline::session::{Session, Watch};
use crate::pipeline::steps::{CandidateError, DenseAnswers, Proposal, Scored, calibrate, criterion, open_data, score};
use crate::pipeline::writing::Files;
use crate::plan::{Budget, PlanError, Target};
use crate::report::{SWEEP_SCHEMA_VERSION, Swept, SweptModel};

/// Prunes to each of `shares` of the multiply-accumulates, from the mildest cut to the strongest, and writes the models
/// and their plans ([`PruneOptions::swept_path`]); with [`PruneOptions::quantize`] all in integers too, and the dense model
/// ([`PruneOptions::swept_quantized_path`]). The images are run through the dense model once, channels are scored
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
    for files in options.all_swept_files(shares) {
        files.check(options)?;
    }
    repeat(options, None, Watch::new(progress, cancel), |session, record| attempt(session, shares, record))
}

fn attempt(session: &Session<'_>, shares: &[f64], mut record: Record) -> Result<Swept, CandidateError> {
    let options = session.options;
    let data = open_data(session)?.merge_into(&mut record);
    let criterion = criterion(&options.criteria, data.is_some())?;
    let calibration = calibrate(session, data, criterion.needs())?.merge_into(&mut record);
    let response = options.criteria.lasso.response;
    let scored = score(session, criterion.as_ref(), calibration.as_ref(), response)?.merge_into(&mut record);
    let mut planner = Planner::new(session, &scored);
    planner.strongest = shares.iter().copied().reduce(f64::min);
    let SweptPlans { plans, warnings } = plans(&mut planner, shares)?;
    for own in &plans {
        planner.cut(&own.proposal)?;
    }
    let mut writer = Writer { session, scored: &scored, record, dense: None, models: Vec::new() };
    if options.quantize.is_some() {
        let alone = uncut(&mut planner)?;
        writer.write(&mut planner, 1.0, alone, &options.swept_quantized_files(None))?;
    }
    for SweptPlan { share, proposal } in plans {
        let candidate = planner.make(proposal)?;
        let integers = candidate.integers.is_some().then(|| candidate.clone());
        writer.write(&mut planner, share, Candidate { integers: None, ..candidate }, &options.swept_files(share))?;
        if let Some(candidate) = integers {
            writer.write(&mut planner, share, candidate, &options.swept_quantized_files(Some(share)))?;
        }
    }
    Ok(Swept { schema_version: SWEEP_SCHEMA_VERSION, models: writer.models, warnings })
}

/// Evaluates and writes one candidate after the other.
struct Writer<'a> {
    session: &'a Session<'a>,
    scored: &'a Scored<'a>,
    record: Record,
    /// The dense model's answers on the images that pruned models are evaluated on, once they are known.
    dense: Option<DenseAnswers>,
    models: Vec<SweptModel>,
}

impl Writer<'_> {
    fn write(
        &mut self,
        planner: &mut Planner<'_>,
        share: f64,
        candidate: Candidate,
        files: &Files,
    ) -> Result<(), Error> {
        self.record.merge(std::mem::take(&mut planner.record));
        let warnings = candidate.proposal.warnings.clone();
        let chosen = Chosen { candidate, searched: None, warnings, dense: self.dense.take(), metric: None };
        let finished = finish(self.session, self.scored, chosen, files, &mut self.record)?;
        self.models.push(SweptModel { share, name: None, summary: finished.summary });
        self.dense = finished.dense;
        Ok(())
    }
}

/// A plan with the share that it was made for.
struct SweptPlan {
    share: f64,
    proposal: Proposal,
}

/// The plans that differ, and why some shares have none.
struct SweptPlans {
    plans: Vec<SweptPlan>,
    warnings: Vec<String>,
}

fn plans(planner: &mut Planner<'_>, shares: &[f64]) -> Result<SweptPlans, CandidateError> {
    let mut plans: Vec<SweptPlan> = Vec::new();
    let mut warnings = Vec::new();
    for &share in shares {
        let criteria = &planner.session.options.criteria;
        let criteria = Criteria { budget: Budget::Macs(Target::Share(share)), ..criteria.clone() };
        let Some(widths) = planner.plan_if_any(&criteria)? else {
            warnings.push(format!("x{share} leaves every channel, or rounding does: no model was written for it"));
            continue;
        };
        let proposal = best_within(planner, &criteria, widths)?;
        match plans.iter().find(|known| known.proposal.plan.same_cut(&proposal.plan)) {
            Some(known) => {
                let known = known.share;
                warnings.push(format!("x{share} is the model of x{known}: floors and steps allow no other"));
            }
            None => plans.push(SweptPlan { share, proposal }),
        }
    }
    if plans.is_empty() {
        return Err(PlanError::Nothing { why: "every share leaves all channels, or rounding does".into() }.into());
    }
    Ok(SweptPlans { plans, warnings })
}
