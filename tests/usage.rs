//! What the program refuses, before it changes any file, and what it prints where.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

fn model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/fashion_resnet.onnx")
}

/// An empty folder with a copy of a model in it, and the program run there.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(TempDir::new().unwrap());
        std::fs::copy(model(), folder.path("m.onnx")).unwrap();
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.0.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn run(&self, line: &str) -> Run {
        let output = Command::new(env!("CARGO_BIN_EXE_onnx-prune"))
            .args(line.split_whitespace())
            .current_dir(self.0.path())
            .env_remove("NO_COLOR")
            .env("COLUMNS", "80")
            .output()
            .unwrap();
        Run::from(output)
    }

    /// `line` is refused with exit code 2 and `what`, and no file is made or changed.
    fn refuses(&self, line: &str, what: &str) {
        let (names, bytes) = (self.names(), self.read("m.onnx"));
        let run = self.run(line);
        assert_eq!(run.code, 2, "{line}: {}", run.stderr);
        assert!(run.stderr.contains(what), "{line}: {}", run.stderr);
        assert_eq!(run.stderr.matches("error:").count(), 1, "{line}: {}", run.stderr);
        assert_eq!(run.stdout, "", "{line}");
        assert_eq!(self.names(), names, "{line}");
        assert!(self.read("m.onnx") == bytes, "{line}: the model changed");
    }
}

