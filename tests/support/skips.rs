//! What tests need of the outside, and what is said where it is missing.
//!
//! A test that goes without says so twice: at once on standard error, past the capture of `cargo test`, and in a file of
//! this run that the last test lists (`tests/zz_skipped.rs`). `ONNX_PRUNE_REQUIRE` makes a failure of it: `all`, or names
//! of [`Need`] with commas between; `-NAME` takes one out again (`all,-browser`).

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use onnx_prune::engine::{Engine, EngineChoice, EngineOptions, open};

use super::root;

/// The variable that names what must be there.
pub const REQUIRE: &str = "ONNX_PRUNE_REQUIRE";

/// The variable that names the folder of shared models and images, in place of `../shared`.
pub const SHARED: &str = "ONNX_PRUNE_SHARED";

/// What a test may need of the outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// The folder of shared models and images.
    Shared,
    /// `python3` with the modules of the test.
    Python,
    /// A library of ONNX Runtime.
    OnnxRuntime,
    /// The test models of the onnx 1.18.0 package.
    OnnxModels,
    /// Chromium.
    Browser,
    /// A package that brings an execution provider of ONNX Runtime.
    PlugIn,
    /// Digests for this processor and version of ONNX Runtime, in `tests/pins`.
    Pins,
}

impl Need {
    pub const ALL: [Self; 7] =
        [Self::Shared, Self::Python, Self::OnnxRuntime, Self::OnnxModels, Self::Browser, Self::PlugIn, Self::Pins];

    pub fn name(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Python => "python",
            Self::OnnxRuntime => "onnxruntime",
            Self::OnnxModels => "onnx-models",
            Self::Browser => "browser",
            Self::PlugIn => "plug-in",
            Self::Pins => "pins",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|need| need.name() == name)
    }
}

/// The needs that a list names.
///
/// # Errors
/// If a word is none: a typing error must not let tests skip.
pub fn required(list: &str) -> Result<BTreeSet<Need>, String> {
    let mut found = BTreeSet::new();
    for word in list.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let known = || Need::ALL.map(Need::name).join(", ");
        let named = |name: &str| {
            Need::named(name).ok_or_else(|| format!("{REQUIRE}: `{word}` is not known; there are all, {}", known()))
        };
        match (word, word.strip_prefix('-')) {
            ("all", _) => found.extend(Need::ALL),
            (_, Some(name)) => drop(found.remove(&named(name)?)),
            (name, None) => drop(found.insert(named(name)?)),
        }
    }
    Ok(found)
}

/// A test that was skipped, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Skip {
    pub need: Need,
    pub test: String,
    pub why: String,
}

impl Skip {
    fn line(&self) -> String {
        format!("{}\t{}\t{}\n", self.need.name(), self.test, self.why.replace(['\n', '\t'], " "))
    }

    fn parsed(line: &str) -> Option<Self> {
        let mut parts = line.splitn(3, '\t');
        let need = Need::named(parts.next()?)?;
        Some(Self { need, test: parts.next()?.to_owned(), why: parts.next()?.to_owned() })
    }

    /// Adds it to the file.
    ///
    /// # Errors
    /// If it is required, or the file cannot be written.
    pub fn note(&self, required: &BTreeSet<Need>, file: &Path) -> Result<(), String> {
        let name = self.need.name();
        if required.contains(&self.need) {
            return Err(format!("{}: {}, and {REQUIRE} names `{name}`", self.test, self.why));
        }
        let add = || -> std::io::Result<()> {
            std::fs::create_dir_all(file.parent().unwrap_or(Path::new(".")))?;
            // One write of a whole line: tests run side by side.
            std::fs::File::options().append(true).create(true).open(file)?.write_all(self.line().as_bytes())
        };
        add().map_err(|error| format!("{}: {error}", file.display()))
    }
}

/// A test, or a part of one, that goes without what it needs.
///
/// # Panics
/// If the need is required.
#[track_caller]
pub fn skip(test: &str, need: Need, why: &str) {
    let skip = Skip { need, test: test.to_owned(), why: why.to_owned() };
    let noted = required(&std::env::var(REQUIRE).unwrap_or_default()).and_then(|all| skip.note(&all, &record()));
    if let Err(why) = noted {
        panic!("{why}");
    }
    // The handle itself, since `eprintln!` would be captured.
    let _ = writeln!(std::io::stderr(), "skipped: {test}: {why} ({})", need.name());
}

/// The file of this run: tests of one run have the same parent, `cargo` or `cargo-nextest`.
pub fn record() -> PathBuf {
    #[cfg(unix)]
    let parent = std::os::unix::process::parent_id();
    #[cfg(not(unix))]
    let parent = 0;
    let run = std::env::var("NEXTEST_RUN_ID").unwrap_or_else(|_| parent.to_string());
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("skipped").join(run)
}

/// What a file tells, each once, in order.
///
/// # Errors
/// If a line is not one of [`Skip::note`].
pub fn skips(text: &str) -> Result<BTreeSet<Skip>, String> {
    text.lines().map(|line| Skip::parsed(line).ok_or_else(|| format!("not a skipped test: {line}"))).collect()
}

/// The closing list.
pub fn listed(skips: &BTreeSet<Skip>) -> String {
    if skips.is_empty() {
        return "skipped tests: none\n".to_owned();
    }
    let mut text = format!("skipped tests or parts of them: {}\n", skips.len());
    for skip in skips {
        let _ = writeln!(text, "  {:<11}  {}: {}", skip.need.name(), skip.test, skip.why);
    }
    text + &format!("{REQUIRE}=all makes failures of them\n")
}

/// The folder of shared models and images, if it is there.
fn shared_folder() -> PathBuf {
    std::env::var_os(SHARED).map_or_else(|| root().join("../shared"), PathBuf::from)
}

/// The folder of shared models and images, if it is there; else the test is skipped.
#[track_caller]
pub fn shared(test: &str) -> Option<PathBuf> {
    shared_part(test, "models").map(|_| shared_folder())
}

/// A file or folder of it; else the test is skipped.
#[track_caller]
pub fn shared_part(test: &str, name: &str) -> Option<PathBuf> {
    let path = shared_folder().join(name);
    if !path.exists() {
        skip(test, Need::Shared, &format!("there is no {}", path.display()));
        return None;
    }
    Some(path)
}

/// A Python that can import the modules; else the test is skipped.
#[track_caller]
pub fn python(test: &str, modules: &str) -> Option<&'static str> {
    if !imports(modules) {
        skip(test, Need::Python, &format!("python3 cannot import {modules}"));
        return None;
    }
    Some("python3")
}

fn imports(modules: &str) -> bool {
    let works = Command::new("python3").args(["-c", &format!("import {modules}")]).output();
    works.is_ok_and(|output| output.status.success())
}

/// ONNX Runtime, or why it is not there.
///
/// # Panics
/// If Python has it and it is not found: that is no machine without it.
#[track_caller]
pub fn onnx_runtime() -> Result<Box<dyn Engine>, String> {
    let opened = open(&EngineOptions { engine: EngineChoice::OnnxRuntime, ..EngineOptions::default() });
    opened.map(|own| own.engine).map_err(|error| {
        assert!(!imports("onnxruntime"), "python3 imports onnxruntime, but: {error}");
        error.to_string()
    })
}
