//! The check on a terminal: bounds first, figures below.

use std::fmt::Write as _;

use super::CheckFormat;
use crate::bench::latency::Interval;
use crate::check::{Checked, Outcome};
use crate::report::{Style, held_by, printable};

/// Layers that did not get faster which are named.
const MOST_LAYERS: usize = 5;

/// Plain or coloured text for 80 columns.
#[derive(Debug, Clone, Copy, Default)]
pub struct CheckTerminal {
    /// Colours.
    pub style: Style,
}

impl CheckFormat for CheckTerminal {
    fn name(&self) -> &'static str {
        "terminal"
    }

    fn render(&self, checked: &Checked) -> Result<String, String> {
        self.write(checked).map_err(|error| error.to_string())
    }
}

impl CheckTerminal {
    fn word(self, outcome: Outcome) -> String {
        let text = format!("{:<13}", outcome.word());
        match outcome {
            Outcome::Passed => self.style.good(&text),
            Outcome::Inconclusive => self.style.faint(&text),
            Outcome::Failed => self.style.bad(&text),
        }
    }

    fn write(self, checked: &Checked) -> Result<String, std::fmt::Error> {
        let mut out = String::new();
        let files = format!("{} against {}", checked.new.path.display(), checked.base.path.display());
        let verdict = format!("{}: {}", checked.outcome.word(), printable(&files));
        writeln!(out, "{}\n", self.style.strong(&verdict))?;
        for gate in &checked.gates {
            let head = format!("  {}", self.word(gate.outcome));
            crate::report::lines(&mut out, &head, &gate.describe(), 15)?;
        }
        if checked.gates.is_empty() {
            writeln!(out, "  no bound was given: `onnx-prune check --help` lists them")?;
        }
        writeln!(out)?;
        for (name, before, after, change) in checked.figures().rows() {
            let line = format!("  {name:<18}{before:>12}{after:>12}  {change}");
            writeln!(out, "{}", line.trim_end())?;
        }
        writeln!(out)?;
        self.details(&mut out, checked)?;
        Ok(out)
    }

    fn details(self, out: &mut String, checked: &Checked) -> std::fmt::Result {
        let mut detail = |name: &str, text: &str| {
            let head = format!("  {} ", self.style.faint(&format!("{name:<9}")));
            crate::report::lines(out, &head, text, 12)
        };
        let (engine, machine) = (&checked.engine, &checked.machine);
        let where_ = format!("{}; {}, {} cores", engine.describe(), machine.processor, machine.cores);
        detail("engine", &where_)?;
        if let Some(own) = &checked.latency_ms {
            let mut text = format!("{} pairs, batch {}", own.pairs, own.batch);
            if let Some(noise) = checked.noise {
                let Interval { median, low, high } = noise;
                write!(text, "; the base against itself: x{median:.3} [{low:.3}, {high:.3}]")?;
            }
            if let Some([before, after]) = checked.prepare_ms {
                write!(text, "; prepared in {before:.0} and {after:.0} ms")?;
            }
            if let Some(held) = checked.session_bytes {
                write!(text, "; the sessions hold {}", held_by(held))?;
            }
            detail("timing", &text)?;
        }
        if let Some(own) = &checked.detections {
            detail("detected", &own.read)?;
        }
        if let Some(own) = &checked.metric {
            detail("metric", &own.command)?;
        }
        for layer in checked.profile.iter().flat_map(crate::bench::profile::Profile::noted).take(MOST_LAYERS) {
            detail("layer", &format!("{}: {}", printable(&layer.name), layer.note.as_deref().unwrap_or_default()))?;
        }
        for warning in &checked.warnings {
            detail("warning", warning)?;
        }
        detail("seconds", &format!("{:.1}", checked.seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::formats::samples::checked;

    #[test]
    fn bounds_first() {
        insta::assert_snapshot!(CheckTerminal::default().render(&checked()).unwrap());
    }
}
