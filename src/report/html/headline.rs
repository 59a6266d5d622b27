//! What changed: the figures that decide.

use std::fmt;

use super::page::{Cell, Page};
use crate::number::significant;
use crate::report::text::{plural, thousands};
use crate::report::{Figures, FileInfo, LatencyChange, detections, metric_change};

/// Title with both files, warnings, figures, times.
pub(super) fn write(
    page: &mut Page,
    [model, output]: [&FileInfo; 2],
    warnings: &[String],
    figures: &Figures<'_>,
) -> fmt::Result {
    use fmt::Write as _;
    let name = |file: &FileInfo| crate::report::text::escaped(&file.path.display().to_string());
    writeln!(page.0, "<h1>{} &rarr; {}</h1>", name(model), name(output))?;
    if !warnings.is_empty() {
        page.title("Warnings")?;
    }
    for warning in warnings {
        page.paragraph("warning", warning)?;
    }
    cards(page, figures)?;
    percentiles(page, figures.latency)
}

/// The figures that decide, and what the colours of the bars below mean.
pub(crate) fn cards(page: &mut Page, figures: &Figures<'_>) -> fmt::Result {
    page.0.push_str("<div class=\"cards\">\n");
    if let Some(own) = figures.latency {
        let interval = format!("95 % [{:.3}, {:.3}], batch {}", own.ratio_low, own.ratio_high, own.batch);
        page.card("latency", &format!("x{:.3}", own.ratio), &interval)?;
    }
    if let Some(own) = figures.accuracy {
        let change = format!("{:+.2} points, {}", own.after - own.before, plural(own.images, "image"));
        page.card("top-1", &format!("{:.2} %", own.after), &change)?;
    }
    if let Some(agreement) = figures.agreement {
        let moved = |own| format!("; of the dense model's {:.2} % when images move by a pixel", 100.0 * own);
        let moved = figures.shift_consistency.map_or_else(String::new, moved);
        page.card(
            "agreement",
            &format!("{:.2} %", 100.0 * agreement),
            &format!("of the answers stay the same{moved}"),
        )?;
    }
    if let Some(own) = figures.detections {
        let remark = format!("{} of {}, {}", thousands(own.kept), thousands(own.dense), detections(own));
        page.card("detections kept", &format!("{:.1} %", 100.0 * own.kept_share()), &remark)?;
    }
    if let Some(own) = figures.metric {
        let remark = format!("{} before, {}", significant(own.before), metric_change(own));
        page.card("metric", &significant(own.after), &remark)?;
    }
    for (name, change, show) in figures.sizes() {
        let remark = format!("{} to {}", show(change.before as f64), show(change.after as f64));
        page.card(name, &format!("x{:.3}", change.ratio()), &remark)?;
    }
    page.0
        .push_str("</div>\n<p class=\"key\"><span><i></i>before</span><span><i class=\"after\"></i>after</span></p>\n");
    Ok(())
}

/// Median and tail of the time of a run.
pub(crate) fn percentiles(page: &mut Page, latency: Option<&LatencyChange>) -> fmt::Result {
    let Some(own) = latency else { return Ok(()) };
    let most = own.before_tail[1].max(own.after_tail[1]).max(own.before_p95).max(own.before);
    let row = |name: &str, before: f64, after: f64| -> Vec<Cell> {
        vec![
            name.into(),
            format!("{before:.3} ms").into(),
            format!("{after:.3} ms").into(),
            format!("x{:.3}", after / before.max(f64::MIN_POSITIVE)).into(),
            Cell::Bars(before / most, after / most),
        ]
    };
    let rows = [
        row("median", own.before, own.after),
        row("p90", own.before_tail[0], own.after_tail[0]),
        row("p95", own.before_p95, own.after_p95),
        row("p99", own.before_tail[1], own.after_tail[1]),
    ];
    page.title("Time of a run")?;
    page.table(&["", "n", "n", "n", "bars"], &["", "before", "after", "ratio", ""], &rows)?;
    let how = format!(
        "{} in turn; the ratio above is that of the faster runs of each round, so that other programs move it least.",
        plural(own.pairs, "pair")
    );
    page.paragraph("soft", &how)
}
