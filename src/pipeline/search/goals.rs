//! Bounds on what a plan alone does not tell: time, bytes of the file, accuracy.

use crate::error::Error;
use crate::plan::{Budget, Target};
use crate::report::bytes;

/// Most time of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LatencyTarget {
    /// Share of the dense model's median, in (0, 1).
    Share(f64),
    /// Milliseconds.
    Ms(f64),
}

/// Bounds that take measuring. All that are given hold, beside the budget of [`super::super::Criteria`].
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Goals {
    /// Median time of a run, at the engine and the threads of the options.
    pub latency: Option<LatencyTarget>,
    /// Bytes of the file: a share of the dense model's, or a number.
    pub size: Option<Target>,
    /// Most loss of accuracy in points: the smallest model is looked for that stays within it, judged on held-out images,
    /// on as many others with confidence [`crate::evaluate::CONFIDENCE`], down to the other bounds.
    pub max_drop: Option<f64>,
}

impl Goals {
    /// Whether nothing has to be measured.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The bounds in words.
    pub(super) fn describe(&self) -> String {
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

/// Bounds on what the plan itself tells, as shares of the dense model's cost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Limits {
    /// Share of the multiply-accumulates.
    pub(super) macs: f64,
    /// Share of the parameters.
    pub(super) params: f64,
}

impl Limits {
    /// The bounds of a budget; the dense model's multiply-accumulates and parameters make shares of absolute numbers.
    pub(super) fn of(budget: &Budget, dense_macs: f64, dense_params: f64) -> Result<Self, Error> {
        let share = |target: Target, dense: f64| match target {
            Target::Share(share) => share,
            Target::Absolute(number) => (number / dense.max(1.0)).min(1.0),
        };
        match *budget {
            Budget::Macs(macs) => Ok(Self { macs: share(macs, dense_macs), params: 1.0 }),
            Budget::Params(params) => Ok(Self { macs: 1.0, params: share(params, dense_params) }),
            Budget::Both { macs, params } => {
                Ok(Self { macs: share(macs, dense_macs), params: share(params, dense_params) })
            }
            Budget::Ratio(_) => Err(Error::Usage {
                what: "a ratio of channels cannot be combined with another bound".into(),
                help: "use `--target-macs` or `--target-params` beside it in place of `--ratio`".into(),
            }),
        }
    }

    /// As a budget.
    pub(super) fn budget(self) -> Budget {
        let (macs, params) = (Target::Share(self.macs), Target::Share(self.params));
        match (self.macs < 1.0, self.params < 1.0) {
            (true, true) => Budget::Both { macs, params },
            (false, true) => Budget::Params(params),
            (_, false) => Budget::Macs(macs),
        }
    }

    /// With at most a share of the multiply-accumulates.
    pub(super) fn at_most(self, macs: f64) -> Self {
        Self { macs: self.macs.min(macs), ..self }
    }

    /// Bounds that a cut to `share` meets although these bounds ask for a stronger one.
    pub(super) fn mild(self, share: f64) -> Self {
        Self { macs: self.macs.max(share), params: if self.params < 1.0 { self.params.max(share) } else { 1.0 } }
    }

    /// Whether nothing is bounded.
    pub(super) fn none(self) -> bool {
        self.macs >= 1.0 && self.params >= 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_combined() {
        let both = Budget::Both { macs: Target::Absolute(30.0), params: Target::Share(0.6) };
        let limits = Limits::of(&both, 100.0, 10.0).unwrap();
        assert_eq!(limits, Limits { macs: 0.3, params: 0.6 });
        let budget = |macs, params| Budget::Both { macs: Target::Share(macs), params: Target::Share(params) };
        assert_eq!(limits.at_most(0.2).budget(), budget(0.2, 0.6));
        assert_eq!(limits.at_most(0.9).budget(), budget(0.3, 0.6));
        assert_eq!(limits.mild(0.5).budget(), budget(0.5, 0.6));
        let macs = Limits::of(&Budget::Macs(Target::Share(0.5)), 9.0, 9.0).unwrap();
        assert_eq!(macs.mild(0.7).budget(), Budget::Macs(Target::Share(0.7)));
        assert!(Limits::of(&Budget::Ratio(0.5), 1.0, 1.0).is_err() && !macs.none());
    }

    #[test]
    fn goals_in_words() {
        let goals =
            Goals { latency: Some(LatencyTarget::Ms(5.0)), size: Some(Target::Absolute(2e6)), max_drop: Some(1.0) };
        assert_eq!(goals.describe(), "latency 5 ms, file 2.00 MB, loss of at most 1 points");
        assert!(Goals::default().is_empty() && !goals.is_empty());
    }
}
