//! The report on a terminal: the figures that matter first, the rest below.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use super::figures::shift_consistency;
use super::text::{plural, shorten, thousands, wrap};
use super::{
    AccuracyChange, BlockChange, Classwise, Format, ProtectedChannels, Style, Summary, bytes, count, detections,
    metric_change,
};
use crate::bench::profile::Profile;
use crate::engine::Convolutions;
use crate::number::significant;

/// Rows of a table before it is cut short; the JSON report has all.
const MOST_ROWS: usize = 16;

/// Layers that did not get faster which are named.
const MOST_LAYERS: usize = 3;

/// A start that takes longer than this is worth a line: an engine that is built takes minutes.
const SLOW_START_MS: f64 = 2e3;

/// Column in which the text of a named line starts.
const DETAIL: usize = 17;

/// Phases in the order of a run; others come after them.
const PHASES: [&str; 13] = [
    "load",
    "analyse",
    "calibrate",
    "score",
    "plan",
    "blocks",
    "rewrite",
    "verify",
    "compensate",
    "evaluate",
    "metric",
    "time",
    "save",
];

/// Plain or coloured text for 80 columns.
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
        self.write(summary).map_err(|error| error.to_string())
    }
}

impl Terminal {
    fn write(self, summary: &Summary) -> Result<String, fmt::Error> {
        let mut out = String::new();
        self.headline(&mut out, summary)?;
        self.costs(&mut out, summary)?;
        self.quality(&mut out, summary)?;
        writeln!(out)?;
        self.groups(&mut out, summary)?;
        self.blocks(&mut out, &summary.blocks)?;
        protected(&mut out, &summary.protected, self.style)?;
        self.run(&mut out, summary)?;
        self.checks(&mut out, summary)?;
        Ok(out)
    }

    fn headline(self, out: &mut String, summary: &Summary) -> fmt::Result {
        let mut parts = vec![format!("MACs x{:.2}", summary.macs.ratio())];
        if let Some(latency) = &summary.latency_ms {
            parts.push(format!("latency x{:.2} [{:.2}, {:.2}]", latency.ratio, latency.ratio_low, latency.ratio_high));
        }
        if let Some(accuracy) = &summary.accuracy {
            let images = plural(accuracy.images, "image");
            parts.push(format!("accuracy {:.1} -> {:.1} % on {images}", accuracy.before, accuracy.after));
        }
        for line in wrap(&parts.join(", "), 0, 0) {
            writeln!(out, "{}", self.style.strong(&line))?;
        }
        let files = format!("{} -> {}", summary.model.path.display(), summary.output.path.display());
        lines(out, "", &files, 0)?;
        for warning in &summary.warnings {
            lines(out, &self.style.bad("warning: "), warning, 9)?;
        }
        writeln!(out)
    }

    fn costs(self, out: &mut String, summary: &Summary) -> fmt::Result {
        writeln!(out, "{}", self.style.faint(&format!("  {:<12}{:>12}{:>12}{:>9}", "", "before", "after", "kept")))?;
        for (name, change, unit) in summary.figures().sizes() {
            let (before, after) = (unit(change.before as f64), unit(change.after as f64));
            writeln!(out, "  {name:<12}{before:>12}{after:>12}{:>9.3}", change.ratio())?;
        }
        let Some(latency) = &summary.latency_ms else { return Ok(()) };
        writeln!(
            out,
            "  {:<12}{:>9.3} ms{:>9.3} ms{:>9.3}  95 %: [{:.3}, {:.3}]",
            "latency", latency.before, latency.after, latency.ratio, latency.ratio_low, latency.ratio_high
        )?;
        let how = format!("{}, batch {}", plural(latency.pairs, "pair"), latency.batch);
        writeln!(out, "  {:<12}{:>9.3} ms{:>9.3} ms{:>9}  {how}", "  p95", latency.before_p95, latency.after_p95, "")?;
        for own in &summary.other_devices {
            let latency = &own.latency_ms;
            writeln!(
                out,
                "  {:<12}{:>9.3} ms{:>9.3} ms{:>9.3}  95 %: [{:.3}, {:.3}]",
                "  other", latency.before, latency.after, latency.ratio, latency.ratio_low, latency.ratio_high
            )?;
            lines(out, "               on ", &own.device.device, 18)?;
        }
        Ok(())
    }

