//! Every command of the README and of the pages under `docs/` runs as it stands there, in a folder that holds the files
//! it names.
#![cfg(unix)]
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

use onnx_prune::model::SaveOptions;
use support::detector::{Boxes, detector};
use support::pages::{name, pages};
use support::{onnx_prune, text};

/// Pages with commands, and how many each has at least: fewer would mean that they are not found any more.
const PAGES: [(&str, usize); 15] = [
    ("README.md", 2),
    ("docs/index.md", 4),
    ("docs/guides/detector.md", 4),
    ("docs/guides/ci.md", 3),
    ("docs/guides/device.md", 11),
    ("docs/guides/int8.md", 4),
    ("docs/guides/metric.md", 3),
    ("docs/guide.md", 10),
    ("docs/budgets.md", 3),
    ("docs/check.md", 3),
    ("docs/criteria.md", 2),
    ("docs/quantization.md", 1),
    ("docs/formats.md", 2),
    ("docs/settings.md", 2),
    ("docs/scale.md", 4),
];

/// Models and images that are not in the repository: what they are called in the examples, and where they lie.
const SHARED: [(&str, &str); 5] = [
    ("models/cifar10_resnet20.onnx", "resnet20.onnx"),
    ("data/cifar10_sample", "cifar"),
    ("models/imagenet_mobilenet_v2.onnx", "mobilenet_v2.onnx"),
    ("data/imagenette_train", "train"),
    ("data/imagenet_wnids.txt", "wnids.txt"),
];

fn read(page: &str) -> String {
    std::fs::read_to_string(support::root().join(page)).unwrap()
}

/// The program's part of every command line in an indented block.
fn commands(page: &str) -> Vec<String> {
    let starts = ["onnx-prune ", "cargo run --release -- "];
    let own = |line: &str| starts.iter().find_map(|start| line.trim_start().strip_prefix(start)).map(ToOwned::to_owned);
    read(page).lines().filter(|line| line.starts_with("    ")).filter_map(own).collect()
}

/// Files that a page shows, in blocks with their name as the title.
fn shown_files(page: &str) -> Vec<(String, String)> {
    let page = read(page);
    let block = |part: &str| {
        let (name, rest) = part.split_once("\"\n")?;
        Some((name.to_owned(), rest.split("\n```").next()?.to_owned() + "\n"))
    };
    page.split("```python title=\"").skip(1).filter_map(block).collect()
}

/// Words of a command line; quotes hold words together.
fn words(line: &str) -> Vec<String> {
    let parts = line.split('"').enumerate();
    let word = |(at, part): (usize, &str)| match at % 2 {
        0 => part.split_whitespace().map(ToOwned::to_owned).collect(),
        _ => vec![part.to_owned()],
    };
    parts.flat_map(word).collect()
}

/// Shorter work where a command leaves its extent open: the commands are tried, not their figures.
fn shortened(line: &str) -> Vec<String> {
    let mut words = words(line);
    let more: &[&str] = match words[0].as_str() {
        "check" if !line.contains("--time ") => &["--time", "0.5"],
        "bench" => &["--time", "0.5"],
        "quantize" => &["--force", "--samples", "40"],
        model if model.ends_with(".onnx") => &["--effort", "fast", "--force", "--samples", "40"],
        _ => &[],
    };
    words.extend(more.iter().map(|&word| word.to_owned()));
    if line.contains("--eval ") {
        words.extend(["--eval-samples", "100"].map(ToOwned::to_owned));
    }
    words
}

fn link(from: &Path, to: &Path) {
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(from, to).unwrap();
}

/// Programs that reach a device, and programs of a device, as they are where there is none: each leads to an agent here, or takes
/// the bytes of a file for its time.
const STANDING_IN: [(&str, &str); 5] = [
    ("ssh", "for last; do :; done; exec sh -c \"$last\""),
    ("docker", "shift 3; exec \"$@\""),
    ("adb", "exec onnx-prune agent"),
    ("trtexec", "echo \"GPU Compute Time: min = 1 ms, mean = $(wc -c <\"${1#--onnx=}\") ms\""),
    ("on_board.sh", "wc -c <\"$1\""),
];

