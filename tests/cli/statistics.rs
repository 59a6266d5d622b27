//! Statistics gathered in shards, merged, and pruned with.

use std::fs;
use std::path::Path;
use std::process::Output;

use super::{data, with_model};
use crate::json;
use crate::support::detector::Boxes;
use crate::support::{onnx_prune, root, text};

fn calibrate(folder: &Path, more: &[&str]) -> Output {
    let train = data("train");
    onnx_prune(
        &[&["calibrate", "model.onnx", "--data", &train, "--engine", "tract", "-q", "--force"], more].concat(),
        folder,
    )
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    onnx_prune(arguments, folder)
}

fn prune(folder: &Path, output: &str, more: &[&str]) -> Vec<u8> {
    let usual = ["model.onnx", "--engine", "tract", "--no-timing", "--effort", "fast", "-o", output, "-q"];
    let output_of = run(folder, &[&usual[..], more].concat());
    assert!(output_of.status.success(), "{}", text(&output_of.stderr));
    fs::read(folder.join(output)).unwrap()
}

/// The parts of `count` shards.
fn parts(folder: &Path, count: usize) -> Vec<String> {
    let part = |index| {
        let name = format!("p{index}of{count}.stats");
        let output = calibrate(folder, &["--shard", &format!("{index}/{count}"), "-o", &name]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        name
    };
    (0..count).map(part).collect()
}

fn merge(folder: &Path, parts: &[&str], output: &str) -> Output {
    run(folder, &[&["merge"], parts, &["-o", output, "--force"]].concat())
}

/// With the images, with statistics of them in one file, and with those of 1, 2 and 7 shards: the same plan, and where the sums are
/// formed in one order the same bytes.
#[test]
fn merged_statistics_prune_as_the_images_do() {
    let folder = with_model("fashion_resnet.onnx");
    let at = folder.path();
    let train = data("train");
    let images = prune(at, "images.onnx", &["--data", &train, "--samples", "all"]);
    let plan = |name: &str| -> serde_json::Value {
        serde_json::from_slice::<serde_json::Value>(&fs::read(at.join(name)).unwrap()).unwrap()["groups"].take()
    };
    for count in [1, 2, 7] {
        let parts = parts(at, count);
        let mut backwards: Vec<&str> = parts.iter().map(String::as_str).collect();
        assert!(merge(at, &backwards, "all.stats").status.success());
        let whole = fs::read(at.join("all.stats")).unwrap();
        backwards.reverse();
        assert!(merge(at, &backwards, "all.stats").status.success());
        assert!(fs::read(at.join("all.stats")).unwrap() == whole, "the order of {count} parts counts");
        let output = format!("of{count}.onnx");
        let model = prune(at, &output, &["--statistics", "all.stats"]);
        assert_eq!(plan("images.plan.json"), plan(&format!("of{count}.plan.json")), "{count} shards");
        assert!(count > 1 || model == images, "one shard is the whole");
    }
    // A merge of merges.
    let own: Vec<String> = (0..7).map(|index| format!("p{index}of7.stats")).collect();
    let own: Vec<&str> = own.iter().map(String::as_str).collect();
    for (range, output) in [(0..3, "a.stats"), (3..7, "b.stats")] {
        let output = run(at, &[&["merge", "--partial"], &own[range], &["-o", output]].concat());
        assert!(output.status.success() && text(&output.stdout).contains("of 7 shards"), "{}", text(&output.stderr));
    }
    assert!(merge(at, &["b.stats", "a.stats"], "tree.stats").status.success());
    prune(at, "tree.onnx", &["--statistics", "tree.stats"]);
    assert_eq!(plan("images.plan.json"), plan("tree.plan.json"));
}

/// Models that take one image at a time, or a number of them, and detectors.
#[test]
fn statistics_serve_every_kind_of_model() {
    for batch in [1, 8] {
        let folder = with_model("fashion_plain.onnx");
        let at = folder.path();
        fixed_batch(&at.join("model.onnx"), batch);
        let train = data("train");
        let images = prune(at, "images.onnx", &["--data", &train, "--samples", "all"]);
        let own = parts(at, 1);
        assert!(prune(at, "statistics.onnx", &["--statistics", &own[0]]) == images, "a batch of {batch}");
        let own = parts(at, 3);
        assert!(merge(at, &own.iter().map(String::as_str).collect::<Vec<_>>(), "all.stats").status.success());
        prune(at, "merged.onnx", &["--statistics", "all.stats"]);
    }
    let folder = crate::detections::with(Boxes::Corners);
    let at = folder.path();
    let output = run(at, &["calibrate", "m.onnx", "--data", "x.npy", "--engine", "tract", "-o", "m.stats"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let detected = |source: [&str; 2]| {
        let usual = ["m.onnx", "--engine", "tract", "--no-timing", "--effort", "fast", "--force", "--report", "r.json"];
        let output = run(at, &[&usual[..], &source, &["--target-macs", "0.8"]].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        json(&at.join("r.json"))["detections"].clone()
    };
    let found = detected(["--statistics", "m.stats"]);
    assert!(found["dense"].as_u64() > Some(0) && found == detected(["--data", "x.npy"]), "{found}");
}

/// Fixes the first axis of all inputs and outputs of a file.
fn fixed_batch(path: &Path, batch: i64) {
    use onnx_prune::proto::onnx::{ModelProto, tensor_shape_proto::dimension::Value, type_proto};
    use prost::Message as _;
    let mut model = ModelProto::decode(&fs::read(path).unwrap()[..]).unwrap();
    let graph = model.graph.as_mut().unwrap();
    for value in graph.input.iter_mut().chain(&mut graph.output) {
        let Some(type_proto::Value::TensorType(tensor)) = value.r#type.as_mut().and_then(|own| own.value.as_mut())
        else {
            continue;
        };
        tensor.shape.as_mut().unwrap().dim[0].value = Some(Value::DimValue(batch));
    }
    fs::write(path, model.encode_to_vec()).unwrap();
}

#[test]
fn parts_that_do_not_belong_are_named() {
    let folder = with_model("fashion_plain.onnx");
    let at = folder.path();
    let own = parts(at, 2);
    let (first, second) = (own[0].as_str(), own[1].as_str());
    for (name, more) in [
        ("scaled.stats", ["--scale", "0.5"]),
        ("seed.stats", ["--seed", "7"]),
        ("norm.stats", ["--criterion", "fpgm"]),
        ("some.stats", ["--samples", "40"]),
        ("memory.stats", ["--memory", "900M"]),
    ] {
        let output = calibrate(at, &[&["--shard", "1/2", "-o", name], &more[..]].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    let whole = fs::read(at.join(second)).unwrap();
    fs::write(at.join("cut.stats"), &whole[..whole.len() / 2]).unwrap();
    let mut changed = whole.clone();
    changed[whole.len() - 9] ^= 1;
    fs::write(at.join("changed.stats"), &changed).unwrap();
    fs::write(at.join("empty.stats"), b"").unwrap();
    let mut promising = whole.clone();
    promising[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    fs::write(at.join("promising.stats"), &promising).unwrap();
    let refused = [
        (vec![first], "1 of 2 shards are missing: 1"),
        (vec![first, second, first], "shard 0 of 2 is in another part too"),
        (vec![first, "scaled.stats"], "`scaled.stats` cannot be used"),
        (vec![first, "seed.stats"], "it is of another `--seed`"),
        (vec![first, "norm.stats"], "it is of another division into classes"),
        (vec![first, "some.stats"], "`some.stats` cannot be used"),
        (vec![first, "memory.stats"], "it is of another `--memory`"),
        (vec![first, "cut.stats"], "`cut.stats` cannot be used"),
        (vec![first, "changed.stats"], "is that of another content"),
        (vec![first, "empty.stats"], "it is too short"),
        (vec![first, "promising.stats"], "its header is longer than the file"),
        (vec![first, "no.stats"], "`no.stats` cannot be used"),
    ];
    for (parts, words) in refused {
        let output = merge(at, &parts, "all.stats");
        assert_eq!(output.status.code(), Some(2), "{parts:?}");
        assert!(text(&output.stderr).contains(words), "{parts:?}: {}", text(&output.stderr));
        assert!(!at.join("all.stats").exists());
    }
}

#[test]
fn statistics_of_something_else_are_refused() {
    let folder = with_model("fashion_plain.onnx");
    let at = folder.path();
    let output = calibrate(at, &["--criterion", "wanda", "-o", "wanda.stats"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    fs::copy(root().join("models/fashion_resnet.onnx"), at.join("other.onnx")).unwrap();
    let train = data("train");
    for (arguments, words) in [
        (vec!["other.onnx", "--statistics", "wanda.stats"], "are of another model"),
        (vec!["model.onnx", "--statistics", "wanda.stats"], "lack what the criterion needs"),
        (
            vec!["model.onnx", "--statistics", "wanda.stats", "--criterion", "wanda", "--class-weights", "0=2"],
            "other `--class-weights`",
        ),
        (vec!["model.onnx", "--statistics", "model.onnx"], "`model.onnx` cannot be"),
        (vec!["model.onnx", "--statistics", "no.stats"], "`no.stats` cannot be"),
        (vec!["model.onnx", "--statistics", "wanda.stats", "--data", &train], "cannot be used with"),
    ] {
        let output = run(at, &[&arguments[..], &["--engine", "tract", "--no-timing", "-o", "out.onnx"]].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains(words), "{arguments:?}: {}", text(&output.stderr));
        assert!(!at.join("out.onnx").exists());
    }
}
