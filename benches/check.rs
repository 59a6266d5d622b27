//! How often `check` calls a model slower than itself, and how often it catches one that is, on this machine as it is.
//!
//! `cargo bench --bench check -- MODEL.onnx [--alarms 100] [--slowdowns 40] [--time 15] [--threads 1] [--share 0.05]
//! [--beside 0]`
//!
//! The slower model is the same with the work of some of its convolutions done twice: about `--share` more
//! multiply-accumulates, and the row says how much more time that took by the median over all runs. `--beside N` lets N
//! other threads work meanwhile, on and off for up to two seconds, some of them on memory and some on numbers.
#![allow(missing_docs, clippy::print_stdout, clippy::print_stderr, reason = "a bench prints")]

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use onnx_prune::bench::latency::{TimingOptions, percentile};
use onnx_prune::channels::{AnalyseOptions, analyse};
use onnx_prune::check::Outcome;
use onnx_prune::engine::EngineOptions;
use onnx_prune::model::{LoadOptions, Model, SaveOptions};
use onnx_prune::pipeline::{Bounds, CheckOptions, ModelOptions, Silent, Timing, check};
use onnx_prune::proto::onnx::{AttributeProto, NodeProto};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

type Failure = Box<dyn std::error::Error>;

struct Arguments {
    model: PathBuf,
    alarms: usize,
    slowdowns: usize,
    seconds: f64,
    threads: usize,
    share: f64,
    beside: usize,
}

fn arguments() -> Result<Arguments, Failure> {
    let mut all = std::env::args().skip(1).filter(|own| own != "--bench");
    let mut found = Arguments {
        model: PathBuf::new(),
        alarms: 100,
        slowdowns: 40,
        seconds: 15.0,
        threads: 1,
        share: 0.05,
        beside: 0,
    };
    while let Some(name) = all.next() {
        let mut value = || all.next().ok_or_else(|| format!("{name} wants a value"));
        match name.as_str() {
            "--alarms" => found.alarms = value()?.parse()?,
            "--slowdowns" => found.slowdowns = value()?.parse()?,
            "--time" => found.seconds = value()?.parse()?,
            "--share" => found.share = value()?.parse()?,
            "--beside" => found.beside = value()?.parse()?,
            "--threads" => found.threads = value()?.parse()?,
            _ => found.model = PathBuf::from(name),
        }
    }
    Ok(found)
}

/// Runs some of the largest convolutions twice: about `share` more work.
fn slower(model: &Model, share: f64) -> (Model, f64) {
    let macs = analyse(model, &AnalyseOptions::default()).macs_by_node(None);
    let total: u64 = macs.iter().map(|(_, macs)| macs).sum();
    let mut slow = model.clone();
    let mut convs: Vec<(usize, u64)> = macs
        .iter()
        .copied()
        .filter(|&(at, macs)| macs > 0 && model.graph().node.get(at).is_some_and(|node| node.op_type() == "Conv"))
        .collect();
    convs.sort_by_key(|&(at, macs)| Reverse((macs, at)));
    let (mut added, mut chosen) = (0, BTreeSet::new());
    for (at, own) in convs {
        let wanted = share * total as f64;
        if (added as f64) < 0.9 * wanted && (added + own) as f64 <= 1.1 * wanted {
            added += own;
            chosen.insert(at);
        }
    }
    let own = |(at, node): (usize, &NodeProto)| if chosen.contains(&at) { twice(node, at) } else { vec![node.clone()] };
    let nodes = model.graph().node.iter().enumerate().flat_map(own).collect();
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
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for seed in 0..options.beside {
            let stop = &stop;
            scope.spawn(move || work(seed as u64, stop));
        }
        let both = || {
            told("itself", &verdicts((&options.model, &options.model), options.alarms, &options)?);
            let slowed = verdicts((&options.model, &path), options.slowdowns, &options)?;
            told(&format!("{:.1} % more work", 100.0 * share), &slowed);
            Ok(())
        };
        let ended = both();
        stop.store(true, Ordering::Relaxed);
        ended
    })
}

/// Another program: works on and off.
fn work(seed: u64, stop: &AtomicBool) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut memory = vec![1.0_f32; 4_000_000];
    let mut numbers = [1.0_f32; 1024];
    while !stop.load(Ordering::Relaxed) {
        let burst = Duration::from_secs_f64(rng.random_range(0.02..2.0));
        let on_memory = rng.random_bool(0.5);
        let begin = Instant::now();
        while begin.elapsed() < burst && !stop.load(Ordering::Relaxed) {
            if on_memory {
                for value in &mut memory {
                    *value += 1.0;
                }
            } else {
                for value in &mut numbers {
                    *value = (0..1000).fold(*value, |sum, _| 0.5_f32.mul_add(sum, 1.0));
                }
            }
            std::hint::black_box((&mut memory, &mut numbers));
        }
        std::thread::sleep(Duration::from_secs_f64(rng.random_range(0.0..1.5)));
    }
}
