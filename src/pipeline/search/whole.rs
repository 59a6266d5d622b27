//! Plans that differ in their widths, each judged on its whole pruned and repaired network (`compensation.md` 8.3,
//! "Better, not tried"): curves see one group at a time, the network all of them.

use ndarray::ArrayD;

use super::candidate::{CandidateError, Made, Proposal, Scored};
use crate::engine::{CompileOptions, Tensor};
use crate::error::Error;
use crate::evaluate::{Fidelity, input_specs};
use crate::model::Model;
use crate::pipeline::classes::class_scores;
use crate::pipeline::dense::Observed;
use crate::pipeline::options::{Criteria, Effort};
use crate::pipeline::run::Run;
use crate::plan::Allocation;

/// Powers of the measured losses: below 1 the losses of mild cuts weigh more, above 1 those of strong ones.
const POWERS: [f64; 3] = [1.0, 0.7, 1.4];

/// Every so many batches one is judged on.
const EVERY: usize = 2;

impl Run<'_> {
    /// Whether several plans are tried.
    pub(super) fn tries_plans(&self, ready: &Scored) -> bool {
        let images = ready.observed().is_some_and(|own| !own.batches.is_empty());
        let criteria = &self.options.criteria;
        self.options.effort == Effort::Max && images && self.allocation(criteria, images) == Allocation::Sensitivity
    }

    /// The plan whose repaired network is nearest to the dense one, refined.
    pub(super) fn best_whole(&mut self, ready: &Scored) -> Result<Made, CandidateError> {
        let plans = self.plans(ready)?;
        let Some(observed) = ready.observed() else {
            return self.make(ready, plans.into_iter().next().ok_or_else(none)?);
        };
        let dense = self.outputs(&self.model, observed)?;
        let mut losses = Vec::new();
        let mut best: Option<(f64, Made)> = None;
        for planned in plans {
            let made = self.make_coarse(ready, planned)?;
            let loss = self.whole_loss(&dense, &made.pruned, observed)?;
            losses.push(format!("{loss:.3}"));
            if best.as_ref().is_none_or(|best| loss < best.0) {
                best = Some((loss, made));
            }
        }
        let (loss, mut made) = best.ok_or_else(none)?;
        if losses.len() > 1 {
            self.notes.push(format!(
                "{} plans were repaired and judged whole, by the divergence of their outputs: {}; the one of {loss:.3} was \
                 taken",
                losses.len(),
                losses.join(", ")
            ));
        }
        self.finish_repair(&mut made, observed)?;
        Ok(made)
    }

    /// Different plans within the budget, the usual one first.
    fn plans(&mut self, ready: &Scored) -> Result<Vec<Proposal>, Error> {
        let base = &self.options.criteria;
        let powers = POWERS.iter().map(|&loss_power| Criteria { loss_power, ..base.clone() });
        let uniform = Criteria { allocation: Some(Allocation::Uniform), ..base.clone() };
        let mut plans: Vec<Proposal> = Vec::new();
        for criteria in powers.chain([uniform]) {
            let planned = self.planned(ready, &criteria)?;
            if plans.iter().all(|other| other.plan.groups != planned.plan.groups) {
                plans.push(planned);
            }
        }
        Ok(plans)
    }

    fn outputs(&self, model: &Model, observed: &Observed) -> Result<Vec<Vec<ArrayD<f32>>>, Error> {
        let specs = input_specs(&self.model);
        let Some(input) = specs.first() else { return Ok(Vec::new()) };
        let mut session = self.engine.compile(model, &CompileOptions::default())?;
        let mut all = Vec::new();
        for batch in observed.batches.iter().step_by(EVERY) {
            self.interrupted()?;
            let outputs = session.run(&[(input.name.as_str(), batch.as_ref())])?;
            all.push(outputs.iter().map(Tensor::to_f32).collect());
        }
        Ok(all)
    }

    fn whole_loss(&self, dense: &[Vec<ArrayD<f32>>], pruned: &Model, observed: &Observed) -> Result<f64, Error> {
        let scores = class_scores(&self.model, &self.channels).is_some();
        let mut fidelity = Fidelity::default();
        for (dense, found) in dense.iter().zip(&self.outputs(pruned, observed)?) {
            fidelity.add(dense, found, scores);
        }
        Ok(fidelity.loss())
    }
}

fn none() -> Error {
    crate::plan::PlanError::Nothing { why: "the budget leaves every channel, or rounding does".into() }.into()
}
