//! The command `quantize` and the flag `--quantize`: exit codes, files, reports, refusals.

use std::fs;
use std::path::Path;

use onnx_prune::model::{LoadOptions, Model, SaveOptions};
use serde_json::Value;

use crate::support::{Builder, onnx_prune, python, shared, text};

/// A network with two residual blocks, images for it, and a folder.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut b = Builder::new(&[1, 3, 8, 8]).seeded(3);
    let mut x = b.conv("x", 3, 32, 1);
    for _ in 0..2 {
        let branch = b.conv(&x, 32, 32, 1);
        let branch = b.relu(&branch);
        let branch = b.conv(&branch, 32, 32, 1);
        let sum = b.node("Add", &[&x, &branch], &[]);
        x = b.relu(&sum);
    }
    let last = b.conv(&x, 32, 2, 1);
    b.model(&last).save(&folder.path().join("m.onnx"), &SaveOptions::default()).unwrap();
    let numbers: Vec<f32> = (0..40 * 3 * 64).map(|at: usize| ((at * 7919 % 1009) as f32) / 504.5 - 1.0).collect();
    let mut npy = b"\x93NUMPY\x01\x00".to_vec();
    let head = "{'descr': '<f4', 'fortran_order': False, 'shape': (40, 3, 8, 8), }";
    let head = format!("{head:<117}\n");
    npy.extend((head.len() as u16).to_le_bytes());
    npy.extend(head.as_bytes());
    npy.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
    fs::write(folder.path().join("x.npy"), npy).unwrap();
    folder
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn a_model_is_written_in_integers() {
    let folder = folder();
    let at = folder.path();
    let output = onnx_prune(
        &[
            "quantize",
            "m.onnx",
            "--data",
            "x.npy",
            "--no-timing",
            "--report",
            "r.json",
            "--html",
            "p.html",
            "--markdown",
            "c.md",
        ],
        at,
    );
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(fs::read_to_string(at.join("p.html")).unwrap().contains("6 products on integers"));
    assert!(fs::read_to_string(at.join("c.md")).unwrap().contains("6 products on integers"));
    let report = json(&at.join("r.json"));
    assert_eq!(report["quantized"]["products"], 6);
    assert!(report["bytes"]["after"].as_u64() < report["bytes"]["before"].as_u64());
    let steps = report["quantized"]["steps"].as_array().unwrap();
    let errors = |kept: bool| steps.iter().filter(move |own| own["kept"] == kept || !kept);
    let last = errors(true).next_back().unwrap()["error"].as_f64().unwrap();
    assert!(errors(false).all(|own| own["error"].as_f64().unwrap() >= last), "{steps:?}");
    let model = Model::load(&at.join("m.int8.onnx"), &LoadOptions::default()).unwrap();
    assert!(model.graph().node.iter().any(|node| node.op_type() == "QuantizeLinear"));
    assert!(text(&output.stdout).contains("6 products on integers"), "{}", text(&output.stdout));
}

#[test]
fn a_pruned_model_is_written_in_integers() {
    let folder = folder();
    let at = folder.path();
    let run = ["m.onnx", "--data", "x.npy", "--no-timing", "--quantize", "int8", "--refine", "0", "--report", "r.json"];
    let output = onnx_prune(&[&run[..], &["--keep-float", "auto"]].concat(), at);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let report = json(&at.join("r.json"));
    assert!(report["quantized"]["products"].as_u64().unwrap() >= 2);
    // Widths go in steps of the kernels.
    for group in report["groups"].as_array().unwrap() {
        let kept = group["width_after"].as_u64().unwrap();
        assert!(kept % 8 == 0, "{group}");
    }
    let model = Model::load(&at.join("m.pruned.onnx"), &LoadOptions::default()).unwrap();
    assert!(model.graph().node.iter().any(|node| node.op_type() == "DequantizeLinear"));
}

#[test]
fn a_file_is_as_small_as_asked_for_in_integers() {
    let folder = folder();
    let at = folder.path();
    let dense = fs::metadata(at.join("m.onnx")).unwrap().len();
    for (share, pruned) in [(0.5, false), (0.18, true)] {
        let size = share.to_string();
        let run = ["m.onnx", "--data", "x.npy", "--no-timing", "--quantize", "int8", "--refine", "0", "--force"];
        let output = onnx_prune(&[&run[..], &["--target-size", &size, "--report", "r.json"]].concat(), at);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let report = json(&at.join("r.json"));
        let bytes = fs::metadata(at.join("m.pruned.onnx")).unwrap().len();
        assert!(bytes as f64 <= share * dense as f64, "{bytes} of {dense}");
        let macs = &report["macs"];
        assert_eq!(macs["after"].as_u64() < macs["before"].as_u64(), pruned, "{macs}");
        let notes = report["notes"].to_string();
        assert_eq!(notes.contains("nothing was pruned"), !pruned, "{notes}");
    }
}

