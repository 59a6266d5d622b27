//! `onnx-prune bench`.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::atomic::Ordering;

use super::commands::unprintable;
use super::console::Console;
use super::other_flags::Bench;
use super::targets::Targets;
use crate::bench::latency::Prepared;
use crate::error::Error;
use crate::model::replaceable;
use crate::model::write_atomically;
use crate::pipeline::{self, BenchOptions, Benched};
use crate::report::{LatencyChange, bytes, held_by, times_csv};

pub(super) fn run(flags: &Bench, console: &Console<'_>) -> Result<(), Error> {
    if let Some(path) = &flags.times {
        let targets = Targets::default().input(&flags.a).input(flags.b.as_ref().unwrap_or(&flags.a));
        targets.output(path, "the table of times")?;
        replaceable(path, flags.force)?;
    }
    let (engine, device) = flags.device.one(&flags.engine)?;
    let options = BenchOptions {
        a: flags.flags.options(&flags.a),
        b: flags.b.as_ref().map(|path| flags.flags.options(path)),
        engine,
        device,
        timing: flags.timing.options(false, flags.seed),
        concurrency: usize::from(flags.streams),
        seed: flags.seed,
    };
    let found = pipeline::bench(&options, console.cancel)?;
    if console.cancel.load(Ordering::Relaxed) {
        return Err(Error::Interrupted);
    }
    if let Some(path) = &flags.times {
        let text = times_csv(&found.samples).map_err(unprintable)?;
        write_atomically(path, |file| file.write_all(text.as_bytes()))?;
    }
    if flags.json {
        let value = serde_json::json!({
            "schema_version": 1,
            "engine": found.engine,
            "device": found.device,
            "latency_ms": found.latency,
            "prepare_ms": found.prepared.map(|own| own.ms),
            "session_bytes": found.prepared.and_then(|own| own.memory_bytes),
            "runs_per_second": found.throughput,
            "disturbed": found.remarks,
        });
        let text = serde_json::to_string_pretty(&value).map_err(|error| unprintable(error.to_string()))?;
        return console.print(&(text + "\n"));
    }
    console.print(&told(flags, &found).map_err(|error| unprintable(error.to_string()))?)
}

fn told(flags: &Bench, found: &Benched) -> Result<String, std::fmt::Error> {
    let Benched { engine, device, latency, throughput, prepared, remarks, .. } = found;
    let LatencyChange { before, after, before_tail, after_tail, ratio, ratio_low, ratio_high, pairs, batch, .. } =
        *latency;
    let second = if flags.b.is_some() { "B" } else { "A again" };
    let row = |name: &str, median: f64, p95: f64, [p90, p99]: [f64; 2]| {
        format!("{name:<8} {median:>9.3} ms   p90 {p90:>9.3}   p95 {p95:>9.3}   p99 {p99:>9.3}\n")
    };
    let mut text = format!(
        "{}, batch {batch}, {pairs} pairs\n{}{}ratio    {ratio:>9.3}      95 % [{ratio_low:.3}, \
         {ratio_high:.3}]\n",
        engine.describe(),
        row("A", before, latency.before_p95, before_tail),
        row(second, after, latency.after_p95, after_tail)
    );
    if let Some(device) = device {
        writeln!(text, "device   {}; {} were sent", device.describe(), bytes(device.sent_bytes as f64))?;
    }
    if let Some(Prepared { ms: [a, b], memory_bytes }) = *prepared {
        writeln!(text, "start    {a:>9.1} and {b:.1} ms until the first result: session, engine build, first run")?;
        if let Some(held) = memory_bytes {
            writeln!(text, "memory   {} held by the sessions", held_by(held))?;
        }
    }
    if let Some([a, b]) = *throughput {
        let streams = flags.streams;
        writeln!(text, "streams  {a:>9.1} and {b:.1} runs a second of {streams} together, x{:.3}", b / a)?;
    }
    for line in remarks {
        writeln!(text, "note     {line}")?;
    }
    Ok(text)
}
