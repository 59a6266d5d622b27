//! Detections of models with boxes and scores: recognised or named, in the reports of runs and checks.

use std::fs;
use std::path::Path;

use ndarray::Array4;
use onnx_prune::model::SaveOptions;
use serde_json::Value;

use crate::support::detector::{Boxes, detector};
use crate::support::{onnx_prune, text};
use crate::{json, refused};

/// A folder with the model and data for it.
pub(crate) fn with(boxes: Boxes) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    detector(boxes).save(&folder.path().join("m.onnx"), &SaveOptions::default()).unwrap();
    let number =
        |(n, c, h, w): (usize, usize, usize, usize)| ((n * 7919 + c * 131 + h * 17 + w * 29) % 101) as f32 / 101.0;
    ndarray_npy::write_npy(folder.path().join("x.npy"), &Array4::from_shape_fn((40, 3, 8, 8), number)).unwrap();
    folder
}

fn run(folder: &Path, more: &[&str]) -> Value {
    let arguments =
        ["m.onnx", "--data", "x.npy", "--engine", "tract", "--no-timing", "--effort", "fast", "--round-to", "1"];
    let results = ["--target-macs", "0.8", "--force", "--report", "r.json", "--html", "r.html", "--markdown", "r.md"];
    let output = onnx_prune(&[&arguments[..], &results, more].concat(), folder);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let found = json(&folder.join("r.json"));
    let told = !found["detections"].is_null();
    assert_eq!(text(&output.stdout).contains("detections"), told);
    for name in ["r.html", "r.md"] {
        assert_eq!(fs::read_to_string(folder.join(name)).unwrap().contains("detections"), told, "{name}");
    }
    found["detections"].clone()
}

#[test]
fn kept_detections_are_told_of_every_form_of_boxes() {
    for (boxes, form) in [(Boxes::Corners, "xyxy"), (Boxes::Centres, "cxcywh")] {
        let folder = with(boxes);
        let found = run(folder.path(), &[]);
        let count = |key: &str| found[key].as_u64().unwrap();
        assert_eq!((found["form"].as_str(), &found["outputs"]), (Some(form), &serde_json::json!(["boxes", "scores"])));
        assert!(found["read"].as_str().unwrap().contains("by their numbers; scores as they are"), "{found}");
        assert!(count("dense") > 10 && count("kept") <= count("dense") && count("kept") > 0, "{found}");
        assert!(found["score_change"].as_f64().unwrap().abs() < 0.5 && found["suppressed"] == true);
        // Named, they are the same.
        let named = run(folder.path(), &["--outputs", "boxes=boxes,scores=scores"]);
        assert_eq!(named, found);
    }
}

#[test]
fn offsets_from_anchors_are_not_taken_for_boxes() {
    let folder = with(Boxes::Offsets);
    assert!(run(folder.path(), &[]).is_null());
}

#[test]
fn outputs_that_cannot_be_read_are_refused() {
    let folder = with(Boxes::Corners);
    let at = folder.path();
    let base = ["m.onnx", "--engine", "tract", "--no-timing"];
    let refuse = |more: &[&str]| refused(at, &[&base[..], more].concat(), 2);
    let message = refuse(&["--data", "x.npy", "--outputs", "boxes=box,scores=scores"]);
    assert!(message.contains("`box`, which is no output") && message.contains("`boxes`, `scores`"), "{message}");
    let message = refuse(&["--data", "x.npy", "--outputs", "boxes=scores,scores=boxes"]);
    assert!(message.contains("[1, 64, 2]") && message.contains("[N, B, 4]"), "{message}");
    assert!(refuse(&["--outputs", "boxes=boxes,scores=scores"]).contains("give images or arrays with `--data`"));
    assert!(refuse(&["--outputs", "boxes"]).contains("boxes=NAME,scores=NAME is wanted"));
}

#[test]
fn a_check_counts_the_bases_detections() {
    let folder = with(Boxes::Corners);
    run(folder.path(), &[]);
    let check = |more: &[&str]| {
        let base = ["check", "m.onnx"];
        let output = onnx_prune(
            &[&base[..], more, &["--data", "x.npy", "--no-timing", "--engine", "tract"]].concat(),
            folder.path(),
        );
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (code, out, err) = check(&["m.onnx", "--json"]);
    assert_eq!(code, Some(0), "{err}");
    let same: Value = serde_json::from_str(&out).unwrap();
    let same = &same["detections"];
    assert_eq!((&same["dense"], &same["added"]), (&same["kept"], &0.into()), "{same}");
    assert!(same["score_change"].as_f64().unwrap().abs() < 1e-6 && same["inputs"] == 40);
    let forms = ["--report", "c.json", "--markdown", "c.md", "--html", "c.html", "--gitlab-metrics", "c.txt"];
    let (code, out, err) = check(&[&["m.pruned.onnx"], &forms[..]].concat());
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("detections") && out.contains("% kept"), "{out}");
    let found = &json(&folder.path().join("c.json"))["detections"];
    assert_eq!(found["dense"], same["dense"]);
    for (name, word) in
        [("c.md", "| detections |"), ("c.html", "detections kept"), ("c.txt", "onnx_prune_detections_kept_ratio")]
    {
        assert!(fs::read_to_string(folder.path().join(name)).unwrap().contains(word), "{name}");
    }
    let (code, _, err) = check(&["m.pruned.onnx", "--max-drop", "1"]);
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("no") && err.contains("class scores") && err.contains("--metric"), "{err}");
    let (code, _, err) = check(&["m.pruned.onnx", "--outputs", "boxes=x,scores=scores"]);
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("no output of the model"), "{err}");
    // Where nothing is recognised, images tell nothing.
    detector(Boxes::Offsets).save(&folder.path().join("o.onnx"), &SaveOptions::default()).unwrap();
    let output = onnx_prune(&["check", "o.onnx", "o.onnx", "--data", "x.npy", "--no-timing"], folder.path());
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("boxes and scores"), "{}", text(&output.stderr));
}
