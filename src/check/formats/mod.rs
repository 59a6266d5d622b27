//! Forms of a check, one file each: for people, and for the services that run checks.

mod bencher;
mod codequality;
mod github;
mod json;
mod junit;
mod markdown;
mod openmetrics;
mod terminal;

pub use bencher::Bencher;
pub use codequality::CodeQuality;
pub use github::GithubAnnotations;
pub use json::CheckJson;
pub use junit::Junit;
pub use markdown::CheckMarkdown;
pub use openmetrics::OpenMetrics;
pub use terminal::CheckTerminal;

use super::Checked;

/// A form of a check.
pub trait CheckFormat {
    /// Name of the format.
    fn name(&self) -> &'static str;

    /// The check in this form.
    ///
    /// # Errors
    /// Why it cannot be written.
    fn render(&self, checked: &Checked) -> Result<String, String>;
}

/// Name of a model for people: the file without its folder.
fn model_name(checked: &Checked) -> String {
    let path = &checked.new.path;
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// Figures that a check tells: name, before, after, and what is left where that is a ratio.
fn figures(checked: &Checked) -> Vec<(&'static str, String, String, String)> {
    use crate::report::{bytes, count};
    let ratio = |change: &crate::report::Change| format!("x{:.3}", change.ratio());
    let mut rows = Vec::new();
    if let Some(own) = &checked.latency_ms {
        let interval = format!("x{:.3} [{:.3}, {:.3}]", own.ratio, own.ratio_low, own.ratio_high);
        rows.push(("latency, median", format!("{:.3} ms", own.before), format!("{:.3} ms", own.after), interval));
        let (before, after) = (format!("{:.3} ms", own.before_p95), format!("{:.3} ms", own.after_p95));
        rows.push(("latency, p95", before, after, format!("x{:.3}", own.after_p95 / own.before_p95)));
    }
    for (name, change, show) in [
        ("MACs", &checked.macs, count as fn(f64) -> String),
        ("parameters", &checked.params, count),
        ("file", &checked.bytes, bytes),
    ] {
        rows.push((name, show(change.before as f64), show(change.after as f64), ratio(change)));
    }
    if let Some(own) = &checked.accuracy {
        let points = format!("{:+.2} points", own.after - own.before);
        rows.push(("top-1", format!("{:.2} %", own.before), format!("{:.2} %", own.after), points));
    }
    if let Some(agreement) = checked.agreement {
        rows.push(("agreement", String::new(), format!("{:.2} %", 100.0 * agreement), String::new()));
    }
    rows
}

#[cfg(test)]
pub(super) mod samples {
    use crate::check::{CHECK_SCHEMA_VERSION, Checked, Gate, Machine, Outcome, Quantity};
    use crate::engine::EngineInfo;
    use crate::latency::Interval;
    use crate::report::{Change, FileInfo, LatencyChange};

    /// One bound of each kind, with names that no format may take literally.
    pub(in crate::check) fn checked() -> Checked {
        let file = |path: &str| FileInfo { path: path.into(), sha256: "0".repeat(64) };
        let ratio = Interval { median: 0.81, low: 0.8, high: 0.82 };
        let gates = vec![
            Gate::measured(Quantity::LatencyRatio, ratio, 0.7, 0.01),
            Gate::exact(Quantity::MacsRatio, 0.5, 0.55),
            Gate { outcome: Outcome::Inconclusive, ..Gate::measured(Quantity::LatencyRegression, ratio, 0.815, 0.01) },
        ];
        Checked {
            schema_version: CHECK_SCHEMA_VERSION,
            tool_version: "0.1.0".into(),
            outcome: Checked::verdict(&gates, false),
            gates,
            base: file("base.onnx"),
            new: file("dir/new <&\"'>\u{1b}|`%.onnx"),
            machine: Machine { platform: "linux-x86_64".into(), processor: "Some CPU".into(), cores: 2 },
            engine: EngineInfo {
                name: "onnxruntime".into(),
                version: "1.23.2".into(),
                provider: "cpu".into(),
                library: None,
                threads: 1,
            },
            macs: Change { before: 1000, after: 500 },
            params: Change { before: 400, after: 300 },
            bytes: Change { before: 2000, after: 1500 },
            latency_ms: Some(LatencyChange {
                before: 1.0,
                after: 0.8,
                before_p95: 1.2,
                after_p95: 1.0,
                before_tail: [1.1, 1.4],
                after_tail: [0.9, 1.3],
                ratio: 0.81,
                ratio_low: 0.8,
                ratio_high: 0.82,
                pairs: 100,
                batch: 1,
            }),
            noise: Some(Interval { median: 1.0, low: 0.99, high: 1.01 }),
            prepare_ms: Some([12.0, 9.0]),
            profile: None,
            accuracy: None,
            agreement: Some(0.99),
            warnings: vec!["7 % of the runs took over 1.5 times the median".into()],
            seconds: 12.5,
            command: vec!["onnx-prune".into(), "check".into()],
        }
    }
}
