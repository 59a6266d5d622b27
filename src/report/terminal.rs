//! The report on a terminal: the figures that matter first, the rest below.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{Change, Format, ProtectedChannels, Style, Summary, bytes, count};
use crate::compensate::Method;

/// Rows of a table before it is cut short; the JSON report has all.
const MOST_ROWS: usize = 16;

/// Plain or coloured text, at most 100 columns wide.
#[derive(Debug, Clone, Copy, Default)]
pub struct Terminal {
    /// Colours.
    pub style: Style,
}

impl Format for Terminal {
    fn name(&self) -> &'static str {
        "terminal"
    }

    fn render(&self, summary: &Summary) -> Result<String, String> {
        let mut out = String::new();
        self.headline(&mut out, summary).map_err(|error| error.to_string())?;
        self.table(&mut out, summary).map_err(|error| error.to_string())?;
        self.groups(&mut out, summary).map_err(|error| error.to_string())?;
        protected(&mut out, &summary.protected, self.style).map_err(|error| error.to_string())?;
        self.details(&mut out, summary).map_err(|error| error.to_string())?;
        Ok(out)
    }
}

impl Terminal {
    fn headline(self, out: &mut String, summary: &Summary) -> std::fmt::Result {
        let mut parts = vec![format!("MACs x{:.3}", summary.macs.ratio())];
        if let Some(latency) = &summary.latency_ms {
            parts.push(format!("latency x{:.2} [{:.2}, {:.2}]", latency.ratio, latency.ratio_low, latency.ratio_high));
        }
        if let Some(accuracy) = &summary.accuracy {
            parts.push(format!("accuracy {:.1} % -> {:.1} %", accuracy.before, accuracy.after));
        }
        writeln!(out, "{}", self.style.strong(&parts.join(", ")))?;
        writeln!(out, "{} -> {}\n", summary.model.path.display(), summary.output.path.display())
    }

    fn table(self, out: &mut String, summary: &Summary) -> std::fmt::Result {
        writeln!(out, "{}", self.style.faint(&format!("  {:<12}{:>12}{:>12}{:>9}", "", "before", "after", "kept")))?;
        let mut row = |name: &str, change: &Change, unit: fn(f64) -> String| {
            let (before, after) = (unit(change.before as f64), unit(change.after as f64));
            writeln!(out, "  {name:<12}{before:>12}{after:>12}{:>9.3}", change.ratio())
        };
        row("MACs", &summary.macs, count)?;
        row("parameters", &summary.params, count)?;
        row("file", &summary.bytes, bytes)?;
        if let Some(latency) = &summary.latency_ms {
            writeln!(
                out,
                "  {:<12}{:>9.3} ms{:>9.3} ms{:>9.3}  [{:.3}, {:.3}], {} pairs, batch {}",
                "latency",
                latency.before,
                latency.after,
                latency.ratio,
                latency.ratio_low,
                latency.ratio_high,
                latency.pairs,
                latency.batch
            )?;
            writeln!(out, "  {:<12}{:>9.3} ms{:>9.3} ms", "  p95", latency.before_p95, latency.after_p95)?;
        }
        if let Some(accuracy) = &summary.accuracy {
            let seen = if accuracy.seen_in_calibration { ", seen in calibration" } else { "" };
            writeln!(
                out,
                "  {:<12}{:>10.2} %{:>10.2} %{:>+9.2}  95 %: [{:.1}, {:.1}] -> [{:.1}, {:.1}], {} images{seen}",
                "top-1",
                accuracy.before,
                accuracy.after,
                accuracy.after - accuracy.before,
                accuracy.before_interval.low,
                accuracy.before_interval.high,
                accuracy.after_interval.low,
                accuracy.after_interval.high,
                accuracy.images
            )?;
        }
        if let Some(agreement) = summary.agreement {
            writeln!(
                out,
                "  {:<12}{:>12}{:>10.2} %  of answers as the dense model",
                "agreement",
                "",
                100.0 * agreement
            )?;
        }
        writeln!(out)
    }

