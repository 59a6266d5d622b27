//! What is said of a model and of the program.

use std::fs;

use ndarray::Array4;
use onnx_prune::model::SaveOptions;

use crate::support::{self, Builder, onnx_prune, text};
use crate::{json, refused, with_model};

#[test]
fn inspect_names_groups_and_protectors() {
    let folder = tempfile::tempdir().unwrap();
    support::small_model().save(&folder.path().join("m.onnx"), &SaveOptions::default()).unwrap();
    let output = onnx_prune(&["inspect", "m.onnx"], folder.path());
    assert_eq!(output.status.code(), Some(0));
    let shown = text(&output.stdout);
    assert!(shown.contains("2 groups") && shown.contains("stream") && shown.contains("graph output"), "{shown}");
    let output = onnx_prune(&["inspect", "m.onnx", "--json"], folder.path());
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["groups"].as_array().unwrap().len(), 2);
}

#[test]
fn help_and_version() {
    let folder = tempfile::tempdir().unwrap();
    let help = onnx_prune(&["--help"], folder.path());
    assert_eq!(help.status.code(), Some(0));
    for word in ["--data", "--target-macs", "--engine", "inspect", "Exit codes"] {
        assert!(text(&help.stdout).contains(word), "{word}");
    }
    for command in ["inspect", "apply", "verify", "bench", "setup"] {
        assert_eq!(onnx_prune(&[command, "--help"], folder.path()).status.code(), Some(0), "{command}");
    }
    assert_eq!(onnx_prune(&["--version"], folder.path()).status.code(), Some(0));
    assert_eq!(onnx_prune(&[], folder.path()).status.code(), Some(2));
}

#[test]
fn the_dependency_graph_is_written_as_text_and_as_a_picture() {
    let folder = with_model("fashion_resnet.onnx");
    let arguments = ["inspect", "model.onnx", "--members", "--dot", "g.dot", "--svg", "g.svg"];
    let output = onnx_prune(&arguments, folder.path());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("read by"));
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    let (dot, svg) = (read("g.dot"), read("g.svg"));
    assert!(dot.starts_with("digraph") && dot.contains(" -> group0;") && dot.contains("group0 -> op"), "{dot}");
    assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n") && svg.contains("graph output"), "{svg}");
    let again = refused(folder.path(), &arguments, 2);
    assert!(again.contains("`--force` replaces it"), "{again}");
}

#[test]
fn an_input_that_the_model_answers_to_far_beyond_all_others_does_not_calibrate() {
    let folder = tempfile::tempdir().unwrap();
    let mut b = Builder::new(&[1, 3, 8, 8]).seeded(3);
    let x = b.conv("x", 3, 16, 1);
    let x = b.relu(&x);
    let x = b.conv(&x, 16, 16, 1);
    let x = b.relu(&x);
    // A map: no class scores.
    let last = b.conv(&x, 16, 2, 1);
    b.model(&last).save(&folder.path().join("m.onnx"), &SaveOptions::default()).unwrap();
    let number = |at: usize, scale: f32| scale * ((at * 7919 % 1009) as f32 / 504.5 - 1.0);
    let run = |scale: f32| {
        let inputs = Array4::from_shape_fn((64, 3, 8, 8), |(n, c, h, w)| {
            number((n * 3 + c) * 64 + h * 8 + w, if n == 7 { scale } else { 1.0 })
        });
        ndarray_npy::write_npy(folder.path().join("x.npy"), &inputs).unwrap();
        let flags = ["m.onnx", "--data", "x.npy", "--no-timing", "--engine", "tract", "--force", "--effort", "fast"];
        let output = onnx_prune(&[&flags[..], &["--report", "r.json"]].concat(), folder.path());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let report = json(&folder.path().join("r.json"));
        let notes = report["notes"].as_array().unwrap().iter().map(|own| own.as_str().unwrap().to_owned());
        let left_out = notes.filter(|own| own.starts_with("left out of the calibration")).collect::<Vec<_>>();
        (left_out, report["calibration"]["images"].as_u64().unwrap())
    };
    let (notes, images) = run(1.0);
    assert!(notes.is_empty(), "{notes:?}");
    let (notes, fewer) = run(1000.0);
    assert!(notes.len() == 1 && notes[0].contains("1 input to which") && notes[0].contains('7'), "{notes:?}");
    assert_eq!(fewer, images - 1);
}