#[test]
fn a_sweep_has_both_forms() {
    let folder = folder();
    let at = folder.path();
    let run = [
        "m.onnx",
        "--data",
        "x.npy",
        "--no-timing",
        "--quantize",
        "int8",
        "--effort",
        "fast",
        "--sweep",
        "0.8..0.6:0.2",
    ];
    let output = onnx_prune(&[&run[..], &["--html", "p.html"]].concat(), at);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let table = fs::read_to_string(at.join("m.sweep.csv")).unwrap();
    let forms: Vec<&str> = table.lines().skip(1).filter_map(|line| line.rsplit(',').next()).collect();
    assert_eq!(forms, ["float", "int8", "float", "int8", "float", "int8"]);
    let quantised = |file: &str| {
        let model = Model::load(&at.join(file), &LoadOptions::default()).unwrap();
        model.graph().node.iter().any(|node| node.op_type() == "QuantizeLinear")
    };
    assert!(quantised("m.int8.onnx") && quantised("m.x0.80.int8.onnx") && quantised("m.x0.60.int8.onnx"));
    assert!(!quantised("m.x0.80.onnx") && !quantised("m.x0.60.onnx"));
    assert!(at.join("m.x0.60.plan.json").exists() && !at.join("m.x0.60.int8.plan.json").exists());
    assert!(text(&output.stdout).contains("x0.80 int8"));
    // A file that is there is not replaced, whichever it is.
    fs::remove_file(at.join("m.sweep.csv")).unwrap();
    for file in ["m.x0.80.onnx", "m.x0.60.onnx", "m.x0.80.plan.json", "m.x0.60.plan.json", "p.html"] {
        fs::remove_file(at.join(file)).unwrap();
    }
    let output = onnx_prune(&run, at);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("int8.onnx"), "{}", text(&output.stderr));
}

/// A bound on the loss is met by the model that is written, and integers alone come first.
#[test]
fn the_loss_is_that_of_integers() {
    const TEST: &str = "the_loss_is_that_of_integers";
    let Some(shared) = shared(TEST) else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = |part: &str| shared.join(part).display().to_string();
    let (train, test) = (path("data/cifar10_sample/train"), path("data/cifar10_sample/test"));
    let model = path("models/cifar10_resnet20.onnx");
    let images = ["--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225", "--samples", "100", "--no-timing"];
    let run = [&model, "--data", &train, "--eval", &test, "-o", "p.onnx", "--report", "r.json", "--max-drop", "20"];
    let more = ["--quantize", "int8", "--effort", "fast", "--target-macs", "0.85"];
    let output = onnx_prune(&[&run[..], &images, &more].concat(), folder.path());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let report = json(&folder.path().join("r.json"));
    let tried = report["searched"]["candidates"].as_array().unwrap();
    assert_eq!(tried[0]["budget"], "int8 alone");
    assert!(tried.len() > 1 && tried.iter().any(|own| own["accepted"] == true), "{tried:?}");
    assert!(report["quantized"]["products"].as_u64().unwrap() == 20);
    let accepted = tried.iter().rfind(|own| own["accepted"] == true).unwrap();
    let (lost, change) = (accepted["loss"]["points"].as_f64().unwrap(), &report["accuracy"]);
    let told = change["before"].as_f64().unwrap() - change["after"].as_f64().unwrap();
    assert!((lost - told).abs() < 0.01, "{lost} {told}");
}

#[test]
fn what_cannot_be_is_refused_in_a_line() {
    let folder = folder();
    let at = folder.path();
    for (run, said) in [
        (vec!["quantize", "m.onnx"], "no data to take them from"),
        (vec!["quantize", "m.onnx", "--data", "x.npy", "--keep-float", "nothing"], "matches no product"),
        (vec!["quantize", "m.onnx", "--data", "x.npy", "--ranges", "best"], "percentile"),
        (vec!["quantize", "m.onnx", "--data", "x.npy", "-o", "m.onnx"], "m.onnx"),
        (vec!["quantize", "none.onnx", "--data", "x.npy"], "none.onnx"),
        (vec!["m.onnx", "--quantize", "int8"], "--data"),
    ] {
        let output = onnx_prune(&run, at);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{run:?}: {error}");
        assert!(error.contains(said), "{run:?}: {error}");
        assert!(!at.join("m.int8.onnx").exists() && !at.join("m.pruned.onnx").exists());
    }
}

/// A real network: fused as a whole, as often right, and what the ONNX checker and ONNX Runtime in Python say of the file.
#[test]
fn a_real_network_stays_what_it_was() {
    const TEST: &str = "a_real_network_stays_what_it_was";
    let Some(shared) = shared(TEST) else { return };
    let Some(python) = python(TEST, "onnx, onnxruntime, numpy") else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = |part: &str| shared.join(part).display().to_string();
    let model = path("models/cifar10_resnet20.onnx");
    let (train, test) = (path("data/cifar10_sample/train"), path("data/cifar10_sample/test"));
    let images = ["--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225", "--samples", "100", "--no-timing"];
    let run = ["quantize", &model, "--data", &train, "--eval", &test, "-o", "q.onnx", "--report", "r.json"];
    let output = onnx_prune(&[&run[..], &images].concat(), folder.path());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let report = json(&folder.path().join("r.json"));
    let operators = &report["quantized"]["operators"];
    assert_eq!((operators["real_products"].as_u64(), operators["conversions"].as_u64()), (Some(0), Some(1)));
    assert_eq!(report["quantized"]["proof"]["broken"].as_array().unwrap().len(), 0);
    assert!(report["agreement"].as_f64().unwrap() > 0.97, "{}", report["agreement"]);
    let script = "import onnx, onnxruntime, numpy as np\n\
                  onnx.checker.check_model('q.onnx', full_check=True)\n\
                  s = onnxruntime.InferenceSession('q.onnx', providers=['CPUExecutionProvider'])\n\
                  y = s.run(None, {s.get_inputs()[0].name: np.zeros((1, 3, 32, 32), np.float32)})[0]\n\
                  assert y.shape == (1, 10) and np.isfinite(y).all()";
    let checked = std::process::Command::new(python).args(["-c", script]).current_dir(folder.path()).output().unwrap();
    assert!(checked.status.success(), "{}", text(&checked.stderr));
}
