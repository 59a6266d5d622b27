//! What a model is worth beside its accuracy: detections, and a metric of the user's own.

use clap::Args;

use super::parse;
use crate::pipeline::{Metric, NamedOutputs};

#[derive(Debug, Args)]
pub(super) struct MetricFlags {
    /// Outputs with boxes and scores, for the detections that are kept (recognised by their numbers
    /// by default). The boxes: NAME:xyxy, NAME:yxyx, NAME:cxcywh or NAME:xywh says what they are
    #[arg(long, value_name = "boxes=NAME,scores=NAME", value_parser = parse::outputs, help_heading = "Metric")]
    pub(super) outputs: Option<NamedOutputs>,
    /// What a model is worth to you: a command line for the shell that is given the path of a model
    /// file, in place of {model} or as its last argument, and prints a number at its end (or JSON
    /// with the key metric); higher is better. Before and after, and what --max-drop bounds
    #[arg(long, value_name = "CMD", value_parser = parse::command, help_heading = "Metric")]
    metric: Option<String>,
    /// Lower numbers of --metric are better
    #[arg(long, requires = "metric", help_heading = "Metric")]
    metric_lower_is_better: bool,
}

impl MetricFlags {
    pub(super) fn options(&self) -> Option<Metric> {
        let lower_is_better = self.metric_lower_is_better;
        self.metric.clone().map(|command| Metric { command, lower_is_better, function: None })
    }
}
