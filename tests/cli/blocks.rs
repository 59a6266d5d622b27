//! Blocks that go whole: flags, plan, files, report, and what is refused.

use std::fs;
use std::path::Path;

use onnx_prune::model::SaveOptions;
use serde_json::Value;

use crate::support::{self, onnx_prune, text};
use crate::{json, refused};

/// A residual network with two blocks of one kind and one that changes the stage, images for it, and a folder.
fn residual() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut b = support::Builder::new(&[1, 3, 8, 8]).seeded(3);
    let mut x = b.conv("x", 3, 16, 1);
    for widths in [[16, 16], [16, 16], [16, 24]] {
        let branch = b.conv(&x, widths[0], 16, 1);
        let branch = b.relu(&branch);
        let branch = b.conv(&branch, 16, widths[1], 1);
        let shortcut = if widths[0] == widths[1] { x.clone() } else { b.conv(&x, widths[0], widths[1], 1) };
        let sum = b.node("Add", &[&shortcut, &branch], &[]);
        x = b.relu(&sum);
    }
    let last = b.conv(&x, 24, 2, 1);
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

const RUN: [&str; 7] = ["m.onnx", "--data", "x.npy", "--no-timing", "--engine", "tract", "--force"];

fn report(at: &Path, more: &[&str]) -> Value {
    let output = onnx_prune(&[&RUN[..], more, &["--report", "r.json", "--html", "r.html"]].concat(), at);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    json(&at.join("r.json"))
}

#[test]
fn a_number_of_blocks_goes_and_the_plan_repeats_it() {
    let folder = residual();
    let at = folder.path();
    let output = onnx_prune(&["inspect", "m.onnx"], at);
    assert!(text(&output.stdout).contains("3 blocks that can be left out whole"), "{}", text(&output.stdout));
    let found = report(at, &["--depth", "2", "--target-macs", "0.6"]);
    let blocks = found["blocks"].as_array().unwrap();
    assert_eq!(blocks.len(), 3);
    assert_eq!(blocks.iter().filter(|own| own["gone"] == true).count(), 2);
    assert!(found["verification"]["max_error"].as_f64().unwrap() < 1e-4);
    assert!(fs::read_to_string(at.join("r.html")).unwrap().contains("2 of 3 blocks were left out"));
    let plan = json(&at.join("m.pruned.plan.json"));
    assert_eq!((plan["schema_version"].as_u64(), plan["blocks"].as_array().unwrap().len()), (Some(2), 2));
    // The plan gives the cut model and the masked one, which compute the same.
    for more in [&["-o", "cut.onnx"][..], &["-o", "masked.onnx", "--masked"]] {
        let output = onnx_prune(&[&["apply", "m.onnx", "m.pruned.plan.json"], more].concat(), at);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    }
    let output = onnx_prune(&["verify", "masked.onnx", "cut.onnx", "--engine", "tract"], at);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    // Nothing of the blocks is left, and no Identity.
    let bytes = fs::read(at.join("m.pruned.onnx")).unwrap();
    assert!(!bytes.windows(8).any(|window| window == b"Identity"));
    let check = onnx_prune(&["check", "m.onnx", "m.pruned.onnx", "--max-macs-ratio", "0.6", "--json"], at);
    assert_eq!(check.status.code(), Some(0), "{}", text(&check.stderr));
    let checked: Value = serde_json::from_slice(&check.stdout).unwrap();
    assert_eq!(checked["blocks"]["after"], 1);
}

#[test]
fn without_depth_plans_are_as_before() {
    let folder = residual();
    let at = folder.path();
    let found = report(at, &["--depth", "off", "--target-macs", "0.6"]);
    assert!(found["blocks"].is_null());
    let plan = json(&at.join("m.pruned.plan.json"));
    assert_eq!(plan["schema_version"], 1);
    assert!(plan["blocks"].is_null());
}

#[test]
fn auto_is_no_worse_than_widths_alone_on_held_out_inputs() {
    let folder = residual();
    let at = folder.path();
    let error = |depth: &str| {
        let found = report(at, &["--depth", depth, "--target-macs", "0.5", "--refine", "0"]);
        found["compensation"]["stages"].as_array().unwrap().last().unwrap()["after"].as_f64().unwrap()
    };
    let [auto, off] = ["auto", "off"].map(error);
    assert!(auto <= off, "{auto} {off}");
}

#[test]
fn what_cannot_be_done_is_refused() {
    let folder = residual();
    let at = folder.path();
    let says = |arguments: &[&str], what: &str| {
        let message = refused(at, arguments, 2);
        assert!(message.contains(what), "{message}");
    };
    let line = |more: &[&'static str]| [&RUN[..], more].concat();
    says(&line(&["--depth", "4"]), "asks for more blocks than the 3 that the model has");
    says(&line(&["--depth", "many"]), "`auto`, `off` or a number of blocks is wanted");
    let without = ["m.onnx", "--criterion", "l2", "--no-timing", "--engine", "tract", "--depth", "1", "--force"];
    says(&without, "there is nothing to see them by");
    // A plan with a block that the model does not have.
    report(at, &["--depth", "1", "--target-macs", "0.8"]);
    let plan = fs::read_to_string(at.join("m.pruned.plan.json")).unwrap();
    let name = json(&at.join("m.pruned.plan.json"))["blocks"][0]["output"].as_str().unwrap().to_owned();
    fs::write(at.join("p.json"), plan.replace(&format!("\"output\": \"{name}\""), "\"output\": \"other\"")).unwrap();
    says(&["apply", "m.onnx", "p.json", "-o", "a.onnx"], "is not there");
}
