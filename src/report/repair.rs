//! What was done to repair a model.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text::plural;
use crate::evaluate::OutputFigures;
use crate::explain::Names;
use crate::repair::global::{Refined, Stop};
use crate::repair::{Method, Refit};

/// Layers that were taken back which are named.
const MOST_NAMED: usize = 3;

/// Compensation and refinement of a pruned model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Repair {
    /// Consumers, and layers behind a cut.
    #[serde(flatten)]
    pub refit: Refit,
    /// All layers at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refined: Option<Refined>,
    /// Error of the outputs before and after every stage, measured on inputs that nothing was fitted on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<StageError>,
    /// Inputs that the stages were measured on.
    #[serde(default)]
    pub judged_on: usize,
}

/// A stage of the repair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RepairStage {
    /// Every consumer of a cut alone.
    Local,
    /// Layer after layer on the pruned model's own activations.
    Sequential,
    /// All weights at once.
    Global,
}

/// What a stage did to the outputs: mean over them of the squared error relative to the variance of the dense model's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StageError {
    /// The stage.
    pub stage: RepairStage,
    /// Before it.
    pub before: f64,
    /// With all its changes.
    pub whole: f64,
    /// With what was kept of it; never above `before`.
    pub after: f64,
    /// Layers that it changed.
    pub layers: usize,
    /// Layers whose changes were taken back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rolled_back: Vec<String>,
}

impl Repair {
    /// What was done with the consumers of cuts and the layers behind them.
    pub(super) fn methods(&self) -> String {
        let mut counts: BTreeMap<Method, usize> = BTreeMap::new();
        for (_, method) in &self.refit.consumers {
            *counts.entry(*method).or_default() += 1;
        }
        if counts.is_empty() {
            return "none".into();
        }
        let name = |method: &Method| match method {
            Method::Window => "by least squares over windows",
            Method::Channel => "by least squares over channels",
            Method::Bias => "by bias only",
            Method::None => "unchanged",
        };
        let parts: Vec<String> = counts.iter().map(|(method, count)| format!("{count} {}", name(method))).collect();
        let consumers = plural(self.refit.consumers.len(), "consumer");
        format!("{consumers}: {}{}", parts.join(", "), self.behind())
    }

    /// What was done behind the cuts, for the end of a sentence.
    fn behind(&self) -> String {
        let layers = &self.refit.layers;
        let mut parts = Vec::new();
        if !layers.is_empty() {
            let constants = layers.iter().filter(|layer| layer.ridge.is_none()).count();
            let alone = if constants > 0 { format!(" ({constants} in their constants only)") } else { String::new() };
            let layers = plural(layers.len(), "layer");
            parts.push(format!("; then {layers} on the pruned model's own activations{alone}"));
        }
        parts.extend(self.refined.as_ref().and_then(at_once));
        parts.concat()
    }

    /// Error of the outputs after the cut and after every stage, as it was measured; `None` if it was not.
    pub(super) fn errors(&self) -> Option<String> {
        let first = self.stages.first()?;
        let stage = |own: &StageError| {
            let name = match own.stage {
                RepairStage::Local => "each consumer alone",
                RepairStage::Sequential => "layer after layer",
                RepairStage::Global => "all at once",
            };
            format!(" -> {:.4} {name}{}", own.after, own.taken_back().unwrap_or_default())
        };
        let stages: String = self.stages.iter().map(stage).collect();
        let inputs = plural(self.judged_on, "held-out input");
        Some(format!("{:.4} bare{stages} (squared, relative to the variance; {inputs})", first.before))
    }
}

impl StageError {
    /// What was taken back of the stage.
    fn taken_back(&self) -> Option<String> {
        let back = self.rolled_back.len();
        let whole = format!("would have made it {:.4}", self.whole);
        match back {
            0 => None,
            _ if back == self.layers => Some(format!(" (taken back: it {whole})")),
            _ => Some(format!(
                " ({back} of {} layers taken back: {}; all {whole})",
                self.layers,
                Names(&self.rolled_back, MOST_NAMED)
            )),
        }
    }
}

/// An output beside the dense model's.
pub(super) fn figures(output: &OutputFigures) -> String {
    let mut parts = vec![format!("error {:.4}, cosine {:.4}", output.error, output.cosine)];
    parts.extend(output.psnr.map(|own| format!("PSNR {own:.1} dB")));
    parts.extend(output.agreement.map(|own| format!("{:.2} % of positions alike", 100.0 * own)));
    parts.extend(output.mean_iou.map(|own| format!("mean IoU {:.2} %", 100.0 * own)));
    parts.join(", ")
}

/// What refinement did, or why it did nothing.
fn at_once(refined: &Refined) -> Option<String> {
    let Some((before, after)) = refined.error() else {
        let (_, why) = refined.left_out.first()?;
        return Some(format!("; not all at once: {why}"));
    };
    let rounds = plural(refined.kept, "round");
    let ended = if refined.stopped_by == Stop::Time { ", until the time was up" } else { "" };
    Some(format!("; then all at once in {rounds}{ended}: difference {before:.3} -> {after:.3}"))
}
