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
    /// Most loss of accuracy in points: the smallest model is looked for that stays within it, judged on held-out images,
    /// on as many others with 95 % confidence, down to the other bounds.
    pub max_drop: Option<f64>,
}

impl Goals {
    /// Whether nothing has to be measured.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Refuses goals that do not suit the model or the other options. `classifier`: whether the model's first output is a
    /// row of class scores; `timed`: whether models are timed.
    ///
    /// # Errors
    /// [`PlanError::NoClassifier`] and [`PlanError::NoTiming`].
    pub fn suit(&self, classifier: bool, timed: bool) -> Result<(), PlanError> {
        match self {
            Self { max_drop: Some(_), .. } if !classifier => Err(PlanError::NoClassifier),
            Self { latency: Some(_), .. } if !timed => Err(PlanError::NoTiming),
            _ => Ok(()),
        }
    }

    /// In words.
    pub fn describe(&self) -> String {
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
        parts.extend(self.max_drop.map(|points| format!("loss of at most {points} points")));
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
        assert_eq!(goals.describe(), "latency 5 ms, file 2.00 MB, loss of at most 1 points");
        assert!(Goals::default().is_empty() && !goals.is_empty());
    }
}
