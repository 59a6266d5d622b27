//! The real models of ../shared, judged by its own check.
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

use std::process::Command;

use support::{onnx_prune, shared, text};

/// Model, how its images are read, and top-1 of the dense model on them by the manifest (`None`: not on record).
const MODELS: [(&str, &[&str], Option<f64>); 5] = [
    ("cifar10_resnet20", CIFAR, Some(90.5)),
    ("cifar10_resnet20_bn", CIFAR, Some(90.5)),
    ("cifar10_resnet56", CIFAR, Some(94.5)),
    ("cifar10_resnet56_bn", CIFAR, Some(94.5)),
    ("imagenet_mobilenet_v2", MOBILENET, None),
];

const CIFAR: &[&str] = &[
    "--data",
    "data/cifar10_sample/train",
    "--eval",
    "data/cifar10_sample/test",
    "--mean",
    "0.485,0.456,0.406",
    "--std",
    "0.229,0.224,0.225",
    "--samples",
    "100",
];

const MOBILENET: &[&str] = &[
    "--data",
    "data/imagenette_train",
    "--eval",
    "data/imagenet_val",
    "--classes",
    "data/imagenet_wnids.txt",
    "--scale",
    "1",
    "--mean",
    "128",
    "--std",
    "128",
    "--samples",
    "30",
    "--eval-samples",
    "20",
];

#[test]
fn half_the_macs_of_every_shared_model() {
    let name = "half_the_macs_of_every_shared_model";
    let Some(shared) = shared(name) else { return };
    let judge = support::python(name, "onnx, onnxruntime, numpy");
    for (model, flags, accuracy) in MODELS {
        for round_to in ["1", "auto"] {
            let folder = tempfile::tempdir().unwrap();
            let path = |file: &str| folder.path().join(file).display().to_string();
            let original = shared.join("models").join(format!("{model}.onnx")).display().to_string();
            let (pruned, report) = (path("pruned.onnx"), path("report.json"));
            let mut arguments =
                vec![original.as_str(), "--round-to", round_to, "--no-timing", "-o", &pruned, "--report", &report];
            arguments.extend(["--effort", "fast"]);
            arguments.extend(flags);
            let output = onnx_prune(&arguments, &shared);
            assert!(output.status.success(), "{model}: {}", text(&output.stderr));
            let report: serde_json::Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
            let share = report["macs"]["after"].as_f64().unwrap() / report["macs"]["before"].as_f64().unwrap();
            let least = if round_to == "1" { 0.495 } else { 0.485 };
            assert!((least..=0.5).contains(&share), "{model}, round to {round_to}: MACs x{share}");
            if let Some(accuracy) = accuracy {
                let found = report["accuracy"]["before"].as_f64().unwrap();
                assert!((found - accuracy).abs() <= 0.3, "{model}: {found} % in place of {accuracy} %");
            }
            let Some(python) = judge else { continue };
            let (plan, sliced, masked) = (path("pruned.plan.json"), path("sliced.onnx"), path("masked.onnx"));
            for (target, more) in [(&sliced, None), (&masked, Some("--masked"))] {
                let mut arguments = vec!["apply", &original, &plan, "-o", target];
                arguments.extend(more);
                assert!(onnx_prune(&arguments, folder.path()).status.success());
            }
            let check = shared.join("zoo/check.py").display().to_string();
            for extra in [vec![sliced.as_str(), "--masked", &masked], vec![pruned.as_str()]] {
                let arguments = [vec![check.as_str(), &original], extra, vec!["--target-macs", "0.5"]].concat();
                let output = Command::new(python).args(arguments).output().unwrap();
                assert!(output.status.success(), "{model}: {}", text(&output.stdout));
            }
            println!("{model}, round to {round_to}: MACs x{share:.4}");
        }
    }
}
