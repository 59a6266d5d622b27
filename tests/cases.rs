//! Small networks that hold what users ran into (`../shared/cases`): every default run repairs them or says why not, and
//! no stage of the repair takes the outputs farther from the dense model's on pictures that the run did not see.
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
use std::sync::atomic::AtomicBool;

use onnx_prune::engine::Engine;
use onnx_prune::evaluate::{DataOptions, Pass, Reference, Source};
use onnx_prune::model::{LoadOptions, Model, SaveOptions};
use serde_json::Value;
use support::{Need, onnx_runtime, python, shared, skip, text};

/// A network, and how large the error of its outputs may be relative to the cut without repair.
struct Case {
    name: &'static str,
    flags: &'static str,
    most: f64,
}

const fn case(name: &'static str, most: f64) -> Case {
    Case { name, flags: "", most }
}

/// Those that calibrate with pictures.
const CASES: [Case; 11] = [
    case("prelu_batch_slopes", 0.05),
    case("scalar_mean", 0.1),
    case("if_branches", 0.1),
    case("gemm_column_bias", 0.5),
    case("float16_io", 0.1),
    case("auto_pad_valid", 0.05),
    case("auto_pad_same", 0.05),
    case("explicit_pads", 0.05),
    case("constant_weights", 0.05),
    case("widened_by_zeros", 0.6),
    case("qdq_per_channel", 0.9),
];

/// The folder of the built networks; `None` (said) without what builds and runs them.
fn built(test: &str, names: &[&str]) -> Option<(PathBuf, Box<dyn Engine>)> {
    let (shared, python) = (shared(test)?, python(test, "onnx, numpy, onnxruntime, ml_dtypes, sympy")?);
    let engine = onnx_runtime().map_err(|why| skip(test, Need::OnnxRuntime, &why)).ok()?;
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(test);
    let script = shared.join("cases/cases.py");
    let output = Command::new(python)
        .arg(&script)
        .arg(&folder)
        .args(names)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    let told = text(&output.stdout);
    assert!(output.status.success() && !told.contains("NOT BUILT"), "{told}{}", text(&output.stderr));
    Some((folder, engine))
}

/// Pictures of a folder, every so many.
fn pictures(from: &Path, to: &Path, every: usize) {
    let mut files: Vec<PathBuf> = walkdir(from);
    files.sort();
    let _ = std::fs::remove_dir_all(to);
    std::fs::create_dir_all(to).unwrap();
    for (at, file) in files.iter().step_by(every).enumerate() {
        std::fs::copy(file, to.join(format!("{at:04}.jpg"))).unwrap();
    }
}

fn walkdir(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walkdir(&path) } else { vec![path] }).collect()
}

/// Runs the binary; its report.
fn run(folder: &Path, name: &str, output: &str, flags: &str) -> Value {
    let command = format!("{name}.onnx --data calibration --no-timing --json --force -o {output} {flags}");
    let output = Command::new(env!("CARGO_BIN_EXE_onnx-prune"))
        .args(command.split_whitespace())
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{name} {flags}: {}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn load(path: &Path) -> Model {
    Model::load(path, &LoadOptions::default()).unwrap()
}

/// Mean error of the outputs of models on the pictures of `unseen`.
fn errors(engine: &dyn Engine, dense: &Model, others: &[&Model], unseen: &Path) -> Vec<f64> {
    let source = Source::open(dense, unseen, &DataOptions::default()).unwrap();
    let indices: Vec<u32> = source.dataset.numbers().collect();
    let cancel = AtomicBool::new(false);
    let pass = Pass { engine, source: &source, indices: &indices, advance: &|_| {}, cancel: &cancel };
    let reference = Reference::gather(&pass, dense).unwrap();
    others.iter().map(|other| reference.errors(engine, other, &cancel).unwrap().mean()).collect()
}

#[test]
fn the_repair_reaches_and_never_harms() {
    let names = CASES.map(|case| case.name);
    let Some((folder, engine)) = built("the_repair_reaches_and_never_harms", &names) else { return };
    let data = shared("the_repair_reaches_and_never_harms").unwrap().join("data");
    pictures(&data.join("imagenette_train"), &folder.join("calibration"), 6);
    pictures(&data.join("imagenet_val"), &folder.join("unseen"), 10);
    for Case { name, flags, most } in CASES {
        let report = run(&folder, name, "repaired.onnx", &format!("--refine 4 {flags}"));
        run(&folder, name, "bare.onnx", &format!("--compensate none {flags}"));
        let stages = report["compensation"]["stages"].as_array().unwrap();
        assert!(!stages.is_empty(), "{name}: no stage was measured");
        for stage in stages {
            assert!(stage["after"].as_f64() <= stage["before"].as_f64(), "{name}: {stage}");
        }
        let [dense, repaired, bare] = [name, "repaired", "bare"].map(|file| load(&folder.join(format!("{file}.onnx"))));
        let found = errors(engine.as_ref(), &dense, &[&repaired, &bare], &folder.join("unseen"));
        println!("{name}: {:.4} repaired, {:.4} bare", found[0], found[1]);
        assert!(found[0] <= most * found[1], "{name}: {:.4} repaired, {:.4} bare", found[0], found[1]);
    }
}

/// The model with every constant of a node as an initializer.
fn lifted(model: &Model) -> Model {
    let mut lifted = model.clone();
    let graph = lifted.graph_mut();
    let mut found = Vec::new();
    graph.node.retain(|node| {
        let stored = if node.op_type() == "Constant" { node.tensor("value").cloned() } else { None };
        found.extend(stored.clone().map(|mut tensor| {
            tensor.name = node.output.first().cloned();
            tensor
        }));
        stored.is_none()
    });
    graph.initializer.extend(found);
    lifted
}

/// Numbers of the constants by name, wherever they are stored.
fn constants(model: &Model) -> Vec<(String, Vec<f32>)> {
    let lifted = lifted(model);
    let number = |tensor: &onnx_prune::proto::onnx::TensorProto| {
        Some((tensor.name().to_owned(), lifted.tensor(tensor).ok()?.to_f32()?))
    };
    let mut all: Vec<_> = lifted.graph().initializer.iter().filter_map(number).collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

#[test]
fn weights_in_nodes_are_repaired_as_initializers_are() {
    let Some((folder, _)) = built("weights_in_nodes_are_repaired_as_initializers_are", &["constant_weights"]) else {
        return;
    };
    let data = shared("weights_in_nodes_are_repaired_as_initializers_are").unwrap().join("data");
    pictures(&data.join("imagenette_train"), &folder.join("calibration"), 12);
    let twin = lifted(&load(&folder.join("constant_weights.onnx")));
    let mut options = SaveOptions::default();
    options.force = true;
    twin.save(&folder.join("initializers.onnx"), &options).unwrap();
    let pruned = ["constant_weights", "initializers"].map(|name| {
        run(&folder, name, &format!("{name}.pruned.onnx"), "--refine 0");
        constants(&load(&folder.join(format!("{name}.pruned.onnx"))))
    });
    let weights =
        |all: &[(String, Vec<f32>)]| all.iter().filter(|(name, _)| name.starts_with('w')).cloned().collect::<Vec<_>>();
    assert_eq!(weights(&pruned[0]).len(), weights(&pruned[1]).len());
    assert!(weights(&pruned[0]) == weights(&pruned[1]), "the weights differ");
}
