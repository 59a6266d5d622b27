//! Channels whose cut saves no time are given back.
//!
//! The engine's channel block names the suspects: groups that fill as many blocks whole as cut. What the block says of
//! the layer that makes the channels need not hold for those that read them, so the clock decides.

use super::Search;
use super::candidate::Proposal;
use super::latency::Precision;
use crate::engine::Tensor;
use crate::error::Error;
use crate::plan::Plan;
use crate::rewrite;

/// Timings at most: suspects are tried together and halved where they cost time.
const MOST_TIMINGS: usize = 6;

/// A model that takes at most so much longer, as a share and with confidence, takes as long.
const FREE: f64 = 0.01;

impl Search<'_, '_> {
    /// `planned` with those groups whole again that take no time.
    pub(super) fn give_back(&mut self, planned: Proposal, feed: &[(String, Tensor)]) -> Result<Proposal, Error> {
        let plan = &planned.plan;
        let suspects: Vec<usize> = (0..plan.groups.len())
            .filter(|&group| {
                let kept = plan.groups[group].kept.len();
                kept < plan.groups[group].width && plan.rounding.saves_nothing(&self.run.channels.groups[group], kept)
            })
            .collect();
        let mut timings = 0;
        let free = free(&suspects, &mut |groups| {
            let trial = self.restored(&planned, groups)?;
            let uncut = trial.plan.groups.iter().all(|group| group.kept.len() == group.width);
            if timings >= MOST_TIMINGS || uncut || self.exceeds(&trial) {
                return Ok::<_, Error>(false);
            }
            timings += 1;
            let run = &mut *self.run;
            let cut = rewrite::slice(&run.model, &run.channels, &planned.cut)?;
            let whole = rewrite::slice(&run.model, &run.channels, &trial.cut)?;
            let options = Precision::Long.options(run.options.seed);
            Ok(run.ratio((Some(&cut), &whole), feed, &options)?.high <= 1.0 + FREE)
        })?;
        if free.is_empty() {
            return Ok(planned);
        }
        let restored = self.restored(&planned, &free)?;
        let kept = |plan: &Plan| plan.groups.iter().map(|group| group.kept.len()).sum::<usize>();
        let channels = kept(&restored.plan) - kept(&planned.plan);
        let groups = free.len();
        self.run.notes.push(format!("{channels} channels of {groups} groups stay: their cut would save no time"));
        Ok(restored)
    }

    fn restored(&self, planned: &Proposal, groups: &[usize]) -> Result<Proposal, Error> {
        let mut plan = planned.plan.clone();
        for &group in groups {
            plan.groups[group].kept = (0..plan.groups[group].width).collect();
        }
        let cut = plan.cut(&self.run.channels)?;
        Ok(Proposal { plan, cut, warnings: planned.warnings.clone() })
    }
}

/// The suspects that can be given back together without costing time, found by halving.
fn free<E>(suspects: &[usize], costs_nothing: &mut impl FnMut(&[usize]) -> Result<bool, E>) -> Result<Vec<usize>, E> {
    let mut found: Vec<usize> = Vec::new();
    let mut sets = vec![suspects];
    while let Some(set) = sets.pop().filter(|set| !set.is_empty()) {
        let trial = [&found[..], set].concat();
        if costs_nothing(&trial)? {
            found = trial;
        } else if set.len() > 1 {
            let (front, back) = set.split_at(set.len() / 2);
            sets.extend([back, front]);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_costs_time_is_parted_from_what_does_not() {
        let mut timings = 0;
        let mut costs_nothing = |groups: &[usize]| {
            timings += 1;
            Ok::<_, ()>(!groups.contains(&4))
        };
        assert_eq!(free(&[1, 2, 3, 4], &mut costs_nothing).unwrap(), [1, 2, 3]);
        assert_eq!(timings, 5);
        assert_eq!(free(&[], &mut |_| Ok::<_, ()>(true)).unwrap(), [0; 0]);
        // Each costs little, together they would cost time.
        assert_eq!(free(&[1, 2], &mut |groups| Ok::<_, ()>(groups.len() < 2)).unwrap(), [1]);
    }
}
