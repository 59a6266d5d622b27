//! Widths by the engine's cost staircase: none is kept beside a step for nothing.

use super::{Allocator, Budget, PlanError, Rounding};
use crate::channels::{Group, GroupId, Measure};
use crate::number::count;

/// A plan below this share of its budget is told of.
const FAR_BELOW: f64 = 0.9;

impl Allocator<'_> {
    /// Widths within the budget, if asked for at the end of their steps, that cut something.
    ///
    /// # Errors
    /// As [`Allocator::widths`], and [`PlanError::Nothing`] if these are all channels.
    pub fn cutting_widths(&self, budget: &Budget, whole_steps: bool) -> Result<Vec<usize>, PlanError> {
        let widths = self.widths(budget)?;
        let widths = if whole_steps { self.step_ends(&widths) } else { widths };
        if !self.cost.is_cut() && widths == self.cost.full() && !matches!(*budget, Budget::Ratio(ratio) if ratio <= 0.0)
        {
            return Err(PlanError::Nothing { why: "the budget leaves every channel, or rounding does".into() });
        }
        Ok(widths)
    }

    /// What to say where protection or floors keep widths from their budget.
    pub fn out_of_reach(&self, budget: &Budget, widths: &[usize]) -> Vec<String> {
        let mut warnings = Vec::new();
        for part in budget.parts() {
            let Ok(Some((measure, limit))) = part.limit(self.cost) else { continue };
            let reached = self.cost.at(measure, widths);
            if reached < limit * FAR_BELOW && widths.iter().zip(self.cost.full()).any(|(width, full)| width < full) {
                let share = |cost: f64| cost / self.cost.dense(measure).max(1.0);
                warnings.push(format!(
                    "x{:.2} is kept where x{:.2} was allowed: widths in steps of {} come no nearer; `--round-to 1` may",
                    share(reached),
                    share(limit),
                    self.rounding.block
                ));
            }
            if reached > limit * 1.000_001 {
                let unit = match measure {
                    Measure::Macs => "MACs",
                    Measure::Params => "parameters",
                    Measure::Time => "ms",
                };
                warnings.push(format!(
                    "the budget of {} {unit} cannot be reached: {} remain in protected channels and floors",
                    count(limit),
                    count(reached)
                ));
            }
        }
        warnings
    }

    /// `widths` raised to the end of their step of the engine's cost: what is kept beyond it would cost as much.
    pub fn step_ends(&self, widths: &[usize]) -> Vec<usize> {
        let raised = |(group, &width): (usize, &usize)| {
            let full = self.groups[group].width();
            width.next_multiple_of(self.rounding.step(full, per_unit(&self.groups[group])).max(1)).min(full)
        };
        widths.iter().enumerate().map(raised).collect()
    }
}

impl Rounding {
    /// Groups too narrow to be cut in whole steps.
    pub fn whole(&self, groups: &[Group]) -> Vec<GroupId> {
        let narrow = |group: &&Group| group.width() * per_unit(group) < 2 * self.block;
        let narrow = |own: &(usize, &Group)| narrow(&own.1);
        groups.iter().enumerate().filter(narrow).map(|(at, _)| at).collect()
    }

    /// Whether the engine's channel block says that keeping `width` pruning units of `group` takes as long as keeping all.
    pub fn saves_nothing(&self, group: &Group, width: usize) -> bool {
        let blocks = |width: usize| (width * per_unit(group)).div_ceil(self.block.max(1));
        blocks(width) == blocks(group.width())
    }
}

/// Channels that one pruning unit of `group` makes at its first producer.
fn per_unit(group: &Group) -> usize {
    group.producers.first().and_then(|slices| slices.indices.first()).map_or(1, Vec::len).max(1)
}
