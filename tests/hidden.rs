//! Runs of models that hide something from the analysis: shapes, weights, outputs without numbers.
#![allow(
    missing_docs,
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test binary"
)]

mod support;

use std::process::Command;

use onnx_prune::model::{DataType, LoadOptions, Model, SaveOptions};
use onnx_prune::proto::onnx::{OperatorSetIdProto, ValueInfoProto, type_proto};
use serde_json::Value;
use support::{Builder, Need, onnx_runtime, skip};
use tempfile::TempDir;

/// Whether ONNX Runtime is there, which alone knows these operators.
fn has_runtime(test: &str) -> bool {
    onnx_runtime().map_err(|why| skip(test, Need::OnnxRuntime, &why)).is_ok()
}

/// The report of a run with `flags` on a model, and the pruned model.
fn pruned(model: &Model, flags: &str) -> (Value, Model) {
    let folder = TempDir::new().unwrap();
    model.save(&folder.path().join("m.onnx"), &SaveOptions::default()).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_onnx-prune"))
        .args(format!("m.onnx --no-timing --json -o o.onnx {flags}").split_whitespace())
        .current_dir(folder.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let report = serde_json::from_slice(&output.stdout).unwrap();
    (report, Model::load(&folder.path().join("o.onnx"), &LoadOptions::default()).unwrap())
}

fn notes(report: &Value) -> String {
    let all = ["notes", "warnings"].iter().flat_map(|list| report[*list].as_array().unwrap());
    all.map(|note| note.as_str().unwrap().to_owned()).collect::<Vec<_>>().join("\n")
}

/// A pool and three classes.
fn head(b: &mut Builder, x: &str, channels: usize) -> String {
    let pooled = b.node("GlobalAveragePool", &[x], &[]);
    let flat = b.node("Flatten", &[&pooled], &[("axis", vec![1])]);
    let w = b.weight(&[3, channels]);
    b.node("Gemm", &[&flat, &w], &[("transB", vec![1])])
}

#[test]
fn work_behind_an_unknown_operator_is_in_the_report() {
    if !has_runtime("work_behind_an_unknown_operator_is_in_the_report") {
        return;
    }
    let mut b = Builder::new(&[1, 4, 8, 8]);
    let lengths = b.ints(&[1; 4]);
    let turned = b.node("ReverseSequence", &["x", &lengths], &[]);
    for (name, value) in [("batch_axis", 1_i64), ("time_axis", 0)] {
        b.graph.node.last_mut().unwrap().set(name, value);
    }
    let first = b.conv(&turned, 4, 32, 1);
    let second = b.conv(&first, 32, 32, 1);
    let out = head(&mut b, &second, 32);
    let (report, _) = pruned(&b.model(&out), "--criterion l2");
    let all = 64 * 9 * (4 * 32 + 32 * 32) + 32 * 3;
    assert_eq!(report["macs"]["before"].as_u64(), Some(all));
    assert!(report["macs"]["after"].as_u64() < Some(all * 6 / 10), "{report}");
    assert!(!notes(&report).contains("not counted"), "{}", notes(&report));
}

#[test]
fn computed_weights_are_stored_and_the_file_shrinks() {
    // A norm of the whole weight, as spectral and weight normalisation have it.
    let mut b = Builder::new(&[1, 4, 8, 8]);
    let first = b.conv("x", 4, 32, 1);
    let raw = b.weight(&[32, 32, 3, 3]);
    let norm = b.node("ReduceL2", &[&raw], &[("keepdims", vec![0])]);
    let w = b.node("Div", &[&raw, &norm], &[]);
    let second = b.node("Conv", &[&first, &w], &[("pads", vec![1; 4])]);
    let out = head(&mut b, &second, 32);
    let model = b.model(&out);
    let (report, smaller) = pruned(&model, "--criterion l2");
    assert!(notes(&report).contains("stored as computed"), "{}", notes(&report));
    assert!(smaller.size_bytes() < model.to_bytes().len() as u64 * 7 / 10);
    assert!(smaller.graph().node.iter().all(|node| node.op_type() != "Div"));
}

#[test]
fn outputs_of_texts_are_left_out_of_the_comparison() {
    if !has_runtime("outputs_of_texts_are_left_out_of_the_comparison") {
        return;
    }
    let mut b = Builder::new(&[1, 4, 8, 8]);
    let first = b.conv("x", 4, 32, 1);
    let out = head(&mut b, &first, 32);
    let best = b.node("ArgMax", &[&out], &[("axis", vec![1]), ("keepdims", vec![0])]);
    let label = b.of_domain("ai.onnx.ml", "LabelEncoder", &[&best], &[]);
    let encoder = b.graph.node.last_mut().unwrap();
    encoder.set("keys_int64s", vec![0_i64, 1, 2]);
    encoder.set("values_strings", ["cat", "dog", "bird"]);
    let mut model = b.model(&out);
    let domain = Some("ai.onnx.ml".to_owned());
    model.proto_mut().opset_import.push(OperatorSetIdProto { domain, version: Some(2) });
    let mut text: ValueInfoProto = model.graph().output[0].clone();
    text.name = Some(label.clone());
    if let Some(type_proto::Value::TensorType(tensor)) = &mut text.r#type.as_mut().unwrap().value {
        tensor.elem_type = Some(DataType::String as i32);
    }
    // The label comes first, as classical pipelines write it.
    model.graph_mut().output.insert(0, text);
    let (report, smaller) = pruned(&model, "--criterion l2");
    assert!(notes(&report).contains(&format!("`{label}`")), "{}", notes(&report));
    assert_eq!(smaller.graph().output.len(), 2);
}
