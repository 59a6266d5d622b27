//! Markdown for a comment or a step summary.

use std::fmt::{self, Write as _};

use super::text::{markdown, plural};
use super::{Format, Summary, bytes, count};

/// Classes and layers that are listed.
const MOST: usize = 10;

/// The figures that decide, warnings, and the rest folded away.
#[derive(Debug, Clone, Copy, Default)]
pub struct Markdown;

impl Format for Markdown {
    fn name(&self) -> &'static str {
        "markdown"
    }

    fn render(&self, summary: &Summary) -> Result<String, String> {
        write(summary).map_err(|error| error.to_string())
    }
}

fn write(summary: &Summary) -> Result<String, fmt::Error> {
    let mut out = String::new();
    writeln!(out, "### onnx-prune of {}\n", markdown(&summary.model.path.display().to_string()))?;
    writeln!(out, "| | before | after | kept |\n|---|---:|---:|---|")?;
    if let Some(own) = &summary.latency_ms {
        let kept = format!("x{:.3} [{:.3}, {:.3}]", own.ratio, own.ratio_low, own.ratio_high);
        writeln!(out, "| latency | {:.3} ms | {:.3} ms | {kept} |", own.before, own.after)?;
    }
    for (name, change, show) in [
        ("MACs", &summary.macs, count as fn(f64) -> String),
        ("parameters", &summary.params, count),
        ("file", &summary.bytes, bytes),
    ] {
        let (before, after) = (show(change.before as f64), show(change.after as f64));
        writeln!(out, "| {name} | {before} | {after} | x{:.3} |", change.ratio())?;
    }
    if let Some(own) = &summary.accuracy {
        let images = plural(own.images, "image");
        let points = format!("{:+.2} points on {images}", own.after - own.before);
        writeln!(out, "| top-1 | {:.2} % | {:.2} % | {points} |", own.before, own.after)?;
    }
    if let Some(agreement) = summary.agreement {
        writeln!(out, "| agreement | | {:.2} % | |", 100.0 * agreement)?;
    }
    for warning in &summary.warnings {
        writeln!(out, "\n> **Warning:** {}", markdown(warning))?;
    }
    lost(&mut out, summary)?;
    slow(&mut out, summary)?;
    let engine = &summary.engine;
    writeln!(
        out,
        "\n<sub>{} {} on {}, threads {}; {}, {}; seed {}; onnx-prune {}</sub>",
        engine.name,
        engine.version,
        engine.provider,
        engine.threads,
        summary.criterion,
        markdown(&summary.budget),
        summary.seed,
        summary.tool_version
    )?;
    Ok(out)
}

fn lost(out: &mut String, summary: &Summary) -> fmt::Result {
    let Some(own) = &summary.accuracy else { return Ok(()) };
    let change = |own: &super::ClassChange| own.after.recall - own.before.recall;
    let mut classes: Vec<_> = own.classes.iter().filter(|own| change(own) < 0.0).collect();
    classes.sort_by(|a, b| change(a).total_cmp(&change(b)));
    if classes.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\n<details><summary>Classes that lost most</summary>\n\n| class | before | after |\n|---|---:|---:|"
    )?;
    for class in classes.into_iter().take(MOST) {
        writeln!(out, "| {} | {:.1} % | {:.1} % |", markdown(&class.name), class.before.recall, class.after.recall)?;
    }
    writeln!(out, "\n</details>")
}

fn slow(out: &mut String, summary: &Summary) -> fmt::Result {
    let noted = summary.profile.iter().flat_map(crate::profile::Profile::noted);
    let layers: Vec<_> = noted.take(MOST).collect();
    if layers.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n<details><summary>Layers that did not get faster as their work fell</summary>\n")?;
    for layer in layers {
        writeln!(out, "- {}: {}", markdown(&layer.name), markdown(layer.note.as_deref().unwrap_or_default()))?;
    }
    writeln!(out, "\n</details>")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples::full;

    #[test]
    fn a_comment() {
        insta::assert_snapshot!(Markdown.render(&full()).unwrap());
    }
}
