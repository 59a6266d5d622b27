//! Forms of a check, one file each: for people, and for the services that run checks.

mod bencher;
mod codequality;
mod github;
mod html;
mod json;
mod junit;
mod markdown;
mod openmetrics;
mod terminal;
mod times;

pub use bencher::Bencher;
pub use codequality::CodeQuality;
pub use github::GithubAnnotations;
pub use html::CheckHtml;
pub use json::CheckJson;
pub use junit::Junit;
pub use markdown::CheckMarkdown;
pub use openmetrics::OpenMetrics;
pub use terminal::CheckTerminal;
pub use times::CheckTimes;

use super::{Checked, Gate};

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

/// Columns of a bound in a table: its name, what was found, what is allowed, the interval, the noise.
fn columns(gate: &Gate) -> [String; 5] {
    let bound = if gate.quantity.wants_more() { "at least" } else { "at most" };
    [
        gate.quantity.name().into(),
        gate.quantity.show(gate.value),
        format!("{bound} {}", gate.quantity.show(gate.limit)),
        gate.interval.map_or_else(String::new, |(low, high)| format!("{low:.3} to {high:.3}")),
        gate.noise.map_or_else(String::new, |noise| format!("{:.1} %", 100.0 * noise)),
    ]
}

#[cfg(test)]
pub(super) mod samples {
    use crate::bench::latency::Interval;
    use crate::check::{CHECK_SCHEMA_VERSION, Checked, Gate, Machine, Outcome, Quantity};
    use crate::engine::EngineInfo;
    use crate::evaluate::{DetectionFigures, MetricChange};
    use crate::report::samples::detections;
    use crate::report::{Change, FileInfo, LatencyChange};

    /// One bound of each kind, with names that no format may take literally.
    pub(in crate::check) fn checked() -> Checked {
        let file = |path: &str| FileInfo { path: path.into(), sha256: "0".repeat(64) };
        let ratio = Interval { median: 0.81, low: 0.8, high: 0.82 };
        let gates = vec![
            Gate::measured(Quantity::LatencyRatio, ratio, 0.7, 0.01),
            Gate::exact(Quantity::MacsRatio, 0.5, 0.55),
            Gate::exact(Quantity::MetricDrop, 0.007, 0.01),
            Gate { outcome: Outcome::Inconclusive, ..Gate::measured(Quantity::LatencyRegression, ratio, 0.815, 0.01) },
        ];
        Checked {
            schema_version: CHECK_SCHEMA_VERSION,
            tool_version: "0.1.0".into(),
            outcome: Checked::verdict(&gates, false),
            gates,
            base: file("base.onnx"),
            new: file("dir/new <&\"'>\u{1b}|`%.onnx"),
            device: None,
            machine: Machine {
                platform: "linux-x86_64".into(),
                processor: "Some CPU".into(),
                cores: 2,
                ..Machine::default()
            },
            engine: EngineInfo {
                name: "onnxruntime".into(),
                version: "1.23.2".into(),
                provider: "cpu".into(),
                library: None,
                threads: 1,
            },
            macs: Change { before: 1000, after: 500 },
            params: Change { before: 400, after: 300 },
            blocks: None,
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
            session_bytes: Some([9_000_000, 7_000_000]),
            samples: Some(crate::bench::latency::Comparison {
                parts: vec![1, 1],
                before_ms: vec![1.0, 1.5],
                after_ms: vec![0.8, 1.25],
            }),
            profile: None,
            accuracy: None,
            agreement: Some(0.99),
            detections: Some(DetectionFigures { dense: 42, kept: 40, added: 3, ..detections() }),
            metric: Some(MetricChange {
                command: "python mean_ap.py | tail -n 1".into(),
                lower_is_better: false,
                before: 0.412,
                after: 0.405,
            }),
            warnings: vec!["7 % of the runs took over 1.5 times the median".into()],
            seconds: 12.5,
            command: vec!["onnx-prune".into(), "check".into()],
        }
    }
}