    #[allow(clippy::unused_self, reason = "one section of the report like the others")]
    fn quality(self, out: &mut String, summary: &Summary) -> fmt::Result {
        if let Some(accuracy) = &summary.accuracy {
            let kind = if accuracy.seen_in_calibration { "calibration" } else { "held-out" };
            writeln!(
                out,
                "  {:<12}{:>10.2} %{:>10.2} %{:>+9.2}  {} {kind} images",
                "top-1",
                accuracy.before,
                accuracy.after,
                accuracy.after - accuracy.before,
                thousands(accuracy.images)
            )?;
            let interval = |low: f64, high: f64| format!("{low:.1}..{high:.1}");
            let (before, after) = (&accuracy.before_interval, &accuracy.after_interval);
            let (before, after) = (interval(before.low, before.high), interval(after.low, after.high));
            writeln!(out, "  {:<12}{before:>12}{after:>12}", "  95 %")?;
            classes(out, accuracy)?;
        }
        if let Some(own) = &summary.detections {
            let (dense, kept) = (thousands(own.dense), thousands(own.kept));
            writeln!(out, "  {:<12}{dense:>12}{kept:>12}  {}", "detections", detections(own))?;
        }
        if let Some(own) = &summary.metric {
            let (before, after) = (significant(own.before), significant(own.after));
            writeln!(out, "  {:<12}{before:>12}{after:>12}  {}", "metric", metric_change(own))?;
        }
        if let Some(agreement) = summary.agreement {
            let text = "of answers as the dense model's";
            writeln!(out, "  {:<12}{:>12}{:>10.2} %  {text}", "agreement", "", 100.0 * agreement)?;
            shift_consistency(out, summary.shift_consistency)?;
        } else {
            for output in summary.outputs.iter().take(MOST_ROWS) {
                writeln!(out, "  {:<24} {}", shorten(&output.name, 24), super::repair::figures(output))?;
            }
        }
        Ok(())
    }

    fn groups(self, out: &mut String, summary: &Summary) -> fmt::Result {
        let changed: Vec<_> = summary.groups.iter().filter(|group| group.width_after < group.width_before).collect();
        let title = format!("{} of {} cut", thousands(changed.len()), plural(summary.groups.len(), "group"));
        writeln!(out, "{}", self.style.strong(&title))?;
        for group in changed.iter().take(MOST_ROWS) {
            let bar = bar(group.width_after, group.width_before);
            let name = shorten(&group.name, 44);
            writeln!(out, "  {name:<44} {:>5} -> {:<5} {bar}", group.width_before, group.width_after)?;
        }
        if changed.len() > MOST_ROWS {
            let more = format!("  and {} more; `--report FILE.json` lists all", thousands(changed.len() - MOST_ROWS));
            writeln!(out, "{}", self.style.faint(&more))?;
        }
        writeln!(out)
    }

    /// Blocks that were left out.
    fn blocks(self, out: &mut String, blocks: &[BlockChange]) -> fmt::Result {
        let gone: Vec<&BlockChange> = blocks.iter().filter(|own| own.gone).collect();
        if gone.is_empty() {
            return Ok(());
        }
        let title = format!("{} of {} left out", thousands(gone.len()), plural(blocks.len(), "block"));
        writeln!(out, "{}", self.style.strong(&title))?;
        for own in gone.iter().take(MOST_ROWS) {
            let (macs, params) = (count(own.macs as f64), count(own.params as f64));
            writeln!(out, "  {:<44} {macs} MACs, {params} parameters", shorten(&own.name, 44))?;
        }
        if gone.len() > MOST_ROWS {
            let more = format!("  and {} more; `--report FILE.json` lists all", thousands(gone.len() - MOST_ROWS));
            writeln!(out, "{}", self.style.faint(&more))?;
        }
        writeln!(out)
    }

    /// One line `name  text`, continued below the text.
    fn detail(self, out: &mut String, name: &str, text: &str) -> fmt::Result {
        let name = self.style.faint(&format!("{name:<14}"));
        lines(out, &format!("  {name} "), text, DETAIL)
    }

