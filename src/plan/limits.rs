//! Bounds as shares of the dense model's cost, which a search narrows.

use super::{Bounds, Budget, PlanError, Target};
use crate::channels::{CostModel, Measure};

/// Bounds on what the plan itself tells, as shares of the dense model's cost; 1 where there is none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Share of the multiply-accumulates.
    pub macs: f64,
    /// Share of the parameters.
    pub params: f64,
    /// Share of the time that the layers take.
    pub time: f64,
}

impl Limits {
    /// No bound.
    pub const NONE: Self = Self { macs: 1.0, params: 1.0, time: 1.0 };

    /// The bounds of a budget; the dense model's multiply-accumulates and parameters make shares of absolute numbers.
    ///
    /// # Errors
    /// If the budget is a ratio of channels.
    pub fn of(budget: &Budget, dense_macs: f64, dense_params: f64) -> Result<Self, PlanError> {
        let share = |target: Target, dense: f64| match target {
            Target::Share(share) => share,
            Target::Absolute(number) => (number / dense.max(1.0)).min(1.0),
        };
        let mut limits = Self::NONE;
        for part in budget.parts() {
            match part {
                Budget::Macs(macs) => limits.macs = share(macs, dense_macs),
                Budget::Params(params) => limits.params = share(params, dense_params),
                Budget::Time(time) => limits.time = time,
                Budget::Ratio(_) | Budget::All(_) => return Err(PlanError::RatioAndBound),
            }
        }
        Ok(limits)
    }

    /// As a budget.
    pub fn budget(self) -> Budget {
        let bound = |share: f64| (share < 1.0).then_some(share);
        let counted = |share: f64| bound(share).map(Target::Share);
        Bounds { macs: counted(self.macs), params: counted(self.params), time: bound(self.time) }.into()
    }

    /// With at most a share of the multiply-accumulates.
    #[must_use]
    pub fn at_most(self, macs: f64) -> Self {
        Self { macs: self.macs.min(macs), ..self }
    }

    /// With at most a share of the time.
    #[must_use]
    pub fn in_time(self, time: f64) -> Self {
        Self { time: self.time.min(time), ..self }
    }

    /// Bounds that a cut to `share` meets although these bounds ask for a stronger one.
    #[must_use]
    pub fn mild(self, share: f64) -> Self {
        let mild = |bound: f64| if bound < 1.0 { bound.max(share) } else { 1.0 };
        Self { macs: mild(self.macs), params: mild(self.params), time: mild(self.time) }
    }

    /// The strongest of the bounds.
    pub fn least(self) -> f64 {
        self.macs.min(self.params).min(self.time)
    }

    /// Whether nothing is bounded.
    pub fn none(self) -> bool {
        self.least() >= 1.0
    }

    /// Whether these widths cost more than the limits allow.
    pub fn exceeded(self, cost: &CostModel, widths: &[usize]) -> bool {
        let over =
            |measure, share: f64| share < 1.0 && cost.at(measure, widths) > share * cost.dense(measure) * 1.000_001;
        over(Measure::Macs, self.macs) || over(Measure::Params, self.params) || over(Measure::Time, self.time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_combined() {
        let share = |share| Some(Target::Share(share));
        let both = Bounds { macs: Some(Target::Absolute(30.0)), params: share(0.6), time: None };
        let limits = Limits::of(&both.into(), 100.0, 10.0).unwrap();
        assert_eq!(limits, Limits { macs: 0.3, params: 0.6, time: 1.0 });
        let budget = |macs, params| Budget::from(Bounds { macs: share(macs), params: share(params), time: None });
        assert_eq!(limits.at_most(0.2).budget(), budget(0.2, 0.6));
        assert_eq!(limits.at_most(0.9).budget(), budget(0.3, 0.6));
        assert_eq!(limits.mild(0.5).budget(), budget(0.5, 0.6));
        let all = Bounds { macs: share(0.3), params: share(0.6), time: Some(0.7) };
        assert_eq!(limits.in_time(0.7).budget(), Budget::All(all));
        assert_eq!(
            Limits::of(&all.into(), 9.0, 9.0).unwrap().mild(0.65).budget().describe(),
            "MACs x0.65, \
                    parameters x0.65, time x0.7"
        );
        let macs = Limits::of(&Budget::Macs(Target::Share(0.5)), 9.0, 9.0).unwrap();
        assert_eq!(macs.mild(0.7).budget(), Budget::Macs(Target::Share(0.7)));
        assert!(Limits::of(&Budget::Ratio(0.5), 1.0, 1.0).is_err() && !macs.none() && Limits::NONE.none());
        assert_eq!(Limits::NONE.in_time(0.4).budget(), Budget::Time(0.4));
    }

    #[test]
    fn plans_of_earlier_versions_are_read() {
        let text = r#"{"both":{"macs":{"share":0.5},"params":{"absolute":9.0}}}"#;
        let bounds = Bounds { macs: Some(Target::Share(0.5)), params: Some(Target::Absolute(9.0)), time: None };
        assert_eq!(serde_json::from_str::<Budget>(text).unwrap(), Budget::All(bounds));
    }
}
