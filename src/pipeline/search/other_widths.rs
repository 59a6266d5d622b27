//! Other widths within the same budget (`docs/method.md` 8.7): curves see one group at a time, the network all of them.

use super::planner::Planner;
use crate::error::Error;
use crate::pipeline::options::{Criteria, Effort};
use crate::pipeline::steps::Proposal;
use crate::plan::Allocation;
use crate::repair::Compensation;

/// Powers of the measured losses: below 1 the losses of mild cuts weigh more, above 1 those of strong ones.
const POWERS: [f64; 2] = [0.7, 1.4];

/// Whether several widths are tried.
pub(super) fn tries_widths(planner: &Planner<'_>) -> bool {
    let options = &planner.session.options;
    let judged =
        planner.scored.calibration.is_some_and(|own| !own.observed.batches.is_empty() && own.reference.is_some());
    let allocation = planner.session.allocation(&options.criteria, judged);
    let tries = options.effort == Effort::Max && options.compensation != Compensation::None;
    tries && judged && allocation == Allocation::Sensitivity
}

/// Plans within the budget of `criteria` whose widths are not those of `usual`.
pub(super) fn proposals(
    planner: &mut Planner<'_>,
    criteria: &Criteria,
    usual: &Proposal,
) -> Result<Vec<Proposal>, Error> {
    let powers = POWERS.iter().map(|&loss_power| Criteria { loss_power, ..criteria.clone() });
    let uniform = Criteria { allocation: Some(Allocation::Uniform), ..criteria.clone() };
    let mut found: Vec<Proposal> = Vec::new();
    for criteria in powers.chain([uniform]) {
        let proposal = planner.plan(&criteria)?;
        if found.iter().chain([usual]).all(|other| other.plan.groups != proposal.plan.groups) {
            found.push(proposal);
        }
    }
    Ok(found)
}
