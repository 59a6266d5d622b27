//! What the command writes, to the byte: plans, models and reports may change only in a commit that says why.
//!
//! `tests/pins/any.json` holds what is the same on every machine. Everything that goes through arithmetic of an engine or
//! of a solver is pinned for one instruction set and one version of ONNX Runtime, in a file of that name; elsewhere such
//! a case is skipped. `ONNX_PRUNE_PIN=record cargo test --test pins` writes the files anew.
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

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use sha2::{Digest, Sha256};
use support::{Need, root, shared, text};

/// Digests of one case by the name of what was written.
type Digests = BTreeMap<String, String>;

/// What is run: a model, an engine, and the flags beside the output.
struct Case {
    name: String,
    model: PathBuf,
    engine: &'static str,
    flags: Vec<String>,
    /// Whether the differences of rounding that the report tells are pinned too.
    rounding: bool,
}

impl Case {
    fn new(kind: &str, model: &Path, engine: &'static str, flags: &[&str]) -> Self {
        let stem = model.file_stem().unwrap().to_str().unwrap();
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        Self { name: format!("{kind}/{stem}/{engine}"), model: model.to_owned(), engine, flags, rounding: true }
    }

    fn images(mut self, flags: &[String]) -> Self {
        self.flags.extend(flags.iter().cloned());
        self
    }

    /// Kernels of other processors round otherwise.
    fn everywhere(self) -> Self {
        Self { rounding: false, ..self }
    }

    /// Runs the case and digests everything that it wrote.
    fn run(&self) -> Digests {
        let folder = tempfile::tempdir().unwrap();
        let output = Command::new(binary())
            .arg(&self.model)
            .args(["-o", "out.onnx", "--report", "report.json", "--threads", "1", "--engine", self.engine])
            .args(&self.flags)
            // Every width is pinned, not those that suit other engines.
            .args((self.engine == "tract").then_some(["--round-to", "1"]).into_iter().flatten())
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}: {}", self.name, text(&output.stderr));
        let mut digests = Digests::new();
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let bytes = std::fs::read(&path).unwrap();
            let bytes = if name == "report.json" { stable(&bytes, self.rounding) } else { bytes };
            if name.ends_with(".svg") || name.ends_with(".csv") {
                // They hold times and paths.
                continue;
            }
            digests.insert(name, hex(&bytes));
        }
        if let Some(keep) = std::env::var_os("ONNX_PRUNE_PIN_KEEP") {
            let target = PathBuf::from(keep).join(self.name.replace('/', "_"));
            std::fs::create_dir_all(&target).unwrap();
            for entry in std::fs::read_dir(folder.path()).unwrap() {
                let path = entry.unwrap().path();
                std::fs::copy(&path, target.join(path.file_name().unwrap())).unwrap();
            }
        }
        digests
    }
}

