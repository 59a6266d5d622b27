//! How it was done: repair, images, engine, time, and how to do it again.

use std::fmt::{self, Write as _};

use super::page::{Cell, Page};
use crate::repair::LayerFit;
use crate::report::text::{escaped, plural};
use crate::report::{DeviceLatency, Summary, bytes};

pub(super) fn write(page: &mut Page, summary: &Summary) -> fmt::Result {
    repair(page, summary)?;
    details(page, summary)?;
    let files = [("before", summary.model.sha256.as_str()), ("after", summary.output.sha256.as_str())];
    again(page, &summary.command, &summary.tool_version, &[("seed", summary.seed.to_string())], files)
}

fn repair(page: &mut Page, summary: &Summary) -> fmt::Result {
    let layers = &summary.compensation.refit.layers;
    if summary.compensation.refit.consumers.is_empty() && layers.is_empty() {
        return Ok(());
    }
    page.title("Repair")?;
    page.paragraph("", &summary.compensation.methods())?;
    if let Some(text) = summary.compensation.errors() {
        page.paragraph("", &format!("Error of the outputs: {text}"))?;
    }
    if layers.is_empty() {
        return Ok(());
    }
    let row = |own: &LayerFit| -> Vec<Cell> {
        vec![
            own.name.as_str().into(),
            own.columns.to_string().into(),
            own.rows.to_string().into(),
            own.ridge.map_or_else(|| "constant".into(), |ridge| format!("{ridge:.0e}")).into(),
            format!("{:.4} → {:.4}", own.error.0, own.error.1).into(),
            Cell::Bars(own.error.0.min(1.0), own.error.1.min(1.0)),
        ]
    };
    let rows: Vec<Vec<Cell>> = layers.iter().map(row).collect();
    let title =
        format!("{} on the pruned model's own activations: error on held-out rows", plural(layers.len(), "layer"));
    page.folded(&title, |page| {
        page.table(
            &["name", "n", "n", "n", "n", "bars"],
            &["layer", "weights per output", "rows", "ridge", "share of the spread", ""],
            &rows,
        )
    })
}

/// Times on another device, in a line.
fn other_device(own: &DeviceLatency) -> String {
    let found = &own.latency_ms;
    format!(
        "{}: {:.3} ms before, {:.3} ms after, x{:.3} [{:.3}, {:.3}]",
        own.device.describe(),
        found.before,
        found.after,
        found.ratio,
        found.ratio_low,
        found.ratio_high
    )
}

fn details(page: &mut Page, summary: &Summary) -> fmt::Result {
    page.title("How it was done")?;
    let engine = &summary.engine;
    let threads = plural(engine.threads, "thread");
    let mut entries = vec![
        ("engine", format!("{}, {threads}", engine.kind())),
        ("criterion", format!("{}, {}, {}", summary.criterion, summary.budget, summary.allocation.describe())),
    ];
    entries.extend(summary.device.as_ref().map(|own| ("timed on", own.describe())));
    entries.extend(summary.other_devices.iter().map(|own| ("and on", other_device(own))));
    entries.extend(summary.detections.as_ref().map(|own| ("detections", own.read.clone())));
    entries.extend(summary.metric.as_ref().map(|own| ("metric", own.command.clone())));
    entries.extend(summary.prepare_ms.map(|[before, after]| ("first result", first_result(before, after))));
    entries.extend(summary.session_bytes.map(|held| ("sessions hold", held_by(held))));
    if let Some(own) = &summary.calibration {
        entries.push((
            "calibration",
            format!("{} of {} classes from {}", plural(own.images, "image"), own.classes, own.path.display()),
        ));
        entries.push(("preprocessing", own.preprocessing.clone()));
    }
    if let Some(own) = &summary.verification {
        let text = format!(
            "masked = sliced in {}: largest difference {:.1e} of the output's scale, {:.0e} allowed",
            plural(own.runs, "run"),
            own.agreement.max_error,
            own.agreement.tolerance
        );
        entries.push(("verified", text));
    }
    entries.push(("seconds", crate::report::terminal::seconds(&summary.timings_s)));
    entries.extend(summary.peak_memory_bytes.map(|peak| ("peak memory", bytes(peak as f64))));
    entries.extend(summary.notes.iter().map(|note| ("note", note.clone())));
    page.list(&entries)
}

/// How long the engine takes to start: session, engine build, first run.
pub(crate) fn first_result(before: f64, after: f64) -> String {
    format!("after {before:.0} ms before, {after:.0} ms after")
}

/// Memory of two sessions.
pub(crate) fn held_by([before, after]: [u64; 2]) -> String {
    format!("{} and {}", bytes(before as f64), bytes(after as f64))
}

/// How to do it again: the command, the version, what else decides, and both files.
pub(crate) fn again(
    page: &mut Page,
    command: &[String],
    version: &str,
    more: &[(&'static str, String)],
    files: [(&str, &str); 2],
) -> fmt::Result {
    page.title("How to reproduce it")?;
    if !command.is_empty() {
        let words: Vec<String> = command.iter().map(|word| quoted(word)).collect();
        writeln!(page.0, "<pre>{}</pre>", escaped(&words.join(" ")))?;
    }
    let mut entries = vec![("version", format!("onnx-prune {version}"))];
    entries.extend(more.iter().cloned());
    entries.extend(files.map(|(name, sha256)| ("SHA-256", format!("{name}: {sha256}"))));
    page.list(&entries)
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./,=:+%@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}
