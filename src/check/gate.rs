//! One bound and what came of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bench::latency::Interval;
use crate::number::significant;

/// What a bound is on. Ratios are of the new model to the base.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Quantity {
    /// Time of a run.
    LatencyRatio,
    /// Multiply-accumulates of a run.
    MacsRatio,
    /// Stored parameters.
    ParamsRatio,
    /// Bytes of the file.
    SizeRatio,
    /// Points of top-1 accuracy that are lost.
    Drop,
    /// Loss of a metric of the user's own, in its units.
    MetricDrop,
    /// Percent of the images on which both models answer alike.
    Agreement,
    /// Latency ratio, as a multiple of the baseline's.
    LatencyRegression,
    /// Multiply-accumulates of the new model, as a multiple of the baseline's.
    MacsRegression,
    /// Bytes of the new model, as a multiple of the baseline's.
    SizeRegression,
}

impl Quantity {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::LatencyRatio => "latency ratio",
            Self::MacsRatio => "MACs ratio",
            Self::ParamsRatio => "parameters ratio",
            Self::SizeRatio => "size ratio",
            Self::Drop => "loss of accuracy",
            Self::MetricDrop => "loss of the metric",
            Self::Agreement => "agreement",
            Self::LatencyRegression => "latency ratio against the baseline",
            Self::MacsRegression => "MACs against the baseline",
            Self::SizeRegression => "size against the baseline",
        }
    }

    /// The name in machine-readable formats.
    pub fn slug(self) -> &'static str {
        match self {
            Self::LatencyRatio => "latency-ratio",
            Self::MacsRatio => "macs-ratio",
            Self::ParamsRatio => "params-ratio",
            Self::SizeRatio => "size-ratio",
            Self::Drop => "drop",
            Self::MetricDrop => "metric-drop",
            Self::Agreement => "agreement",
            Self::LatencyRegression => "latency-regression",
            Self::MacsRegression => "macs-regression",
            Self::SizeRegression => "size-regression",
        }
    }

    /// Whether less than the bound fails, rather than more.
    pub fn wants_more(self) -> bool {
        self == Self::Agreement
    }

    /// A value of it for people.
    pub fn show(self, value: f64) -> String {
        match self {
            Self::Drop => format!("{value:.2} points"),
            Self::MetricDrop => significant(value),
            Self::Agreement => format!("{value:.2} %"),
            _ => format!("x{value:.3}"),
        }
    }
}

/// What came of a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It holds.
    Passed,
    /// Neither for certain.
    Inconclusive,
    /// It is exceeded.
    Failed,
}

impl Outcome {
    /// In one word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Inconclusive => "inconclusive",
            Self::Failed => "failed",
        }
    }
}

/// A bound with what was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Gate {
    /// What is bounded.
    pub quantity: Quantity,
    /// The bound.
    pub limit: f64,
    /// What was found.
    pub value: f64,
    /// 95 % interval of a value that was measured with noise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<(f64, f64)>,
    /// Noise of such a value, as a share: by how much a model may differ from itself here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise: Option<f64>,
    /// How often it was measured.
    pub tries: usize,
    /// The verdict.
    pub outcome: Outcome,
}

impl Gate {
    /// A bound on a value that has no noise.
    pub fn exact(quantity: Quantity, value: f64, limit: f64) -> Self {
        // Ratios of counts are not to fail by the last digit of a division.
        const ROUNDING: f64 = 1e-9;
        let holds =
            if quantity.wants_more() { value >= limit - ROUNDING } else { value <= limit + ROUNDING * limit.abs() };
        let outcome = if holds { Outcome::Passed } else { Outcome::Failed };
        Self { quantity, limit, value, interval: None, noise: None, tries: 1, outcome }
    }

