//! Finding an ONNX Runtime library.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::library;

/// A place that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Candidate {
    /// How it was found.
    pub origin: String,
    /// The library file.
    pub path: PathBuf,
    /// Its version, if it can be used.
    pub version: Option<String>,
    /// Why it cannot be used.
    pub problem: Option<String>,
}

/// All libraries in the order of preference: the path given, `ORT_DYLIB_PATH`, the wheel of the active Python
/// environment, beside the binary, system folders.
pub(super) fn candidates(given: Option<&Path>) -> Vec<Candidate> {
    let mut found: Vec<Candidate> = Vec::new();
    let mut add = |origin: &str, path: PathBuf| {
        if found.iter().all(|known| known.path != path) {
            let (version, problem) = match library::version(&path) {
                Ok(version) => (Some(version), None),
                Err(why) => (None, Some(why)),
            };
            found.push(Candidate { origin: origin.to_owned(), path, version, problem });
        }
    };
    if let Some(path) = given {
        add("--onnxruntime", path.to_owned());
        return found;
    }
    if let Some(path) = std::env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty()) {
        add("ORT_DYLIB_PATH", path.into());
    }
    for variable in ["VIRTUAL_ENV", "CONDA_PREFIX"] {
        if let Some(prefix) = std::env::var_os(variable) {
            for path in in_environment(Path::new(&prefix)) {
                add(variable, path);
            }
        }
    }
    if let Some(path) = wheel_of_python() {
        add("Python wheel", path);
    }
    if let Some(folder) = std::env::current_exe().ok().as_deref().and_then(Path::parent) {
        for path in libraries(folder) {
            add("beside the binary", path);
        }
    }
    for folder in [
        "/usr/local/lib",
        "/usr/lib",
        "/usr/lib64",
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib/aarch64-linux-gnu",
        "/opt/onnxruntime/lib",
        "/opt/homebrew/lib",
    ] {
        for path in libraries(Path::new(folder)) {
            add("system library folder", path);
        }
    }
    found
}

/// Wheels in `PREFIX/lib/python*/site-packages` (or `Lib/site-packages` on Windows).
fn in_environment(prefix: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = std::fs::read_dir(prefix.join("lib"))
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("python"))
        .map(|entry| entry.path().join("site-packages"))
        .collect();
    folders.push(prefix.join("Lib").join("site-packages"));
    folders.sort();
    folders.iter().flat_map(|folder| libraries(&folder.join("onnxruntime").join("capi"))).collect()
}

/// The wheel that the `python3` on the path would import. Asked without importing it.
fn wheel_of_python() -> Option<PathBuf> {
    const QUESTION: &str = "import importlib.util as u; s = u.find_spec('onnxruntime'); print(s.origin if s else '')";
    let output = Command::new("python3").args(["-c", QUESTION]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let folder = Path::new(text.trim()).parent()?.join("capi");
    libraries(&folder).into_iter().next()
}

/// Files called like the library, the shortest name (the plain `.so`) first.
fn libraries(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            name.starts_with("libonnxruntime.so")
                || (name.starts_with("libonnxruntime.") && path.extension().is_some_and(|end| end == "dylib"))
                || name == "onnxruntime.dll"
        })
        .collect();
    found.sort_by_key(|path| (path.as_os_str().len(), path.clone()));
    found
}
