//! What pruning costs in accuracy, measured on the same images before and after.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Quantile of the normal distribution for a one-sided bound of [`CONFIDENCE`].
const Z: f64 = 1.644_853_626_951_472_2;

/// Confidence of [`Paired::upper`].
pub const CONFIDENCE: f64 = 0.95;

/// Labelled images on which two models were right or wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Paired {
    /// Images that both classify.
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

    /// Upper bound in points on the loss that as many other images of the same kind show, with confidence [`CONFIDENCE`]:
    /// the upper end of the score interval for a difference of paired shares (Tango, Statistics in Medicine 17, 1998).
    /// Other than Wald's interval it has a width where the models never differ.
    ///
    /// The other images are a sample too: the difference of two losses varies twice as much as one of them, which is as
    /// much as the loss on half of the images.
    pub fn upper(&self) -> f64 {
        let [images, lost, gained] = [self.images, self.lost, self.gained].map(|count| count as f64 / 2.0);
        if self.images == 0 {
            return 100.0;
        }
        let (mut low, mut high) = (self.loss() / 100.0, 1.0);
        for _ in 0..60 {
            let middle = f64::midpoint(low, high);
            if score([images, lost, gained], middle) > -Z { low = middle } else { high = middle }
        }
        100.0 * high
    }

    /// Fewest images that can show a loss of at most `points`: so many without a single loss.
    pub fn fewest(points: f64) -> usize {
        let delta = (points / 100.0).clamp(1e-6, 1.0);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of images")]
        let images = (2.0 * Z * Z * (1.0 - delta) / delta).ceil() as usize;
        images.max(1)
    }
}

/// Tango's statistic for the hypothesis that the loss is `delta`; falls with `delta`.
fn score([n, lost, gained]: [f64; 3], delta: f64) -> f64 {
    // Largest likelihood of the share that is gained, where the difference is `delta`.
    let b = -lost - gained + (2.0 * n - lost + gained) * delta;
    let c = -gained * delta * (1.0 - delta);
    let q = ((b * b - 8.0 * n * c).max(0.0).sqrt() - b) / (4.0 * n);
    let variance = n * (2.0 * q + delta * (1.0 - delta));
    (lost - gained - n * delta) / variance.max(f64::MIN_POSITIVE).sqrt()
}

#[cfg(test)]
mod tests {
    use rand::{RngExt as _, SeedableRng as _};

    use super::*;

    #[test]
    fn models_that_never_differ_have_a_bound_in_closed_form() {
        let same = Paired { images: 200, lost: 0, gained: 0 };
        assert!((same.upper() - 100.0 * Z * Z / (100.0 + Z * Z)).abs() < 1e-6, "{}", same.upper());
        assert_eq!(Paired::fewest(1.0), 536);
        assert!(Paired { images: 536, lost: 0, gained: 0 }.upper() <= 1.0);
        assert!(Paired { images: 535, lost: 0, gained: 0 }.upper() > 1.0);
    }

    /// With many images the score agrees with Wald's: approval ratings of Agresti (2002), 10.1.
    #[test]
    fn large_samples_agree_with_the_normal_approximation() {
        let ratings = Paired { images: 3200, lost: 300, gained: 172 };
        let wald = 4.0 + 100.0 * Z * (236.0_f64 - 64.0 * 64.0 / 1600.0).sqrt() / 1600.0;
        assert!((ratings.upper() - wald).abs() < 0.02, "{} {wald}", ratings.upper());
        assert!((ratings.loss() - 4.0).abs() < 1e-12);
    }

    /// The loss on as many other images stays below the bound as often as promised.
    #[test]
    fn the_bound_covers_other_images() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        for (lost, gained) in [(0.05, 0.02), (0.03, 0.01), (0.1, 0.08), (0.02, 0.0)] {
            let mut sample = || {
                let mut found = Paired { images: 600, lost: 0, gained: 0 };
                for _ in 0..found.images {
                    let drawn: f64 = rng.random_range(0.0..1.0);
                    found.lost += usize::from(drawn < lost);
                    found.gained += usize::from((lost..lost + gained).contains(&drawn));
                }
                found
            };
            let covered = (0..2000).filter(|_| sample().upper() >= sample().loss()).count();
            assert!(covered >= 1870, "{lost} {gained}: {covered} of 2000");
        }
    }
}
