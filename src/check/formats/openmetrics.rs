//! GitLab's metrics report: the `OpenMetrics` text format.

use std::fmt::Write as _;

use super::CheckFormat;
use crate::check::Checked;

/// One gauge for each figure of both models, and the ratio of their latencies.
#[derive(Debug, Clone, Copy, Default)]
pub struct OpenMetrics;

impl CheckFormat for OpenMetrics {
    fn name(&self) -> &'static str {
        "gitlab metrics"
    }

    fn render(&self, checked: &Checked) -> Result<String, String> {
        write(checked).map_err(|error| error.to_string())
    }
}

fn write(checked: &Checked) -> Result<String, std::fmt::Error> {
    let mut out = String::new();
    let mut gauge = |name: &str, unit: &str, help: &str, values: &[(&str, f64)]| {
        writeln!(out, "# TYPE onnx_prune_{name} gauge")?;
        if !unit.is_empty() {
            writeln!(out, "# UNIT onnx_prune_{name} {unit}")?;
        }
        writeln!(out, "# HELP onnx_prune_{name} {help}")?;
        values.iter().try_for_each(|(model, value)| {
            let label = if model.is_empty() { String::new() } else { format!("{{model=\"{model}\"}}") };
            writeln!(out, "onnx_prune_{name}{label} {value}")
        })
    };
    let both = |change: &crate::report::Change| [("base", change.before as f64), ("new", change.after as f64)];
    if let Some(own) = &checked.latency_ms {
        let median = [("base", own.before / 1e3), ("new", own.after / 1e3)];
        gauge("latency_seconds", "seconds", "Median time of a run.", &median)?;
        gauge("latency_ratio", "", "Latency of the new model to the base.", &[("", own.ratio)])?;
    }
    gauge("macs", "", "Multiply-accumulates of a run.", &both(&checked.macs))?;
    gauge("parameters", "", "Stored parameters.", &both(&checked.params))?;
    gauge("file_bytes", "bytes", "Size of the file.", &both(&checked.bytes))?;
    if let Some(own) = &checked.accuracy {
        let top1 = [("base", own.before / 100.0), ("new", own.after / 100.0)];
        gauge("top1_ratio", "ratio", "Share of right answers.", &top1)?;
    }
    if let Some(agreement) = checked.agreement {
        gauge("agreement_ratio", "ratio", "Share of images on which both models answer alike.", &[("", agreement)])?;
    }
    if let Some(own) = &checked.detections {
        gauge(
            "detections_kept_ratio",
            "ratio",
            "Share of the base's detections that are kept.",
            &[("", own.kept_share())],
        )?;
    }
    if let Some(own) = &checked.metric {
        let both = [("base", own.before), ("new", own.after)];
        gauge("metric", "", "What the command of --metric printed.", &both)?;
    }
    out.push_str("# EOF\n");
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::formats::samples::checked;

    #[test]
    fn gauges() {
        insta::assert_snapshot!(OpenMetrics.render(&checked()).unwrap());
    }
}