/// The binary of this build; `ONNX_PRUNE_BINARY` names another, to record what it writes.
fn binary() -> PathBuf {
    std::env::var_os("ONNX_PRUNE_BINARY").map_or_else(|| env!("CARGO_BIN_EXE_onnx-prune").into(), PathBuf::from)
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The report without times, memory, paths and the machine, and, if asked for, without how the proof rounds.
fn stable(bytes: &[u8], rounding: bool) -> Vec<u8> {
    let mut report: Value = serde_json::from_slice(bytes).unwrap();
    forget(&mut report);
    if let (Some(Value::Object(proof)), false) = (report.get_mut("verification"), rounding) {
        proof.remove("max_error").expect("the proof tells its largest difference");
    }
    serde_json::to_vec(&report).unwrap()
}

fn forget(value: &mut Value) {
    const UNSTABLE: [&str; 14] = [
        "engine",
        "timings_s",
        "peak_memory_bytes",
        "path",
        "command",
        "latency",
        "latency_ms",
        "prepare_ms",
        "samples",
        "profile",
        "files",
        "tool_version",
        "seconds",
        "csv",
    ];
    match value {
        Value::Object(map) => {
            map.retain(|key, _| !UNSTABLE.contains(&key.as_str()));
            map.values_mut().for_each(forget);
        }
        Value::Array(list) => list.iter_mut().for_each(forget),
        _ => {}
    }
}

/// Instruction set, family and model of the processor (sizes of caches decide in which order libraries add) and version of
/// ONNX Runtime.
fn machine(engine: &str) -> String {
    let set = if cfg!(target_arch = "x86_64") {
        #[cfg(target_arch = "x86_64")]
        {
            if std::arch::is_x86_feature_detected!("avx512f") { "avx512" } else { "avx2" }
        }
        #[cfg(not(target_arch = "x86_64"))]
        "other"
    } else {
        "other"
    };
    let version = match engine {
        "onnxruntime" => onnxruntime().unwrap_or_default(),
        _ => "tract".to_owned(),
    };
    format!("{}-{set}-{}-{version}", std::env::consts::ARCH, processor())
}

/// `FAMILY.MODEL` of the processor, as Linux numbers them.
fn processor() -> String {
    let shown = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let number = |name: &str| {
        let line = shown.lines().find(|line| line.split(':').next().is_some_and(|key| key.trim() == name));
        line.and_then(|line| line.split(':').nth(1)).map_or("0", str::trim).to_owned()
    };
    format!("{}.{}", number("cpu family"), number("model"))
}

/// `onnxruntime-VERSION`, if the library is found.
fn onnxruntime() -> Option<String> {
    let output = Command::new(binary()).args(["setup"]).output().ok()?;
    let shown = text(&output.stdout);
    let version = shown.lines().next()?.rsplit_once("version ")?.1;
    version.starts_with(|c: char| c.is_ascii_digit()).then(|| format!("onnxruntime-{version}"))
}

/// Compares with what is pinned in a file, or records it.
fn hold(file: &str, cases: &[Case]) {
    let path = root().join("tests/pins").join(format!("{file}.json"));
    let record = std::env::var("ONNX_PRUNE_PIN").is_ok_and(|value| value == "record");
    let pinned: Option<BTreeMap<String, Digests>> =
        std::fs::read(&path).ok().map(|bytes| serde_json::from_slice(&bytes).unwrap());
    if pinned.is_none() && !record {
        let why = "none were recorded for this processor and version of ONNX Runtime";
        support::skip(&format!("pins of {file}"), Need::Pins, why);
        return;
    }
    let mut pinned = pinned.unwrap_or_default();
    let mut wrong = Vec::new();
    for case in cases {
        let found = case.run();
        if record {
            pinned.insert(case.name.clone(), found);
            continue;
        }
        let Some(expected) = pinned.get(&case.name) else {
            wrong.push(format!("{}: not pinned", case.name));
            continue;
        };
        for (what, digest) in &found {
            if expected.get(what) != Some(digest) {
                wrong.push(format!("{}: {what}: {digest}", case.name));
            }
        }
        if expected.keys().ne(found.keys()) {
            wrong.push(format!("{}: other files were written", case.name));
        }
    }
    if record {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, serde_json::to_string_pretty(&pinned).unwrap() + "\n").unwrap();
    }
    assert!(wrong.is_empty(), "not as pinned in {file}:\n{}", wrong.join("\n"));
}

fn own_models() -> Vec<PathBuf> {
    ["fashion_plain", "fashion_resnet"].map(|name| root().join(format!("models/{name}.onnx"))).to_vec()
}

fn fashion() -> Vec<String> {
    let folder = |name: &str| root().join("calibration").join(name).display().to_string();
    ["--data".into(), folder("train"), "--eval".into(), folder("eval")].to_vec()
}

fn cifar(shared: &Path) -> Vec<String> {
    let folder = |name: &str| shared.join("data/cifar10_sample").join(name).display().to_string();
    let mut flags = vec!["--data".into(), folder("train"), "--eval".into(), folder("test")];
    flags.extend(["--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225"].map(str::to_owned));
    flags
}

const NORMS: &[&str] = &["--no-timing", "--round-to", "1", "--criterion"];

