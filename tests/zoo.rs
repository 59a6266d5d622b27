//! The matrix: graphs full of traps and networks as exporters write them, pruned twice and judged from outside.
//!
//! By default the hand-made graphs of ../shared/zoo and the models of ../shared/models. Any folder of .onnx files can be
//! put through it: `ONNX_PRUNE_ZOO=DIR cargo test --test zoo -- --nocapture`.
#![allow(
    missing_docs,
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test binary"
)]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use rayon::prelude::*;
use serde_json::Value;
use support::{onnx_prune, shared, text};

/// Networks of which nearly every convolution must be prunable, by the beginning of their names.
const WIDE_OPEN: [&str; 19] = [
    "resnet50",
    "densenet121",
    "googlenet",
    "inception_v3",
    "shufflenet_v2",
    "mobilenet_v2",
    "mobilenet_v3",
    "mnasnet",
    "efficientnet_b0",
    "regnet_y",
    "resnext14",
    "squeezenet",
    "convnext",
    "hrnet",
    "res2net",
    "ghostnet",
    "unet",
    "yolo_like",
    "imagenet_mobilenet_v2",
];

/// Least share of the MACs of their convolutions in operators with prunable channels.
const LEAST_PRUNABLE: f64 = 0.95;

/// A plan may fall short of its budget by this share, where the network is large enough for fine steps.
const SLACK: f64 = 0.02;

/// Networks below this are too small for it: a single channel is more than the slack.
const LARGE_MACS: f64 = 4e6;

/// The hand-made graphs, built once; they need no network and take two seconds.
fn edge_graphs(shared: &Path, python: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("zoo");
    let make = shared.join("zoo/make.py").display().to_string();
    let listed = Command::new(python).args([&make, "--list"]).output().unwrap();
    let names: Vec<String> = text(&listed.stdout)
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| name.starts_with("edge_"))
        .map(str::to_owned)
        .collect();
    let output = Command::new(python)
        .args([&make, "--out", &folder.display().to_string(), "--only", &names.join(",")])
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    folder
}

/// How a model is pruned, and what must come of it.
struct Setting {
    name: &'static str,
    flags: &'static [&'static str],
    target: Option<&'static str>,
}

const SETTINGS: [Setting; 2] = [
    Setting { name: "half", flags: &["--target-macs", "0.5", "--round-to", "1"], target: Some("0.5") },
    Setting { name: "ratio", flags: &["--ratio", "0.3"], target: None },
];

/// The judge: ../shared/zoo/check.py.
struct Predictions {
    python: &'static str,
    script: String,
}

impl Predictions {
    fn accepts(&self, folder: &Path, model: &str, pruned: &str, masked: &str, more: &[&str]) -> Result<(), String> {
        let judged = Command::new(self.python)
            .args([&self.script, model, pruned, "--masked", masked])
            .args(more)
            .current_dir(folder)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .output()
            .unwrap();
        if judged.status.success() { Ok(()) } else { Err(text(&judged.stdout) + &text(&judged.stderr)) }
    }
}

/// MACs kept and the largest difference from the masked original.
struct Done {
    share: f64,
    error: f64,
}

fn prune(judge: &Predictions, model: &str, folder: &Path, setting: &Setting) -> Result<Option<Done>, String> {
    let file = |end: &str| format!("{}.{end}", setting.name);
    let (pruned, masked, report) = (file("onnx"), file("masked.onnx"), file("json"));
    let mut arguments = vec![model, "-o", &pruned, "--report", &report, "--criterion", "l2", "--scope", "all"];
    arguments.extend(["--compensate", "none", "--no-timing"]);
    arguments.extend(setting.flags);
    let output = onnx_prune(&arguments, folder);
    if output.status.code() == Some(2) && text(&output.stderr).contains("nothing can be pruned") {
        assert!(!folder.join(&pruned).exists(), "nothing to prune, yet a file was written");
        return Ok(None);
    }
    if !output.status.success() {
        return Err(text(&output.stderr));
    }
    let report: Value = serde_json::from_slice(&std::fs::read(folder.join(&report)).unwrap()).unwrap();
    let applied = onnx_prune(&["apply", model, &file("plan.json"), "--masked", "-o", &masked], folder);
    if !applied.status.success() {
        return Err(text(&applied.stderr));
    }
    let number = |value: &Value| value.as_f64().unwrap();
    let kept = |what: &str| number(&report[what]["after"]) / number(&report[what]["before"]);
    let unreachable = report["warnings"].to_string().contains("cannot be reached");
    // Half-precision sums differ by their order.
    let tolerance = number(&report["verification"]["tolerance"]).to_string();
    let mut more = vec!["--tolerance", &tolerance];
    if let (Some(target), false) = (setting.target, unreachable) {
        more.extend(["--target-macs", target]);
        let target: f64 = target.parse().unwrap();
        if number(&report["macs"]["before"]) > LARGE_MACS && kept("macs") < target * (1.0 - SLACK) {
            return Err(format!("MACs x{:.3} where x{target} was asked for", kept("macs")));
        }
    }
    judge.accepts(folder, model, &pruned, &masked, &more)?;
    if kept("macs") >= 1.0 || kept("params") >= 1.0 {
        return Err(format!("MACs x{:.3}, parameters x{:.3}: nothing fell", kept("macs"), kept("params")));
    }
    Ok(Some(Done { share: kept("macs"), error: number(&report["verification"]["max_error"]) }))
}

