//! What was tried on the way to a model: candidates of a budget that takes measuring.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text::plural;
use crate::bench::latency::Interval;
use crate::evaluate::{CONFIDENCE, Paired};
use crate::number::significant;

/// A search for the plan that meets a bound on what has to be measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Searched {
    /// The bounds in words.
    pub goal: String,
    /// Candidates in the order in which they were tried.
    pub candidates: Vec<Tried>,
}

/// One candidate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Tried {
    /// Budget of the plan, in words.
    pub budget: String,
    /// Share of the multiply-accumulates that is kept.
    pub macs: f64,
    /// Bytes of the file, where these are bounded.
    pub bytes: Option<u64>,
    /// Latency as a share of the dense model's with its 95 % interval, where it was measured.
    pub latency: Option<Interval>,
    /// Loss on labelled images, where it is bounded.
    pub loss: Option<Loss>,
    /// What the user's own metric loses, where that is bounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<MetricLoss>,
    /// Whether the candidate meets the bound that it was tried for.
    pub accepted: bool,
}

/// Loss of accuracy on labelled images.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Loss {
    /// Images, and on how many the models differ.
    #[serde(flatten)]
    pub paired: Paired,
    /// Loss in points.
    pub points: f64,
    /// Upper bound in points on the loss that as many other images show.
    pub upper: f64,
    /// Confidence of the bound.
    pub confidence: f64,
}

/// A metric of the user's own: one number, without an interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MetricLoss {
    /// Of the candidate.
    pub metric: f64,
    /// By how much that is worse than the dense model's, in units of the metric.
    pub loss: f64,
}

impl From<Paired> for Loss {
    fn from(paired: Paired) -> Self {
        Self { paired, points: paired.loss(), upper: paired.upper(), confidence: CONFIDENCE }
    }
}

impl Searched {
    /// The last candidates that the user's own metric let pass and did not.
    fn by_metric(&self) -> Vec<String> {
        let measured: Vec<(&Tried, MetricLoss)> =
            self.candidates.iter().filter_map(|own| Some((own, own.metric?))).collect();
        if measured.is_empty() {
            return Vec::new();
        }
        let models = plural(measured.len(), "model");
        let mut parts = vec![format!("{models} measured by the command of `--metric`, no interval computed")];
        for (word, accepted) in [("taken", true), ("refused", false)] {
            if let Some((own, found)) = measured.iter().rfind(|(own, _)| own.accepted == accepted) {
                let (metric, loss) = (significant(found.metric), significant(found.loss));
                parts.push(format!("{word}: MACs x{:.2}, metric {metric}, loss {loss}", own.macs));
            }
        }
        parts
    }

    /// The search in one sentence for people.
    pub fn describe(&self) -> String {
        let mut parts = Vec::new();
        let timed: Vec<&Tried> = self.candidates.iter().filter(|own| own.latency.is_some()).collect();
        if !timed.is_empty() {
            let ratios = timed.iter().filter_map(|own| own.latency).map(|own| own.median);
            let (low, high) = ratios.fold((f64::INFINITY, 0.0_f64), |(low, high), own| (low.min(own), high.max(own)));
            parts.push(format!("{} timed, latency x{low:.2} to x{high:.2}", plural(timed.len(), "plan")));
        }
        let judged: Vec<(&Tried, Loss)> = self.candidates.iter().filter_map(|own| Some((own, own.loss?))).collect();
        if let Some((_, first)) = judged.first() {
            let images = plural(first.paired.images, "held-out image");
            parts.push(format!("{} judged on {images}", plural(judged.len(), "model")));
        }
        for (word, accepted) in [("taken", true), ("refused", false)] {
            if let Some((own, loss)) = judged.iter().rfind(|(own, _)| own.accepted == accepted) {
                let sure = format!("{:.0} %", 100.0 * loss.confidence);
                parts.push(format!(
                    "{word}: MACs x{:.2}, loss {:.2} points, at most {:.2} on as many others with {sure} confidence",
                    own.macs, loss.points, loss.upper
                ));
            }
        }
        parts.extend(self.by_metric());
        let sized = self.candidates.iter().filter(|own| own.bytes.is_some()).count();
        if sized > 0 {
            parts.push(format!("{} weighed", plural(sized, "file")));
        }
        format!("{}: {}", self.goal, parts.join("; "))
    }
}