    fn groups(self, out: &mut String, summary: &Summary) -> std::fmt::Result {
        let changed: Vec<_> = summary.groups.iter().filter(|group| group.width_after < group.width_before).collect();
        let title = format!("{} of {} groups cut", changed.len(), summary.groups.len());
        writeln!(out, "{}", self.style.strong(&title))?;
        for group in changed.iter().take(MOST_ROWS) {
            let bar = bar(group.width_after, group.width_before);
            let name = shorten(&group.name, 44);
            writeln!(out, "  {name:<44} {:>5} -> {:<5} {bar}", group.width_before, group.width_after)?;
        }
        if changed.len() > MOST_ROWS {
            let more = format!("  and {} more; `--report FILE.json` lists all", changed.len() - MOST_ROWS);
            writeln!(out, "{}", self.style.faint(&more))?;
        }
        writeln!(out)
    }

    fn details(self, out: &mut String, summary: &Summary) -> std::fmt::Result {
        let mut line = |name: &str, text: &str| writeln!(out, "  {} {text}", self.style.faint(&format!("{name:<14}")));
        let engine = &summary.engine;
        let library = engine.library.as_ref().map(|path| format!(" from {}", path.display())).unwrap_or_default();
        line(
            "engine",
            &format!("{} {} on {}, {} threads{library}", engine.name, engine.version, engine.provider, engine.threads),
        )?;
        line(
            "criterion",
            &format!(
                "{}, {}, widths in steps of {}, seed {}",
                summary.criterion, summary.budget, summary.rounding.block, summary.seed
            ),
        )?;
        if let Some(calibration) = &summary.calibration {
            line(
                "calibration",
                &format!("{} images of {} classes ({})", calibration.images, calibration.classes, calibration.source),
            )?;
            line("preprocessing", &calibration.preprocessing)?;
        }
        line("compensation", &methods(summary))?;
        if let Some(verified) = &summary.verification {
            let text = format!(
                "masked = sliced: largest difference {:.1e} of the output's scale, {:.0e} allowed, {} runs",
                verified.agreement.max_error, verified.agreement.tolerance, verified.runs
            );
            line("verified", &self.style.good(&text))?;
        }
        let times: Vec<String> =
            summary.timings_s.iter().map(|(phase, seconds)| format!("{phase} {seconds:.1}")).collect();
        line("seconds", &times.join(", "))?;
        if let Some(peak) = summary.peak_memory_bytes {
            line("peak memory", &bytes(peak as f64))?;
        }
        for note in &summary.notes {
            line("note", note)?;
        }
        Ok(())
    }
}

fn methods(summary: &Summary) -> String {
    let mut counts: BTreeMap<Method, usize> = BTreeMap::new();
    for (_, method) in &summary.compensation.consumers {
        *counts.entry(*method).or_default() += 1;
    }
    if counts.is_empty() {
        return "none".into();
    }
    let name = |method: &Method| match method {
        Method::Window => "least squares over windows",
        Method::Channel => "least squares over channels",
        Method::Bias => "bias only",
        Method::None => "unchanged",
    };
    let parts: Vec<String> = counts.iter().map(|(method, count)| format!("{count} {}", name(method))).collect();
    format!("{} consumers: {}", summary.compensation.consumers.len(), parts.join(", "))
}

/// Lists what stays whole, one line per reason.
pub(super) fn protected(out: &mut String, found: &[ProtectedChannels], style: Style) -> std::fmt::Result {
    if found.is_empty() {
        return Ok(());
    }
    writeln!(out, "{}", style.strong(&format!("channels of {} operators protected", found.len())))?;
    for entry in found.iter().take(MOST_ROWS) {
        let name = shorten(&entry.node, 34);
        let reasons = entry.reasons.first().cloned().unwrap_or_default();
        let more =
            if entry.reasons.len() > 1 { format!(" (+{} more)", entry.reasons.len() - 1) } else { String::new() };
        writeln!(out, "  {name:<34} {:>4} of {:<4} {reasons}{more}", entry.channels, entry.of)?;
    }
    if found.len() > MOST_ROWS {
        writeln!(out, "{}", style.faint(&format!("  and {} more", found.len() - MOST_ROWS)))?;
    }
    writeln!(out)
}

/// Twelve cells, filled by the share that stays.
fn bar(after: usize, before: usize) -> String {
    let filled = (12 * after).div_ceil(before.max(1)).min(12);
    format!("{}{}", "#".repeat(filled), ".".repeat(12 - filled))
}

/// The end of a long name tells more than its beginning.
pub(super) fn shorten(name: &str, width: usize) -> String {
    let length = name.chars().count();
    if length <= width {
        return name.to_owned();
    }
    let tail: String = name.chars().skip(length - (width - 3)).collect();
    format!("...{tail}")
}
