//! Accuracy, class by class, and what was tried.

use std::fmt;

use super::page::{Cell, Page};
use crate::number::significant;
use crate::report::text::{plural, thousands};
use crate::report::{AccuracyChange, Summary};

/// Classes that are listed unfolded.
const MOST_CLASSES: usize = 10;

pub(super) fn write(page: &mut Page, summary: &Summary) -> fmt::Result {
    class_by_class(page, summary.accuracy.as_ref())?;
    tried(page, summary)
}

/// Accuracy of every class, those that lost most first.
pub(crate) fn class_by_class(page: &mut Page, accuracy: Option<&AccuracyChange>) -> fmt::Result {
    let Some(own) = accuracy else { return Ok(()) };
    page.title("Class by class")?;
    let kind =
        if own.seen_in_calibration { "calibration images, which the repair has seen" } else { "held-out images" };
    let (before, after) = (&own.before_interval, &own.after_interval);
    page.paragraph(
        "",
        &format!(
            "Top-1 {:.2} % (95 %: {:.1} to {:.1}) before, {:.2} % ({:.1} to {:.1}) after, on {} {kind}.",
            own.before,
            before.low,
            before.high,
            own.after,
            after.low,
            after.high,
            thousands(own.images)
        ),
    )?;
    let mut classes: Vec<_> = own.classes.iter().filter(|class| class.before.images > 0).collect();
    classes.sort_by(|a, b| {
        let lost = |own: &crate::report::ClassChange| own.before.recall - own.after.recall;
        lost(b).total_cmp(&lost(a))
    });
    if classes.is_empty() {
        return Ok(());
    }
    let row = |class: &&crate::report::ClassChange| -> Vec<Cell> {
        let percent = |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value:.1} %"));
        vec![
            class.name.as_str().into(),
            class.before.images.to_string().into(),
            format!("{:.1} %", class.before.recall).into(),
            format!("{:.1} %", class.after.recall).into(),
            format!("{:+.1}", class.after.recall - class.before.recall).into(),
            percent(class.after.precision).into(),
            Cell::Bars(class.before.recall / 100.0, class.after.recall / 100.0),
        ]
    };
    let columns = ["", "n wide", "n", "n", "n", "n wide", "bars"];
    let heads = ["class", "images", "before", "after", "change", "precision", ""];
    let rows: Vec<Vec<Cell>> = classes.iter().map(row).collect();
    let shown = rows.len().min(MOST_CLASSES);
    page.table(&columns, &heads, &rows[..shown])?;
    if rows.len() > shown {
        let title = format!("The other {}, by what they lost", plural(rows.len() - shown, "class"));
        page.folded(&title, |page| page.table(&columns, &heads, &rows[shown..]))?;
    }
    Ok(())
}

/// What a candidate loses: points of accuracy with their bound, or of the user's own metric.
fn lost(own: &crate::report::Tried) -> String {
    match (own.loss, own.metric) {
        (Some(own), _) => format!("{:.2}, at most {:.2}", own.points, own.upper),
        (None, Some(own)) => significant(own.loss),
        (None, None) => String::new(),
    }
}

fn tried(page: &mut Page, summary: &Summary) -> fmt::Result {
    let Some(searched) = &summary.searched else { return Ok(()) };
    page.title("What was tried")?;
    page.paragraph("", &searched.describe())?;
    let row = |own: &crate::report::Tried| -> Vec<Cell> {
        vec![
            own.budget.as_str().into(),
            format!("x{:.3}", own.macs).into(),
            own.latency
                .map_or_else(String::new, |own| format!("x{:.3} [{:.3}, {:.3}]", own.median, own.low, own.high))
                .into(),
            lost(own).into(),
            if own.accepted { "taken" } else { "refused" }.into(),
        ]
    };
    let rows: Vec<Vec<Cell>> = searched.candidates.iter().map(row).collect();
    page.table(
        &["", "n", "n", "n", ""],
        &[
            "budget",
            "MACs",
            "latency",
            if searched.candidates.iter().any(|own| own.metric.is_some()) { "metric lost" } else { "points lost" },
            "",
        ],
        &rows,
    )
}
