//! Bounds on what a plan alone does not tell: time, bytes of the file, accuracy.

use super::Target;

/// Most time of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LatencyTarget {
    /// Share of the dense model's median, in (0, 1).
    Share(f64),
    /// Milliseconds.
    Ms(f64),
}

/// Bounds that take measuring. All that are given hold, beside the [`super::Budget`].
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Goals {
    /// Median time of a run, at the engine and the threads of the options.
    pub latency: Option<LatencyTarget>,
    /// Bytes of the file: a share of the dense model's, or a number.
    pub size: Option<Target>,
    /// Most loss of accuracy in points: the smallest model is looked for that stays within it, judged on held-out images,
    /// on as many others with 95 % confidence, down to the other bounds.
    pub max_drop: Option<f64>,
}

impl Goals {
    /// Whether nothing has to be measured.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
