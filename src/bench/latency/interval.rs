//! Medians, percentiles and bootstrap intervals.

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Resamples of a bootstrap; the interval's ends move by less than a tenth of its width between seeds.
const RESAMPLES: usize = 1000;

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

/// Ratio of two actions with its 95 % interval, from the logarithms of the ratios of single rounds: the mean over the
/// strata of the median in each, and a percentile bootstrap (Efron 1979) over the rounds of every stratum, seeded.
///
/// Strata that are empty are left out; without rounds all is NaN.
pub fn paired_interval(strata: &[Vec<f64>], seed: u64) -> Interval {
    let strata: Vec<&Vec<f64>> = strata.iter().filter(|rounds| !rounds.is_empty()).collect();
    let mean = |medians: &mut dyn Iterator<Item = f64>| medians.sum::<f64>() / strata.len() as f64;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut drawn = Vec::new();
    let found: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            mean(&mut strata.iter().map(|rounds| {
                drawn.clear();
                drawn.extend((0..rounds.len()).map(|_| rounds[rng.random_range(0..rounds.len())]));
                median(&mut drawn)
            }))
        })
        .collect();
    let ratio = mean(&mut strata.iter().map(|rounds| median(&mut (*rounds).clone())));
    Interval { median: ratio.exp(), low: percentile(&found, 0.025).exp(), high: percentile(&found, 0.975).exp() }
}

/// Median of values, which are put in another order; NaN if there are none.
fn median(values: &mut [f64]) -> f64 {
    let middle = values.len() / 2;
    if values.is_empty() {
        return f64::NAN;
    }
    let (below, &mut upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    if below.len() == middle && values.len() % 2 == 1 {
        return upper;
    }
    let lower = values[..middle].iter().copied().max_by(f64::total_cmp).unwrap_or(upper);
    f64::midpoint(lower, upper)
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
    fn medians_are_those_of_sorted_values() {
        for count in 1..12_u32 {
            let mut values: Vec<f64> = (0..count).map(|at| f64::from((at * 7) % count)).collect();
            let expected = percentile(&values, 0.5);
            assert!((median(&mut values) - expected).abs() < 1e-12, "{count}");
        }
        assert!(median(&mut []).is_nan());
    }

    #[test]
    fn constant_ratios_have_no_width() {
        let interval = paired_interval(&[vec![0.5_f64.ln(); 9], Vec::new()], 0);
        assert!((interval.median - 0.5).abs() < 1e-12);
        assert!((interval.low - 0.5).abs() < 1e-12 && (interval.high - 0.5).abs() < 1e-12);
        assert!(paired_interval(&[], 0).median.is_nan());
    }

    #[test]
    fn what_only_one_stratum_has_counts_half() {
        let interval = paired_interval(&[vec![0.02; 30], vec![0.0; 10]], 0);
        assert!((interval.median - 0.01_f64.exp()).abs() < 1e-12, "{interval:?}");
    }

    #[test]
    fn the_interval_holds_the_true_ratio_about_as_often_as_it_says() {
        let held = (0..400_u64)
            .filter(|&seed| {
                let mut rng = ChaCha8Rng::seed_from_u64(seed);
                let mut draw = |count: usize| (0..count).map(|_| rng.random_range(-0.1..0.1)).collect::<Vec<f64>>();
                let interval = paired_interval(&[draw(40), draw(40)], seed);
                interval.low <= 1.0 && interval.high >= 1.0
            })
            .count();
        assert!((364..=396).contains(&held), "{held} of 400");
    }
}
