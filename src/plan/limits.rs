//! Bounds as shares of the dense model's cost, which a search narrows.

use super::{Budget, PlanError, Target};
use crate::channels::{CostModel, Measure};

/// Bounds on what the plan itself tells, as shares of the dense model's cost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Share of the multiply-accumulates.
    pub macs: f64,
    /// Share of the parameters.
    pub params: f64,
}

impl Limits {
    /// The bounds of a budget; the dense model's multiply-accumulates and parameters make shares of absolute numbers.
    ///
    /// # Errors
    /// If the budget is a ratio of channels.
    pub fn of(budget: &Budget, dense_macs: f64, dense_params: f64) -> Result<Self, PlanError> {
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
            Budget::Ratio(_) => Err(PlanError::RatioAndBound),
        }
    }

    /// As a budget.
    pub fn budget(self) -> Budget {
        let (macs, params) = (Target::Share(self.macs), Target::Share(self.params));
        match (self.macs < 1.0, self.params < 1.0) {
            (true, true) => Budget::Both { macs, params },
            (false, true) => Budget::Params(params),
            (_, false) => Budget::Macs(macs),
        }
    }

    /// With at most a share of the multiply-accumulates.
    #[must_use]
    pub fn at_most(self, macs: f64) -> Self {
        Self { macs: self.macs.min(macs), ..self }
    }

    /// Bounds that a cut to `share` meets although these bounds ask for a stronger one.
    #[must_use]
    pub fn mild(self, share: f64) -> Self {
        Self { macs: self.macs.max(share), params: if self.params < 1.0 { self.params.max(share) } else { 1.0 } }
    }

    /// Whether nothing is bounded.
    pub fn none(self) -> bool {
        self.macs >= 1.0 && self.params >= 1.0
    }

    /// Whether these widths cost more than the limits allow.
    pub fn exceeded(self, cost: &CostModel, widths: &[usize]) -> bool {
        let over =
            |measure, share: f64| share < 1.0 && cost.at(measure, widths) > share * cost.dense(measure) * 1.000_001;
        over(Measure::Macs, self.macs) || over(Measure::Params, self.params)
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
}