#[test]
fn norms_are_the_same_everywhere() {
    let mut models = own_models();
    if let Some(shared) = shared("pins::norms_are_the_same_everywhere") {
        let names = ["cifar10_resnet20", "cifar10_resnet20_bn", "cifar10_resnet56_bn", "imagenet_mobilenet_v2"];
        models.extend(names.map(|name| shared.join(format!("models/{name}.onnx"))));
    }
    let mut cases = Vec::new();
    for model in &models {
        for criterion in ["l1", "l2"] {
            let flags = [NORMS, &[criterion]].concat();
            cases.push(Case::new(criterion, model, "tract", &flags).everywhere());
        }
    }
    hold("any", &cases);
}

#[test]
fn norms_with_onnxruntime() {
    let name = "pins::norms_with_onnxruntime";
    if onnxruntime().is_none() {
        support::skip(name, Need::OnnxRuntime, "ONNX Runtime was not found");
        return;
    }
    let mut cases: Vec<Case> = Vec::new();
    for model in own_models() {
        cases.push(Case::new("l2", &model, "onnxruntime", &["--no-timing", "--criterion", "l2"]));
    }
    if let Some(shared) = shared(name) {
        let model = shared.join("models/cifar10_resnet56_bn.onnx");
        cases.push(Case::new("l2", &model, "onnxruntime", &["--no-timing", "--criterion", "l2"]));
    }
    hold(&machine("onnxruntime"), &cases);
}

/// The default criterion, widths by sensitivity, the local and the sequential repair.
const REPAIRED: &[&str] = &["--no-timing", "--depth", "off", "--refine", "0"];
/// The global repair too: rounds are counted where no time is given, and these models need seconds for all.
const REFINED: &[&str] = &["--no-timing", "--depth", "off"];

#[test]
fn images_with_tract() {
    let [plain, resnet] = own_models().try_into().unwrap();
    let mut cases = vec![
        Case::new("refined", &plain, "tract", REFINED).images(&fashion()),
        Case::new("repaired-seed1", &resnet, "tract", &[REPAIRED, &["--seed", "1"]].concat()).images(&fashion()),
        Case::new("sglp-ib", &plain, "tract", &["--no-timing", "--effort", "fast", "--criterion", "sglp-ib"])
            .images(&fashion()),
        Case::new("sweep", &plain, "tract", &["--effort", "fast", "--no-timing", "--sweep", "0.7..0.5:0.2"])
            .images(&fashion()),
    ];
    if let Some(shared) = shared("pins::images_with_tract") {
        let model = shared.join("models/cifar10_resnet20_bn.onnx");
        cases.push(Case::new("repaired", &model, "tract", REPAIRED).images(&cifar(&shared)));
    }
    hold(&machine("tract"), &cases);
}

#[test]
fn images_with_onnxruntime() {
    let name = "pins::images_with_onnxruntime";
    if onnxruntime().is_none() {
        support::skip(name, Need::OnnxRuntime, "ONNX Runtime was not found");
        return;
    }
    let [plain, resnet] = own_models().try_into().unwrap();
    let mut cases = vec![
        Case::new("repaired-seed1", &plain, "onnxruntime", &[REPAIRED, &["--seed", "1"]].concat()).images(&fashion()),
        Case::new("refined", &resnet, "onnxruntime", REFINED).images(&fashion()),
    ];
    if let Some(shared) = shared(name) {
        let model = shared.join("models/cifar10_resnet20.onnx");
        cases.push(Case::new("repaired", &model, "onnxruntime", REPAIRED).images(&cifar(&shared)));
        let model = shared.join("models/imagenet_mobilenet_v2.onnx");
        let flags = [
            "--no-timing",
            "--depth",
            "off",
            "--refine",
            "0",
            "--samples",
            "30",
            "--scale",
            "1",
            "--mean",
            "128",
            "--std",
            "128",
        ];
        let data = shared.join("data/imagenette_train").display().to_string();
        let classes = shared.join("data/imagenet_wnids.txt").display().to_string();
        let images = ["--data".to_owned(), data, "--classes".to_owned(), classes];
        cases.push(Case::new("repaired", &model, "onnxruntime", &flags).images(&images));
    }
    hold(&format!("{}-images", machine("onnxruntime")), &cases);
}
