//! Times of two models that took turns, and their ratio.

use serde::{Deserialize, Serialize};

use super::interval::{Interval, paired_interval};

/// Times of two models, pair by pair.
///
/// Every part has sessions of its own. Its samples come in rounds of two pairs: A B B A in the first part, the third, and
/// so on; in the others the second model is loaded first and goes first, B A A B.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Pairs of each part.
    pub parts: Vec<usize>,
    /// Milliseconds of the first model.
    pub before_ms: Vec<f64>,
    /// Milliseconds of the second model.
    pub after_ms: Vec<f64>,
}

impl Comparison {
    /// One more part.
    pub fn extend(&mut self, part: Self) {
        self.parts.extend(part.parts);
        self.before_ms.extend(part.before_ms);
        self.after_ms.extend(part.after_ms);
    }

    /// The same with the models in the other order.
    #[must_use]
    pub fn swapped(self) -> Self {
        Self { parts: self.parts, before_ms: self.after_ms, after_ms: self.before_ms }
    }

    /// Ratio `after / before` with its 95 % interval.
    ///
    /// In a round the faster of a model's two samples counts: other programs only ever add time. Rounds are compared
    /// within themselves, for the clock of the processor drifts. The session that is made first is often slower by a
    /// percent, whatever its model: both orders count alike.
    pub fn ratio(&self, seed: u64) -> Interval {
        let mut orders = [Vec::new(), Vec::new()];
        let mut from = 0;
        for (number, &pairs) in self.parts.iter().enumerate() {
            let rounds = |samples: &[f64]| -> Vec<f64> {
                let own = samples.get(from..from + pairs).unwrap_or_default();
                own.chunks(2).map(|round| round.iter().copied().fold(f64::INFINITY, f64::min)).collect()
            };
            let (before, after) = (rounds(&self.before_ms), rounds(&self.after_ms));
            orders[number % 2].extend(before.iter().zip(&after).map(|(before, after)| (after / before).ln()));
            from += pairs;
        }
        paired_interval(&orders, seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_programs_do_not_move_the_ratio() {
        let disturbed = |at: usize, ms: f64| if at.is_multiple_of(3) { ms + 5.0 } else { ms };
        let (before_ms, after_ms): (Vec<f64>, Vec<f64>) =
            (0..60).map(|at| (disturbed(at, 1.0), disturbed(at + 1, 0.6))).unzip();
        let ratio = Comparison { parts: vec![60], before_ms, after_ms }.ratio(0);
        assert!((ratio.median - 0.6).abs() < 1e-9 && ratio.high - ratio.low < 1e-9, "{ratio:?}");
    }

    #[test]
    fn a_clock_that_drifts_does_not_move_the_ratio() {
        let (before_ms, after_ms): (Vec<f64>, Vec<f64>) =
            (0..400).map(|at| 1.0 + f64::from(at / 2) / 200.0).map(|ms| (ms, 1.1 * ms)).unzip();
        let ratio = Comparison { parts: vec![200, 200], before_ms, after_ms }.ratio(0);
        assert!((ratio.median - 1.1).abs() < 1e-9 && ratio.high - ratio.low < 1e-9, "{ratio:?}");
    }

    #[test]
    fn the_order_of_loading_cancels() {
        let mut found = Comparison { parts: vec![4], before_ms: vec![1.01; 4], after_ms: vec![1.0; 4] };
        found.extend(found.clone().swapped());
        assert_eq!(found.parts, [4, 4]);
        assert!((found.ratio(0).median - 1.0).abs() < 1e-12);
    }
}
