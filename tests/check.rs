//! `onnx-prune check` as a pipeline calls it: exit codes, what is written and what not.
#![allow(
    missing_docs,
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests"
)]

mod support;

use std::path::{Path, PathBuf};

use serde_json::Value;
use support::{onnx_prune, python, text};
use tempfile::TempDir;

const SHORT: &str = "--threads 1 --time 0.6";

/// A folder with a model and a pruned one.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(TempDir::new().unwrap());
        std::fs::copy(support::root().join("models/fashion_resnet.onnx"), folder.path("base.onnx")).unwrap();
        let made = folder.run("base.onnx --criterion l2 --target-macs 0.5 --no-timing --plan none -o new.onnx -q");
        assert_eq!(made.0, 0, "{}", made.2);
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_str(&self.read(name)).unwrap()
    }

    /// Exit code, standard output, standard error.
    fn run(&self, line: &str) -> (i32, String, String) {
        let arguments: Vec<&str> = line.split_whitespace().collect();
        let output = onnx_prune(&arguments, self.0.path());
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    }

    fn names(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.0.path()).unwrap();
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

fn images() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("calibration/eval").display().to_string()
}

#[test]
fn bounds_that_need_no_clock_decide_alone() {
    let folder = Folder::new();
    let (code, out, err) =
        folder.run("check base.onnx new.onnx --no-timing --max-macs-ratio 0.55 --max-size-ratio 0.9");
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.starts_with("passed: new.onnx against base.onnx"), "{out}");
    let (code, out, _) = folder.run("check base.onnx new.onnx --no-timing --max-macs-ratio 0.4 --max-size-ratio 0.9");
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("MACs ratio") && out.contains("at most x0.400 allowed"), "{out}");
}

#[test]
fn accuracy_is_judged_on_the_images() {
    let folder = Folder::new();
    let judged = format!("check base.onnx new.onnx --no-timing --data {} --json", images());
    let (code, out, err) = folder.run(&format!("{judged} --max-drop 0"));
    assert_eq!(code, 1, "{err}");
    let found: Value = serde_json::from_str(&out).unwrap();
    let lost = found["accuracy"]["before"].as_f64().unwrap() - found["accuracy"]["after"].as_f64().unwrap();
    assert!(lost > 0.0, "{found}");
    assert!((found["gates"][0]["value"].as_f64().unwrap() - lost).abs() < 1e-9);
    assert_eq!(folder.run(&format!("{judged} --max-drop 100 --min-agreement 1")).0, 0);
}

#[test]
fn every_form_is_written_and_nothing_is_replaced() {
    let folder = Folder::new();
    let forms = "--report r.json --junit j.xml --markdown m.md --bencher b.json --gitlab-codequality q.json \
                 --gitlab-metrics t.txt --html h.html --times t.csv";
    let line = format!("check base.onnx new.onnx {SHORT} --max-latency-ratio 100 --max-macs-ratio 0.1 {forms}");
    let (code, _, err) = folder.run(&line);
    assert_eq!(code, 1, "{err}");
    assert_eq!(folder.json("r.json")["schema_version"], 1);
    assert_eq!(folder.json("q.json").as_array().unwrap().len(), 1);
    assert!(folder.json("b.json")["new.onnx"]["latency"]["value"].as_f64().unwrap() > 0.0);
    assert!(folder.read("j.xml").contains(r#"tests="2" failures="1""#), "{}", folder.read("j.xml"));
    assert!(folder.read("m.md").starts_with("### ❌"), "{}", folder.read("m.md"));
    assert!(folder.read("t.txt").ends_with("# EOF\n"));
    assert!(folder.read("h.html").contains("<span class=\"bad\">failed</span>"));
    let pairs = folder.json("r.json")["latency_ms"]["pairs"].as_u64().unwrap();
    assert_eq!(folder.read("t.csv").lines().count() as u64, pairs + 1);
    let (code, _, err) = folder.run(&line);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("--force"), "{err}");
}

/// Twenty times its own time is what no clock gets wrong; bounds near 1 are judged on simulated machines, in
/// `src/check/simulated.rs`. With `--strict` what is inconclusive fails.
#[test]
fn a_base_is_not_slower_than_itself() {
    let folder = Folder::new();
    let line = format!("check base.onnx base.onnx {SHORT} --max-latency-ratio 20 --strict --json");
    let (code, out, err) = folder.run(&line);
    assert_eq!(code, 0, "{out}{err}");
    let found: Value = serde_json::from_str(&out).unwrap();
    let gates = found["gates"].as_array().unwrap();
    assert_eq!((gates.len(), &gates[0]["quantity"]), (1, &"latency-ratio".into()), "{found}");
    for outcome in [&found["outcome"], &gates[0]["outcome"]] {
        assert_eq!(outcome, "passed", "{found}");
    }
}

#[test]
fn a_model_that_takes_longer_than_allowed_fails_after_retries() {
    let folder = Folder::new();
    let line = format!("check base.onnx base.onnx {SHORT} --max-latency-ratio 0.05 --retries 1 --json");
    let (code, out, err) = folder.run(&line);
    assert_eq!(code, 1, "{out}{err}");
    let found: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&found["outcome"], &found["gates"][0]["tries"]), (&"failed".into(), &2.into()));
}

