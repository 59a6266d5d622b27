//! The sweep as a table, for a terminal and for other programs.

use std::fmt::{Error, Write as _};

use super::{Swept, SweptModel};
use crate::report::terminal::lines;
use crate::report::text::plural;
use crate::report::{AccuracyChange, LatencyChange, Style, Summary, bytes, count};

/// A table for 80 columns: the dense model, then one line for each model. `*`: on the Pareto front.
///
/// # Errors
/// If the text cannot be written.
pub fn sweep_table(swept: &Swept, style: Style) -> Result<String, Error> {
    let mut out = String::new();
    let Some(first) = swept.models.first() else { return Ok(out) };
    let Summary { model, macs, bytes: size, .. } = &first.summary;
    let title = format!("{} from {}", plural(swept.models.len(), "model"), model.path.display());
    writeln!(out, "{}", style.strong(&title))?;
    for warning in &swept.warnings {
        lines(&mut out, &style.bad("warning: "), warning, 9)?;
    }
    let judged = first.summary.accuracy.is_some();
    let worth = if judged { "top-1" } else { "agreement" };
    let head = format!(
        "\n  {:<7}{:>10}{:>7}{:>9}{:>9}  {:<14}{worth:>9}{:>7}",
        "",
        "MACs",
        "kept",
        "file",
        "latency",
        "95 %",
        if judged { "change" } else { "" }
    );
    writeln!(out, "{}", style.faint(&head))?;
    let dense = first.summary.accuracy.as_ref().map_or_else(String::new, |own| format!("{:.2} %", own.before));
    let (before, size) = (count(macs.before as f64), bytes(size.before as f64));
    let row = format!("  {:<7}{before:>10}{:>7}{size:>9}{:>9}  {:<14}{dense:>9}", "dense", "1.00", "1.00", "");
    writeln!(out, "{}", row.trim_end())?;
    for model in &swept.models {
        writeln!(out, "{}", line(swept, model).trim_end())?;
    }
    let files: Vec<String> = swept.models.iter().map(|model| model.summary.output.path.display().to_string()).collect();
    writeln!(out)?;
    for file in &files {
        lines(&mut out, "  ", file, 2)?;
    }
    let mut told: Vec<&String> = Vec::new();
    for warning in swept.models.iter().flat_map(|model| &model.summary.warnings) {
        if !told.contains(&warning) {
            lines(&mut out, &style.bad("warning: "), warning, 9)?;
            told.push(warning);
        }
    }
    Ok(out)
}

fn line(swept: &Swept, model: &SweptModel) -> String {
    let Summary { macs, bytes: size, latency_ms, accuracy, .. } = &model.summary;
    let (ratio, interval) = match latency_ms {
        Some(LatencyChange { ratio, ratio_low, ratio_high, .. }) => {
            (format!("{ratio:.3}"), format!("[{ratio_low:.3}, {ratio_high:.3}]"))
        }
        None => Default::default(),
    };
    let worth = model.worth().map_or_else(String::new, |worth| format!("{worth:.2} %"));
    let change = accuracy.as_ref().map_or_else(String::new, |own| format!("{:+.2}", own.after - own.before));
    let front = if swept.on_front(model) { " *" } else { "" };
    format!(
        "  {:<7}{:>10}{:>7.2}{:>9}{ratio:>9}  {interval:<14}{worth:>9}{change:>7}{front}",
        format!("x{}", digits(model.share)),
        count(macs.after as f64),
        macs.ratio(),
        bytes(size.after as f64)
    )
}

/// Two digits, three where two do not suffice.
pub(super) fn digits(share: f64) -> String {
    let text = format!("{share:.3}");
    text.strip_suffix('0').map_or(text.clone(), ToOwned::to_owned)
}

/// One line for each model and one for the dense one, with intervals; RFC 4180.
///
/// # Errors
/// What cannot be written, in words.
pub fn sweep_csv(swept: &Swept) -> Result<String, String> {
    const HEAD: [&str; 18] = [
        "share",
        "file",
        "macs",
        "macs_kept",
        "params",
        "params_kept",
        "bytes",
        "bytes_kept",
        "latency_ms",
        "latency_kept",
        "latency_low",
        "latency_high",
        "top1",
        "top1_low",
        "top1_high",
        "images",
        "agreement",
        "front",
    ];
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut rows = vec![HEAD.map(String::from)];
    rows.extend(swept.models.first().map(|first| dense(&first.summary)));
    rows.extend(swept.models.iter().map(|model| row(swept, model)));
    for row in rows {
        writer.write_record(row).map_err(|error| error.to_string())?;
    }
    let bytes = writer.into_inner().map_err(|error| error.to_string())?;
    String::from_utf8(bytes).map_err(|error| error.to_string())
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| ((value * 1e6).round() / 1e6).to_string())
}

fn dense(summary: &Summary) -> [String; 18] {
    let Summary { model, macs, params, bytes, latency_ms, accuracy, .. } = summary;
    let own = |read: fn(&AccuracyChange) -> f64| number(accuracy.as_ref().map(read));
    let one = || "1".to_owned();
    [
        one(),
        model.path.display().to_string(),
        macs.before.to_string(),
        one(),
        params.before.to_string(),
        one(),
        bytes.before.to_string(),
        one(),
        number(latency_ms.map(|own| own.before)),
        one(),
        one(),
        one(),
        own(|own| own.before),
        own(|own| own.before_interval.low),
        own(|own| own.before_interval.high),
        own(|own| own.images as f64),
        one(),
        String::new(),
    ]
}

fn row(swept: &Swept, model: &SweptModel) -> [String; 18] {
    let Summary { output, macs, params, bytes, latency_ms, accuracy, agreement, .. } = &model.summary;
    let own = |read: fn(&AccuracyChange) -> f64| number(accuracy.as_ref().map(read));
    let time = |read: fn(&LatencyChange) -> f64| number(latency_ms.as_ref().map(read));
    [
        number(Some(model.share)),
        output.path.display().to_string(),
        macs.after.to_string(),
        number(Some(macs.ratio())),
        params.after.to_string(),
        number(Some(params.ratio())),
        bytes.after.to_string(),
        number(Some(bytes.ratio())),
        time(|own| own.after),
        time(|own| own.ratio),
        time(|own| own.ratio_low),
        time(|own| own.ratio_high),
        own(|own| own.after),
        own(|own| own.after_interval.low),
        own(|own| own.after_interval.high),
        own(|own| own.images as f64),
        number(*agreement),
        swept.on_front(model).to_string(),
    ]
}
