//! What is said of a model and of the program.

use std::fs;

use onnx_prune::model::SaveOptions;

use crate::support::{self, onnx_prune, text};
use crate::{refused, with_model};

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
