//! Every command of the README runs as it stands there, in a folder that holds the files it names.
#![allow(
    missing_docs,
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests"
)]

mod support;

use std::path::Path;

use support::{onnx_prune, text};

/// The program's part of every command line in an indented block.
fn commands() -> Vec<String> {
    let readme = std::fs::read_to_string(support::root().join("README.md")).unwrap();
    let starts = ["    onnx-prune ", "    cargo run --release -- "];
    let own = |line: &str| starts.iter().find_map(|start| line.strip_prefix(start)).map(ToOwned::to_owned);
    readme.lines().filter_map(own).collect()
}

/// Shorter work where a command leaves its extent open: the commands are tried, not their figures.
fn shortened(line: &str) -> Vec<String> {
    let mut words: Vec<String> = line.split_whitespace().map(ToOwned::to_owned).collect();
    match words[0].as_str() {
        "check" if !line.contains("--time") => words.extend(["--time".into(), "0.5".into()]),
        "setup" | "score" | "inspect" | "schema" | "man" | "completions" | "check" => {}
        _ => words.extend(["--effort", "fast", "--force", "--samples", "40"].map(ToOwned::to_owned)),
    }
    words
}

#[cfg(unix)]
fn link(from: &Path, to: &Path) {
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(from, to).unwrap();
}

#[test]
#[cfg(unix)]
fn every_command_of_the_readme_runs() {
    let folder = tempfile::tempdir().unwrap();
    let (root, at) = (support::root(), |name: &str| folder.path().join(name));
    std::fs::create_dir(at("models")).unwrap();
    for name in ["model.onnx", "models/fashion_resnet.onnx"] {
        std::fs::copy(root.join("models/fashion_resnet.onnx"), at(name)).unwrap();
    }
    for (from, to) in [("train", "calib"), ("eval", "eval"), ("", "calibration")] {
        link(&root.join("calibration").join(from), &at(to));
    }
    let shared = support::shared("every_command_of_the_readme_runs: the examples with CIFAR-10 and ImageNet");
    if let Some(shared) = &shared {
        let shared = shared.canonicalize().unwrap();
        for (from, to) in [
            ("models/cifar10_resnet20.onnx", "resnet20.onnx"),
            ("data/cifar10_sample", "cifar"),
            ("models/imagenet_mobilenet_v2.onnx", "mobilenet_v2.onnx"),
            ("data/imagenette_train", "train"),
            ("data/imagenet_wnids.txt", "wnids.txt"),
        ] {
            link(&shared.join(from), &at(to));
        }
    }
    let made = onnx_prune(
        &[
            "model.onnx",
            "--data",
            "calib",
            "--samples",
            "40",
            "--effort",
            "fast",
            "--target-macs",
            "0.9",
            "--no-timing",
        ],
        folder.path(),
    );
    assert!(made.status.success(), "{}", text(&made.stderr));
    let all = commands();
    assert!(all.len() >= 6, "{all:?}");
    for line in all {
        let files = ["resnet20.onnx", "mobilenet_v2.onnx"];
        if shared.is_none() && files.iter().any(|name| line.contains(name)) {
            continue;
        }
        let words = shortened(&line);
        let run = onnx_prune(&words.iter().map(String::as_str).collect::<Vec<_>>(), folder.path());
        let code = run.status.code();
        // A check may find that a bound is exceeded.
        let done = code == Some(0) || line.starts_with("check") && code == Some(1);
        assert!(done, "{line}: {code:?} {}{}", text(&run.stdout), text(&run.stderr));
    }
}
