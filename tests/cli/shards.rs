//! An evaluation in parts, and the parts together.

use std::fs;
use std::path::Path;
use std::process::Output;

use super::{data, with_model};
use crate::support::{onnx_prune, text};

fn evaluate(folder: &Path, more: &[&str]) -> Output {
    let eval = data("eval");
    let usual = ["evaluate", "model.onnx", "l2.onnx", "--data", &eval, "--engine", "tract"];
    onnx_prune(&[&usual[..], more].concat(), folder)
}

fn merge(folder: &Path, arguments: &[&str]) -> Output {
    onnx_prune(&[&["merge"], arguments].concat(), folder)
}

fn read(folder: &Path, name: &str) -> serde_json::Value {
    serde_json::from_slice(&fs::read(folder.join(name)).unwrap()).unwrap()
}

/// A model and a worse one.
fn two_models() -> tempfile::TempDir {
    let folder = with_model("fashion_plain.onnx");
    let arguments = ["model.onnx", "--criterion", "l2", "--no-timing", "--engine", "tract", "-o", "l2.onnx"];
    assert!(onnx_prune(&arguments, folder.path()).status.success());
    folder
}

#[test]
fn merged_shards_are_the_whole() {
    let folder = two_models();
    let at = folder.path();
    let whole = evaluate(at, &["-o", "whole.json"]);
    assert!(whole.status.success(), "{}", text(&whole.stderr));
    assert!(text(&whole.stdout).contains("l2.onnx") && text(&whole.stdout).contains("agreement"));
    let parts = ["p0.json", "p1.json", "p2.json"];
    for (index, part) in parts.iter().enumerate() {
        assert!(evaluate(at, &["--shard", &format!("{index}/3"), "-o", part, "-q"]).status.success());
    }
    assert!(merge(at, &["p2.json", "p0.json", "p1.json", "-o", "merged.json"]).status.success());
    let (whole, merged) = (read(at, "whole.json"), read(at, "merged.json"));
    for model in 0..2 {
        assert_eq!(whole["models"][model]["answers"], merged["models"][model]["answers"]);
    }
    assert_eq!(merged["shards"]["held"], serde_json::json!([0, 1, 2]));
    // By a merge of merges, the same bytes.
    assert!(merge(at, &["p1.json", "p2.json", "--partial", "-o", "two.json"]).status.success());
    assert!(merge(at, &["p0.json", "two.json", "-o", "tree.json"]).status.success());
    assert!(fs::read(at.join("tree.json")).unwrap() == fs::read(at.join("merged.json")).unwrap());
}

#[test]
fn parts_that_do_not_belong_are_named() {
    let folder = two_models();
    let at = folder.path();
    let part = |index: usize, more: &[&str]| {
        let shard = format!("{index}/2");
        let output = evaluate(at, &[&["--shard", &shard, "-q", "--force"], more].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
    };
    part(0, &["-o", "p0.json"]);
    part(1, &["-o", "p1.json"]);
    part(1, &["-o", "scaled.json", "--scale", "0.5"]);
    let whole = fs::read_to_string(at.join("p1.json")).unwrap();
    fs::write(at.join("cut.json"), whole.split_at(whole.len() / 2).0).unwrap();
    fs::write(at.join("changed.json"), whole.replacen("\"correct\": 1", "\"correct\": 2", 1)).unwrap();
    let refused = [
        (vec!["p0.json"], "1 of 2 shards are missing: 1"),
        (vec!["p0.json", "p1.json", "p0.json"], "shard 0 of 2 is in another part too"),
        (vec!["p0.json", "scaled.json"], "it is of another preprocessing"),
        (vec!["p0.json", "cut.json"], "`cut.json` cannot be used"),
        (vec!["p0.json", "changed.json"], "it is damaged"),
        (vec!["p0.json", "no.json"], "`no.json` cannot be used"),
    ];
    for (parts, words) in refused {
        let output = merge(at, &[&parts[..], &["-o", "all.json"]].concat());
        assert_eq!(output.status.code(), Some(2), "{parts:?}");
        assert!(text(&output.stderr).contains(words), "{parts:?}: {}", text(&output.stderr));
        assert!(!at.join("all.json").exists());
    }
    let output = evaluate(at, &["--shard", "2/2"]);
    assert!(output.status.code() == Some(2) && text(&output.stderr).contains("counted from 0"));
}
