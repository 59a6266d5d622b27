//! Times of two models in figures.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Comparison, percentile};

/// Time of one run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LatencyChange {
    /// Median of the dense model in milliseconds.
    pub before: f64,
    /// Median of the pruned model in milliseconds.
    pub after: f64,
    /// 95th percentile of the dense model in milliseconds.
    pub before_p95: f64,
    /// 95th percentile of the pruned model in milliseconds.
    pub after_p95: f64,
    /// 90th and 99th percentile of the dense model in milliseconds.
    #[serde(default)]
    pub before_tail: [f64; 2],
    /// 90th and 99th percentile of the pruned model in milliseconds.
    #[serde(default)]
    pub after_tail: [f64; 2],
    /// Ratio of interleaved runs: in each round the faster of a model's two counts.
    pub ratio: f64,
    /// Lower end of its 95 % interval.
    pub ratio_low: f64,
    /// Upper end of its 95 % interval.
    pub ratio_high: f64,
    /// Interleaved pairs.
    pub pairs: usize,
    /// Images per run.
    pub batch: usize,
}

impl LatencyChange {
    /// The figures of a comparison of runs of `batch` images; `seed`: of the bootstrap.
    pub fn new(found: &Comparison, batch: usize, seed: u64) -> Self {
        let at = |samples: &[f64], p: f64| percentile(samples, p);
        let (before, after) = (&found.before_ms, &found.after_ms);
        let ratio = found.ratio(seed);
        Self {
            before: at(before, 0.5),
            after: at(after, 0.5),
            before_p95: at(before, 0.95),
            after_p95: at(after, 0.95),
            before_tail: [at(before, 0.9), at(before, 0.99)],
            after_tail: [at(after, 0.9), at(after, 0.99)],
            ratio: ratio.median,
            ratio_low: ratio.low,
            ratio_high: ratio.high,
            pairs: before.len(),
            batch,
        }
    }
}