#[test]
fn an_earlier_report_is_a_baseline() {
    let folder = Folder::new();
    assert_eq!(folder.run("check base.onnx new.onnx --no-timing --report then.json").0, 0);
    let (code, out, err) = folder.run("check base.onnx new.onnx --no-timing --baseline then.json");
    assert_eq!(code, 0, "{out}{err}");
    let (code, out, _) = folder.run("check base.onnx base.onnx --no-timing --baseline then.json");
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("MACs against the baseline x2.0"), "{out}");
    // Another base model, another machine.
    assert!(folder.run("check new.onnx new.onnx --no-timing --baseline then.json").2.contains("another base model"));
    let moved = folder.read("then.json").replace("\"processor\": \"", "\"processor\": \"Other ");
    std::fs::write(folder.path("moved.json"), moved).unwrap();
    let (code, _, err) = folder.run("check base.onnx new.onnx --no-timing --baseline moved.json");
    assert!(code == 2 && err.contains("another machine") && err.contains("--other-machine"), "{err}");
    assert_eq!(folder.run("check base.onnx new.onnx --no-timing --baseline moved.json --other-machine").0, 0);
}

#[test]
fn what_cannot_be_judged_is_refused() {
    let folder = Folder::new();
    let before = folder.names();
    for (line, why) in [
        ("--max-drop 1 --no-timing", "needs images"),
        ("--max-latency-ratio 1 --no-timing", "without timing"),
        ("--max-latency-ratio 0", "above 0"),
        ("--cpus 999 --time 0.1", "cannot keep to the cores"),
        ("--baseline base.onnx --no-timing", "baseline"),
        ("--junit none/j.xml", "folder does not exist"),
        ("--report base.onnx --force", "it is the input"),
    ] {
        let (code, out, err) = folder.run(
            &format!("check base.onnx new.onnx --report r.json {line}").replace("--report r.json --report", "--report"),
        );
        assert_eq!(code, 2, "{line}: {out}{err}");
        assert!(err.contains(why), "{line}: {err}");
        assert_eq!(folder.names().len(), before.len(), "{line}");
    }
}

#[test]
fn bench_tells_percentiles_and_throughput() {
    let folder = Folder::new();
    let (code, out, err) = folder.run(&format!("bench base.onnx new.onnx {SHORT} --streams 2"));
    assert!(code == 0 && out.contains("p99") && out.contains("runs a second of 2 together"), "{out}{err}");
    let (code, out, err) = folder.run(&format!("bench base.onnx {SHORT} --cpus 0 --json"));
    assert_eq!(code, 0, "{err}");
    let found: Value = serde_json::from_str(&out).unwrap();
    assert!(found["latency_ms"]["ratio"].as_f64().unwrap() > 0.0 && found["runs_per_second"].is_null(), "{found}");
}

#[test]
fn github_gets_annotations_and_a_summary() {
    let folder = Folder::new();
    let summary = folder.path("summary.md");
    std::fs::write(&summary, "before\n").unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_onnx-prune"))
        .args("check base.onnx new.onnx --no-timing --max-macs-ratio 0.1 --github".split(' '))
        .current_dir(folder.0.path())
        .env("GITHUB_STEP_SUMMARY", &summary)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).starts_with("::error title=new.onnx%3A MACs ratio failed::"));
    let told = folder.read("summary.md");
    assert!(told.starts_with("before\n### ❌"), "{told}");
}

/// The schema of the report and the form of `JUnit` files, by other programs' rules.
#[test]
fn files_validate_against_their_schemas() {
    let folder = Folder::new();
    let line = format!("check base.onnx new.onnx {SHORT} --max-latency-ratio 0.01 --max-macs-ratio 0.9 --retries 0");
    let (code, _, err) = folder.run(&format!("{line} --report r.json --junit j.xml --bencher b.json"));
    assert_eq!(code, 1, "{err}");
    let Some(python) = python("files_validate_against_their_schemas", "jsonschema, xmlschema") else { return };
    let script = "import json, sys, jsonschema, xmlschema\n\
                  reports, schemas = sys.argv[1:]\n\
                  load = lambda path: json.load(open(path))\n\
                  jsonschema.Draft202012Validator(load(reports + '/check.schema.json')).validate(load('r.json'))\n\
                  jsonschema.Draft202012Validator(load(schemas + '/bencher.schema.json')).validate(load('b.json'))\n\
                  xmlschema.validate('j.xml', schemas + '/junit.xsd')\n";
    let schemas = |room: &str| support::root().join("src").join(room).join("schemas").display().to_string();
    let run = std::process::Command::new(python)
        .args(["-c", script, &schemas("cli"), &schemas("check")])
        .current_dir(folder.0.path())
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", text(&run.stderr));
}

