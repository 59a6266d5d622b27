//! How often `check` calls a model slower than itself, and how often it catches one that is, on this machine as it is.
//!
//! `cargo bench --bench check -- MODEL.onnx [--alarms 100] [--slowdowns 40] [--time 6] [--threads 1] [--share 0.05]`
//!
//! The slower model is the same with the work of some of its convolutions done twice: about `--share` more
//! multiply-accumulates, and the row says how much more time that took by the median over all runs.
#![allow(missing_docs, clippy::print_stdout, clippy::print_stderr, reason = "a bench prints")]

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use onnx_prune::channels::{AnalyseOptions, analyse};
use onnx_prune::check::Outcome;
use onnx_prune::engine::EngineOptions;
use onnx_prune::latency::{TimingOptions, percentile};
use onnx_prune::model::{LoadOptions, Model, SaveOptions};
use onnx_prune::pipeline::{Bounds, CheckOptions, ModelOptions, Silent, Timing, check};
use onnx_prune::proto::onnx::{AttributeProto, NodeProto};

type Failure = Box<dyn std::error::Error>;

struct Arguments {
    model: PathBuf,
    alarms: usize,
    slowdowns: usize,
    seconds: f64,
    threads: usize,
    share: f64,
}

fn arguments() -> Result<Arguments, Failure> {
    let mut all = std::env::args().skip(1).filter(|own| own != "--bench");
    let mut found =
        Arguments { model: PathBuf::new(), alarms: 100, slowdowns: 40, seconds: 6.0, threads: 1, share: 0.05 };
    while let Some(name) = all.next() {
        let mut value = || all.next().ok_or_else(|| format!("{name} wants a value"));
        match name.as_str() {
            "--alarms" => found.alarms = value()?.parse()?,
            "--slowdowns" => found.slowdowns = value()?.parse()?,
            "--time" => found.seconds = value()?.parse()?,
            "--share" => found.share = value()?.parse()?,
            "--threads" => found.threads = value()?.parse()?,
            _ => found.model = PathBuf::from(name),
        }
    }
    Ok(found)
}

/// Runs the last convolutions twice, half of each result: about `share` more work.
fn slower(model: &Model, share: f64) -> (Model, f64) {
    let macs = analyse(model, &AnalyseOptions::default()).macs_by_node(None);
    let total: u64 = macs.iter().map(|(_, macs)| macs).sum();
    let mut slow = model.clone();
    let (mut added, mut nodes) = (0, Vec::new());
    for (at, node) in model.graph().node.iter().enumerate() {
        let own: u64 = macs.iter().filter(|(index, _)| *index == at).map(|(_, macs)| macs).sum();
        let fits = (added + own) as f64 <= 1.1 * share * total as f64;
        if node.op_type() == "Conv" && own > 0 && fits && (added as f64) < share * total as f64 {
            added += own;
            nodes.extend(twice(node, at));
        } else {
            nodes.push(node.clone());
        }
    }
    slow.graph_mut().node = nodes;
    (slow, added as f64 / total as f64)
}

/// A convolution, the same with other numbers (dilated along nothing, so that no engine sees that they are equal), and
/// their maximum.
fn twice(node: &NodeProto, at: usize) -> Vec<NodeProto> {
    let output = node.output.first().cloned().unwrap_or_default();
    let (a, b) = (format!("{output}_a{at}"), format!("{output}_b{at}"));
    let named = |name: &str, op: &str, input: Vec<String>, output: String| NodeProto {
        name: Some(format!("{name}{at}")),
        op_type: Some(op.into()),
        input,
        output: vec![output],
        attribute: Vec::<AttributeProto>::new(),
        ..NodeProto::default()
    };
    let mut first = node.clone();
    first.output = vec![a.clone()];
    let negated = format!("{output}_n{at}");
    let mut second = node.clone();
    second.name = Some(format!("{}_again", node.name()));
    if let Some(input) = second.input.first_mut() {
        input.clone_from(&negated);
    }
    second.output = vec![b.clone()];
    let input = node.input.first().cloned().unwrap_or_default();
    vec![first, named("again_neg", "Neg", vec![input], negated), second, named("again_max", "Max", vec![a, b], output)]
}

fn verdicts(
    (base, new): (&Path, &Path),
    count: usize,
    options: &Arguments,
) -> Result<Vec<(Outcome, f64, f64)>, Failure> {
    let model = |path: &Path| ModelOptions { path: path.to_owned(), ..ModelOptions::default() };
    let timing = TimingOptions { most_ms: 1e3 * options.seconds, ..TimingOptions::default() };
    let mut found = Vec::new();
    for seed in 0..count {
        let options = CheckOptions {
            base: model(base),
            new: model(new),
            engine: EngineOptions { threads: Some(options.threads), ..EngineOptions::default() },
            bounds: Bounds { latency_ratio: Some(1.0), ..Bounds::default() },
            timing: Timing { batch: 1, options: TimingOptions { seed: seed as u64, ..timing }, ..Timing::default() },
            retries: 2,
            seed: seed as u64,
            ..CheckOptions::default()
        };
        let begin = Instant::now();
        let checked = check(&options, &Silent, &AtomicBool::new(false))?;
        let ratio = checked.latency_ms.map_or(f64::NAN, |own| own.ratio);
        found.push((checked.outcome, ratio, begin.elapsed().as_secs_f64()));
    }
    Ok(found)
}

fn told(name: &str, found: &[(Outcome, f64, f64)]) {
    let failed = found.iter().filter(|own| own.0 == Outcome::Failed).count();
    let ratios: Vec<f64> = found.iter().map(|own| own.1).collect();
    let seconds: Vec<f64> = found.iter().map(|own| own.2).collect();
    let at = |values: &[f64], p: f64| percentile(values, p);
    println!(
        "{name}: {failed} of {} failed; ratio median {:.3}, from {:.3} to {:.3}; seconds a check: median {:.1}, most {:.1}",
        found.len(),
        at(&ratios, 0.5),
        at(&ratios, 0.0),
        at(&ratios, 1.0),
        at(&seconds, 0.5),
        at(&seconds, 1.0)
    );
}

fn main() -> Result<(), Failure> {
    let options = arguments()?;
    if options.model.as_os_str().is_empty() {
        eprintln!("cargo bench --bench check -- MODEL.onnx");
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("slower.onnx");
    let model = Model::load(&options.model, &LoadOptions::default())?;
    let (slow, share) = slower(&model, options.share);
    slow.save(&path, &SaveOptions::default())?;
    told("itself", &verdicts((&options.model, &options.model), options.alarms, &options)?);
    let slowed = verdicts((&options.model, &path), options.slowdowns, &options)?;
    told(&format!("{:.1} % more work", 100.0 * share), &slowed);
    Ok(())
}
