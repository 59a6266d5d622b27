//! How many channels every group keeps.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::sensitivity::Problem;
use super::{Budget, Curve, PlanError, Rounding};
use crate::channels::{CostModel, Group, Measure, Scope};

/// How widths are shared out between groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Allocation {
    /// The same share of every group; the safest without knowledge of sensitivities.
    #[default]
    Uniform,
    /// Least loss of the outputs, by curves that are measured group by group (`docs/method.md` 8.4, 8.5).
    Sensitivity,
    /// One threshold on the scores of all groups, each divided by its group's largest (`docs/method.md` 6.3).
    Global,
    /// One lambda for all groups: what has not entered the path by then goes (`docs/method.md` 6.3; the rule of APIB,
    /// and as far as known that of the paper).
    Adaptive,
}

impl Allocation {
    /// For people.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Uniform => "equal shares",
            Self::Sensitivity => "widths by sensitivity",
            Self::Global => "widths by one threshold",
            Self::Adaptive => "widths by one lambda",
        }
    }
}

/// Residual streams are cut too when the inner groups alone would have to go below this share.
const LEAST_INNER_SHARE: f64 = 0.35;

/// A rounded plan may stay below its budget by this share before a group is widened by a finer step.
const ROUNDING_SLACK: f64 = 0.02;

/// The same for widths by curves, whose steps are part of the solution.
const CURVES_SLACK: f64 = 0.05;

/// Everything that decides widths.
#[derive(Debug)]
pub struct Allocator<'a> {
    /// Groups of the analysis.
    pub groups: &'a [Group],
    /// Their costs.
    pub cost: &'a CostModel,
    /// Scores per group and pruning unit, larger stays. Only [`Allocation::Uniform`] does not compare them between groups.
    pub scores: &'a [Vec<f64>],
    /// How widths are shared out.
    pub allocation: Allocation,
    /// Losses by width, for [`Allocation::Sensitivity`].
    pub curves: &'a [Curve],
    /// Engine-friendly widths.
    pub rounding: Rounding,
    /// Whether residual streams may be cut.
    pub residual_streams: bool,
    /// Least share of a group that stays (at least one pruning unit always does).
    pub floor: f64,
    /// Groups whose channels go with a block, by [`Channels::gone_groups`](crate::channels::Channels::gone_groups): there is
    /// nothing of them to cut.
    pub gone: &'a [usize],
}

