//! Markdown for a comment or a step summary.

use std::fmt::{self, Write as _};

use super::text::markdown;
use super::{AccuracyChange, Figures, FileInfo, Format, QuantizeSummary, Quantized, Summary};
use crate::bench::profile::Profile;
use crate::evaluate::MetricChange;

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

/// The report of `onnx-prune quantize` as Markdown.
///
/// # Errors
/// If the text cannot be written.
pub fn quantize_markdown(summary: &QuantizeSummary) -> Result<String, fmt::Error> {
    let mut out = String::new();
    head(&mut out, &summary.model, &summary.figures(), &summary.warnings)?;
    integers(&mut out, Some(&summary.quantized))?;
    lost_most(&mut out, summary.accuracy.as_ref())?;
    let (engine, version, precision) = (summary.engine.describe(), &summary.tool_version, summary.quantized.precision);
    writeln!(out, "\n<sub>{engine}; {}; seed {}; onnx-prune {version}</sub>", precision.name(), summary.seed)?;
    Ok(out)
}

/// Title, figures, warnings.
fn head(out: &mut String, model: &FileInfo, figures: &Figures<'_>, warnings: &[String]) -> fmt::Result {
    writeln!(out, "### onnx-prune of {}\n", markdown(&model.path.display().to_string()))?;
    writeln!(out, "| | before | after | |\n|---|---:|---:|---|")?;
    for (name, before, after, change) in figures.rows() {
        writeln!(out, "| {name} | {before} | {after} | {change} |")?;
    }
    for warning in warnings {
        writeln!(out, "\n> **Warning:** {}", markdown(warning))?;
    }
    Ok(())
}

/// How the model is written in integers.
fn integers(out: &mut String, quantized: Option<&Quantized>) -> fmt::Result {
    let Some(own) = quantized else { return Ok(()) };
    writeln!(out, "\n<details><summary>{}</summary>\n", own.title())?;
    for (name, text) in own.entries() {
        writeln!(out, "- {name}: {}", markdown(&text))?;
    }
    for step in own.steps.iter().filter(|step| step.kept) {
        writeln!(out, "- error of the outputs {:.2e}: {}", step.error, markdown(&step.what))?;
    }
    writeln!(out, "\n</details>")
}

fn write(summary: &Summary) -> Result<String, fmt::Error> {
    let mut out = String::new();
    head(&mut out, &summary.model, &summary.figures(), &summary.warnings)?;
    integers(&mut out, summary.quantized.as_ref())?;
    metric_command(&mut out, summary.metric.as_ref())?;
    lost_most(&mut out, summary.accuracy.as_ref())?;
    not_faster(&mut out, summary.profile.as_ref())?;
    writeln!(
        out,
        "\n<sub>{}{}; {}, {}; seed {}; onnx-prune {}</sub>",
        summary.engine.describe(),
        summary.device.as_ref().map(|own| format!("; timed on {}", markdown(&own.describe()))).unwrap_or_default(),
        summary.criterion,
        markdown(&summary.budget),
        summary.seed,
        summary.tool_version
    )?;
    Ok(out)
}

/// The command behind the metric.
pub(crate) fn metric_command(out: &mut String, metric: Option<&MetricChange>) -> fmt::Result {
    metric.map_or(Ok(()), |own| writeln!(out, "\nMetric: {}", markdown(&own.command)))
}

/// Classes that answer less often right than before.
pub(crate) fn lost_most(out: &mut String, accuracy: Option<&AccuracyChange>) -> fmt::Result {
    let Some(own) = accuracy else { return Ok(()) };
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

/// Layers that did not get faster as their work fell, and why.
pub(crate) fn not_faster(out: &mut String, profile: Option<&Profile>) -> fmt::Result {
    let noted = profile.into_iter().flat_map(Profile::noted);
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
    use crate::report::samples::{full, quantize_summary};

    #[test]
    fn a_comment() {
        insta::assert_snapshot!(Markdown.render(&full()).unwrap());
    }

    #[test]
    fn a_comment_on_integers() {
        insta::assert_snapshot!(quantize_markdown(&quantize_summary()).unwrap());
    }
}
