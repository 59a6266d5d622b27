//! Several bounds at once: the plan for the one that binds, tightened where rounding leaves it above the other.

use super::{Allocator, Bounds, Budget, PlanError, Target};
use crate::channels::Measure;

/// Halvings of the interval in which a bound is tightened; finer than any step of a width.
const HALVINGS: usize = 12;

impl Allocator<'_> {
    /// Widths within all bounds, or as near as the floors allow.
    ///
    /// # Errors
    /// If a bound is out of range or there is nothing to cut.
    pub(super) fn within_all(&self, bounds: Bounds) -> Result<Vec<usize>, PlanError> {
        let mut limits = Vec::new();
        for part in Budget::All(bounds).parts() {
            limits.extend(part.limit(self.cost)?);
        }
        let mut found = Vec::new();
        for own in &limits {
            let alone = self.widths(&self.bound(own.0, own.1))?;
            found.push(if self.over(&alone, &limits) > 1.0 { self.tightened(own.0, own.1, &limits)? } else { alone });
        }
        let holds = |widths: &Vec<usize>| self.over(widths, &limits) <= 1.0;
        let macs = |widths: &Vec<usize>| self.cost.at(Measure::Macs, widths);
        let best = found.iter().filter(|widths| holds(widths)).max_by(|a, b| macs(a).total_cmp(&macs(b)));
        let nearest = || found.iter().min_by(|a, b| self.over(a, &limits).total_cmp(&self.over(b, &limits)));
        Ok(best.or_else(nearest).cloned().unwrap_or_else(|| self.cost.full().to_vec()))
    }

    /// The largest plan for a part of the bound `limit` that meets all bounds; the smallest plan if none does.
    fn tightened(&self, measure: Measure, limit: f64, limits: &[(Measure, f64)]) -> Result<Vec<usize>, PlanError> {
        let at = |part: f64| self.widths(&self.bound(measure, limit * part));
        let (mut low, mut high) = (0.0, 1.0);
        let mut best = at(0.0)?;
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(low, high);
            let widths = at(middle)?;
            if self.over(&widths, limits) <= 1.0 {
                (low, best) = (middle, widths);
            } else {
                high = middle;
            }
        }
        Ok(best)
    }

    /// The largest cost in shares of its limit: above 1 some bound does not hold.
    fn over(&self, widths: &[usize], limits: &[(Measure, f64)]) -> f64 {
        limits.iter().map(|&(measure, limit)| self.cost.at(measure, widths) / limit).fold(0.0, f64::max)
    }

    /// An absolute bound is at least 1, a share is not 0: no model costs less.
    fn bound(&self, measure: Measure, limit: f64) -> Budget {
        let target = Target::Absolute(limit.max(1.0));
        match measure {
            Measure::Macs => Budget::Macs(target),
            Measure::Params => Budget::Params(target),
            Measure::Time => Budget::Time((limit / self.cost.dense(measure)).clamp(1e-9, 1.0)),
        }
    }
}
