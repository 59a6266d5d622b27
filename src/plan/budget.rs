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
    /// Share of the time that the layers take, each by what it takes in the dense model; of the multiply-accumulates where
    /// nobody can tell.
    Time(f64),
    /// Several bounds, all of which hold.
    #[serde(alias = "both")]
    All(Bounds),
}

/// Bounds of which each may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Bounds {
    /// Multiply-accumulates kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub macs: Option<Target>,
    /// Parameters kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub params: Option<Target>,
    /// Share of the time kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<f64>,
}

impl Bounds {
    /// The bounds one by one.
    fn parts(&self) -> Vec<Budget> {
        let all = [self.macs.map(Budget::Macs), self.params.map(Budget::Params), self.time.map(Budget::Time)];
        all.into_iter().flatten().collect()
    }
}

impl From<Bounds> for Budget {
    fn from(bounds: Bounds) -> Self {
        match bounds.parts()[..] {
            [] => Self::Macs(Target::Share(1.0)),
            [single] => single,
            _ => Self::All(bounds),
        }
    }
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
            Self::Time(share) => format!("time {}", target(&Target::Share(*share))),
            Self::All(bounds) => bounds.parts().iter().map(Self::describe).collect::<Vec<_>>().join(", "),
        }
    }

    /// The bounds one by one.
    pub fn parts(&self) -> Vec<Self> {
        match *self {
            Self::All(bounds) => bounds.parts(),
            single => vec![single],
        }
    }

    /// The measure and the most that the pruned model may cost; `None` for a ratio of channels, and for several bounds: take
    /// [`Budget::parts`] first.
    ///
    /// # Errors
    /// If the number is out of range.
    pub fn limit(&self, cost: &CostModel) -> Result<Option<(Measure, f64)>, PlanError> {
        let (measure, target) = match *self {
            Self::Ratio(ratio) if (0.0..1.0).contains(&ratio) => return Ok(None),
            Self::Ratio(ratio) => return Err(out_of_range(ratio, "a ratio of channels to cut lies in [0, 1)")),
            Self::All(_) => return Ok(None),
            Self::Macs(target) => (Measure::Macs, target),
            Self::Params(target) => (Measure::Params, target),
            Self::Time(share) => (Measure::Time, Target::Share(share)),
        };
        match target {
            Target::Share(share) if share > 0.0 && share <= 1.0 => Ok(Some((measure, share * cost.dense(measure)))),
            Target::Share(share) => Err(out_of_range(share, "a share to keep lies in (0, 1]")),
            Target::Absolute(number) if number >= 1.0 => Ok(Some((measure, number))),
            Target::Absolute(number) => Err(out_of_range(number, "an absolute budget is at least 1")),
        }
    }
}

fn out_of_range(value: f64, why: &str) -> PlanError {
    PlanError::Budget { value, why: why.into() }
}