/// Lines of the last `key: |` block, or the one item of `script:`, of a YAML file.
#[cfg(unix)]
fn script(path: &str, key: &str) -> String {
    let text = std::fs::read_to_string(support::root().join(path)).unwrap();
    let (_, tail) = text.rsplit_once(&format!("{key}\n")).unwrap();
    let indent = tail.len() - tail.trim_start().len();
    let inside = tail.lines().take_while(|line| line.trim().is_empty() || line.starts_with(&" ".repeat(indent)));
    inside.map(|line| line.get(indent..).unwrap_or_default().trim_start_matches("- ").to_owned() + "\n").collect()
}

#[cfg(unix)]
fn bash(folder: &Folder, script: &str, variables: &[(&str, &str)]) -> i32 {
    let binary = Path::new(env!("CARGO_BIN_EXE_onnx-prune")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    let run = std::process::Command::new("bash")
        .args(["-e", "-c", script])
        .current_dir(folder.0.path())
        .env("PATH", path)
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    println!("{}{}", text(&run.stdout), text(&run.stderr));
    run.status.code().unwrap()
}

#[test]
#[cfg(unix)]
fn the_github_action_and_the_gitlab_job_run_the_binary() {
    let folder = Folder::new();
    let outputs = folder.path("outputs").display().to_string();
    let summary = folder.path("summary").display().to_string();
    let step = script("action.yml", "run: |");
    for (bounds, code, outcome) in [
        ("--no-timing --max-macs-ratio 0.6", 0, "outcome=passed\n"),
        ("--no-timing --max-macs-ratio 0.1", 1, "outcome=passed\noutcome=failed\n"),
    ] {
        let own = [
            ("BASE", "base.onnx"),
            ("NEW", "new.onnx"),
            ("BOUNDS", bounds),
            ("REPORT", "r.json"),
            ("JUNIT", "j.xml"),
            ("GITHUB_OUTPUT", outputs.as_str()),
            ("GITHUB_STEP_SUMMARY", summary.as_str()),
        ];
        assert_eq!(bash(&folder, &step, &own), code);
        assert_eq!(folder.read("outputs"), outcome);
    }
    let job = script(".gitlab/onnx-prune-check.yml", "script:");
    let own = [("BASE", "base.onnx"), ("NEW", "new.onnx"), ("BOUNDS", "--no-timing --max-macs-ratio 0.6")];
    assert_eq!(bash(&folder, &job, &own), 0);
    for name in ["check.xml", "quality.json", "metrics.txt", "check.md", "check.json"] {
        assert!(folder.path(name).exists(), "{name}");
    }
}

#[cfg(unix)]
#[test]
fn a_metric_of_ones_own_is_bounded_and_in_every_form() {
    let folder = Folder::new();
    let forms = "--report r.json --junit j.xml --markdown m.md --bencher b.json --gitlab-codequality q.json \
                 --gitlab-metrics t.txt --html h.html";
    let words = |more: &str| -> Vec<String> {
        let mut words = vec!["check", "base.onnx", "new.onnx", "--no-timing", "--metric", "wc -c <", "--max-drop"];
        words.extend(more.split_whitespace());
        words.into_iter().map(ToOwned::to_owned).collect()
    };
    let run = |more: &str| {
        let words = words(more);
        let output = onnx_prune(&words.iter().map(String::as_str).collect::<Vec<_>>(), folder.0.path());
        (output.status.code(), text(&output.stdout) + &text(&output.stderr))
    };
    let (code, out) = run(&format!("1000 {forms}"));
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("loss of the metric") && out.contains("at most 1000 allowed"), "{out}");
    let found = folder.json("r.json");
    let bytes = |name: &str| std::fs::metadata(folder.path(name)).unwrap().len() as f64;
    let lost = bytes("base.onnx") - bytes("new.onnx");
    assert_eq!(found["metric"]["before"].as_f64().unwrap(), bytes("base.onnx"));
    assert_eq!(
        (&found["gates"][0]["quantity"], found["gates"][0]["value"].as_f64()),
        (&"metric-drop".into(), Some(lost))
    );
    assert_eq!(folder.json("b.json")["new.onnx"]["metric"]["value"].as_f64().unwrap(), bytes("new.onnx"));
    assert_eq!(folder.json("q.json")[0]["check_name"], "metric-drop");
    assert!(folder.read("t.txt").contains("onnx_prune_metric{model=\"new\"}"));
    for name in ["j.xml", "m.md", "h.html"] {
        assert!(folder.read(name).contains("loss of the metric"), "{name}");
    }
    assert_eq!(run("1000 --metric-lower-is-better").0, Some(0));
    assert_eq!(run("1e9").0, Some(0));
    // Images tell the agreement beside it; the bound on the loss stays that on the metric.
    let (code, out) = run(&format!("1e9 --data {} --min-agreement 1 --json", images()));
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains("metric-drop") && !out.contains("\"drop\""), "{out}");
    let output = onnx_prune(&["check", "base.onnx", "new.onnx", "--metric", "cat >&2", "--no-timing"], folder.0.path());
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("base model") && message.contains("nothing on standard output"), "{message}");
}
