//! Widths from what every group's width does to the outputs (`docs/method.md` 8.4, 8.5).

use serde::{Deserialize, Serialize};

/// Candidates of one group that are looked at per step down.
const MOST_CANDIDATES: usize = 48;

/// Exchanges at most.
const MOST_EXCHANGES: usize = 400;

/// What the outputs lose as one group alone is cut to some widths and compensated, the others left whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// Widths, ascending, and losses; the last is the full width.
    pub points: Vec<(usize, f64)>,
}

impl Curve {
    /// Whether all groups that may be cut, those with a `least` width, were measured.
    pub fn cover(curves: &[Self], least: &[Option<usize>]) -> bool {
        curves.iter().zip(least).all(|(curve, least)| least.is_none() || curve.points.len() > 1)
    }

    /// What the outputs lose at some widths, group by group: the sum of all curves.
    pub fn sum(curves: &[Self], widths: &[usize]) -> f64 {
        let loss = |(own, &width): (&Self, &usize)| own.table().get(width).copied().unwrap_or(0.0);
        curves.iter().zip(widths).map(loss).sum()
    }

    /// The same curve with every loss raised to a power.
    #[must_use]
    pub fn raised(&self, power: f64) -> Self {
        Self { points: self.points.iter().map(|&(width, loss)| (width, loss.max(0.0).powf(power))).collect() }
    }

    /// Loss at every width from 0 to the full one: linear between the points, never falling as the width does. Below the
    /// narrowest point that was measured the line through the first two goes on.
    fn table(&self) -> Vec<f64> {
        let Some(&(full, _)) = self.points.last() else { return Vec::new() };
        let mut table = vec![0.0; full + 1];
        for pair in self.points.windows(2) {
            let ((a, low), (b, high)) = (pair[0], pair[1]);
            for (width, loss) in table.iter_mut().enumerate().take(b + 1).skip(a) {
                *loss = low + (high - low) * (width - a) as f64 / (b - a).max(1) as f64;
            }
        }
        if let [(a, low), (b, high), ..] = self.points[..] {
            let slope = (low - high).max(0.0) / (b - a).max(1) as f64;
            for (width, loss) in table.iter_mut().enumerate().take(a) {
                *loss = low + slope * (a - width) as f64;
            }
        }
        table[full] = 0.0;
        for width in (0..full).rev() {
            table[width] = table[width].max(table[width + 1]);
        }
        table
    }
}

/// Least sum of losses within a budget.
pub(super) struct Problem<'a> {
    losses: Vec<Vec<f64>>,
    /// Widths that a group may have, ascending; the last is the full one.
    allowed: Vec<Vec<usize>>,
    cost: &'a dyn Fn(&[usize]) -> f64,
    limit: f64,
}

impl<'a> Problem<'a> {
    pub(super) fn new(
        curves: &[Curve],
        allowed: Vec<Vec<usize>>,
        cost: &'a dyn Fn(&[usize]) -> f64,
        limit: f64,
    ) -> Self {
        Self { losses: curves.iter().map(Curve::table).collect(), allowed, cost, limit }
    }

    /// Widths within the budget, or the narrowest.
    pub(super) fn solve(&self) -> Vec<usize> {
        let mut at: Vec<usize> = self.allowed.iter().map(|own| own.len() - 1).collect();
        self.descend(&mut at);
        self.fill(&mut at);
        for _ in 0..MOST_EXCHANGES {
            if !self.exchange(&mut at) {
                break;
            }
        }
        self.widths(&at)
    }

    fn widths(&self, at: &[usize]) -> Vec<usize> {
        self.allowed.iter().zip(at).map(|(own, &at)| own[at]).collect()
    }

    fn cost_at(&self, at: &[usize]) -> f64 {
        (self.cost)(&self.widths(at))
    }

    fn loss(&self, group: usize, at: usize) -> f64 {
        self.losses[group].get(self.allowed[group][at]).copied().unwrap_or(0.0)
    }

    fn with(at: &[usize], changes: &[(usize, usize)]) -> Vec<usize> {
        let mut next = at.to_vec();
        for &(group, to) in changes {
            next[group] = to;
        }
        next
    }

    /// Step by step the narrowing that loses least for what it saves, until the budget holds.
    fn descend(&self, at: &mut Vec<usize>) {
        let mut cost = self.cost_at(at);
        while cost > self.limit {
            let mut best: Option<(f64, Vec<usize>, f64)> = None;
            for group in 0..at.len() {
                for to in (0..at[group]).rev().step_by(at[group].div_ceil(MOST_CANDIDATES).max(1)) {
                    let next = Self::with(at, &[(group, to)]);
                    let saved = cost - self.cost_at(&next);
                    // What is saved beyond the limit is worth nothing.
                    let price = (self.loss(group, to) - self.loss(group, at[group])) / saved.min(cost - self.limit);
                    if saved > 0.0 && best.as_ref().is_none_or(|best| price < best.0) {
                        best = Some((price, next, cost - saved));
                    }
                }
            }
            let Some((_, next, less)) = best else { return };
            (*at, cost) = (next, less);
        }
    }

