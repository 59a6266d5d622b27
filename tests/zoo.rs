//! Graphs full of traps, from ../shared/zoo or from any folder: `ONNX_PRUNE_ZOO=DIR cargo test --test zoo -- --nocapture`.
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

use support::{onnx_prune, shared, text};

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

/// What became of one model: a line of the matrix, or why it is a failure.
fn one(path: &Path, check: &str, python: &str) -> Result<String, String> {
    let folder = tempfile::tempdir().unwrap();
    let model = path.display().to_string();
    let flags = ["--criterion", "l2", "--round-to", "1", "--compensate", "none", "--no-timing"];
    let mut arguments = vec![model.as_str(), "-o", "p.onnx", "--report", "r.json"];
    arguments.extend(flags);
    let output = onnx_prune(&arguments, folder.path());
    if output.status.code() == Some(2) && text(&output.stderr).contains("nothing can be pruned") {
        assert!(!folder.path().join("p.onnx").exists());
        let why = text(&output.stderr).lines().find(|line| line.contains("why:")).unwrap_or_default().trim().to_owned();
        return Ok(format!("left alone, {why}"));
    }
    if !output.status.success() {
        return Err(text(&output.stderr));
    }
    let report: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("r.json")).unwrap()).unwrap();
    let masked = onnx_prune(&["apply", &model, "p.plan.json", "--masked", "-o", "m.onnx"], folder.path());
    if !masked.status.success() {
        return Err(text(&masked.stderr));
    }
    let judged = Command::new(python)
        .args([check, &model, "p.onnx", "--masked", "m.onnx", "--tolerance", "1e-3"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    if !judged.status.success() {
        return Err(text(&judged.stdout));
    }
    let share = report["macs"]["after"].as_f64().unwrap() / report["macs"]["before"].as_f64().unwrap();
    let missed = share > 0.5 && !report["notes"].to_string().contains("cannot be reached");
    if missed {
        return Err(format!("MACs x{share:.3} without a word"));
    }
    Ok(format!("MACs x{share:.3}, {} groups", report["groups"].as_array().unwrap().len()))
}

#[test]
fn every_graph_of_the_zoo_comes_out_valid_or_is_left_alone_with_a_reason() {
    let name = "every_graph_of_the_zoo_comes_out_valid_or_is_left_alone_with_a_reason";
    let Some(shared) = shared(name) else { return };
    let Some(python) = support::python(name, "onnx, onnxruntime, numpy") else { return };
    let folder = match std::env::var_os("ONNX_PRUNE_ZOO") {
        Some(folder) => PathBuf::from(folder),
        None => edge_graphs(&shared, python),
    };
    let check = shared.join("zoo/check.py").display().to_string();
    let mut paths: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "onnx"))
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} holds no models", folder.display());
    let mut failed = Vec::new();
    for path in &paths {
        let model = path.file_stem().unwrap().to_string_lossy().into_owned();
        match one(path, &check, python) {
            Ok(line) => println!("{model:<36} {line}"),
            Err(why) => failed.push(format!("{model}: {why}")),
        }
    }
    assert!(failed.is_empty(), "{} of {} failed:\n{}", failed.len(), paths.len(), failed.join("\n"));
}
