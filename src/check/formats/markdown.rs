//! Markdown for a comment on a merge request or a step summary.

use std::fmt::Write as _;

use super::{CheckFormat, columns, model_name};
use crate::check::{Checked, Outcome};
use crate::report::{lost_most, markdown, metric_command, not_faster};

/// A verdict, a table of the bounds, one of the figures, and the rest folded away. GitHub and GitLab show it alike.
#[derive(Debug, Clone, Copy, Default)]
pub struct CheckMarkdown;

impl CheckFormat for CheckMarkdown {
    fn name(&self) -> &'static str {
        "markdown"
    }

    fn render(&self, checked: &Checked) -> Result<String, String> {
        write(checked).map_err(|error| error.to_string())
    }
}

fn sign(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Passed => "✅",
        Outcome::Inconclusive => "❔",
        Outcome::Failed => "❌",
    }
}

fn write(checked: &Checked) -> Result<String, std::fmt::Error> {
    let mut out = String::new();
    let (mark, word) = (sign(checked.outcome), checked.outcome.word());
    writeln!(out, "### {mark} onnx-prune check of {}: {word}\n", markdown(&model_name(checked)))?;
    if !checked.gates.is_empty() {
        writeln!(out, "| | bound | found | allowed | 95 % interval | noise |\n|---|---|---|---|---|---|")?;
    }
    for gate in &checked.gates {
        writeln!(out, "| {} | {} |", sign(gate.outcome), columns(gate).join(" | "))?;
    }
    writeln!(out, "\n| | before | after | |\n|---|---:|---:|---|")?;
    for (name, before, after, change) in checked.figures().rows() {
        writeln!(out, "| {name} | {before} | {after} | {change} |")?;
    }
    for warning in &checked.warnings {
        writeln!(out, "\n> {}", markdown(warning))?;
    }
    metric_command(&mut out, checked.metric.as_ref())?;
    lost_most(&mut out, checked.accuracy.as_ref())?;
    not_faster(&mut out, checked.profile.as_ref())?;
    let (engine, machine) = (&checked.engine, &checked.machine);
    writeln!(
        out,
        "\n<sub>{}; {}, {} cores; {:.0} s; onnx-prune {}</sub>",
        engine.describe(),
        markdown(&machine.processor),
        machine.cores,
        checked.seconds,
        checked.tool_version
    )?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::formats::samples::checked;

    #[test]
    fn a_comment() {
        insta::assert_snapshot!(CheckMarkdown.render(&checked()).unwrap());
    }
}
