//! What disturbed a measurement, and which flag helps.

use super::interval::percentile;

/// A run this much above the median is an outlier.
const OUTLYING: f64 = 1.5;

/// Share of outliers from which other programs are to blame.
const MANY: f64 = 0.05;

/// The last third of the runs is slower than the first by so much: the processor lowers its clock. Less than that is usual
/// on virtual machines, and the ratio does not suffer.
const SLOWING: f64 = 0.1;

/// Runs below which a third says nothing.
const LEAST_RUNS: usize = 30;

/// Sentences about what disturbed samples of two models (milliseconds, in the order in which they were taken). `width`:
/// relative width of the ratio's interval; `wanted`: the width that was asked for.
pub fn disturbances(before: &[f64], after: &[f64], width: f64, wanted: f64) -> Vec<String> {
    let mut found = Vec::new();
    let share = |samples: &[f64]| {
        let median = percentile(samples, 0.5);
        samples.iter().filter(|&&ms| ms > OUTLYING * median).count() as f64 / samples.len().max(1) as f64
    };
    let outliers = share(before).max(share(after));
    if outliers > MANY {
        found.push(format!(
            "{:.0} % of the runs took over {OUTLYING} times the median: other programs use the processor, or a quota holds it back; \
             close them, or keep to some of its cores with `--cpus`",
            100.0 * outliers
        ));
    }
    let drift = drift(before).min(drift(after));
    if drift > SLOWING {
        found.push(format!(
            "the last runs were {:.0} % slower than the first: the processor lowers its clock; let it cool, or give \
             `--warm-up` more seconds",
            100.0 * drift
        ));
    }
    if width > wanted {
        found.push(format!(
            "the interval of the ratio is {:.1} % wide, {:.1} % were wanted: `--time` allows more seconds",
            100.0 * width,
            100.0 * wanted
        ));
    }
    found
}

/// By how much the last third is slower than the first, undisturbed runs of both.
fn drift(samples: &[f64]) -> f64 {
    if samples.len() < LEAST_RUNS {
        return 0.0;
    }
    let third = samples.len() / 3;
    let calm = |part: &[f64]| percentile(part, 0.25);
    calm(&samples[samples.len() - third..]) / calm(&samples[..third]) - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quiet_measurement_needs_no_words() {
        let samples: Vec<f64> = (0..90).map(|at| 5.0 + 0.01 * f64::from(at % 7)).collect();
        assert!(disturbances(&samples, &samples, 0.01, 0.03).is_empty());
    }

    #[test]
    fn each_trouble_names_its_flag() {
        let busy: Vec<f64> = (0..90).map(|at| if at % 9 == 0 { 12.0 } else { 5.0 }).collect();
        assert!(disturbances(&busy, &busy, 0.0, 0.03)[0].contains("--cpus"));
        let hot: Vec<f64> = (0..90).map(|at| 5.0 + 0.01 * f64::from(at)).collect();
        assert!(disturbances(&hot, &hot, 0.0, 0.03)[0].contains("--warm-up"));
        assert!(disturbances(&[5.0; 9], &[5.0; 9], 0.08, 0.03)[0].contains("--time"));
    }
}