    fn run(self, out: &mut String, summary: &Summary) -> fmt::Result {
        let engine = &summary.engine;
        let library = engine.library.as_ref().map(|path| format!(" from {}", path.display())).unwrap_or_default();
        let threads = plural(engine.threads, "thread");
        let name = format!("{}, {threads}{library}", engine.kind());
        self.detail(out, "engine", &name)?;
        if let Some(own) = &summary.device {
            self.detail(out, "device", &own.describe())?;
        }
        if let Some([before, after]) = summary.prepare_ms.filter(|own| own[0].max(own[1]) >= SLOW_START_MS) {
            let text = format!("first result after {:.1} s before, {:.1} s after", before / 1e3, after / 1e3);
            self.detail(out, "start", &text)?;
        }
        if let Some(held) = summary.session_bytes {
            self.detail(out, "sessions", &format!("hold {}", super::held_by(held)))?;
        }
        let Summary { criterion, budget, allocation, rounding, seed, .. } = summary;
        let step = match rounding.block {
            1 => "any width".to_owned(),
            block => format!("widths in steps of {block}"),
        };
        self.detail(
            out,
            "criterion",
            &format!("{criterion}, {budget}, {}, {step}, seed {seed}", allocation.describe()),
        )?;
        if let Some(profile) = &summary.profile {
            self.layers(out, profile)?;
        }
        if let Some(own) = &summary.detections {
            self.detail(out, "detections", &format!("{} ({})", own.read, plural(own.inputs, "held-out input")))?;
        }
        if let Some(metric) = &summary.metric {
            self.detail(out, "metric", &metric.command)?;
        }
        if let Some(searched) = &summary.searched {
            self.detail(out, "searched", &searched.describe())?;
        }
        if let Some(calibration) = &summary.calibration {
            let images = plural(calibration.images, "image");
            let text = format!("{images} of {} classes ({})", calibration.classes, calibration.source);
            self.detail(out, "calibration", &text)?;
            self.detail(out, "preprocessing", &calibration.preprocessing)?;
        }
        if let Some(classwise) = &summary.classwise {
            self.detail(out, "classes", &at_risk(classwise))?;
        }
        self.detail(out, "compensation", &summary.compensation.methods())?;
        summary.compensation.errors().map_or(Ok(()), |text| self.detail(out, "output error", &text))
    }

    /// How the engine runs the convolutions, and the layers that did not get faster.
    fn layers(self, out: &mut String, profile: &Profile) -> fmt::Result {
        if let Some([before, after]) = &profile.convolutions {
            let of = |own: &Convolutions| format!("{} of {}", own.blocked, own.all);
            let text =
                format!("{} convolutions in the engine's blocked layout before, {} after", of(before), of(after));
            self.detail(out, "layout", &text)?;
        }
        let noted = profile.noted();
        for layer in noted.iter().take(MOST_LAYERS) {
            let text = format!("{}: {}", shorten(&layer.name, 40), layer.note.as_deref().unwrap_or_default());
            self.detail(out, "layer", &text)?;
        }
        if noted.len() > MOST_LAYERS {
            let more = format!("and {} more did not get faster as their work fell", noted.len() - MOST_LAYERS);
            self.detail(out, "layer", &more)?;
        }
        Ok(())
    }

    fn checks(self, out: &mut String, summary: &Summary) -> fmt::Result {
        if let Some(quantized) = &summary.quantized {
            quantized.write(out)?;
        }
        if let Some(verified) = &summary.verification {
            let name = self.style.good(&format!("{:<14}", "verified"));
            let text = format!(
                "masked = sliced in {}: they differ by {:.1e} of the output's scale, {:.0e} allowed",
                plural(verified.runs, "run"),
                verified.agreement.max_error,
                verified.agreement.tolerance
            );
            lines(out, &format!("  {name} "), &text, DETAIL)?;
        }
        self.detail(out, "seconds", &seconds(&summary.timings_s))?;
        if let Some(peak) = summary.peak_memory_bytes {
            self.detail(out, "peak memory", &bytes(peak as f64))?;
        }
        for note in &summary.notes {
            self.detail(out, "note", note)?;
        }
        Ok(())
    }
}

