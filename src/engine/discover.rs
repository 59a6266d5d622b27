//! Finding an ONNX Runtime library.

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX, OS};
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
    /// Providers that it was built with, by the names of ONNX Runtime.
    pub providers: Vec<String>,
    /// Why it cannot be used.
    pub problem: Option<String>,
}

impl Candidate {
    /// Whether it was built with a provider, by the name of ONNX Runtime.
    pub(super) fn has(&self, registered: &str) -> bool {
        self.providers.iter().any(|name| name == registered)
    }
}

/// All libraries in the order of preference: the path given, `ORT_DYLIB_PATH`, the wheel of the active Python
/// environment, beside the binary, system folders.
pub(super) fn candidates(given: Option<&Path>) -> Vec<Candidate> {
    let mut found: Vec<Candidate> = Vec::new();
    let mut add = |origin: &str, path: PathBuf| {
        if found.iter().all(|known| known.path != path) {
            let (version, providers, problem) = match library::look(&path) {
                Ok((version, providers)) => (Some(version), providers, None),
                Err(why) => (None, Vec::new(), Some(why)),
            };
            found.push(Candidate { origin: origin.to_owned(), path, version, providers, problem });
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
    for folder in system_folders(OS) {
        for path in libraries(Path::new(folder)) {
            add("system library folder", path);
        }
    }
    found
}

/// Where a system keeps libraries that a package manager or an administrator has put there.
fn system_folders(os: &str) -> &'static [&'static str] {
    match os {
        // The library in System32 belongs to Windows and is as old as that is; `/usr` on a drive may be anybody's folder.
        "windows" => &[],
        "macos" => &["/opt/homebrew/lib", "/usr/local/lib", "/opt/onnxruntime/lib"],
        _ => &[
            "/usr/local/lib",
            "/usr/lib",
            "/usr/lib64",
            "/usr/lib/x86_64-linux-gnu",
            "/usr/lib/aarch64-linux-gnu",
            "/opt/onnxruntime/lib",
        ],
    }
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

/// The library of an execution provider that is installed in the same Python environment as the ONNX Runtime at `runtime`
/// (`site-packages/onnxruntime/capi/LIBRARY`), in a package that is called after it: `onnxruntime_ep_openvino`,
/// `onnxruntime_qnn`.
pub(super) fn plug_in(runtime: &Path, provider: &str) -> Option<PathBuf> {
    let packages = runtime.ancestors().nth(3)?;
    ["onnxruntime_ep_", "onnxruntime_"]
        .iter()
        .flat_map(|start| named(&packages.join(format!("{start}{provider}")), |name| is_plug_in(name, provider)))
        .next()
}

/// Whether a file is called as the library of a provider is.
fn is_plug_in(name: &str, provider: &str) -> bool {
    let start = format!("{DLL_PREFIX}onnxruntime_providers_{provider}");
    name.strip_prefix(&start).is_some_and(|rest| rest.contains(DLL_SUFFIX))
}

/// What Python is called. On Windows `python3` opens the shop where none is installed.
fn interpreter(os: &str) -> &'static str {
    if os == "windows" { "python" } else { "python3" }
}

/// The wheel that the Python on the path would import. Asked without importing it.
fn wheel_of_python() -> Option<PathBuf> {
    const QUESTION: &str = "import importlib.util as u; s = u.find_spec('onnxruntime'); print(s.origin if s else '')";
    let mut python = Command::new(interpreter(OS));
    // Into a pipe Python writes in the encoding of the system otherwise.
    let output = python.args(["-c", QUESTION]).env("PYTHONIOENCODING", "utf-8").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let folder = Path::new(text.trim()).parent()?.join("capi");
    libraries(&folder).into_iter().next()
}

/// Files called like the library, the shortest name (the plain `.so`) first.
fn libraries(folder: &Path) -> Vec<PathBuf> {
    named(folder, |name| is_library(name, OS))
}

/// Files whose names `fit`, the shortest first; none of a folder that cannot be read.
fn named(folder: &Path, fit: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.file_name().is_some_and(|name| fit(&name.to_string_lossy())))
        .collect();
    found.sort_by_key(|path| (path.as_os_str().len(), path.clone()));
    found
}

/// Whether a file is called as the library is on a system.
fn is_library(name: &str, os: &str) -> bool {
    match os {
        "windows" => name.eq_ignore_ascii_case("onnxruntime.dll"),
        "macos" => name.starts_with("libonnxruntime.") && Path::new(name).extension().is_some_and(|end| end == "dylib"),
        _ => name.starts_with("libonnxruntime.so"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_is_called_as_its_system_calls_it() {
        let all = [
            "libonnxruntime.so",
            "libonnxruntime.so.1.23.2",
            "libonnxruntime.dylib",
            "libonnxruntime.1.23.2.dylib",
            "onnxruntime.dll",
            "libonnxruntime_providers_shared.so",
            "libonnxruntime_providers_shared.dylib",
            "onnxruntime_providers_shared.dll",
            "libonnxruntime.dylib.dSYM",
        ];
        let of = |os| all.into_iter().filter(|name| is_library(name, os)).collect::<Vec<_>>();
        assert_eq!(of("linux"), all[..2]);
        assert_eq!(of("freebsd"), all[..2]);
        assert_eq!(of("macos"), all[2..4]);
        assert_eq!(of("windows"), all[4..5]);
        assert!(is_library("OnnxRuntime.DLL", "windows"));
    }

    #[test]
    fn windows_own_library_is_not_looked_for() {
        assert!(system_folders("windows").is_empty());
        assert!(system_folders("macos").contains(&"/opt/homebrew/lib"));
        assert!(system_folders("linux").contains(&"/usr/lib"));
        assert_eq!(
            [interpreter("windows"), interpreter("macos"), interpreter("linux")],
            ["python", "python3", "python3"]
        );
    }

    #[test]
    fn wheels_are_found_in_environments_of_either_layout() {
        let folder = tempfile::tempdir().unwrap();
        let name = ["libonnxruntime.so.1", "libonnxruntime.1.dylib", "onnxruntime.dll"];
        let name = name.into_iter().find(|name| is_library(name, OS)).unwrap();
        for layout in ["lib/python3.12/site-packages", "Lib/site-packages"] {
            let wheel = folder.path().join(layout).join("onnxruntime").join("capi");
            std::fs::create_dir_all(&wheel).unwrap();
            std::fs::write(wheel.join(name), "").unwrap();
        }
        assert_eq!(in_environment(folder.path()).len(), 2);
    }

    #[test]
    fn providers_are_found_beside_the_runtime() {
        let folder = tempfile::tempdir().unwrap();
        let packages = folder.path();
        let runtime = packages.join("onnxruntime/capi/libonnxruntime.so.1");
        let put = |path: &str| {
            std::fs::create_dir_all(packages.join(path).parent().unwrap()).unwrap();
            std::fs::write(packages.join(path), "").unwrap();
        };
        let name = |text: &str| format!("{DLL_PREFIX}{text}{DLL_SUFFIX}");
        let own = format!("onnxruntime_ep_openvino/{}", name("onnxruntime_providers_openvino_plugin"));
        for path in [&own, &format!("{own}.1"), &format!("onnxruntime_ep_openvino/{}", name("openvino"))] {
            put(path);
        }
        put(&format!("onnxruntime_qnn/{}", name("QnnCpu")));
        assert_eq!(plug_in(&runtime, "openvino"), Some(packages.join(own)));
        assert_eq!([plug_in(&runtime, "qnn"), plug_in(&runtime, "webgpu")], [None, None]);
    }
}