impl Allocator<'_> {
    /// Widths (pruning units kept per group) within the budget, or as near as the floors allow.
    ///
    /// # Errors
    /// If the budget is out of range or there is nothing to cut.
    pub fn widths(&self, budget: &Budget) -> Result<Vec<usize>, PlanError> {
        if let Budget::All(bounds) = *budget {
            return self.within_all(bounds);
        }
        let limit = budget.limit(self.cost)?;
        if !(0..self.groups.len()).any(|group| self.may_cut(group)) {
            return Err(PlanError::Nothing { why: "every channel is protected".into() });
        }
        let Some((measure, limit)) = limit else {
            let Budget::Ratio(ratio) = budget else { return Ok(self.cost.full().to_vec()) };
            return Ok(self.rounded(&self.uniform(1.0 - ratio, self.residual_streams)));
        };
        let ideal = match self.allocation {
            Allocation::Uniform => self.fit_share(measure, limit),
            Allocation::Global | Allocation::Adaptive => self.fit_threshold(measure, limit),
            Allocation::Sensitivity => return Ok(self.fit_curves(measure, limit)),
        };
        Ok(self.settle(measure, limit, &ideal))
    }

    fn may_cut(&self, group: usize) -> bool {
        !self.gone.contains(&group) && (self.residual_streams || self.groups[group].scope == Scope::Inner)
    }

    fn least(&self, group: usize) -> usize {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a small count")]
        let floor = (self.floor * self.groups[group].width() as f64).ceil() as usize;
        floor.clamp(self.groups[group].least(), self.groups[group].width())
    }

    /// Real-valued widths at one share for all groups (residual streams only if asked).
    fn uniform(&self, share: f64, residual_streams: bool) -> Vec<f64> {
        (0..self.groups.len())
            .map(|group| {
                let width = self.groups[group].width() as f64;
                let cut = self.may_cut(group) && (residual_streams || self.groups[group].scope == Scope::Inner);
                if cut { (share * width).max(self.least(group) as f64) } else { width }
            })
            .collect()
    }

    fn fit_share(&self, measure: Measure, limit: f64) -> Vec<f64> {
        let cost =
            |share: f64, residual_streams: bool| self.cost.at(measure, &whole(&self.uniform(share, residual_streams)));
        let inner_suffices = cost(LEAST_INNER_SHARE, false) <= limit;
        let residual_streams = self.residual_streams && !inner_suffices;
        let (mut low, mut high) = (0.0, 1.0);
        for _ in 0..60 {
            let middle = f64::midpoint(low, high);
            if cost(middle, residual_streams) <= limit { low = middle } else { high = middle }
        }
        self.uniform(low, residual_streams)
    }

    /// Largest set of the best-scored pruning units within the limit; every group keeps its least width.
    fn fit_threshold(&self, measure: Measure, limit: f64) -> Vec<f64> {
        let mut order: Vec<(f64, usize)> = Vec::new();
        let mut base: Vec<usize> = self.cost.full().to_vec();
        for (group, width) in base.iter_mut().enumerate().filter(|(group, _)| self.may_cut(*group)) {
            *width = self.least(group);
            order.extend(
                ranked(&self.scores[group]).into_iter().skip(*width).map(|unit| (self.scores[group][unit], group)),
            );
        }
        order.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let at = |count: usize| {
            let mut widths = base.clone();
            for &(_, group) in &order[..count] {
                widths[group] += 1;
            }
            widths
        };
        let (mut low, mut high) = (0, order.len());
        while low < high {
            let middle = (low + high).div_ceil(2);
            if self.cost.at(measure, &at(middle)) <= limit { low = middle } else { high = middle - 1 }
        }
        at(low).into_iter().map(|width| width as f64).collect()
    }

    /// Least loss within the limit, in steps of the engine.
    fn fit_curves(&self, measure: Measure, limit: f64) -> Vec<usize> {
        let allowed = |group: usize| {
            let full = self.groups[group].width();
            if !self.may_cut(group) || self.curves.get(group).is_none_or(|curve| curve.points.len() < 2) {
                return vec![full];
            }
            let (step, least) = (self.step(group), self.least(group));
            let mut widths: Vec<usize> = (1..full.div_ceil(step)).map(|steps| steps * step).collect();
            widths.retain(|&width| width >= least);
            widths.push(full);
            widths
        };
        let cost = |widths: &[usize]| self.cost.at(measure, widths);
        let mut widths = Problem::new(self.curves, (0..self.groups.len()).map(allowed).collect(), &cost, limit).solve();
        // Where steps are coarse beside the groups, much of the budget is left.
        if self.rounding.block > 1 && self.short(measure, limit, &widths) > CURVES_SLACK {
            let measured = |&group: &usize| self.curves.get(group).is_some_and(|curve| curve.points.len() > 1);
            let movable: Vec<usize> = (0..widths.len()).filter(|&group| self.may_cut(group)).filter(measured).collect();
            self.fill_finely(measure, limit, &movable, &mut widths);
        }
        widths
    }

    /// Least widths that curves are wanted for; `None` where a group may not be cut. Residual streams count only where the inner
    /// groups would have to go too low.
    ///
    /// # Errors
    /// If the budget is out of range.
    pub fn wanted_curves(&self, budget: &Budget) -> Result<Vec<Option<usize>>, PlanError> {
        let least = whole(&self.uniform(LEAST_INNER_SHARE, false));
        let mut residual_streams = false;
        for (measure, limit) in budget
            .parts()
            .iter()
            .map(|part| part.limit(self.cost))
            .collect::<Result<Vec<_>, _>>()?
            .into_iter()
            .flatten()
        {
            residual_streams |= self.residual_streams && self.cost.at(measure, &least) > limit;
        }
        let wanted = |group: usize| {
            let cut = self.may_cut(group) && (residual_streams || self.groups[group].scope == Scope::Inner);
            (cut && self.groups[group].width() > self.least(group)).then(|| self.least(group))
        };
        Ok((0..self.groups.len()).map(wanted).collect())
    }

    fn step(&self, group: usize) -> usize {
        let info = &self.groups[group];
        let per_unit = info.producers.first().and_then(|slices| slices.indices.first()).map_or(1, Vec::len);
        self.rounding.step(info.width(), per_unit)
    }

    /// Widths rounded to the nearest step, within the floors.
    fn rounded(&self, ideal: &[f64]) -> Vec<usize> {
        ideal
            .iter()
            .enumerate()
            .map(|(group, &width)| {
                let full = self.groups[group].width();
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the width")]
                let steps = (width / self.step(group) as f64).round() as usize;
                let rounded = steps * self.step(group);
                if width >= full as f64 { full } else { rounded.clamp(self.least(group), full) }
            })
            .collect()
    }

    /// Whole widths near `ideal` that use the budget up without exceeding it, as far as the floors allow.
    fn settle(&self, measure: Measure, limit: f64, ideal: &[f64]) -> Vec<usize> {
        let mut widths = self.rounded(ideal);
        let movable: Vec<usize> = (0..widths.len()).filter(|&group| self.may_cut(group)).collect();
        let over = |widths: &[usize]| self.cost.at(measure, widths) > limit;
        let excess =
            |widths: &[usize], group: usize| (widths[group] as f64 - ideal[group]) / self.groups[group].width() as f64;
        // Down: the group that rounding favoured most gives first.
        while over(&widths) {
            let down = |group: usize| widths[group].saturating_sub(self.step(group)).max(self.least(group));
            let pick = movable
                .iter()
                .copied()
                .filter(|&group| down(group) < widths[group])
                .max_by(|&a, &b| excess(&widths, a).total_cmp(&excess(&widths, b)).then(b.cmp(&a)));
            let Some(group) = pick else { break };
            widths[group] = down(group);
        }
        self.fill(measure, limit, ideal, &mut widths, &movable);
        while self.rounding.block > 1 && self.short(measure, limit, &widths) > ROUNDING_SLACK {
            if !self.exchange(measure, limit, &movable, &mut widths) {
                self.fill_finely(measure, limit, &movable, &mut widths);
                break;
            }
        }
        widths
    }

    /// Share of the budget that is left unused.
    fn short(&self, measure: Measure, limit: f64, widths: &[usize]) -> f64 {
        1.0 - self.cost.at(measure, widths) / limit
    }

    fn up(&self, group: usize, width: usize, step: usize) -> usize {
        (width + step).min(self.groups[group].width())
    }

    /// One step up in one group and one down in another, where that uses the budget better without exceeding it.
    fn exchange(&self, measure: Measure, limit: f64, movable: &[usize], widths: &mut Vec<usize>) -> bool {
        let mut best: Option<(f64, Vec<usize>)> = None;
        let now = self.cost.at(measure, widths);
        for &raised in movable {
            for &lowered in movable.iter().filter(|&&lowered| lowered != raised) {
                let mut trial = widths.clone();
                trial[raised] = self.up(raised, trial[raised], self.step(raised));
                trial[lowered] = trial[lowered].saturating_sub(self.step(lowered)).max(self.least(lowered));
                let cost = self.cost.at(measure, &trial);
                if cost <= limit && cost > best.as_ref().map_or(now * 1.000_001, |best| best.0) {
                    best = Some((cost, trial));
                }
            }
        }
        best.map(|(_, trial)| *widths = trial).is_some()
    }

    /// Widens a single group by finer steps: the one that uses the budget best. Others stay on their blocks.
    fn fill_finely(&self, measure: Measure, limit: f64, movable: &[usize], widths: &mut Vec<usize>) {
        let finer = Rounding { block: self.rounding.multiple, ..self.rounding };
        let widened = |group: usize| {
            let step = finer.step(self.groups[group].width(), 1);
            let mut trial = widths.clone();
            loop {
                let mut more = trial.clone();
                more[group] = self.up(group, more[group], step);
                if more == trial || self.cost.at(measure, &more) > limit {
                    return trial;
                }
                trial = more;
            }
        };
        let cost = |trial: &Vec<usize>| self.cost.at(measure, trial);
        let best = movable.iter().map(|&group| widened(group)).max_by(|a, b| cost(a).total_cmp(&cost(b)));
        if let Some(best) = best {
            *widths = best;
        }
    }

    /// Up: the group that lacks most takes first, while the budget lasts.
    fn fill(&self, measure: Measure, limit: f64, ideal: &[f64], widths: &mut [usize], movable: &[usize]) {
        let lack =
            |widths: &[usize], group: usize| (ideal[group] - widths[group] as f64) / self.groups[group].width() as f64;
        loop {
            let mut candidates: Vec<usize> =
                movable.iter().copied().filter(|&group| widths[group] < self.groups[group].width()).collect();
            candidates.sort_by(|&a, &b| lack(widths, b).total_cmp(&lack(widths, a)).then(a.cmp(&b)));
            let next = candidates.into_iter().find(|&group| {
                let mut more = widths.to_vec();
                more[group] = self.up(group, more[group], self.step(group));
                self.cost.at(measure, &more) <= limit
            });
            let Some(group) = next else { return };
            widths[group] = self.up(group, widths[group], self.step(group));
        }
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "widths are small and not negative")]
fn whole(widths: &[f64]) -> Vec<usize> {
    widths.iter().map(|width| width.floor() as usize).collect()
}

