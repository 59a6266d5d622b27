//! An evaluation on a terminal.

use std::fmt::{self, Write as _};

use super::Style;
use super::terminal::lines;
use super::text::{plural, shorten, thousands};
use crate::evaluate::{EvaluatedModel, Evaluation};

/// Items that are named of those that could not be read.
const MOST_NAMED: usize = 3;

/// A line for each model: top-1 with its interval, what the first model has right and it has not, and how often both answer
/// alike.
///
/// # Errors
/// If the text cannot be written.
pub fn evaluation_table(own: &Evaluation, style: Style) -> Result<String, fmt::Error> {
    let mut out = String::new();
    let images = own.models.first().map_or(0, |model| model.answers.images);
    let title = format!("{} of {} ({})", plural(images, "image"), thousands(own.data.items), own.data.source);
    writeln!(out, "{}", style.strong(&title))?;
    let head = format!("  {:<32}{:>9}  {:<14}{:>8}{:>11}", "", "top-1", "95 %", "change", "agreement");
    writeln!(out, "{}", style.faint(head.trim_end()))?;
    for (at, model) in own.models.iter().enumerate() {
        writeln!(out, "{}", row(model, at == 0).trim_end())?;
    }
    writeln!(out)?;
    lines(&mut out, "  engine         ", &own.engine, 17)?;
    lines(&mut out, "  preprocessing  ", &own.data.preprocessing, 17)?;
    if own.shards.count > 1 {
        let missing = own.shards.missing();
        let held = match (own.shards.held.as_slice(), missing.len()) {
            (_, 0) => format!("all {}", own.shards.count),
            ([only], _) => format!("{only} of {}", own.shards.count),
            (held, _) => format!("{} of {}; {} missing", held.len(), own.shards.count, missing.len()),
        };
        lines(&mut out, "  shards         ", &held, 17)?;
    }
    if !own.skipped.is_empty() {
        let named: Vec<&str> = own.skipped.iter().take(MOST_NAMED).map(String::as_str).collect();
        let text = format!("{} not read: {}", plural(own.skipped.len(), "image"), named.join("; "));
        lines(&mut out, &style.bad("warning: "), &text, 9)?;
    }
    Ok(out)
}

fn row(model: &EvaluatedModel, first: bool) -> String {
    let name = shorten(&model.path.display().to_string(), 31);
    let (mut top, mut interval, mut change) = (String::new(), String::new(), String::new());
    if let Some(own) = model.answers.accuracy() {
        top = format!("{:.2} %", own.percent);
        interval = format!("{:.2}..{:.2}", own.low, own.high);
        if !first {
            change = format!("{:+.2}", -model.answers.paired().loss());
        }
    }
    let agreement = if first { String::new() } else { format!("{:.2} %", model.answers.agreement()[0]) };
    format!("  {name:<32}{top:>9}  {interval:<14}{change:>8}{agreement:>11}")
}
