//! What a pruned model may cost.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::PlanError;
use crate::channels::{CostModel, Measure};
use crate::number::count;

/// A share of the dense model's cost, or an absolute number.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// Share kept, in (0, 1].
    Share(f64),
    /// Absolute number (MACs or parameters).
    Absolute(f64),
}

/// What bounds the plan.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Budget {
    /// Share of channels cut in every group, in [0, 1).
    Ratio(f64),
    /// Multiply-accumulates kept.
    Macs(Target),
    /// Parameters kept.
    Params(Target),
    /// Multiply-accumulates and parameters kept; both bounds hold.
    Both {
        /// Multiply-accumulates kept.
        macs: Target,
        /// Parameters kept.
        params: Target,
    },
}

impl Budget {
    /// In words.
    pub fn describe(&self) -> String {
        let target = |target: &Target| match target {
            Target::Share(share) => format!("x{}", (share * 1e4).round() / 1e4),
            Target::Absolute(number) => count(*number),
        };
        match self {
            Self::Ratio(ratio) => format!("{:.0} % of the channels cut", 100.0 * ratio),
            Self::Macs(macs) => format!("MACs {}", target(macs)),
            Self::Params(params) => format!("parameters {}", target(params)),
            Self::Both { macs, params } => format!("MACs {}, parameters {}", target(macs), target(params)),
        }
    }

    /// The bounds one by one.
    pub fn parts(&self) -> Vec<Self> {
        match *self {
            Self::Both { macs, params } => vec![Self::Macs(macs), Self::Params(params)],
            single => vec![single],
        }
    }

    /// The measure and the most that the pruned model may cost; `None` for a ratio of channels. Of two bounds that on
    /// the multiply-accumulates: take [`Budget::parts`] first.
    ///
    /// # Errors
    /// If the number is out of range.
    pub fn limit(&self, cost: &CostModel) -> Result<Option<(Measure, f64)>, PlanError> {
        let (measure, target) = match self {
            Self::Ratio(ratio) if (0.0..1.0).contains(ratio) => return Ok(None),
            Self::Ratio(ratio) => return Err(out_of_range(*ratio, "a ratio of channels to cut lies in [0, 1)")),
            Self::Macs(target) | Self::Both { macs: target, .. } => (Measure::Macs, target),
            Self::Params(target) => (Measure::Params, target),
        };
        match target {
            Target::Share(share) if *share > 0.0 && *share <= 1.0 => Ok(Some((measure, share * cost.dense(measure)))),
            Target::Share(share) => Err(out_of_range(*share, "a share to keep lies in (0, 1]")),
            Target::Absolute(number) if *number >= 1.0 => Ok(Some((measure, *number))),
            Target::Absolute(number) => Err(out_of_range(*number, "an absolute budget is at least 1")),
        }
    }
}

fn out_of_range(value: f64, why: &str) -> PlanError {
    PlanError::Budget { value, why: why.into() }
}
