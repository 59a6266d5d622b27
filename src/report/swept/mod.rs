//! A sweep over budgets: one model for each, and what every one of them costs and is worth.

mod collected;
mod svg;
mod table;

pub use collected::{Collected, collected_html, collected_table};
pub use svg::sweep_svg;
pub use table::{sweep_csv, sweep_table};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Summary;
use crate::bench::latency::TimedOn;
use crate::evaluate::MetricChange;

/// Version of the form of [`Swept`]; the models in it have that of [`Summary`].
pub const SWEEP_SCHEMA_VERSION: u32 = 1;

/// A sweep.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Swept {
    /// [`SWEEP_SCHEMA_VERSION`].
    pub schema_version: u32,
    /// From the mildest cut to the strongest.
    pub models: Vec<SweptModel>,
    /// Shares without a model of their own, and why.
    pub warnings: Vec<String>,
}

/// One model of a sweep.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct SweptModel {
    /// Share of the multiply-accumulates that was asked for; 1: the dense model in integers or half precision.
    pub share: f64,
    /// What tells it from the others, where that is more than the share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The run's report.
    pub summary: Summary,
}

impl SweptModel {
    /// What the model is written in, if not as it was.
    fn precision(&self) -> Option<&'static str> {
        self.summary.quantized.as_ref().map(|own| own.precision.name())
    }

    /// What the model costs: its share of the dense model's latency, of the multiply-accumulates where nothing was timed.
    fn cost(&self) -> f64 {
        self.summary.latency_ms.map_or(self.summary.macs.ratio(), |latency| latency.ratio)
    }

    /// What the model is worth: top-1 in percent, without labels the user's own metric, or how often it answers as the dense
    /// model in percent.
    fn worth(&self) -> Option<f64> {
        let Summary { accuracy, agreement, .. } = &self.summary;
        let metric = self.metric().map(|own| own.after);
        accuracy.as_ref().map(|own| own.after).or(metric).or(agreement.map(|share| 100.0 * share))
    }

    /// The user's own metric, where it is what the model is worth.
    fn metric(&self) -> Option<&MetricChange> {
        self.summary.metric.as_ref().filter(|_| self.summary.accuracy.is_none())
    }

    /// What the dense model is worth, in the same unit.
    fn dense_worth(&self) -> f64 {
        let accuracy = self.summary.accuracy.as_ref().map(|own| own.before);
        accuracy.or(self.metric().map(|own| own.before)).unwrap_or(100.0)
    }
}

impl Swept {
    /// The sweep as every other device timed it, in the order of the devices.
    pub fn on_other_devices(&self) -> Vec<Self> {
        let devices = self.models.first().map_or(0, |own| own.summary.other_devices.len());
        (0..devices).filter_map(|at| self.on_other_device(at)).collect()
    }

    fn on_other_device(&self, at: usize) -> Option<Self> {
        let on = |model: &SweptModel| {
            let own = model.summary.other_devices.get(at)?.clone();
            let (latency_ms, device) = (Some(own.latency_ms), Some(own.device));
            let other_devices = Vec::new();
            Some(SweptModel {
                summary: Summary { device, other_devices, latency_ms, ..model.summary.clone() },
                share: model.share,
                name: model.name.clone(),
            })
        };
        let models = self.models.iter().map(on).collect::<Option<_>>()?;
        Some(Self { models, warnings: Vec::new(), ..*self })
    }

    /// Where the models were timed, if not here.
    pub(crate) fn device(&self) -> Option<&TimedOn> {
        self.models.first()?.summary.device.as_ref()
    }

    /// Whether no other model of the sweep, nor the dense one, is at least as cheap and as good, and better in one.
    fn on_front(&self, model: &SweptModel) -> bool {
        // More is better on this scale.
        let sign = if model.metric().is_some_and(|own| own.lower_is_better) { -1.0 } else { 1.0 };
        let Some(own) = model.worth().map(|own| sign * own) else { return false };
        let better =
            |cost: f64, worth: f64| cost <= model.cost() && worth >= own && (cost < model.cost() || worth > own);
        let others = self.models.iter().filter_map(|other| Some((other.cost(), sign * other.worth()?)));
        !others.chain([(1.0, sign * model.dense_worth())]).any(|(cost, worth)| better(cost, worth))
    }
}

#[cfg(test)]
mod tests;
