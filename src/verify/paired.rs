//! What pruning costs in accuracy, judged on the same images before and after.

use serde::{Deserialize, Serialize};

/// Quantile of the normal distribution for a one-sided bound of [`CONFIDENCE`].
const Z: f64 = 1.644_853_626_951_472_2;

/// Confidence of [`Paired::upper`].
pub const CONFIDENCE: f64 = 0.95;

/// Labelled images on which two models were right or wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paired {
    /// Images judged by both.
    pub images: usize,
    /// Images that the first model has right and the second wrong.
    pub lost: usize,
    /// Images that the first model has wrong and the second right.
    pub gained: usize,
}

impl Paired {
    /// Loss of accuracy in points: what the second model has less than the first.
    pub fn loss(&self) -> f64 {
        100.0 * (self.lost as f64 - self.gained as f64) / self.images.max(1) as f64
    }

    /// Upper bound in points on the loss over all images of which these are a sample, with confidence [`CONFIDENCE`]:
    /// the upper end of the score interval for a difference of paired shares (Tango, Statistics in Medicine 17, 1998).
    /// Other than Wald's interval it has a width where the models never differ.
    pub fn upper(&self) -> f64 {
        if self.images == 0 {
            return 100.0;
        }
        let (mut low, mut high) = (self.loss() / 100.0, 1.0);
        for _ in 0..60 {
            let middle = f64::midpoint(low, high);
            if self.score(middle) > -Z { low = middle } else { high = middle }
        }
        100.0 * high
    }

    /// Tango's statistic for the hypothesis that the loss is `delta`; falls with `delta`.
    fn score(&self, delta: f64) -> f64 {
        let (n, lost, gained) = (self.images as f64, self.lost as f64, self.gained as f64);
        // Largest likelihood of the share that is gained, where the difference is `delta`.
        let b = -lost - gained + (2.0 * n - lost + gained) * delta;
        let c = -gained * delta * (1.0 - delta);
        let q = ((b * b - 8.0 * n * c).max(0.0).sqrt() - b) / (4.0 * n);
        let variance = n * (2.0 * q + delta * (1.0 - delta));
        (lost - gained - n * delta) / variance.max(f64::MIN_POSITIVE).sqrt()
    }

    /// Fewest images that can show a loss of at most `points`: so many without a single loss.
    pub fn fewest(points: f64) -> usize {
        let delta = (points / 100.0).clamp(1e-6, 1.0);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of images")]
        let images = (Z * Z * (1.0 - delta) / delta).ceil() as usize;
        images.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_that_never_differ_have_a_bound_in_closed_form() {
        let same = Paired { images: 100, lost: 0, gained: 0 };
        assert!((same.upper() - 100.0 * Z * Z / (100.0 + Z * Z)).abs() < 1e-6, "{}", same.upper());
        assert_eq!(Paired::fewest(1.0), 268);
        assert!(Paired { images: 268, lost: 0, gained: 0 }.upper() <= 1.0);
        assert!(Paired { images: 267, lost: 0, gained: 0 }.upper() > 1.0);
    }

    /// With many images the bound is Wald's: approval ratings of Agresti (2002), 10.1.
    #[test]
    fn large_samples_agree_with_the_normal_approximation() {
        let ratings = Paired { images: 1600, lost: 150, gained: 86 };
        let wald = 4.0 + 100.0 * Z * (236.0_f64 - 64.0 * 64.0 / 1600.0).sqrt() / 1600.0;
        assert!((ratings.upper() - wald).abs() < 0.02, "{} {wald}", ratings.upper());
        assert!((ratings.loss() - 4.0).abs() < 1e-12);
    }

    /// Exact coverage over all outcomes of 200 images at true shares (lost, gained); the promise is 95 %.
    #[test]
    fn the_bound_covers_the_truth() {
        for (lost, gained) in [(0.05, 0.02), (0.03, 0.01), (0.1, 0.08), (0.02, 0.0)] {
            let n = 200;
            let ln_factorial: Vec<f64> = (0..=n).scan(0.0, |sum, i| {
                *sum += if i > 0 { f64::from(i).ln() } else { 0.0 };
                Some(*sum)
            }).collect();
            let power = |share: f64, count: i32| if count == 0 { 0.0 } else { f64::from(count) * share.ln() };
            let mut covered = 0.0;
            for b in 0..=60 {
                for c in 0..=60 {
                    let at = |i: i32| ln_factorial[usize::try_from(i).unwrap()];
                    let rest = n - b - c;
                    let chance = at(n) - at(b) - at(c) - at(rest)
                        + power(lost, b) + power(gained, c) + power(1.0 - lost - gained, rest);
                    let found = Paired { images: 200, lost: usize::try_from(b).unwrap(), gained: usize::try_from(c).unwrap() };
                    covered += if found.upper() >= 100.0 * (lost - gained) { chance.exp() } else { 0.0 };
                }
            }
            assert!(covered > 0.935, "{lost} {gained}: {covered}");
        }
    }
}