struct Run {
    code: i32,
    stdout: String,
    stderr: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// A quick run: no images, no timing.
const QUICK: &str = "--criterion l2 --no-timing --engine tract";

#[test]
fn help_and_version_go_to_stdout() {
    let folder = Folder::new();
    for line in ["--help", "-h", "inspect --help", "apply --help", "verify --help", "bench --help", "setup --help"] {
        let run = folder.run(line);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{line}");
        assert!(run.stdout.contains("Usage: onnx-prune"), "{line}");
    }
    assert_eq!(folder.run("--version").stdout, format!("onnx-prune {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn settings_stand_for_flags_and_the_command_line_wins() {
    let folder = Folder::new();
    let settings = "[prune]\ncriterion = \"l2\"\nno-timing = true\ntarget-macs = 0.7\noutput = \"a.onnx\"\n";
    std::fs::write(folder.path("onnx-prune.toml"), settings).unwrap();
    let run = folder.run("m.onnx --json");
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stderr.contains("settings: onnx-prune.toml"), "{}", run.stderr);
    assert!(run.stdout.contains("\"budget\": \"MACs x0.7\"") && folder.path("a.onnx").exists(), "{}", run.stdout);
    let run = folder.run("m.onnx --json --target-macs 0.6 --output b.onnx");
    assert!(run.stdout.contains("\"budget\": \"MACs x0.6\"") && folder.path("b.onnx").exists(), "{}", run.stdout);
    folder.refuses("m.onnx --config none --criterion obs", "needs images");
    std::fs::write(folder.path("onnx-prune.toml"), "[check]\nnope = 1\n").unwrap();
    folder.refuses("m.onnx --criterion l2", "`nope` in [check] is no flag");
    folder.refuses("m.onnx --config gone.toml", "gone.toml");
}

#[test]
fn completions_and_manuals_are_printed() {
    let folder = Folder::new();
    for (line, word) in [
        ("completions bash", "complete "),
        ("completions zsh", "#compdef onnx-prune"),
        ("completions fish", "complete -c onnx-prune"),
        ("man", ".TH onnx-prune"),
        ("man check", "max\\-latency\\-ratio"),
        ("schema settings", "\"title\": \"onnx-prune.toml\""),
        ("schema check", "onnx-prune check, version 1"),
    ] {
        let run = folder.run(line);
        assert!(run.code == 0 && run.stdout.contains(word), "{line}: {} {}", run.stdout, run.stderr);
    }
    folder.refuses("man nope", "there is no command `nope`");
}

#[test]
fn too_little_memory_is_refused_with_the_numbers() {
    let folder = Folder::new();
    let images = Path::new(env!("CARGO_MANIFEST_DIR")).join("calibration/train");
    let line = format!("m.onnx --memory 100MB --data {}", images.display());
    let run = folder.run(&line);
    assert_eq!(run.code, 2, "{}", run.stderr);
    for word in ["at least", "for the models and the engine", "`--memory` allows 100 MB"] {
        assert!(run.stderr.contains(word), "{word}: {}", run.stderr);
    }
    assert_eq!(folder.names(), ["m.onnx"]);
}

#[test]
fn bad_usage_is_one_message_and_exit_code_2() {
    let folder = Folder::new();
    folder.refuses("", "MODEL");
    folder.refuses("--nope m.onnx", "'--nope'");
    folder.refuses("m.onnx --ratio 0.3 --target-macs 0.5", "cannot be used with");
    folder.refuses("m.onnx --target-macs half", "0.5");
    folder.refuses("m.onnx --target-macs inf", "above 0");
    folder.refuses("m.onnx --target-params 1e999", "above 0");
    folder.refuses("m.onnx --ratio 1", "below 1");
    folder.refuses("m.onnx --size 0x3", "HEIGHTxWIDTH");
    folder.refuses("m.onnx --memory 0.5", "2G or 800MB");
    folder.refuses("m.onnx --mean=-0.5,nan,0.5", "finite");
    folder.refuses("m.onnx --std 0,1,1", "above 0");
    folder.refuses("m.onnx --scale 0", "above 0");
    folder.refuses("m.onnx --criterion nope", "unknown criterion `nope`");
    folder.refuses("inspec m.onnx", "`inspec` is no command and no file");
    folder.refuses("m.onnx other.onnx", "one model");
}

#[test]
fn a_missing_model_is_named() {
    Folder::new().refuses(&format!("nowhere.onnx {QUICK}"), "cannot read `nowhere.onnx`");
    Folder::new().refuses("inspect nowhere.onnx", "cannot read `nowhere.onnx`");
}

#[test]
fn the_report_is_never_written_over_the_input() {
    Folder::new().refuses(&format!("m.onnx {QUICK} -o out.onnx --report m.onnx --force"), "it is the input");
    #[cfg(unix)]
    {
        let folder = Folder::new();
        std::os::unix::fs::symlink("m.onnx", folder.path("link.json")).unwrap();
        folder.refuses(&format!("m.onnx {QUICK} -o out.onnx --report link.json --force"), "it is the input");
    }
}

#[test]
fn results_do_not_share_a_file() {
    let folder = Folder::new();
    folder.refuses(&format!("m.onnx {QUICK} -o x --report x"), "it is the pruned model");
    folder.refuses(&format!("m.onnx {QUICK} -o x --report ./x"), "it is the pruned model");
    folder.refuses(&format!("m.onnx {QUICK} -o x --plan x"), "it is the pruned model");
    folder.refuses(&format!("m.onnx {QUICK} -o x --plan y --report y"), "it is the plan");
}

/// The names that are used where none is given are those that the checks look at.
#[test]
fn default_names_are_checked_too() {
    let folder = Folder::new();
    folder.refuses(&format!("m.onnx {QUICK} --report m.pruned.onnx"), "it is the pruned model");
    folder.refuses(&format!("m.onnx {QUICK} --report m.pruned.plan.json"), "it is the plan");
    let run = folder.run(&format!("m.onnx {QUICK}"));
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(folder.names(), ["m.onnx", "m.pruned.onnx", "m.pruned.plan.json"]);
}

#[test]
fn a_report_that_cannot_be_written_is_refused_before_the_work() {
    let folder = Folder::new();
    folder.refuses(&format!("m.onnx {QUICK} -o x.onnx --report nowhere/r.json"), "its folder does not exist");
    std::fs::write(folder.path("r.json"), "mine").unwrap();
    folder.refuses(&format!("m.onnx {QUICK} -o x.onnx --report r.json"), "--force");
    assert_eq!(folder.read("r.json"), b"mine");
    if Path::new("/proc/self").is_dir() {
        folder.refuses(&format!("m.onnx {QUICK} -o /proc/m.onnx"), "its folder takes no file");
        folder.refuses("calibrate m.onnx --data nowhere -o /proc/m.stats", "its folder takes no file");
    }
}

#[test]
fn apply_never_writes_over_its_plan() {
    let folder = Folder::new();
    assert_eq!(folder.run(&format!("m.onnx {QUICK} -q")).code, 0);
    folder.refuses("apply m.onnx m.pruned.plan.json -o m.pruned.plan.json --force", "it is the input");
    let run = folder.run("apply m.onnx m.pruned.plan.json -o again.onnx");
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(folder.read("again.onnx") == folder.read("m.pruned.onnx"), "same plan, same bytes");
}

#[test]
fn json_is_one_document_and_equals_the_report_file() {
    let folder = Folder::new();
    let run = folder.run(&format!("m.onnx {QUICK} --json --report r.json"));
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(run.stdout.as_bytes(), folder.read("r.json"));
    let report: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    for field in [
        "schema_version",
        "model",
        "output",
        "engine",
        "macs",
        "params",
        "bytes",
        "latency_ms",
        "accuracy",
        "groups",
        "timings_s",
        "peak_memory_bytes",
    ] {
        assert!(report.get(field).is_some(), "{field}");
    }
    assert_eq!(report["schema_version"], 1);
    assert!(report["macs"]["after"].as_u64() < report["macs"]["before"].as_u64());
}

#[test]
fn piped_output_is_plain_and_80_columns_wide() {
    let folder = Folder::new();
    for line in [format!("m.onnx {QUICK}"), "inspect m.onnx".into(), "--help".into(), "bench --help".into()] {
        let run = folder.run(&line);
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert!(!run.stdout.contains('\u{1b}') && !run.stderr.contains('\u{1b}'), "{line}");
        let widest = run.stdout.lines().max_by_key(|text| text.chars().count()).unwrap();
        assert!(widest.chars().count() <= 80, "{line}: {widest}");
    }
}

#[test]
fn quiet_says_nothing() {
    let run = Folder::new().run(&format!("m.onnx {QUICK} --quiet"));
    assert_eq!((run.code, run.stdout.as_str(), run.stderr.as_str()), (0, "", ""));
}

#[cfg(unix)]
mod unix {
    use std::io::Read as _;
    use std::process::Stdio;

    use super::*;

    #[test]
    fn a_reader_that_goes_away_is_no_error() {
        let folder = Folder::new();
        for line in ["--help", "inspect m.onnx"] {
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            let mut child = Command::new(env!("CARGO_BIN_EXE_onnx-prune"))
                .args(line.split_whitespace())
                .current_dir(folder.path(""))
                .stdout(writer)
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let mut stderr = String::new();
            child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
            assert_eq!((child.wait().unwrap().code(), stderr.as_str()), (Some(0), ""), "{line}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_disk_is_an_error() {
        let folder = Folder::new();
        for line in ["--help", "inspect m.onnx"] {
            let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
            let status = Command::new(env!("CARGO_BIN_EXE_onnx-prune"))
                .args(line.split_whitespace())
                .current_dir(folder.path(""))
                .stdout(full)
                .stderr(Stdio::null())
                .status()
                .unwrap();
            assert_eq!(status.code(), Some(2), "{line}");
        }
    }
}