/// Pruning units from the best to the worst score; ties: the lower index is better.
fn ranked(scores: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
    order
}

/// The best `width` pruning units of a group by their scores, ascending, with at least one of every cover (see
/// [`Group::keep_sets`]); as many as [`Group::least`] if `width` is less.
pub fn choose(scores: &[f64], keep_sets: &[Vec<usize>], width: usize) -> Vec<usize> {
    let order = ranked(scores);
    let mut kept: BTreeSet<usize> = BTreeSet::new();
    let mut best: BTreeSet<usize> = order.iter().take(width).copied().collect();
    for keep_set in keep_sets {
        if !keep_set.iter().any(|unit| best.contains(unit)) {
            let needed = order.iter().copied().find(|unit| keep_set.contains(unit));
            kept.extend(needed);
            best.extend(needed);
        } else if let Some(own) = order.iter().copied().find(|unit| best.contains(unit) && keep_set.contains(unit)) {
            kept.insert(own);
        }
    }
    for unit in order {
        if kept.len() >= width {
            break;
        }
        kept.insert(unit);
    }
    kept.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_stay_and_every_cover_keeps_one() {
        let scores = [5.0, 4.0, 3.0, 2.0, 1.0, 0.0];
        assert_eq!(choose(&scores, &[], 2), [0, 1]);
        assert_eq!(choose(&scores, &[vec![0, 1, 2], vec![3, 4, 5]], 2), [0, 3]);
        assert_eq!(choose(&scores, &[vec![4, 5]], 3), [0, 1, 4]);
        assert_eq!(choose(&scores, &[vec![0], vec![5]], 1), [0, 5]);
    }
}
