//! How much is cut.

use clap::Args;

use super::parse;
use crate::pipeline::Goals;
use crate::plan::{Bounds, Budget, Target};

/// Budgets. All that are given hold; a ratio stands alone.
#[derive(Debug, Args)]
pub(super) struct BudgetFlags {
    /// Multiply-accumulates kept: a share, or a number such as 1.5G [default: 0.5]
    #[arg(long, value_name = "X", value_parser = parse::target, help_heading = "Budget")]
    target_macs: Option<Target>,
    /// Parameters kept: a share, or a number such as 2M
    #[arg(long, value_name = "X", value_parser = parse::target, help_heading = "Budget")]
    target_params: Option<Target>,
    /// Measured time of a run: a share of the dense model's, or a time such as 5ms. Of one of several devices:
    /// DEVICE=5ms; may be repeated
    #[arg(long, value_name = "[DEVICE=]X", value_parser = parse::device_latency, help_heading = "Budget")]
    pub(super) target_latency: Vec<parse::DeviceLatency>,
    /// Bytes of the file: a share, or a size such as 2M
    #[arg(long, value_name = "X", value_parser = parse::size_bytes, help_heading = "Budget")]
    target_size: Option<Target>,
    /// Look for the smallest model that loses at most so many points of accuracy, measured on
    /// the images of --eval (else on a part of --data that is set aside), with 95 %
    /// confidence for as many others; other budgets then say how small is small enough. With
    /// --metric: that loses at most so much of it
    #[arg(long, value_name = "POINTS", value_parser = parse::drop, help_heading = "Budget")]
    max_drop: Option<f64>,
    /// Share of channels cut in every group
    #[arg(
        long,
        value_name = "X",
        value_parser = parse::share,
        conflicts_with_all = ["target_macs", "target_params", "target_latency", "target_size", "max_drop"],
        help_heading = "Budget"
    )]
    ratio: Option<f64>,
    /// A model for every share of the multiply-accumulates from 0.9 down to 0.3 (0.9..0.3:0.05
    /// for steps of 0.05), or for 0.9,0.7,0.5: MODEL.x0.90.onnx and so on, MODEL.sweep.csv with
    /// what each costs and keeps, MODEL.sweep.svg with accuracy against latency; -o FILE names
    /// them after FILE
    #[arg(
        long,
        value_name = "SHARES",
        value_parser = parse::sweep,
        conflicts_with_all = ["target_macs", "target_params", "target_latency", "target_size", "max_drop", "ratio"],
        help_heading = "Budget"
    )]
    pub(super) sweep: Option<parse::Shares>,
}

impl BudgetFlags {
    /// What bounds the plan itself.
    pub(super) fn planned(&self) -> Budget {
        match (self.ratio, self.target_macs, self.target_params) {
            (Some(ratio), _, _) => Budget::Ratio(ratio),
            (None, Some(macs), Some(params)) => Bounds { macs: Some(macs), params: Some(params), time: None }.into(),
            (None, Some(macs), None) => Budget::Macs(macs),
            (None, None, Some(params)) => Budget::Params(params),
            (None, None, None) if self.goals().is_empty() => Budget::Macs(Target::Share(0.5)),
            (None, None, None) => Budget::Macs(Target::Share(1.0)),
        }
    }

    /// What has to be measured.
    pub(super) fn goals(&self) -> Goals {
        let common = self.target_latency.iter().find(|own| own.device.is_none());
        let latency = common.or(self.target_latency.first()).map(|own| own.latency);
        Goals { latency, size: self.target_size, max_drop: self.max_drop }
    }
}
