//! A sweep as jobs: their commands, what of them is done, and their results together.

use std::fs;
use std::path::Path;

use super::{data, files, with_model};
use crate::support::{onnx_prune, text};

fn sweep(folder: &Path, arguments: &[&str]) -> std::process::Output {
    onnx_prune(&[&["sweep"], arguments].concat(), folder)
}

/// Runs a line as a shell would: no word of it needs quotes.
fn run(folder: &Path, line: &str) {
    let words: Vec<&str> = line.split(' ').skip(1).collect();
    let output = onnx_prune(&words, folder);
    assert!(output.status.success(), "{line}: {}", text(&output.stderr));
}

#[test]
fn jobs_run_once_and_are_collected() {
    let folder = with_model("fashion_plain.onnx");
    let at = folder.path();
    let (train, eval) = (data("train"), data("eval"));
    let choices = ["--target-macs", "0.8,0.6", "--criteria", "l2,fpgm", "--jobs", "jobs.txt", "--folder", "results"];
    let flags = ["--", "--data", &train, "--eval", &eval, "--eval-samples", "100", "--effort", "fast"];
    let common = ["--no-timing", "--engine", "tract"];
    let output = sweep(at, &[&["model.onnx"], &choices[..], &flags, &common].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let jobs = fs::read_to_string(at.join("jobs.txt")).unwrap();
    assert_eq!(jobs.lines().count(), 4);
    jobs.lines().take(3).for_each(|line| run(at, line));
    let told = sweep(at, &["--collect", "results"]);
    assert!(text(&told.stdout).contains("3 of 4 jobs are done; missing: model.x0.6.fpgm"), "{}", text(&told.stdout));
    let missing = sweep(at, &["--collect", "results", "--missing"]);
    assert_eq!(text(&missing.stdout).trim_end(), jobs.lines().last().unwrap());

    // Done is done, by the same command; a model that is another is made again.
    let model = at.join("results/model.x0.8.l2.onnx");
    let (whole, made) = (fs::read(&model).unwrap(), fs::metadata(&model).unwrap().modified().unwrap());
    let first = jobs.lines().next().unwrap();
    run(at, first);
    assert_eq!(fs::metadata(&model).unwrap().modified().unwrap(), made);
    fs::write(&model, &whole[..whole.len() / 2]).unwrap();
    run(at, first);
    assert!(fs::read(&model).unwrap() == whole);

    run(at, text(&missing.stdout).trim_end());
    let told = sweep(at, &["--collect", "results"]);
    assert!(text(&told.stdout).contains("all 4 jobs are done") && text(&told.stdout).contains("x0.6 fpgm"));
    assert!(sweep(at, &["--collect", "results", "--missing"]).stdout.is_empty());
    let page = fs::read_to_string(at.join("results/sweep.html")).unwrap();
    assert!(page.contains("<svg") && page.contains("x0.8 l2"));
    for name in ["sweep.csv", "sweep.svg", "sweep.html", "jobs.json"] {
        assert!(files(&at.join("results")).contains(&name.to_owned()), "{name}");
    }
}

#[test]
fn mistakes_are_told_before_any_job() {
    let folder = with_model("fashion_plain.onnx");
    let at = folder.path();
    for (arguments, words) in [
        (vec!["model.onnx", "--jobs", "jobs.txt", "--", "--datum", "x"], "unexpected argument '--datum'"),
        (vec!["model.onnx", "--jobs", "jobs.txt", "--target-macs", "many"], "'many'"),
        (vec!["model.onnx"], "--jobs"),
        (vec!["--collect", "nothing"], "`nothing/jobs.json`"),
    ] {
        let output = sweep(at, &arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains(words), "{arguments:?}: {}", text(&output.stderr));
        assert_eq!(files(at), ["model.onnx"], "{arguments:?}");
    }
}
