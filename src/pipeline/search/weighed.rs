//! Candidates on the scales: files as large as asked for.

use super::Search;
use super::candidate::{CandidateError, Made, Proposal};
use super::goals::Limits;
use super::size::{Weighed, fit};
use crate::error::Error;
use crate::pipeline::explain::describe;
use crate::plan::{PlanError, Target};
use crate::report::{Tried, bytes};
use crate::rewrite;

/// Times that a candidate is made anew because the repair made its file too large.
const REPEATS: usize = 3;

impl Search<'_, '_> {
    /// The most bytes of the file.
    pub(super) fn most_bytes(&self, target: Target) -> Result<u64, Error> {
        let dense = self.run.file.0;
        let wanted = match target {
            Target::Share(share) => share * dense as f64,
            Target::Absolute(number) => number,
        };
        if wanted >= dense as f64 {
            let why = format!("the file has {} already, {} are allowed", bytes(dense as f64), bytes(wanted));
            return Err(PlanError::Nothing { why }.into());
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "above 0 and below a file's size")]
        Ok(wanted as u64)
    }

    /// Bounds the parameters so that the file has at most so many bytes.
    pub(super) fn fit_size(&mut self, most: u64) -> Result<(), Error> {
        let dense = self.run.file.0;
        let unbounded = self.limits;
        let at = |share: f64| Limits { params: unbounded.params.min(share), ..unbounded };
        let first = self.tried.len();
        let found = fit(most, dense, |share| {
            let Some(planned) = self.plan_at(at(share), false)? else { return Ok::<_, Error>(dense) };
            let size = rewrite::slice(&self.run.model, &self.run.channels, &planned.cut)?.saved_bytes()?;
            self.weighed(&planned, size, size <= most);
            Ok(size)
        })?;
        let Weighed { share, bytes: size } = found;
        for own in &mut self.tried[first..] {
            own.accepted &= own.bytes == Some(size);
        }
        self.limits = at(share);
        if size > most {
            self.warnings.push(format!(
                "the budget of {} for the file cannot be reached: {} remain in protected channels and floors",
                bytes(most as f64),
                bytes(size as f64)
            ));
        }
        Ok(())
    }

    /// Makes the candidate, and again with fewer parameters as long as its file is too large with the repair.
    pub(super) fn make_within(&mut self, most: u64, planned: Option<Proposal>) -> Result<Made, CandidateError> {
        let mut made = self.make_last(planned)?;
        for _ in 0..REPEATS {
            let size = made.pruned.saved_bytes()?;
            let fits = size <= most;
            if fits || self.out_of_reach(most) {
                break;
            }
            self.weighed(&made.planned.clone(), size, false);
            let excess = size - most;
            self.fit_size(most.saturating_sub(excess))?;
            made = self.make_last(None)?;
        }
        Ok(made)
    }

    /// Says so where the model that the walk towards the bounds ended with is larger than asked for.
    pub(super) fn weigh_last(&mut self, most: Option<u64>, made: &Made) -> Result<(), Error> {
        let size = made.pruned.saved_bytes()?;
        if let Some(most) = most.filter(|&most| size > most && self.warnings.is_empty()) {
            let (size, most) = (bytes(size as f64), bytes(most as f64));
            self.warnings.push(format!("the file has {size} with the repair, {most} were asked for"));
        }
        Ok(())
    }

    /// Whether the floors already kept the file above the bound.
    fn out_of_reach(&self, most: u64) -> bool {
        let smallest = self.tried.iter().filter_map(|own| own.bytes).min();
        smallest.is_some_and(|smallest| smallest > most)
    }

    fn weighed(&mut self, planned: &Proposal, size: u64, accepted: bool) {
        self.tried.push(Tried {
            budget: describe(&planned.plan.budget),
            macs: self.run.macs_share(&planned.cut),
            bytes: Some(size),
            latency: None,
            loss: None,
            accepted,
        });
    }
}
