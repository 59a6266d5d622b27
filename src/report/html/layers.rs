//! Layer by layer: widths, time, and what was protected.

use std::fmt::{self, Write as _};

use super::page::{Cell, Page};
use crate::bench::profile::{Layer, Profile};
use crate::report::text::plural;
use crate::report::{Summary, count};

pub(super) fn write(page: &mut Page, summary: &Summary) -> fmt::Result {
    where_time_goes(page, summary.profile.as_ref())?;
    widths(page, summary)?;
    blocks(page, summary)?;
    protected(page, summary)
}

/// Layer by layer: time, work, and why the time did not fall as the work did.
pub(crate) fn where_time_goes(page: &mut Page, profile: Option<&Profile>) -> fmt::Result {
    let Some(profile) = profile else { return Ok(()) };
    page.title("Where the time goes")?;
    let [before, after] = profile.total_ms();
    let mut text =
        format!("Layer by layer {before:.3} ms before and {after:.3} ms after, as the engine's profile has it");
    if let Some([a, b]) = &profile.convolutions {
        write!(
            text,
            "; {} of {} convolutions run in the engine's blocked layout before, {} of {} after",
            a.blocked, a.all, b.blocked, b.all
        )?;
    }
    page.paragraph("", &(text + "."))?;
    let ms = |own: &Layer| own.before.map_or(0.0, |cost| cost.ms).max(own.after.map_or(0.0, |cost| cost.ms));
    let most = profile.layers.iter().map(ms).fold(f64::MIN_POSITIVE, f64::max);
    let row = |layer: &Layer| -> Vec<Cell> {
        let show = |text: &dyn Fn(&crate::bench::profile::LayerCost) -> String| {
            let of = |cost: &Option<crate::bench::profile::LayerCost>| cost.as_ref().map_or_else(String::new, text);
            format!("{} → {}", of(&layer.before), of(&layer.after))
        };
        let share = |cost: Option<crate::bench::profile::LayerCost>| cost.map_or(0.0, |cost| cost.ms / most);
        let channels = layer.after.or(layer.before).and_then(|cost| cost.widths);
        vec![
            layer.name.as_str().into(),
            layer.op.as_str().into(),
            channels.map_or_else(String::new, |(a, b)| format!("{a}×{b}")).into(),
            show(&|cost| format!("{:.3}", cost.ms)).into(),
            Cell::Bars(share(layer.before), share(layer.after)),
            show(&|cost| if cost.macs == 0 { "-".into() } else { count(cost.macs as f64) }).into(),
            layer.note.clone().unwrap_or_default().into(),
        ]
    };
    let rows: Vec<Vec<Cell>> = profile.layers.iter().map(row).collect();
    page.table(
        &["name", "wide", "n wide", "n", "bars", "n wide", "note"],
        &["layer", "operator", "channels after", "ms", "", "MACs", "why the time did not fall as the work did"],
        &rows,
    )
}

fn widths(page: &mut Page, summary: &Summary) -> fmt::Result {
    let cut = summary.groups.iter().filter(|own| own.width_after < own.width_before).count();
    page.title("Widths")?;
    page.paragraph("", &format!("{cut} of {} were cut.", plural(summary.groups.len(), "group")))?;
    let widest = summary.groups.iter().map(|own| own.width_before).max().unwrap_or(1).max(1) as f64;
    let row = |own: &crate::report::GroupChange| -> Vec<Cell> {
        vec![
            own.name.as_str().into(),
            own.width_before.to_string().into(),
            own.width_after.to_string().into(),
            Cell::Bars(own.width_before as f64 / widest, own.width_after as f64 / widest),
        ]
    };
    let rows: Vec<Vec<Cell>> = summary.groups.iter().map(row).collect();
    page.table(&["name", "n", "n", "bars"], &["group", "before", "after", ""], &rows)
}

fn blocks(page: &mut Page, summary: &Summary) -> fmt::Result {
    if summary.blocks.is_empty() {
        return Ok(());
    }
    let gone = summary.blocks.iter().filter(|own| own.gone).count();
    page.title("Blocks")?;
    page.paragraph("", &format!("{gone} of {} were left out.", plural(summary.blocks.len(), "block")))?;
    let largest = summary.blocks.iter().map(|own| own.macs).max().unwrap_or(1).max(1) as f64;
    let row = |own: &crate::report::BlockChange| -> Vec<Cell> {
        let share = own.macs as f64 / largest;
        vec![
            own.name.as_str().into(),
            count(own.macs as f64).into(),
            count(own.params as f64).into(),
            Cell::Bars(share, if own.gone { 0.0 } else { share }),
            if own.gone { "left out" } else { "" }.into(),
        ]
    };
    let rows: Vec<Vec<Cell>> = summary.blocks.iter().map(row).collect();
    page.table(&["name", "n", "n", "bars", "note"], &["added by", "MACs", "parameters", "", ""], &rows)
}

fn protected(page: &mut Page, summary: &Summary) -> fmt::Result {
    if summary.protected.is_empty() {
        return Ok(());
    }
    page.title("Protected")?;
    let row = |own: &crate::report::ProtectedChannels| -> Vec<Cell> {
        vec![
            own.node.as_str().into(),
            own.op.as_str().into(),
            format!("{} of {}", own.channels, own.of).into(),
            own.reasons.join("; ").into(),
        ]
    };
    let rows: Vec<Vec<Cell>> = summary.protected.iter().map(row).collect();
    page.table(&["name", "", "n", "note"], &["node", "operator", "channels", "reason"], &rows)
}
