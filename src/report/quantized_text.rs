//! A model in integers on a terminal.

use std::fmt::{self, Write as _};

use super::figures::shift_consistency;
use super::text::wrap;
use super::{Calibrated, QuantizeSummary, Quantized, Style, bytes, detections, lines};
use crate::explain::Names;
use crate::quantize::Precision;

/// Products in real numbers that are named.
const MOST_NAMED: usize = 3;

impl QuantizeSummary {
    /// For people, in 80 columns.
    ///
    /// # Errors
    /// If writing fails.
    pub fn render(&self, style: Style) -> Result<String, fmt::Error> {
        let mut out = String::new();
        let mut parts = vec![self.quantized.precision.name().to_owned()];
        if let Some(latency) = &self.latency_ms {
            parts.push(format!("latency x{:.2} [{:.2}, {:.2}]", latency.ratio, latency.ratio_low, latency.ratio_high));
        }
        parts.push(format!("file x{:.2}", self.bytes.ratio()));
        if let Some(accuracy) = &self.accuracy {
            let images = super::text::plural(accuracy.images, "image");
            parts.push(format!("accuracy {:.1} -> {:.1} % on {images}", accuracy.before, accuracy.after));
        }
        for line in wrap(&parts.join(", "), 0, 0) {
            writeln!(out, "{}", style.strong(&line))?;
        }
        lines(&mut out, "", &format!("{} -> {}", self.model.path.display(), self.output.path.display()), 0)?;
        for warning in &self.warnings {
            lines(&mut out, &style.bad("warning: "), warning, 9)?;
        }
        writeln!(out, "\n{}", style.faint(&format!("  {:<12}{:>12}{:>12}{:>9}", "", "before", "after", "kept")))?;
        let (before, after) = (bytes(self.bytes.before as f64), bytes(self.bytes.after as f64));
        writeln!(out, "  {:<12}{before:>12}{after:>12}{:>9.3}", "file", self.bytes.ratio())?;
        if let Some(own) = &self.latency_ms {
            let (low, high) = (own.ratio_low, own.ratio_high);
            let (before, after) = (own.before, own.after);
            writeln!(
                out,
                "  {:<12}{before:>9.3} ms{after:>9.3} ms{:>9.3}  95 %: [{low:.3}, {high:.3}]",
                "latency", own.ratio
            )?;
        }
        if let Some(own) = &self.accuracy {
            let kind = if own.seen_in_calibration { "calibration" } else { "held-out" };
            let (images, change) = (own.images, own.after - own.before);
            writeln!(
                out,
                "  {:<12}{:>10.2} %{:>10.2} %{change:>+9.2}  {images} {kind} images",
                "top-1", own.before, own.after
            )?;
        }
        if let Some(agreement) = self.agreement {
            writeln!(out, "  {:<12}{:>12}{:>10.2} %", "agreement", "", 100.0 * agreement)?;
            shift_consistency(&mut out, self.shift_consistency)?;
        }
        if let Some(own) = &self.detections {
            lines(&mut out, "  detections     ", &detections(own), 17)?;
        }
        writeln!(out)?;
        self.quantized.write(&mut out)?;
        let Calibrated { images, classes, source, preprocessing, .. } = &self.calibration;
        let data = format!("{} of {classes} classes ({source})", super::text::plural(*images, "image"));
        let named =
            [("engine", self.engine.describe()), ("calibration", data), ("preprocessing", preprocessing.clone())];
        let device = self.device.as_ref().map(|own| ("device", own.describe()));
        for (name, text) in named.iter().chain(&device) {
            lines(&mut out, &format!("  {name:<15}"), text, 17)?;
        }
        let seconds = self.timings_s.iter().map(|(phase, seconds)| format!("{phase} {seconds:.1}"));
        lines(&mut out, "  seconds        ", &seconds.collect::<Vec<_>>().join(", "), 17)?;
        for note in &self.notes {
            lines(&mut out, "  note           ", note, 17)?;
        }
        Ok(out)
    }
}

impl Quantized {
    /// The lines of a report.
    pub(super) fn write(&self, out: &mut String) -> fmt::Result {
        for (name, text) in self.entries() {
            lines(out, &format!("  {name:<15}"), &text, 17)?;
        }
        let steps = self
            .steps
            .iter()
            .map(|own| format!("{:.2e} {}{}", own.error, own.what, if own.kept { " (taken)" } else { "" }));
        lines(out, "  output error   ", &steps.collect::<Vec<_>>().join("; "), 17)
    }

    /// The name of its section.
    pub(super) fn title(&self) -> &'static str {
        match self.precision {
            Precision::Int8 => "Integers",
            Precision::Fp16 => "Half precision",
        }
    }

    /// What was done and what the engine makes of it: names and texts.
    pub(super) fn entries(&self) -> Vec<(&'static str, String)> {
        let (products, values) = (self.products, self.values);
        let form = match self.activations {
            Some(own) => format!(
                "{products} products on integers, {values} values rounded; activations {}, weights s{} for each output",
                own.name(),
                self.weight_bits
            ),
            None => format!("{products} products and {values} values in half precision"),
        };
        let mut entries = vec![(if self.activations.is_some() { "integers" } else { "half" }, form)];
        if !self.float.is_empty() {
            let names: Vec<String> = self.float.iter().map(|own| format!("`{}` ({})", own.name, own.why)).collect();
            entries.push(("in float", Names(&names, MOST_NAMED).to_string()));
        }
        entries.extend(self.operators.as_ref().map(|own| {
            let told = format!(
                "{} of {} operators on integers, {} conversions, {} products in float",
                own.integers, own.all, own.conversions, own.real_products
            );
            ("engine", told)
        }));
        if self.proof.operators > 0 {
            let told = format!(
                "{} operators compute what the file says, to {} step of their integers",
                self.proof.operators - self.proof.broken.len(),
                self.proof.steps
            );
            entries.push(("verified", told));
        }
        entries
    }
}
