//! The sweep as a table, for a terminal and for other programs.

use std::fmt::{Error, Write as _};

use super::{Swept, SweptModel};
use crate::number::{signed, significant};
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
    if let Some(device) = swept.device() {
        lines(&mut out, "timed on ", &device.describe(), 9)?;
    }
    for warning in &swept.warnings {
        lines(&mut out, &style.bad("warning: "), warning, 9)?;
    }
    let (judged, metric) = (first.summary.accuracy.is_some(), first.metric().is_some());
    let worth = match (judged, metric) {
        (true, _) => "top-1",
        (false, true) => "metric",
        (false, false) => "agreement",
    };
    let change = if judged || metric { "change" } else { "" };
    let first_columns = columns(swept, "", "MACs", "kept");
    let head = format!("\n  {first_columns}{:>9}{:>9}  {:<14}{worth:>9}{change:>7}", "file", "latency", "95 %");
    writeln!(out, "{}", style.faint(&head))?;
    let dense = if judged || metric { shown(first, first.dense_worth()) } else { String::new() };
    let (before, size) = (count(macs.before as f64), bytes(size.before as f64));
    let first_columns = columns(swept, "dense", &before, "1.00");
    let row = format!("  {first_columns}{size:>9}{:>9}  {:<14}{dense:>9}", "1.00", "");
    writeln!(out, "{}", row.trim_end())?;
    for model in &swept.models {
        writeln!(out, "{}", line(swept, model).trim_end())?;
    }
    metrics(&mut out, swept, style)?;
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

/// Name, multiply-accumulates and the share of them that is kept; where models in integers want a longer name, that tells the
/// share.
fn columns(swept: &Swept, name: &str, macs: &str, kept: &str) -> String {
    let longest = swept.models.iter().filter_map(|own| Some(own.name.as_ref()?.chars().count())).max();
    if let Some(longest) = longest {
        format!("{name:<width$}{macs:>10}{kept:>7}", width = longest.max(5) + 2)
    } else if swept.models.iter().any(|own| own.precision().is_some()) {
        format!("{name:<12}{macs:>10}")
    } else {
        format!("{name:<7}{macs:>10}{kept:>7}")
    }
}

/// The share that was asked for, and what the model is written in.
fn name(model: &SweptModel) -> String {
    if let Some(name) = &model.name {
        return name.clone();
    }
    match (model.precision(), model.share) {
        (None, share) => format!("x{}", digits(share)),
        (Some(precision), 1.0) => precision.into(),
        (Some(precision), share) => format!("x{} {precision}", digits(share)),
    }
}

/// What a model is worth, in its unit.
fn shown(model: &SweptModel, worth: f64) -> String {
    if model.metric().is_some() { significant(worth) } else { format!("{worth:.2} %") }
}

/// The command behind the metric, and its numbers where the table shows the accuracy.
fn metrics(out: &mut String, swept: &Swept, style: Style) -> Result<(), Error> {
    let Some(first) = swept.models.first().and_then(|own| own.summary.metric.as_ref()) else { return Ok(()) };
    writeln!(out)?;
    let way = if first.lower_is_better { " (lower is better)" } else { "" };
    lines(out, &style.faint("metric: "), &format!("{}{way}", first.command), 8)?;
    if swept.models.iter().all(|own| own.metric().is_some()) {
        return Ok(());
    }
    let after = |own: &SweptModel| {
        let metric = own.summary.metric.as_ref().map(|own| significant(own.after));
        metric.map(|metric| format!("{} {metric}", name(own)))
    };
    let dense = format!("dense {}", significant(first.before));
    let all: Vec<String> = std::iter::once(dense).chain(swept.models.iter().filter_map(after)).collect();
    lines(out, "        ", &all.join(", "), 8)
}

fn line(swept: &Swept, model: &SweptModel) -> String {
    let Summary { macs, bytes: size, latency_ms, accuracy, .. } = &model.summary;
    let (ratio, interval) = match latency_ms {
        Some(LatencyChange { ratio, ratio_low, ratio_high, .. }) => {
            (format!("{ratio:.3}"), format!("[{ratio_low:.3}, {ratio_high:.3}]"))
        }
        None => Default::default(),
    };
    let worth = model.worth().map_or_else(String::new, |worth| shown(model, worth));
    let change = match (accuracy, model.metric()) {
        (Some(own), _) => format!("{:+.2}", own.after - own.before),
        (None, Some(own)) => format!(" {}", signed(own.after - own.before)),
        (None, None) => String::new(),
    };
    let front = if swept.on_front(model) { " *" } else { "" };
    let kept = format!("{:.2}", macs.ratio());
    let first_columns = columns(swept, &name(model), &count(macs.after as f64), &kept);
    let size = bytes(size.after as f64);
    format!("  {first_columns}{size:>9}{ratio:>9}  {interval:<14}{worth:>9}{change:>7}{front}")
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
    const HEAD: [&str; 20] = [
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
        "metric",
        "form",
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

fn dense(summary: &Summary) -> [String; 20] {
    let Summary { model, macs, params, bytes, latency_ms, accuracy, metric, .. } = summary;
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
        metric.as_ref().map_or_else(String::new, |own| own.before.to_string()),
        "float".into(),
    ]
}

fn row(swept: &Swept, model: &SweptModel) -> [String; 20] {
    let Summary { output, macs, params, bytes, latency_ms, accuracy, agreement, metric, .. } = &model.summary;
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
        metric.as_ref().map_or_else(String::new, |own| own.after.to_string()),
        model.precision().unwrap_or("float").into(),
    ]
}
