//! The figures that decide, alike in every form: of a pruning run and of a check.

use std::fmt::{self, Write as _};

use super::text::{plural, thousands};
use super::{AccuracyChange, Change, LatencyChange, QuantizeSummary, Summary, bytes, count};
use crate::evaluate::{DetectionFigures, MetricChange};
use crate::number::{signed, significant};

/// What two models cost and are worth.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures<'a> {
    pub(crate) latency: Option<&'a LatencyChange>,
    pub(crate) macs: Option<Change>,
    pub(crate) params: Option<Change>,
    pub(crate) bytes: Change,
    /// Blocks before and after, where some were left out.
    pub(crate) blocks: Option<Change>,
    pub(crate) accuracy: Option<&'a AccuracyChange>,
    pub(crate) agreement: Option<f64>,
    pub(crate) shift_consistency: Option<f64>,
    pub(crate) detections: Option<&'a DetectionFigures>,
    pub(crate) metric: Option<&'a MetricChange>,
}

/// A figure: its name, before, after, and what is left where that is a ratio, or what was lost.
type Row = (&'static str, String, String, String);

/// A size: its name, change and unit.
type Size = (&'static str, Change, fn(f64) -> String);

impl Figures<'_> {
    /// What needs no run.
    pub(crate) fn sizes(&self) -> Vec<Size> {
        let mut sizes: Vec<Size> = Vec::new();
        sizes.extend(self.macs.map(|macs| -> Size { ("MACs", macs, count) }));
        sizes.extend(self.params.map(|params| -> Size { ("parameters", params, count) }));
        sizes.push(("file", self.bytes, bytes));
        sizes.extend(self.blocks.map(|blocks| -> Size { ("blocks", blocks, count) }));
        sizes
    }

    pub(crate) fn rows(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        if let Some(own) = self.latency {
            let interval = format!("x{:.3} [{:.3}, {:.3}]", own.ratio, own.ratio_low, own.ratio_high);
            rows.push(("latency, median", format!("{:.3} ms", own.before), format!("{:.3} ms", own.after), interval));
            let (before, after) = (format!("{:.3} ms", own.before_p95), format!("{:.3} ms", own.after_p95));
            rows.push(("latency, p95", before, after, format!("x{:.3}", own.after_p95 / own.before_p95)));
        }
        for (name, change, show) in self.sizes() {
            let (before, after) = (show(change.before as f64), show(change.after as f64));
            rows.push((name, before, after, format!("x{:.3}", change.ratio())));
        }
        if let Some(own) = self.accuracy {
            let points = format!("{:+.2} points on {}", own.after - own.before, plural(own.images, "image"));
            rows.push(("top-1", format!("{:.2} %", own.before), format!("{:.2} %", own.after), points));
        }
        if let Some(agreement) = self.agreement {
            rows.push(("agreement", String::new(), format!("{:.2} %", 100.0 * agreement), String::new()));
        }
        if let Some(own) = self.shift_consistency {
            let what = "of the dense model's answers stay when images move by a pixel".to_owned();
            rows.push(("shift consistency", format!("{:.2} %", 100.0 * own), String::new(), what));
        }
        if let Some(own) = self.detections {
            rows.push(("detections", thousands(own.dense), thousands(own.kept), detections(own)));
        }
        if let Some(own) = self.metric {
            let (before, after) = (significant(own.before), significant(own.after));
            rows.push(("metric", before, after, metric_change(own)));
        }
        rows
    }
}

/// How firm the dense model's answers are, below the agreement with them.
pub(super) fn shift_consistency(out: &mut String, share: Option<f64>) -> fmt::Result {
    let Some(share) = share else { return Ok(()) };
    let text = "of its own, images moved by a pixel";
    writeln!(out, "  {:<12}{:>12}{:>10.2} %  {text}", "  moved", "", 100.0 * share)
}

/// What became of detections: the share that is kept, new ones, and the scores.
pub(crate) fn detections(own: &DetectionFigures) -> String {
    let scores = own.score_change.map_or_else(String::new, |change| format!(", scores {change:+.3}"));
    format!("{:.1} % kept, {} new{scores}", 100.0 * own.kept_share(), thousands(own.added))
}

/// What became of a metric, and which way is worse where that is not the usual one.
pub(crate) fn metric_change(own: &MetricChange) -> String {
    let way = if own.lower_is_better { ", lower is better" } else { "" };
    format!("{}{way}", signed(own.after - own.before))
}

impl QuantizeSummary {
    pub(crate) fn figures(&self) -> Figures<'_> {
        Figures {
            latency: self.latency_ms.as_ref(),
            macs: None,
            params: None,
            bytes: self.bytes,
            blocks: None,
            accuracy: self.accuracy.as_ref(),
            agreement: self.agreement,
            shift_consistency: self.shift_consistency,
            detections: self.detections.as_ref(),
            metric: None,
        }
    }
}

impl Summary {
    /// How many blocks there were and are, where some were left out.
    fn blocks_left(&self) -> Option<Change> {
        let all = self.blocks.len() as u64;
        let left = self.blocks.iter().filter(|own| !own.gone).count() as u64;
        (all > 0).then_some(Change { before: all, after: left })
    }

    pub(crate) fn figures(&self) -> Figures<'_> {
        Figures {
            latency: self.latency_ms.as_ref(),
            macs: Some(self.macs),
            params: Some(self.params),
            bytes: self.bytes,
            blocks: self.blocks_left(),
            accuracy: self.accuracy.as_ref(),
            agreement: self.agreement,
            shift_consistency: self.shift_consistency,
            detections: self.detections.as_ref(),
            metric: self.metric.as_ref(),
        }
    }
}
