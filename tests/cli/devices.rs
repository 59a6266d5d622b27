//! Models timed elsewhere: by an agent behind a command, and by a command that times a file.

use std::fs;
use std::path::Path;
use std::process::Output;

use super::{data, files, with_model};
use crate::support::{onnx_prune, text};

fn agent() -> String {
    format!("exec:{} agent --engine tract", env!("CARGO_BIN_EXE_onnx-prune"))
}

/// Prunes quickly.
fn quick(folder: &Path, more: &[&str]) -> Output {
    let train = data("train");
    let usual = ["model.onnx", "--data", &train, "--samples", "40", "--engine", "tract", "--effort", "fast"];
    onnx_prune(&[&usual[..], more].concat(), folder)
}

/// Prunes to a time on a device.
fn prune(folder: &Path, device: &str, more: &[&str]) -> Output {
    let goal = ["--target-latency", "0.7", "--device", device, "--report", "r.json"];
    quick(folder, &[&goal[..], more].concat())
}

#[test]
fn an_agent_times_and_the_report_says_where() {
    let folder = with_model("fashion_plain.onnx");
    let output = prune(folder.path(), &agent(), &[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("device: exec:"), "{}", text(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&fs::read(folder.path().join("r.json")).unwrap()).unwrap();
    assert_eq!(report["device"]["engine"]["name"], "tract");
    let (sent, bytes) = (&report["device"]["sent_bytes"], &report["bytes"]);
    let both = bytes["before"].as_u64().unwrap() + bytes["after"].as_u64().unwrap();
    assert!(sent.as_u64().unwrap() < 3 * both, "{sent} of {both}");
    assert!(text(&output.stdout).contains("device"));
    assert_eq!(files(folder.path()), ["model.onnx", "model.pruned.onnx", "model.pruned.plan.json", "r.json"]);
}

#[test]
fn a_command_that_times_decides() {
    let folder = with_model("fashion_plain.onnx");
    let output = prune(folder.path(), "time:wc -c <{model}", &[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let size = |name: &str| fs::metadata(folder.path().join(name)).unwrap().len() as f64;
    let share = size("model.pruned.onnx") / size("model.onnx");
    assert!((0.6..=0.7).contains(&share), "the file is the clock: {share}");
}

#[test]
fn a_model_is_fast_enough_on_every_device() {
    let folder = with_model("fashion_plain.onnx");
    // The time of one is the file, that of the other is that and more: it needs the stronger cut.
    let (size, half) = ("time:wc -c <{model}", "time:expr 400000 + $(wc -c <{model})");
    let arguments = [
        "--device",
        size,
        "--device",
        half,
        "--target-latency",
        "0.9",
        "--target-latency",
        &format!("{half}=0.7"),
        "--report",
        "r.json",
    ];
    let output = quick(folder.path(), &arguments);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&fs::read(folder.path().join("r.json")).unwrap()).unwrap();
    let first = report["latency_ms"]["ratio"].as_f64().unwrap();
    let second = report["other_devices"][0]["latency_ms"]["ratio"].as_f64().unwrap();
    assert_eq!(report["other_devices"][0]["device"]["device"], half);
    assert!(first < 0.7 && (0.6..=0.7).contains(&second), "{first} {second}");
    assert!(text(&output.stdout).contains("other"), "{}", text(&output.stdout));

    let stray = onnx_prune(&["model.onnx", "--target-latency", "ssh://board=5ms", "--device", size], folder.path());
    assert_eq!(stray.status.code(), Some(2));
    assert!(text(&stray.stderr).contains("no device of this run"), "{}", text(&stray.stderr));
    let two = onnx_prune(&["bench", "model.onnx", "--device", size, "--device", half], folder.path());
    assert!(text(&two.stderr).contains("names 2 devices"), "{}", text(&two.stderr));
}

#[test]
fn commands_that_do_not_time_are_named_and_nothing_is_written() {
    for (device, more, told) in [
        ("time:sh -c 'echo broken >&2; exit 3'", &[][..], "exit status 3; it said `broken`"),
        ("time:echo fast", &[], "its last line is `fast model.onnx`"),
        ("time:true", &[], "it printed nothing"),
        ("time:echo 0 #", &[], "it printed 0, which is no time"),
        ("time:sleep 60 #", &["--time-limit", "0.3"], "it took more than 0 s"),
        ("time:echo 'mean 3 ms' #", &["--time-pattern", "median ([0-9]+)"], "nothing that it printed matches"),
        ("time:echo 3", &["--time-pattern", "("], "cannot be used"),
        ("exec:echo hello", &[], "what came is `hello`"),
        ("exec:printf '\\0onnx-prune-agent\\n\\143\\0\\0\\0'; sleep 9", &[], "it speaks version 99"),
        ("exec:exit 4", &[], "exit status 4"),
    ] {
        let folder = with_model("fashion_plain.onnx");
        let output = prune(folder.path(), device, more);
        let said = text(&output.stderr).replace(&*folder.path().to_string_lossy(), "");
        assert_eq!(output.status.code(), Some(2), "{device}: {said}");
        let own = told.replace(" model.onnx`", "");
        assert!(said.contains(&own), "{device}: {said}");
        assert_eq!(said.lines().filter(|line| line.starts_with("error")).count(), 1, "{device}: {said}");
        assert_eq!(files(folder.path()), ["model.onnx"], "{device}");
    }
}

#[test]
fn an_agent_that_dies_ends_the_run_and_nothing_is_written() {
    let folder = with_model("fashion_plain.onnx");
    let dying = format!("exec:{} agent --engine tract & sleep 2; kill -9 $!", env!("CARGO_BIN_EXE_onnx-prune"));
    // The shell gives its input to a command in the background only where it is told to.
    let dying =
        dying.replace("agent --engine tract &", "agent --engine tract <&3 &").replace("exec:", "exec:exec 3<&0; ");
    let output = prune(folder.path(), &dying, &[]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("failed\n  why:"), "{said}");
    assert_eq!(files(folder.path()), ["model.onnx"]);
}

#[test]
fn models_are_compared_and_timed_there() {
    let folder = with_model("fashion_plain.onnx");
    let device = agent();
    let output = onnx_prune(&["verify", "model.onnx", "model.onnx", "--device", &device], folder.path());
    assert!(output.status.success() && text(&output.stdout).starts_with("equal"), "{}", text(&output.stderr));
    let output = onnx_prune(&["bench", "model.onnx", "--time", "0.5", "--json", "--device", &device], folder.path());
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(found["device"]["machine"]["cores"].as_u64().unwrap() > 0, "{found}");
    let checked = ["check", "model.onnx", "model.onnx", "--max-latency-ratio", "2", "--time", "0.5", "--json"];
    let output = onnx_prune(&[&checked[..], &["--device", &device]].concat(), folder.path());
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((found["device"].as_str(), found["engine"]["name"].as_str()), (Some(&*device), Some("tract")));
    let streams = onnx_prune(&["bench", "model.onnx", "--streams", "2", "--device", &device], folder.path());
    assert_eq!(streams.status.code(), Some(2));
    assert!(text(&streams.stderr).contains("not of another device"), "{}", text(&streams.stderr));
    let pinned = ["bench", "model.onnx", "--cpus", "0", "--device", &device];
    let output = onnx_prune(&pinned, folder.path());
    assert!(text(&output.stderr).contains("run on another device"), "{}", text(&output.stderr));
}

#[test]
fn a_sweep_has_a_table_and_a_picture_for_every_device() {
    let folder = with_model("fashion_plain.onnx");
    let agent = agent();
    let arguments = ["--sweep", "0.8,0.5", "--device", "time:wc -c <{model}", "--device", &agent, "--html", "s.html"];
    let output = quick(folder.path(), &arguments);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    let ratios = |table: &str| {
        let mut reader = csv::Reader::from_reader(table.as_bytes());
        let at = reader.headers().unwrap().iter().position(|own| own == "latency_kept").unwrap();
        reader.records().map(|row| row.unwrap()[at].to_owned()).collect::<Vec<_>>()
    };
    let (first, second) = (ratios(&read("model.sweep.csv")), ratios(&read("model.sweep.device2.csv")));
    assert!(first.len() == second.len() && first != second, "{first:?} {second:?}");
    assert!(
        read("model.sweep.svg").contains("{model}") && read("model.sweep.device2.svg").contains("agent --engine tract")
    );
    assert!(text(&output.stdout).matches("timed on").count() == 2 && read("s.html").contains("On exec:"));
}
