//! Medians, percentiles and bootstrap intervals.

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Resamples of a bootstrap; the interval's ends move by less than a tenth of its width between seeds.
const RESAMPLES: usize = 2000;

/// A ratio with its 95 % confidence interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Interval {
    /// Median.
    pub median: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Value below which the share `p` of the samples lies, linear between samples (NumPy's default).
pub fn percentile(samples: &[f64], p: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let at = p.clamp(0.0, 1.0) * last as f64;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index into the samples")]
    let low = at.floor() as usize;
    let high = (low + 1).min(last);
    sorted[low] + (sorted[high] - sorted[low]) * (at - low as f64)
}

/// Median of the ratios `after / before` with a percentile bootstrap interval (Efron 1979), seeded.
///
/// Samples come in rounds A B B A, two of each; the ratio is that of a round's sums. A model that follows itself finds
/// warm caches, so that single pairs would fall into two clusters.
pub fn ratio_interval(before: &[f64], after: &[f64], seed: u64) -> Interval {
    let rounds = before.chunks(2).zip(after.chunks(2));
    let ratios: Vec<f64> = rounds.map(|(a, b)| b.iter().sum::<f64>() / a.iter().sum::<f64>()).collect();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut medians: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let drawn: Vec<f64> = (0..ratios.len()).map(|_| ratios[rng.random_range(0..ratios.len())]).collect();
            percentile(&drawn, 0.5)
        })
        .collect();
    medians.sort_by(f64::total_cmp);
    Interval { median: percentile(&ratios, 0.5), low: percentile(&medians, 0.025), high: percentile(&medians, 0.975) }
}

/// Ratio `after / before` of the lower quartiles with its bootstrap interval over rounds, seeded. Samples as in
/// [`ratio_interval`].
///
/// Other programs only ever add time. On a busy machine whole rounds are theirs and the median jumps; the lower quartile
/// is that of undisturbed runs, and on a quiet machine both agree.
pub fn calm_interval(before: &[f64], after: &[f64], seed: u64) -> Interval {
    const CALM: f64 = 0.25;
    const FEWER: usize = RESAMPLES / 4;
    let rounds: Vec<(&[f64], &[f64])> = before.chunks(2).zip(after.chunks(2)).collect();
    let ratio = |before: &[f64], after: &[f64]| percentile(after, CALM) / percentile(before, CALM);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut found: Vec<f64> = (0..FEWER)
        .map(|_| {
            let (mut a, mut b) = (Vec::with_capacity(before.len()), Vec::with_capacity(after.len()));
            for _ in 0..rounds.len() {
                let drawn = rounds[rng.random_range(0..rounds.len())];
                a.extend_from_slice(drawn.0);
                b.extend_from_slice(drawn.1);
            }
            ratio(&a, &b)
        })
        .collect();
    found.sort_by(f64::total_cmp);
    Interval { median: ratio(before, after), low: percentile(&found, 0.025), high: percentile(&found, 0.975) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_linear_between_samples() {
        assert!((percentile(&[4.0, 1.0, 3.0, 2.0], 0.5) - 2.5).abs() < 1e-12);
        assert!((percentile(&[1.0, 2.0], 0.95) - 1.95).abs() < 1e-12);
    }

    #[test]
    fn rounds_of_other_programs_do_not_move_the_calm_ratio() {
        let disturbed = |at: usize, ms: f64| if at.is_multiple_of(3) { ms + 5.0 } else { ms };
        let (before, after): (Vec<f64>, Vec<f64>) =
            (0..60).map(|at| (disturbed(at, 1.0), disturbed(at + 1, 0.6))).unzip();
        let calm = calm_interval(&before, &after, 0);
        assert!((calm.median - 0.6).abs() < 1e-9 && calm.high - calm.low < 1e-9, "{calm:?}");
    }

    #[test]
    fn constant_ratios_have_no_width() {
        let interval = ratio_interval(&[2.0; 9], &[1.0; 9], 0);
        assert!((interval.low - 0.5).abs() < 1e-12 && (interval.high - 0.5).abs() < 1e-12);
    }
}
