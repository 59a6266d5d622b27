//! Execution providers that come in a library of their own.

use std::fs;
use std::process::Command;

use super::{data, files, refused, with_model};
use crate::support::skips::{Need, onnx_runtime, skip};
use crate::support::{onnx_prune, text};

/// ONNX Runtime, and the library of the package `nxrt-ep-cpu`, whose provider runs on any processor; else the test is skipped.
fn library(test: &str) -> Option<String> {
    if let Err(why) = onnx_runtime() {
        skip(test, Need::OnnxRuntime, &why);
        return None;
    }
    let asked =
        Command::new("python3").args(["-c", "import nxrt_ep_cpu; print(nxrt_ep_cpu.get_library_path())"]).output();
    let found =
        asked.ok().filter(|output| output.status.success()).map(|output| text(&output.stdout).trim().to_owned());
    if found.is_none() {
        skip(test, Need::PlugIn, "python3 cannot import nxrt_ep_cpu");
    }
    found
}

#[test]
fn a_provider_of_a_library_times_runs_and_is_named() {
    let Some(library) = library("a_provider_of_a_library_times_runs_and_is_named") else { return };
    let folder = with_model("fashion_plain.onnx");
    let train = data("train");
    let own = ["--provider-library", &library];
    let arguments = ["model.onnx", "--data", &train, "--samples", "40", "--target-macs", "0.7", "--effort", "fast"];
    let output = onnx_prune(&[&arguments[..], &own, &["--report", "r.json"]].concat(), folder.path());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&fs::read(folder.path().join("r.json")).unwrap()).unwrap();
    assert_eq!(report["engine"]["provider"], "cpu_ep");
    assert!(report["latency_ms"]["ratio"].as_f64().unwrap() > 0.0, "{}", report["latency_ms"]);

    let files = ["model.onnx", "model.pruned.onnx"];
    let bench = [&["bench"][..], &files, &own, &["--provider-device", "cpu", "--threads", "1"]].concat();
    let output = onnx_prune(&bench, folder.path());
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("on cpu_ep"), "{}", text(&output.stdout));
    assert!(text(&output.stdout).contains("threads of its own"), "{}", text(&output.stdout));

    let output = onnx_prune(&[&["setup"][..], &own].concat(), folder.path());
    assert!(text(&output.stdout).contains("cpu_ep"), "{}", text(&output.stdout));

    let gpu = [&["bench"][..], &files, &own, &["--provider-device", "gpu"]].concat();
    let message = refused(folder.path(), &gpu, 2);
    assert!(message.contains("it has cpu_ep on cpu"), "{message}");
}

#[test]
fn libraries_without_a_provider_are_refused() {
    if let Err(why) = onnx_runtime() {
        return skip("libraries_without_a_provider_are_refused", Need::OnnxRuntime, &why);
    }
    let folder = with_model("fashion_plain.onnx");
    fs::write(folder.path().join("text.so"), "no library").unwrap();
    let before = files(folder.path());
    let bench = ["bench", "model.onnx", "--provider-library"];
    for (name, why) in [("nowhere.so", "no such file"), ("text.so", "text.so")] {
        let message = refused(folder.path(), &[&bench[..], &[name]].concat(), 2);
        assert!(message.contains(why) && message.contains("--provider-library"), "{message}");
    }
    let message = refused(folder.path(), &[&bench[..], &["text.so", "--engine", "tract"]].concat(), 2);
    assert!(message.contains("`text.so`") && message.contains("--engine tract"), "{message}");
    assert_eq!(files(folder.path()), before);
}

#[test]
fn a_device_type_is_for_providers_of_libraries() {
    if let Err(why) = onnx_runtime() {
        return skip("a_device_type_is_for_providers_of_libraries", Need::OnnxRuntime, &why);
    }
    let folder = with_model("fashion_plain.onnx");
    let before = files(folder.path());
    for others in [&[][..], &["--provider", "cpu"], &["--engine", "tract"]] {
        let message =
            refused(folder.path(), &[&["bench", "model.onnx", "--provider-device", "npu"], others].concat(), 2);
        assert!(message.contains("`--provider-device npu`") && message.contains("--provider-library"), "{message}");
    }
    assert_eq!(files(folder.path()), before);
}
