//! The check as one page, in the dress of the report.

use std::fmt::{self, Write as _};

use super::{CheckFormat, columns, model_name};
use crate::check::{Checked, Gate, Outcome};
use crate::report::{
    Cell, Page, again, cards, class_by_class, escaped, first_result, held_by, percentiles, where_time_goes,
};

/// One self-contained HTML file.
#[derive(Debug, Clone, Copy, Default)]
pub struct CheckHtml;

impl CheckFormat for CheckHtml {
    fn name(&self) -> &'static str {
        "html"
    }

    fn render(&self, checked: &Checked) -> Result<String, String> {
        write(checked).map_err(|error| error.to_string())
    }
}

fn write(checked: &Checked) -> Result<String, fmt::Error> {
    let mut page = Page::new(&format!("onnx-prune check: {}", checked.new.path.display()))?;
    let (word, name) = (checked.outcome.word(), escaped(&model_name(checked)));
    writeln!(page.0, "<h1>Check of {name}: <span class=\"{}\">{word}</span></h1>", class(checked.outcome))?;
    page.paragraph("soft", &format!("{} against {}", checked.new.path.display(), checked.base.path.display()))?;
    for warning in &checked.warnings {
        page.paragraph("warning", warning)?;
    }
    gates(&mut page, &checked.gates)?;
    page.title("What changed")?;
    cards(&mut page, &checked.figures())?;
    percentiles(&mut page, checked.latency_ms.as_ref())?;
    class_by_class(&mut page, checked.accuracy.as_ref())?;
    where_time_goes(&mut page, checked.profile.as_ref())?;
    details(&mut page, checked)?;
    let files = [("base", checked.base.sha256.as_str()), ("new", checked.new.sha256.as_str())];
    again(&mut page, &checked.command, &checked.tool_version, &[], files)?;
    Ok(page.finish())
}

fn class(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Passed => "good",
        Outcome::Inconclusive => "soft",
        Outcome::Failed => "bad",
    }
}

fn gates(page: &mut Page, gates: &[Gate]) -> fmt::Result {
    page.title("Bounds")?;
    if gates.is_empty() {
        return page.paragraph("soft", "No bound was given.");
    }
    let row = |gate: &Gate| -> Vec<Cell> {
        let verdict = Cell::Marked(class(gate.outcome), gate.outcome.word().into());
        let rest = columns(gate).into_iter().chain([gate.tries.to_string()]);
        std::iter::once(verdict).chain(rest.map(Cell::from)).collect()
    };
    let rows: Vec<Vec<Cell>> = gates.iter().map(row).collect();
    page.table(
        &["", "", "n", "n", "n brk", "n wide", "n wide"],
        &["verdict", "bound", "found", "allowed", "95 % interval", "noise", "tries"],
        &rows,
    )
}

fn details(page: &mut Page, checked: &Checked) -> fmt::Result {
    page.title("How it was measured")?;
    let (engine, machine) = (&checked.engine, &checked.machine);
    let mut entries = vec![
        ("engine", engine.describe()),
        ("machine", format!("{}, {} cores, {}", machine.processor, machine.cores, machine.platform)),
    ];
    if let Some(own) = &checked.noise {
        let text = format!("the base against itself: x{:.3} [{:.3}, {:.3}]", own.median, own.low, own.high);
        entries.push(("noise", text));
    }
    entries.extend(checked.detections.as_ref().map(|own| ("detections", own.read.clone())));
    entries.extend(checked.metric.as_ref().map(|own| ("metric", own.command.clone())));
    entries.extend(checked.prepare_ms.map(|[before, after]| ("first result", first_result(before, after))));
    entries.extend(checked.session_bytes.map(|held| ("sessions hold", held_by(held))));
    entries.push(("seconds", format!("{:.1}", checked.seconds)));
    page.list(&entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::formats::samples::checked;

    #[test]
    fn a_page() {
        let page = CheckHtml.render(&checked()).unwrap();
        assert!(page.contains("<span class=\"bad\">failed</span>") && page.contains("inconclusive"));
        assert!(page.contains("MACs ratio") && page.contains("at most x0.550"), "{page}");
        assert!(!page.contains("<&") && page.contains("&lt;&amp;&quot;"), "names are text");
        let mut none = checked();
        none.gates.clear();
        none.tool_version = "9.9.9".into();
        assert!(CheckHtml.render(&none).unwrap().contains("onnx-prune 9.9.9"), "of the program that measured");
        assert!(CheckHtml.render(&none).unwrap().contains("No bound was given"));
    }
}