    /// A bound on a ratio that was measured with noise.
    pub fn measured(quantity: Quantity, ratio: Interval, limit: f64, noise: f64) -> Self {
        Self {
            quantity,
            limit,
            value: ratio.median,
            interval: Some((ratio.low, ratio.high)),
            noise: Some(noise),
            tries: 1,
            outcome: timed(ratio, limit, noise),
        }
    }

    /// Whether measuring on could hardly change that it fails, or does not: the interval holds the bound, or lies on one
    /// side of the value from which it fails.
    pub fn settled(&self) -> bool {
        let line = self.limit * (1.0 + self.noise.unwrap_or(0.0));
        self.interval.is_none_or(|(low, high)| low <= self.limit || high <= line || low > line)
    }

    /// The verdict in a sentence.
    pub fn describe(&self) -> String {
        let show = |value: f64| self.quantity.show(value);
        let bound = if self.quantity.wants_more() { "at least" } else { "at most" };
        let interval = self.interval.map(|(low, high)| format!("; 95 % [{low:.3}, {high:.3}]"));
        let noise = self.noise.map(|noise| format!(", noise {:.1} %", 100.0 * noise));
        let tries = (self.tries > 1).then(|| format!(", measured {} times", self.tries));
        let found = format!("{} {}, {bound} {} allowed", self.quantity.name(), show(self.value), show(self.limit));
        [Some(found), interval, noise, tries].into_iter().flatten().collect()
    }
}

/// The verdict on a measured ratio: failed only if its interval lies beyond the limit and it exceeds the limit by more than
/// the noise; passed if its interval lies within.
pub fn timed(ratio: Interval, limit: f64, noise: f64) -> Outcome {
    if ratio.low > limit && ratio.median > limit * (1.0 + noise) {
        Outcome::Failed
    } else if ratio.high <= limit {
        Outcome::Passed
    } else {
        Outcome::Inconclusive
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ratio(low: f64, median: f64, high: f64) -> Interval {
        Interval { median, low, high }
    }

    #[test]
    fn a_bound_fails_only_beyond_interval_and_noise() {
        assert_eq!(timed(ratio(0.6, 0.65, 0.69), 0.7, 0.02), Outcome::Passed);
        assert_eq!(timed(ratio(0.68, 0.69, 0.71), 0.7, 0.02), Outcome::Inconclusive);
        assert_eq!(timed(ratio(0.705, 0.71, 0.72), 0.7, 0.02), Outcome::Inconclusive);
        assert_eq!(timed(ratio(0.705, 0.72, 0.73), 0.7, 0.02), Outcome::Failed);
        assert_eq!(timed(ratio(f64::NAN, f64::NAN, f64::NAN), 0.7, 0.02), Outcome::Inconclusive);
    }

    #[test]
    fn an_interval_around_the_value_that_fails_is_not_settled() {
        let settled = |low, high| Gate::measured(Quantity::LatencyRatio, ratio(low, 0.71, high), 0.7, 0.02).settled();
        assert!(settled(0.69, 0.72) && settled(0.705, 0.713) && settled(0.72, 0.73));
        assert!(!settled(0.705, 0.72));
        assert!(Gate::exact(Quantity::Drop, 0.2, 0.5).settled());
    }

    #[test]
    fn exact_bounds_hold_at_the_bound() {
        assert_eq!(Gate::exact(Quantity::MacsRatio, 0.55, 0.55).outcome, Outcome::Passed);
        assert_eq!(Gate::exact(Quantity::MacsRatio, 0.5501, 0.55).outcome, Outcome::Failed);
        assert_eq!(Gate::exact(Quantity::Agreement, 98.0, 98.0).outcome, Outcome::Passed);
        assert_eq!(Gate::exact(Quantity::Agreement, 97.9, 98.0).outcome, Outcome::Failed);
        assert_eq!(Gate::exact(Quantity::Drop, -0.2, 0.5).outcome, Outcome::Passed);
        assert_eq!(Gate::exact(Quantity::Drop, f64::NAN, 0.5).outcome, Outcome::Failed);
    }
}
