//! What may change between two models, and the verdicts on it.

use super::{CheckError, Checked, Gate, Quantity, Regression, latency_regression, noise_share};
use crate::bench::latency::Interval;
use crate::evaluate::MetricChange;
use crate::report::AccuracyChange;

/// What may change at most, new to base.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Bounds {
    /// Time of a run, as a ratio.
    pub latency_ratio: Option<f64>,
    /// Multiply-accumulates, as a ratio.
    pub macs_ratio: Option<f64>,
    /// Parameters, as a ratio.
    pub params_ratio: Option<f64>,
    /// Bytes of the file, as a ratio.
    pub size_ratio: Option<f64>,
    /// Points of top-1 that may be lost; with a metric of the user's own, what that may lose, in its units.
    pub drop: Option<f64>,
    /// Percent of the images on which both must answer alike.
    pub agreement: Option<f64>,
}

impl Bounds {
    /// Refuses bounds on what nothing is measured of.
    ///
    /// # Errors
    /// If a bound on answers has no `images` (nor, on the loss, a `metric`), or a bound on time is given and not `timed`.
    pub fn measurable(&self, images: bool, metric: bool, timed: bool) -> Result<(), CheckError> {
        if let Some(value) = self.drop.filter(|drop| *drop > 100.0 && !metric) {
            return Err(CheckError::Points { value });
        }
        let lost = self.drop.is_some() && !metric;
        if (lost || self.agreement.is_some()) && !images {
            return Err(CheckError::NoImages);
        }
        if self.latency_ratio.is_some() && !timed { Err(CheckError::NoTiming) } else { Ok(()) }
    }

    /// Verdicts on what is counted.
    pub fn sizes(&self, checked: &Checked) -> Vec<Gate> {
        [
            (Quantity::MacsRatio, &checked.macs, self.macs_ratio),
            (Quantity::ParamsRatio, &checked.params, self.params_ratio),
            (Quantity::SizeRatio, &checked.bytes, self.size_ratio),
        ]
        .into_iter()
        .filter_map(|(quantity, change, limit)| Some(Gate::exact(quantity, change.ratio(), limit?)))
        .collect()
    }

    /// The verdict on a metric of the user's own, which the bound on the loss is then on.
    pub fn metric(&self, metric: &MetricChange) -> Option<Gate> {
        self.drop.map(|limit| Gate::exact(Quantity::MetricDrop, metric.loss(), limit))
    }

    /// Verdicts on the answers to images; `agreement`: share of those on which both models answer alike; `metric`: whether
    /// the bound on the loss is on a metric of the user's own.
    ///
    /// # Errors
    /// If the loss of accuracy is bounded and there are no labels.
    pub fn answers(
        &self,
        accuracy: Option<&AccuracyChange>,
        agreement: f64,
        metric: bool,
    ) -> Result<Vec<Gate>, CheckError> {
        let mut gates = Vec::new();
        if let Some(limit) = self.drop.filter(|_| !metric) {
            let accuracy = accuracy.ok_or(CheckError::NoLabels)?;
            gates.push(Gate::exact(Quantity::Drop, accuracy.before - accuracy.after, limit));
        }
        gates.extend(self.agreement.map(|limit| Gate::exact(Quantity::Agreement, 100.0 * agreement, limit)));
        Ok(gates)
    }

    /// Verdicts on time, given the ratio of both models and that of the base to `itself`.
    pub fn times(
        &self,
        ratio: Interval,
        itself: Interval,
        baseline: Option<&Checked>,
        regression: Regression,
    ) -> Vec<Gate> {
        let noise = noise_share(Some(itself));
        let own = self.latency_ratio.map(|limit| Gate::measured(Quantity::LatencyRatio, ratio, limit, noise));
        let then = baseline.and_then(|then| latency_regression(ratio, noise, then, regression));
        own.into_iter().chain(then).collect()
    }
}