    /// Step by step the widening that gains most for what it costs, while the budget holds.
    fn fill(&self, at: &mut Vec<usize>) {
        loop {
            let cost = self.cost_at(at);
            let mut best: Option<(f64, Vec<usize>)> = None;
            for group in 0..at.len() {
                for to in at[group] + 1..self.allowed[group].len().min(at[group] + 4) {
                    let next = Self::with(at, &[(group, to)]);
                    let more = self.cost_at(&next);
                    let gain = (self.loss(group, at[group]) - self.loss(group, to)) / (more - cost).max(1e-9);
                    if more <= self.limit && best.as_ref().is_none_or(|best| gain > best.0) {
                        best = Some((gain, next));
                    }
                }
            }
            let Some((_, next)) = best else { return };
            *at = next;
        }
    }

    /// One group wider and another narrower, where that loses less: the look back at steps that later ones overtook.
    fn exchange(&self, at: &mut Vec<usize>) -> bool {
        let mut best: Option<(f64, Vec<usize>)> = None;
        for wider in 0..at.len() {
            for up in [1, 2, 4, 8].map(|step| at[wider] + step) {
                if up >= self.allowed[wider].len() {
                    break;
                }
                let gain = self.loss(wider, at[wider]) - self.loss(wider, up);
                for narrower in (0..at.len()).filter(|&group| group != wider) {
                    let Some(down) = self.down(at, [wider, up], narrower) else { continue };
                    let change = self.loss(narrower, down) - self.loss(narrower, at[narrower]) - gain;
                    if change < best.as_ref().map_or(-1e-12, |best| best.0) {
                        best = Some((change, Self::with(at, &[(wider, up), (narrower, down)])));
                    }
                }
            }
        }
        best.map(|(_, next)| *at = next).is_some()
    }

    /// The least narrowing of a group that pays for widening the group `wider` to `up`.
    fn down(&self, at: &[usize], [wider, up]: [usize; 2], narrower: usize) -> Option<usize> {
        let fits = |to: usize| self.cost_at(&Self::with(at, &[(wider, up), (narrower, to)])) <= self.limit;
        if at[narrower] == 0 || !fits(0) {
            return None;
        }
        let (mut low, mut high) = (0, at[narrower]);
        while high - low > 1 {
            let middle = usize::midpoint(low, high);
            if fits(middle) { low = middle } else { high = middle }
        }
        Some(low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(full: usize, loss: impl Fn(usize) -> f64) -> Curve {
        Curve { points: (1..=full).map(|width| (width, loss(width))).collect() }
    }

    /// Exhaustive search.
    fn least(curves: &[Curve], cost: &dyn Fn(&[usize]) -> f64, limit: f64) -> f64 {
        let tables: Vec<Vec<f64>> = curves.iter().map(Curve::table).collect();
        let mut best = f64::INFINITY;
        for a in 1..tables[0].len() {
            for b in 1..tables[1].len() {
                for c in 1..tables[2].len() {
                    if cost(&[a, b, c]) <= limit {
                        best = best.min(tables[0][a] + tables[1][b] + tables[2][c]);
                    }
                }
            }
        }
        best
    }

    #[test]
    fn near_the_best_of_all_plans() {
        let curves = [
            curve(8, |w| (8 - w) as f64 * 0.1),
            curve(12, |w| ((12 - w) as f64).powi(2) * 0.02),
            curve(10, |w| if w < 6 { 1.0 } else { 0.01 * (10 - w) as f64 }),
        ];
        // A plain chain of layers: costs are products of neighbours.
        let cost = |w: &[usize]| (3 * w[0] + w[0] * w[1] + w[1] * w[2] + w[2]) as f64;
        for share in [0.3, 0.5, 0.7, 0.9] {
            let limit = share * cost(&[8, 12, 10]);
            let allowed = curves.iter().map(|own| own.points.iter().map(|point| point.0).collect()).collect();
            let found = Problem::new(&curves, allowed, &cost, limit).solve();
            assert!(cost(&found) <= limit);
            let loss: f64 = curves.iter().zip(&found).map(|(own, &width)| own.table()[width]).sum();
            let best = least(&curves, &cost, limit);
            assert!(loss <= 1.15 * best + 0.02, "{share}: {found:?} {loss} {best}");
        }
    }

    #[test]
    fn tables_do_not_fall_as_widths_do_and_go_on_below_the_first_point() {
        let table = Curve { points: vec![(2, 0.5), (4, 0.2), (6, 0.3), (8, 0.0)] }.table();
        assert_eq!(table.len(), 9);
        assert!(table.windows(2).all(|pair| pair[0] >= pair[1]));
        assert!((table[3] - 0.35).abs() < 1e-12 && (table[4] - 0.3).abs() < 1e-12);
        assert!((table[0] - 0.8).abs() < 1e-12);
    }
}
