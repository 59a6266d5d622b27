//! A sweep as a page: accuracy against latency, and a row for each model.

use std::fmt::{self, Write as _};

use super::page::{Cell, Page};
use crate::number::significant;
use crate::report::text::escaped;
use crate::report::{Swept, sweep_svg};

/// One self-contained HTML file.
///
/// # Errors
/// If the text cannot be written.
pub fn sweep_html(swept: &Swept) -> Result<String, fmt::Error> {
    let name = swept.models.first().map_or_else(String::new, |own| own.summary.model.path.display().to_string());
    let mut page = Page::new(&format!("onnx-prune sweep: {name}"))?;
    writeln!(page.0, "<h1>Sweep of {}</h1>", escaped(&name))?;
    for warning in &swept.warnings {
        page.paragraph("warning", warning)?;
    }
    page.title("What every model costs and keeps")?;
    sweep_section(&mut page, swept)?;
    for other in swept.on_other_devices() {
        if let (Some(device), Some(picture)) = (other.device(), sweep_svg(&other)?) {
            page.title(&format!("On {}", device.device))?;
            writeln!(page.0, "<div class=\"scroll\">{picture}</div>")?;
        }
    }
    Ok(page.finish())
}

/// Picture and table of a sweep.
pub(crate) fn sweep_section(page: &mut Page, swept: &Swept) -> fmt::Result {
    if let Some(picture) = sweep_svg(swept)? {
        writeln!(page.0, "<div class=\"scroll\">{picture}</div>")?;
    }
    let row = |own: &crate::report::SweptModel| -> Vec<Cell> {
        let summary = &own.summary;
        let latency = summary
            .latency_ms
            .map_or_else(String::new, |own| format!("x{:.3} [{:.3}, {:.3}]", own.ratio, own.ratio_low, own.ratio_high));
        let top1 = summary.accuracy.as_ref().map_or_else(String::new, |own| format!("{:.2} %", own.after));
        let agreement = summary.agreement.map_or_else(String::new, |own| format!("{:.2} %", 100.0 * own));
        let mut row: Vec<Cell> = vec![
            summary.output.path.display().to_string().into(),
            format!("x{:.3}", summary.macs.ratio()).into(),
            latency.into(),
            format!("x{:.3}", summary.bytes.ratio()).into(),
            top1.into(),
            agreement.into(),
        ];
        row.extend(summary.metric.as_ref().map(|own| significant(own.after).into()));
        row
    };
    let rows: Vec<Vec<Cell>> = swept.models.iter().map(row).collect();
    let mut columns = vec!["name", "n", "n brk", "n wide", "n", "n wide"];
    let mut heads = vec!["model", "MACs", "latency", "file", "top-1", "agreement"];
    let metric = swept.models.iter().find_map(|own| own.summary.metric.as_ref());
    if metric.is_some() {
        columns.push("n");
        heads.push("metric");
    }
    page.table(&columns, &heads, &rows)?;
    if let Some(own) = metric {
        let way = if own.lower_is_better { ", lower is better" } else { "" };
        page.paragraph(
            "soft",
            &format!("Metric: {}; {} of the dense model{way}.", own.command, significant(own.before)),
        )?;
    }
    Ok(())
}