/// Puts them into a folder.
fn stand_in(folder: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::create_dir(folder).unwrap();
    for (name, line) in STANDING_IN {
        let path = folder.join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{line}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    link(Path::new(env!("CARGO_BIN_EXE_onnx-prune")), &folder.join("onnx-prune"));
    link(&folder.join("on_board.sh"), &folder.with_file_name("on_board.sh"));
}

/// Runs the program with what stands in before everything else that is in the search path.
fn run(words: &[String], folder: &Path) -> std::process::Output {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let paths = std::env::join_paths(std::iter::once(folder.join("bin")).chain(std::env::split_paths(&path))).unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_onnx-prune"));
    command.args(words).env("PATH", paths).env_remove("ORT_DYLIB_PATH").current_dir(folder).output().unwrap()
}

/// Runs the commands of a page one after the other in a folder of their own.
fn run_all(page: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (root, at) = (support::root(), |name: &str| folder.path().join(name));
    std::fs::create_dir(at("models")).unwrap();
    for name in ["model.onnx", "models/fashion_resnet.onnx"] {
        std::fs::copy(root.join("models/fashion_resnet.onnx"), at(name)).unwrap();
    }
    for (from, to) in [("train", "calib"), ("eval", "eval"), ("", "calibration")] {
        link(&root.join("calibration").join(from), &at(to));
    }
    link(&root.join("calibration/train/6_shirt"), &at("pictures"));
    detector(Boxes::Corners).save(&at("detector.onnx"), &SaveOptions::default()).unwrap();
    for (name, content) in shown_files(page) {
        std::fs::write(at(&name), content).unwrap();
    }
    stand_in(&at("bin"));
    let mut all = commands(page);
    let asks_python = |line: &String| line.contains("python3 ");
    if all.iter().any(asks_python)
        && support::python(&format!("{page}: some commands"), "numpy, onnxruntime, PIL").is_none()
    {
        all.retain(|line| !asks_python(line));
    }
    let needs_shared = |line: &str| SHARED.iter().any(|(_, name)| line.starts_with(name));
    let shared = all.iter().any(|line| needs_shared(line)).then(|| support::shared(&format!("{page}: some commands")));
    let shared = shared.flatten();
    if let Some(shared) = &shared {
        let shared = shared.canonicalize().unwrap();
        SHARED.iter().for_each(|(from, to)| link(&shared.join(from), &at(to)));
    }
    let first = "model.onnx --data calib --samples 40 --effort fast --target-macs 0.9 --no-timing";
    let made = onnx_prune(&first.split(' ').collect::<Vec<_>>(), folder.path());
    assert!(made.status.success(), "{}", text(&made.stderr));
    for line in all.iter().filter(|line| shared.is_some() || !needs_shared(line)) {
        let run = run(&shortened(line), folder.path());
        let code = run.status.code();
        // A check may find that a bound is exceeded.
        let done = code == Some(0) || line.starts_with("check") && code == Some(1);
        assert!(done, "{page}: {line}: {code:?} {}{}", text(&run.stdout), text(&run.stderr));
    }
}

#[test]
fn every_page_with_commands_is_known() {
    for page in pages().iter().map(|path| name(path)) {
        let least = PAGES.iter().find(|own| own.0 == page).map_or(0, |own| own.1);
        let found = commands(&page).len();
        assert!(found >= least && (found == 0 || least > 0), "{page} has {found} commands, {least} are expected");
    }
}

#[test]
fn quotes_hold_words_of_a_command_together() {
    assert_eq!(words("m.onnx --metric \"a {model} b\" --force"), ["m.onnx", "--metric", "a {model} b", "--force"]);
}

/// What a newcomer types first, in a fresh clone.
#[test]
fn the_readme_starts_with_a_run_and_a_check_of_what_it_wrote() {
    let all = commands("README.md");
    assert_eq!(all[0], "models/fashion_resnet.onnx --data calibration/train --eval calibration/eval");
    assert!(all[1].starts_with("check models/fashion_resnet.onnx models/fashion_resnet.pruned.onnx "), "{}", all[1]);
}

#[test]
fn every_command_of_the_readme_runs() {
    run_all("README.md");
}

#[test]
fn every_command_of_the_guide_runs() {
    run_all("docs/guide.md");
}

#[test]
fn every_command_about_budgets_runs() {
    run_all("docs/budgets.md");
}

#[test]
fn every_command_about_the_check_runs() {
    run_all("docs/check.md");
}

#[test]
fn every_command_about_integers_runs() {
    run_all("docs/quantization.md");
}

#[test]
fn every_command_about_criteria_runs() {
    run_all("docs/criteria.md");
}

#[test]
fn every_command_about_formats_and_settings_runs() {
    run_all("docs/formats.md");
    run_all("docs/settings.md");
}

#[test]
fn every_command_of_the_quick_start_runs() {
    run_all("docs/index.md");
}

#[test]
fn every_command_for_a_detector_runs() {
    run_all("docs/guides/detector.md");
}

#[test]
fn every_command_for_a_pipeline_runs() {
    run_all("docs/guides/ci.md");
}

#[test]
fn every_command_for_another_device_runs() {
    run_all("docs/guides/device.md");
}

#[test]
fn every_command_for_integers_runs() {
    run_all("docs/guides/int8.md");
}

#[test]
fn every_command_for_a_metric_runs() {
    run_all("docs/guides/metric.md");
}
