//! Bounds on what a plan alone does not tell: time, bytes of the file, accuracy.

use super::{PlanError, Target};
use crate::number::bytes;

/// Most time of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LatencyTarget {
    /// Share of the dense model's median, in (0, 1).
    Share(f64),
    /// Milliseconds.
    Ms(f64),
}

impl LatencyTarget {
    /// How many times the target a model takes at least; `after`: its median in milliseconds, `ratio` and `low`: its time as
    /// a share of the dense model's, and the lower end of the interval of that.
    pub fn exceeded_by(self, after: f64, ratio: f64, low: f64) -> f64 {
        match self {
            Self::Share(share) => low / share,
            Self::Ms(ms) => after * low / ratio / ms,
        }
    }
}

/// Bounds that take measuring. All that are given hold, beside the [`super::Budget`].
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Goals {
    /// Median time of a run, at the engine and the threads of the options.
    pub latency: Option<LatencyTarget>,
    /// Bytes of the file: a share of the dense model's, or a number.
    pub size: Option<Target>,
    /// Most loss: the smallest model is looked for that stays within it, down to the other bounds. In points of accuracy on
    /// held-out images, with 95 % confidence on as many others; or in units of a metric of the user's own, as it is measured.
    pub max_drop: Option<f64>,
}

impl Goals {
    /// Whether nothing has to be measured.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Refuses a bound on the loss that is none. `metric`: whether it is one of the user's own.
    ///
    /// # Errors
    /// [`PlanError::Budget`].
    pub fn in_range(&self, metric: bool) -> Result<(), PlanError> {
        let points = |drop: f64| drop > 0.0 && drop <= 100.0;
        match self.max_drop {
            Some(value) if !metric && !points(value) => {
                let why =
                    "`--max-drop` takes points of accuracy above 0 and at most 100; with `--metric` any number from 0";
                Err(PlanError::Budget { value, why: why.into() })
            }
            _ => Ok(()),
        }
    }

    /// Refuses goals that do not suit the model or the other options. `measured`: whether something tells what a model is
    /// worth: its first output is a row of class scores, or there is a metric of the user's own; `timed`: whether models
    /// are timed.
    ///
    /// # Errors
    /// [`PlanError::NoClassifier`] and [`PlanError::NoTiming`].
    pub fn suit(&self, measured: bool, timed: bool) -> Result<(), PlanError> {
        match self {
            Self { max_drop: Some(_), .. } if !measured => Err(PlanError::NoClassifier),
            Self { latency: Some(_), .. } if !timed => Err(PlanError::NoTiming),
            _ => Ok(()),
        }
    }

    /// In words. `metric`: whether the loss is that of a metric of the user's own.
    pub fn describe(&self, metric: bool) -> String {
        let mut parts = Vec::new();
        match self.latency {
            Some(LatencyTarget::Share(share)) => parts.push(format!("latency x{share}")),
            Some(LatencyTarget::Ms(ms)) => parts.push(format!("latency {ms} ms")),
            None => {}
        }
        match self.size {
            Some(Target::Share(share)) => parts.push(format!("file x{share}")),
            Some(Target::Absolute(number)) => parts.push(format!("file {}", bytes(number))),
            None => {}
        }
        let unit = if metric { "in the metric" } else { "points" };
        parts.extend(self.max_drop.map(|drop| format!("loss of at most {drop} {unit}")));
        parts.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_in_words() {
        let goals =
            Goals { latency: Some(LatencyTarget::Ms(5.0)), size: Some(Target::Absolute(2e6)), max_drop: Some(1.0) };
        assert_eq!(goals.describe(false), "latency 5 ms, file 2.00 MB, loss of at most 1 points");
        assert!(goals.describe(true).ends_with("loss of at most 1 in the metric"));
        let drop = |drop| Goals { max_drop: Some(drop), ..Goals::default() };
        assert!(drop(0.0).in_range(false).is_err() && drop(101.0).in_range(false).is_err());
        assert!(
            drop(0.0).in_range(true).is_ok() && drop(101.0).in_range(true).is_ok() && goals.in_range(false).is_ok()
        );
        assert!(Goals::default().is_empty() && !goals.is_empty());
    }
}
