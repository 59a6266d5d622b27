//! A metric of the user's own: what is reported, what bounds the loss, and how a command that does not work is told.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use onnx_prune::model::SaveOptions;
use serde_json::Value;

use crate::support::{self, onnx_prune, text};
use crate::{files, json, refused};

/// A model without class scores or labels, and a folder for what is made of it.
fn with_map() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut b = support::Builder::new(&[1, 3, 8, 8]);
    let mut x = b.conv("x", 3, 32, 1);
    for _ in 0..2 {
        x = b.relu(&x);
        x = b.conv(&x, 32, 32, 1);
    }
    let last = b.conv(&x, 32, 2, 1);
    b.model(&last).save(&folder.path().join("m.onnx"), &SaveOptions::default()).unwrap();
    folder
}

const PLAIN: [&str; 6] = ["--criterion", "l2", "--no-timing", "--engine", "tract", "--round-to"];

fn run(folder: &Path, more: &[&str]) -> std::process::Output {
    onnx_prune(&[&["m.onnx"], &PLAIN[..], &["1"], more].concat(), folder)
}

fn bytes(path: &Path) -> f64 {
    fs::metadata(path).unwrap().len() as f64
}

/// Runs that must succeed, with the report.
fn report(folder: &Path, more: &[&str]) -> Value {
    let output =
        run(folder, &[more, &["--force", "--report", "r.json", "--html", "r.html", "--markdown", "r.md"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    json(&folder.join("r.json"))
}

#[test]
fn the_report_tells_the_metric_before_and_after() {
    let folder = with_map();
    let at = folder.path();
    for command in ["wc -c <", "echo '# file'; wc -c < \"{model}\"", "printf '{\"metric\": %d}' $(wc -c < {model})"] {
        let found = report(at, &["--target-macs", "0.6", "--metric", command]);
        let metric = &found["metric"];
        assert_eq!(metric["command"], command);
        assert_eq!(metric["before"].as_f64().unwrap(), bytes(&at.join("m.onnx")));
        assert_eq!(metric["after"].as_f64().unwrap(), bytes(&at.join("m.pruned.onnx")));
        for name in ["r.html", "r.md"] {
            assert!(fs::read_to_string(at.join(name)).unwrap().contains("metric"), "{name}");
        }
    }
    assert!(report(at, &["--target-macs", "0.6"])["metric"].is_null());
}

/// The loss in bytes grows with the cut: the bound says where the search ends. No labels, no class scores.
#[test]
fn a_bound_on_the_metric_ends_the_search() {
    let folder = with_map();
    let at = folder.path();
    let dense = bytes(&at.join("m.onnx"));
    let most = (0.35 * dense).round();
    let found = report(at, &["--metric", "wc -c <", "--max-drop", &most.to_string()]);
    let candidates = found["searched"]["candidates"].as_array().unwrap();
    let loss = |own: &Value| own["metric"]["loss"].as_f64().unwrap();
    let (last, accepted) = candidates.split_last().unwrap();
    assert!(accepted.len() > 1 && accepted.iter().all(|own| own["accepted"] == true && loss(own) <= most), "{found}");
    assert!(last["accepted"] == false && loss(last) > most, "{found}");
    assert!(candidates.iter().all(|own| own["loss"].is_null()));
    let taken = bytes(&at.join("m.pruned.onnx"));
    assert_eq!(dense - taken, loss(accepted.last().unwrap()));
    assert_eq!(found["metric"]["after"].as_f64().unwrap(), taken);
    let page = fs::read_to_string(at.join("r.html")).unwrap();
    assert!(page.contains("no interval computed") && page.contains("metric lost"));
    // Turned round nothing is lost, and the other bound ends the search.
    let turned = ["--metric", "wc -c <", "--metric-lower-is-better", "--max-drop", "0", "--target-macs", "0.5"];
    let found = report(at, &turned);
    let share = found["macs"]["after"].as_f64().unwrap() / found["macs"]["before"].as_f64().unwrap();
    assert!((0.45..=0.5).contains(&share), "{share}");
    assert!(found["warnings"].as_array().unwrap().is_empty(), "{found}");
    // A bound that no cut keeps: told with both numbers, nothing written.
    let strict = ["--metric", "wc -c <", "--max-drop", "0", "-o", "none.onnx"];
    let message = refused(at, &[&["m.onnx"], &PLAIN[..], &["1"], &strict].concat(), 1);
    assert!(message.contains("loss of the metric within 0") && message.contains(&dense.to_string()), "{message}");
}

#[test]
fn a_command_that_does_not_work_is_told_before_the_work() {
    let folder = with_map();
    let at = folder.path();
    let refused = |command: &str, code: i32| {
        let arguments = [&["m.onnx"], &PLAIN[..], &["1", "--metric", command]].concat();
        refused(at, &arguments, code)
    };
    let message = refused("echo no labels here >&2; exit 5 #", 2);
    for part in ["dense model", "exit 5", "exit status 5", "no labels here", "run the command by hand"] {
        assert!(message.contains(part), "{message}");
    }
    assert!(refused("echo accuracy: 0.9 #", 2).contains("no line that is a number"));
    assert!(refused("echo nan #", 2).contains("no finite number"));
    assert!(refused("true", 2).contains("nothing on standard output"));
    assert!(refused("  ", 2).contains("a command line is wanted"));
    // It works on the dense model alone: a check failed, and nothing is written.
    let message = refused("case {model} in */m.onnx) echo 1;; *) echo other >&2; exit 6;; esac", 1);
    assert!(message.contains("pruned model") && message.contains("exit status 6") && message.contains("other"));
    let lonely = [&["m.onnx"], &PLAIN[..], &["1", "--metric-lower-is-better"]].concat();
    assert!(crate::refused(at, &lonely, 2).contains("--metric <CMD>"));
    let much = [&["m.onnx"], &PLAIN[..], &["1", "--max-drop", "250"]].concat();
    assert!(crate::refused(at, &much, 2).contains("with `--metric` any number"));
}

#[test]
fn a_sweep_has_a_column_for_the_metric() {
    let folder = with_map();
    let output = run(folder.path(), &["--sweep", "0.8..0.6", "--metric", "wc -c <", "--html", "s.html"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let shown = text(&output.stdout);
    assert!(shown.contains("metric: wc -c <"), "{shown}");
    let table = fs::read_to_string(folder.path().join("m.sweep.csv")).unwrap();
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split(',').collect()).collect();
    let (file, metric) = (1, rows[0].iter().position(|own| *own == "metric").unwrap());
    assert_eq!(rows.len(), 5);
    for row in &rows[1..] {
        assert_eq!(row[metric].parse::<f64>().unwrap(), bytes(&folder.path().join(row[file])), "{row:?}");
    }
    assert!(fs::read_to_string(folder.path().join("m.sweep.svg")).unwrap().contains(">metric</text>"));
    assert!(fs::read_to_string(folder.path().join("s.html")).unwrap().contains("<th class=\"n\">metric</th>"));
}

#[test]
fn an_interruption_ends_the_command_with_the_run() {
    let folder = with_map();
    let before = files(folder.path());
    let started = folder.path().join("started");
    let command = format!("touch '{}'; sleep 30; touch outlived; echo 1 #", started.display());
    let mut child = Command::new(env!("CARGO_BIN_EXE_onnx-prune"))
        .args(["m.onnx", "--criterion", "l2", "--engine", "tract", "--no-timing", "--metric", &command])
        .current_dir(folder.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begin = Instant::now();
    while !started.exists() {
        assert!(begin.elapsed() < Duration::from_secs(60), "the command was not started");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let (asked, status) = (Instant::now(), child.wait().unwrap());
    assert_eq!(status.code(), Some(130));
    assert!(asked.elapsed() < Duration::from_secs(20));
    fs::remove_file(started).unwrap();
    assert_eq!(files(folder.path()), before);
}