/// The worst class, and the classes that the user weighs more than others with their precision.
fn classes(out: &mut String, accuracy: &AccuracyChange) -> fmt::Result {
    let mut row = |name: &str, before: Option<f64>, after: Option<f64>, text: &str| {
        let percent = |value: Option<f64>| value.map_or_else(|| "-".into(), |value| format!("{value:.2} %"));
        let change = before.zip(after).map_or_else(String::new, |(before, after)| format!("{:+.2}", after - before));
        let line = format!("  {name:<12}{:>12}{:>12}{change:>9}  {text}", percent(before), percent(after));
        writeln!(out, "{}", line.trim_end())
    };
    if let Some(worst) = accuracy.worst() {
        let text = format!("{}, {}", shorten(&worst.name, 16), plural(worst.after.images, "image"));
        row("worst class", Some(worst.before.recall), Some(worst.after.recall), &text)?;
    }
    let weights = accuracy.classes.iter().filter_map(|class| class.weight);
    let largest = weights.fold(0.0, f64::max);
    let least = accuracy.classes.iter().filter_map(|class| class.weight).fold(largest, f64::min);
    for class in accuracy.classes.iter().filter(|class| least < largest && class.weight == Some(largest)) {
        let text = format!("class {}, {}", shorten(&class.name, 16), plural(class.after.images, "image"));
        row("  recall", Some(class.before.recall), Some(class.after.recall), &text)?;
        row("  precision", class.before.precision, class.after.precision, "")?;
    }
    Ok(())
}

/// Writes `text` behind `head`, continued in column `column`.
pub(crate) fn lines(out: &mut String, head: &str, text: &str, column: usize) -> fmt::Result {
    for (number, line) in wrap(text, column, column).iter().enumerate() {
        if number == 0 {
            writeln!(out, "{head}{line}")?;
        } else {
            writeln!(out, "{:column$}{line}", "")?;
        }
    }
    Ok(())
}

/// Which classes the cuts take most from.
fn at_risk(classwise: &Classwise) -> String {
    let groups = classwise.groups.iter().filter(|group| group.most_at_risk.is_some()).count();
    let named: Vec<String> =
        classwise.at_risk().iter().take(3).map(|(name, count)| format!("{} in {count}", shorten(name, 20))).collect();
    let edges = plural(classwise.edges.len(), "edge");
    let followed = format!("{} followed, {edges} in their graph", plural(classwise.classes.len(), "class"));
    if named.is_empty() {
        return followed;
    }
    format!("{followed}; of {}, the cut takes most from {}", plural(groups, "group"), named.join(", "))
}

/// Phases in the order of a run; those that do not show in tenths of a second are only in the sum.
pub(super) fn seconds(timings: &BTreeMap<String, f64>) -> String {
    let place = |name: &str| PHASES.iter().position(|phase| *phase == name).unwrap_or(PHASES.len());
    let mut phases: Vec<(&String, f64)> = timings.iter().map(|(name, seconds)| (name, *seconds)).collect();
    phases.sort_by_key(|(name, _)| place(name));
    let mut parts = vec![format!("{:.1} in all", timings.values().sum::<f64>())];
    parts.extend(phases.iter().filter(|(_, own)| *own >= 0.05).map(|(name, own)| format!("{name} {own:.1}")));
    parts.join(", ")
}

/// Lists what stays whole, with the first reason.
pub(super) fn protected(out: &mut String, found: &[ProtectedChannels], style: Style) -> fmt::Result {
    if found.is_empty() {
        return Ok(());
    }
    let title = format!("channels of {} protected", plural(found.len(), "operator"));
    writeln!(out, "{}", style.strong(&title))?;
    let shown = &found[..found.len().min(MOST_ROWS)];
    let names: Vec<String> = shown.iter().map(|entry| shorten(&entry.node, 34)).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or_default();
    for (entry, name) in shown.iter().zip(&names) {
        let more = match entry.reasons.len() {
            0 | 1 => String::new(),
            reasons => format!(" (and {})", plural(reasons - 1, "other reason")),
        };
        let head = format!("  {name:<width$} {:>5} of {:<5} ", entry.channels, entry.of);
        let reason = entry.reasons.first().cloned().unwrap_or_default() + &more;
        lines(out, &head, &reason, head.chars().count())?;
    }
    if found.len() > MOST_ROWS {
        let more = format!("  and {} more; JSON lists all", thousands(found.len() - MOST_ROWS));
        writeln!(out, "{}", style.faint(&more))?;
    }
    writeln!(out)
}

/// Twelve cells, filled by the share that stays.
fn bar(after: usize, before: usize) -> String {
    let filled = (12 * after).div_ceil(before.max(1)).min(12);
    format!("{}{}", "#".repeat(filled), ".".repeat(12 - filled))
}

#[cfg(test)]
mod tests;