/// What became of one model: a line of the matrix, or why it is a failure.
fn one(path: &Path, judge: &Predictions) -> Result<String, String> {
    let begin = std::time::Instant::now();
    let folder = tempfile::tempdir().unwrap();
    let model = path.display().to_string();
    let inspected = onnx_prune(&["inspect", &model, "--json"], folder.path());
    let found: Value = serde_json::from_slice(&inspected.stdout).map_err(|_| text(&inspected.stderr))?;
    let convolutions = found["prunable_convolution_macs_share"].as_f64();
    let name = path.file_stem().unwrap().to_string_lossy();
    if WIDE_OPEN.iter().any(|open| name.starts_with(open)) && convolutions.unwrap_or(0.0) < LEAST_PRUNABLE {
        return Err(format!("only {convolutions:?} of the MACs of its convolutions are prunable"));
    }
    if let Some(silent) = left_in_silence(&found) {
        return Err(format!("{silent} is not prunable and nobody says why"));
    }
    let mut line = format!(
        "{:>3} {:>6} {:>9}",
        found["groups"].as_array().unwrap().len(),
        convolutions.map_or("-".into(), |share| format!("{:.1}%", 100.0 * share)),
        found["protected"].as_array().unwrap().len(),
    );
    for setting in &SETTINGS {
        match prune(judge, &model, folder.path(), setting).map_err(|why| format!("{}: {why}", setting.name))? {
            Some(Done { share, error }) => line += &format!("  x{share:.3} {error:>7.1e}"),
            None => line += &format!("  {:>14}", "left alone"),
        }
    }
    Ok(format!("{line} {:>6.1}  {}", begin.elapsed().as_secs_f64(), reasons(&found)))
}

/// An operator with work that is neither prunable nor protected for a reason.
fn left_in_silence(found: &Value) -> Option<String> {
    if !found["opaque"].as_object().unwrap().is_empty() {
        return None;
    }
    let empty = |operator: &Value, key: &str| operator[key].as_array().unwrap().is_empty();
    let silent = |operator: &&Value| {
        operator["macs"].as_u64() > Some(0)
            && ["makes", "carries", "sums", "protected"].iter().all(|k| empty(operator, k))
    };
    let mut operators = found["operators"].as_array().unwrap().iter();
    // A product of run-time values makes nothing of its own.
    operators.find(|op| silent(op) && op["op"].as_str().unwrap().starts_with("Conv")).map(|op| op["name"].to_string())
}

/// The first reason of each kind that something stays whole.
fn reasons(found: &Value) -> String {
    let protected = found["protected"].as_array().unwrap().iter();
    let all = protected.flat_map(|entry| entry["reasons"].as_array().unwrap()).map(|reason| reason.as_str().unwrap());
    let opaque = found["opaque"].as_object().unwrap().iter();
    let opaque = opaque.map(|(op, entry)| format!("{op}: {}", entry["why"].as_str().unwrap()));
    // The name of a node stands between backticks; what is left says what kind of reason it is.
    let kind = |reason: &str| reason.split('`').step_by(2).collect::<Vec<_>>().join("").replace("  ", " ");
    let kinds: std::collections::BTreeSet<String> = all.map(kind).chain(opaque).collect();
    kinds.into_iter().collect::<Vec<_>>().join("; ")
}

fn models(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "onnx"))
        .collect();
    paths.sort();
    paths
}

#[test]
fn every_graph_of_the_zoo_comes_out_valid_or_is_left_alone_with_a_reason() {
    let name = "every_graph_of_the_zoo_comes_out_valid_or_is_left_alone_with_a_reason";
    let Some(shared) = shared(name) else { return };
    let Some(python) = support::python(name, "onnx, onnxruntime, numpy") else { return };
    let paths = match std::env::var_os("ONNX_PRUNE_ZOO") {
        Some(folder) => models(Path::new(&folder)),
        None => [models(&edge_graphs(&shared, python)), models(&shared.join("models"))].concat(),
    };
    assert!(!paths.is_empty(), "the folder holds no models");
    let judge = Predictions { python, script: shared.join("zoo/check.py").display().to_string() };
    let results: Vec<Result<String, String>> = paths.par_iter().map(|path| one(path, &judge)).collect();
    println!("\n{:<34} grp  convs protected  MACs half max.err  ratio 0.3 max.err  s     why", "model");
    let mut failed = Vec::new();
    for (path, result) in paths.iter().zip(results) {
        let model = path.file_stem().unwrap().to_string_lossy().into_owned();
        match result {
            Ok(line) => println!("{model:<34} {line}"),
            Err(why) => failed.push(format!("{model}: {why}")),
        }
    }
    println!("{} models, {} failed", paths.len(), failed.len());
    assert!(failed.is_empty(), "{} of {} failed:\n{}", failed.len(), paths.len(), failed.join("\n"));
}
