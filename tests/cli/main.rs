//! The binary as a user runs it: exit codes, files, output. The embedded engine runs everywhere.
#![allow(
    missing_docs,
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test binary"
)]

mod blocks;
mod classes;
mod detections;
#[cfg(unix)]
mod devices;
mod jobs;
#[cfg(unix)]
mod metric;
mod providers;
mod refusals;
mod shards;
mod statistics;
#[path = "../support/mod.rs"]
mod support;
mod told;

use std::fs;
use std::path::Path;

use onnx_prune::model::SaveOptions;
use support::{onnx_prune, root, text};

/// Copies a model of models/ into a temporary folder.
fn with_model(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(root().join("models").join(name), folder.path().join("model.onnx")).unwrap();
    folder
}

fn data(part: &str) -> String {
    root().join("calibration").join(part).display().to_string()
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn prune(folder: &Path, more: &[&str]) -> std::process::Output {
    let (train, eval) = (data("train"), data("eval"));
    let mut arguments = vec![
        "model.onnx",
        "--data",
        &train,
        "--eval",
        &eval,
        "--eval-samples",
        "200",
        "--no-timing",
        "--engine",
        "tract",
    ];
    if !more.contains(&"--effort") {
        arguments.extend(["--effort", "fast"]);
    }
    arguments.extend(more);
    onnx_prune(&arguments, folder)
}

/// Runs a command that must fail and returns its message.
fn refused(folder: &Path, arguments: &[&str], code: i32) -> String {
    let before = files(folder);
    let output = onnx_prune(arguments, folder);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {message}");
    let errors = message.lines().filter(|line| line.starts_with("error: ")).count();
    assert_eq!(errors, 1, "{arguments:?}: {message}");
    assert!(!message.contains("panicked"), "{message}");
    assert_eq!(files(folder), before, "{arguments:?} left something behind");
    message
}

fn json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn one_command_prunes_a_real_classifier() {
    for name in ["fashion_resnet.onnx", "fashion_plain.onnx"] {
        let folder = with_model(name);
        let output = prune(folder.path(), &["--report", "report.json", "--round-to", "1"]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert_eq!(files(folder.path()), ["model.onnx", "model.pruned.onnx", "model.pruned.plan.json", "report.json"]);
        let report: serde_json::Value =
            serde_json::from_slice(&fs::read(folder.path().join("report.json")).unwrap()).unwrap();
        let macs = &report["macs"];
        let share = macs["after"].as_f64().unwrap() / macs["before"].as_f64().unwrap();
        assert!((0.495..=0.5).contains(&share), "{name}: MACs x{share}");
        assert!(report["accuracy"]["before"].as_f64().unwrap() > 88.0);
        // Chance is 10 %: a pruned network that lost its way is near it.
        assert!(report["accuracy"]["after"].as_f64().unwrap() > 60.0, "{report}");
        assert!(report["verification"]["max_error"].as_f64().unwrap() <= 1e-4);
        assert_eq!(report["schema_version"], 1);
        let shown = text(&output.stdout);
        assert!(shown.starts_with("MACs x0."), "{shown}");
        assert!(!shown.contains('\u{1b}'), "colour on a pipe");
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_for_any_number_of_threads() {
    let results: Vec<(Vec<u8>, Vec<u8>)> = ["1", "2"]
        .into_iter()
        .map(|threads| {
            let folder = with_model("fashion_plain.onnx");
            let output = std::process::Command::new(env!("CARGO_BIN_EXE_onnx-prune"))
                .args(["model.onnx", "--data", &data("train"), "--engine", "tract", "--no-timing", "--samples", "300"])
                .current_dir(folder.path())
                .env("RAYON_NUM_THREADS", threads)
                .output()
                .unwrap();
            assert!(output.status.success(), "{}", text(&output.stderr));
            let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
            (read("model.pruned.onnx"), read("model.pruned.plan.json"))
        })
        .collect();
    assert!(results[0] == results[1]);
}

#[test]
fn a_plan_reproduces_an_uncompensated_run_and_its_masked_twin_agrees() {
    let folder = with_model("fashion_resnet.onnx");
    let output = prune(folder.path(), &["--compensate", "none", "--criterion", "l2"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let plan = "model.pruned.plan.json";
    let run = |arguments: &[&str]| {
        let output = onnx_prune(arguments, folder.path());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    };
    run(&["apply", "model.onnx", plan, "-o", "again.onnx"]);
    let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
    assert!(read("again.onnx") == read("model.pruned.onnx"));
    run(&["apply", "model.onnx", plan, "--masked", "-o", "masked.onnx"]);
    run(&["verify", "masked.onnx", "again.onnx", "--engine", "tract"]);
    let differs = onnx_prune(&["verify", "model.onnx", "again.onnx", "--engine", "tract"], folder.path());
    assert_eq!(differs.status.code(), Some(1));
    assert!(text(&differs.stderr).contains("differs by"));
}

#[test]
fn an_empty_plan_gives_a_byte_equal_file() {
    let folder = with_model("fashion_resnet.onnx");
    assert!(prune(folder.path(), &["--compensate", "none", "--criterion", "l2"]).status.success());
    let path = folder.path().join("model.pruned.plan.json");
    let mut plan: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    for group in plan["groups"].as_array_mut().unwrap() {
        let width = group["width"].as_u64().unwrap();
        group["kept"] = (0..width).collect::<Vec<_>>().into();
    }
    fs::write(folder.path().join("empty.json"), plan.to_string()).unwrap();
    let output = onnx_prune(&["apply", "model.onnx", "empty.json", "-o", "same.onnx"], folder.path());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
    assert!(read("same.onnx") == read("model.onnx"));
}

#[test]
fn standard_input_is_a_model_too() {
    use std::io::Write as _;
    let folder = with_model("fashion_resnet.onnx");
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_onnx-prune"))
        .args(["-", "--criterion", "l2", "--engine", "tract", "--no-timing", "-o", "out.onnx"])
        .current_dir(folder.path())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let bytes = fs::read(folder.path().join("model.onnx")).unwrap();
    child.stdin.take().unwrap().write_all(&bytes).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(folder.path().join("out.onnx").is_file());
}

/// Two branches; channel 0 of the first convolution overflows. Zeroing what it meets gives no number, removing it does.
fn model_with_an_overflowing_channel() -> onnx_prune::model::Model {
    let mut b = support::Builder::new(&[1, 4, 6, 6]);
    let (mut w, mut bias) = (vec![0.5_f32; 8 * 4], vec![0.0; 8]);
    w[..4].fill(0.0);
    bias[0] = f32::INFINITY;
    let (w, bias) = (b.stored(&[8, 4, 1, 1], &w), b.stored(&[8], &bias));
    let a = b.node("Conv", &["x", &w, &bias], &[]);
    let first = b.conv(&a, 8, 3, 1);
    let c = b.conv("x", 4, 8, 1);
    let c = b.relu(&c);
    let second = b.conv(&c, 8, 3, 1);
    let mut model = b.model(&first);
    let output = support::Builder::new(&[1]).model(&second).graph().output[0].clone();
    model.graph_mut().output.push(output);
    model
}

#[test]
fn a_group_whose_cut_does_not_hold_is_left_alone_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let model = model_with_an_overflowing_channel();
    model.save(&folder.path().join("model.onnx"), &SaveOptions::default()).unwrap();
    let culprit = model.graph().node[0].name();
    let arguments = ["model.onnx", "--criterion", "l2", "--ratio", "0.3", "--round-to", "1", "--no-timing"];
    let output = onnx_prune(&[&arguments[..], &["--report", "r.json"]].concat(), folder.path());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&fs::read(folder.path().join("r.json")).unwrap()).unwrap();
    let warning = report["warnings"][0].as_str().unwrap();
    assert!(warning.starts_with(&format!("`{culprit}` was left alone")), "{warning}");
    let groups = report["groups"].as_array().unwrap();
    assert!(groups.iter().all(|group| group["name"] != culprit), "{report}");
    assert!(groups.iter().any(|group| group["width_after"].as_u64() < group["width_before"].as_u64()), "{report}");
    // The plan repeats the run, the group that was left alone included.
    let output = onnx_prune(&["apply", "model.onnx", "model.pruned.plan.json", "-o", "again.onnx"], folder.path());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let bytes = |name: &str| fs::read(folder.path().join(name)).unwrap();
    assert_eq!(bytes("again.onnx"), bytes("model.pruned.onnx"));
}

#[test]
fn the_adaptive_rule_meets_its_budget_within_one_percent() {
    for (name, criterion, share) in [
        ("fashion_resnet.onnx", "stlp-ib", "0.7"),
        ("fashion_resnet.onnx", "sglp-ib", "0.5"),
        ("fashion_plain.onnx", "stlp-ib", "0.3"),
    ] {
        let folder = with_model(name);
        let more = ["--widths", "adaptive", "--round-to", "1", "--criterion", criterion, "--target-macs", share];
        let output = prune(folder.path(), &[&more[..], &["--report", "r.json", "--samples", "200"]].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        let report = json(&folder.path().join("r.json"));
        let reached = report["macs"]["after"].as_f64().unwrap() / report["macs"]["before"].as_f64().unwrap();
        let wanted: f64 = share.parse().unwrap();
        assert!((reached / wanted - 1.0).abs() <= 0.01, "{name} {criterion}: {reached} in place of {wanted}");
    }
    let folder = with_model("fashion_plain.onnx");
    for criterion in ["l2", "stlp-obs"] {
        let output = prune(folder.path(), &["--force", "--widths", "adaptive", "--criterion", criterion]);
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains("its threshold is a lambda"), "{}", text(&output.stderr));
    }
}

#[test]
fn the_default_effort_repairs_more_than_the_fast_one() {
    let folder = with_model("fashion_resnet.onnx");
    let run = |more: &[&str]| -> serde_json::Value {
        let common = ["--force", "--json", "--samples", "200", "--round-to", "1", "--target-macs", "0.3"];
        let output = prune(folder.path(), &[&common[..], more].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let (fast, full) = (run(&["--effort", "fast"]), run(&["--effort", "default", "--refine", "20"]));
    let accuracy = |report: &serde_json::Value| report["accuracy"]["after"].as_f64().unwrap();
    assert!(accuracy(&full) > accuracy(&fast), "{} {}", accuracy(&fast), accuracy(&full));
    assert!(fast["compensation"]["layers"].is_null() && fast["compensation"]["refined"].is_null());
    let layers = full["compensation"]["layers"].as_array().unwrap();
    assert!(layers.len() > 6 && layers.iter().any(|layer| layer["shortcut"] == true));
    let errors = full["compensation"]["refined"]["errors"].as_array().unwrap();
    assert!(errors.last().unwrap().as_f64() < errors.first().unwrap().as_f64(), "{errors:?}");
    // Widths follow what the outputs lose, not one share for all.
    let widths = |report: &serde_json::Value| -> Vec<u64> {
        report["groups"].as_array().unwrap().iter().map(|own| own["width_after"].as_u64().unwrap()).collect()
    };
    assert_ne!(widths(&fast), widths(&full));
}
