//! A look at a shared library before it is handed to the loader, which would panic on a bad one.
#![allow(unsafe_code, reason = "calling into a shared library, each call argued for")]

use std::ffi::{CStr, c_char, c_void};
use std::path::{Path, PathBuf};

/// `OrtApiBase` of the C API, unchanged since ONNX Runtime 1.0.
#[repr(C)]
struct ApiBase {
    get_api: unsafe extern "system" fn(u32) -> *const c_void,
    get_version: unsafe extern "system" fn() -> *const c_char,
}

/// Oldest C API that works: that of ONNX Runtime 1.17.
const LEAST_API: u32 = ort::MINOR_VERSION;

/// The path from the root on. A bare name is no path to the loader: it would look for that in its own folders, on Windows in
/// System32, where an old ONNX Runtime lies.
pub(super) fn located(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Version of the ONNX Runtime library at `path`, and the providers that it was built with.
///
/// # Errors
/// The loader's words, or what is missing in the library.
pub(super) fn look(path: &Path) -> Result<(String, Vec<String>), String> {
    let (version, api) = table(path, LEAST_API)?;
    let Some(api) = api else {
        return Err(format!("version {version} is too old; 1.{LEAST_API} or newer is needed"));
    };
    // SAFETY: a library that gives this version of the API gives a table of that form, which is static.
    let providers = unsafe { providers(&*api.cast::<ort::sys::OrtApi>()) };
    Ok((version, providers))
}

/// Version of the ONNX Runtime library at `path`, and its table of the functions of a version of the C API; `None` where it is
/// older.
///
/// # Errors
/// The loader's words, or what is missing in the library.
pub(super) fn table(path: &Path, version: u32) -> Result<(String, Option<*const c_void>), String> {
    if !path.is_file() {
        return Err("no such file".into());
    }
    // SAFETY: loading runs the library's initialisers. The path was named by the user or found as an ONNX Runtime
    // library; `ort` would load the same file a moment later.
    let library = unsafe { libloading::Library::new(located(path)) }.map_err(|error| reason(&error))?;
    // SAFETY: the symbol of this name has this signature in every ONNX Runtime (onnxruntime_c_api.h).
    let base = unsafe { library.get::<unsafe extern "system" fn() -> *const ApiBase>(b"OrtGetApiBase") }
        .map_err(|_| "it does not export `OrtGetApiBase`: not an ONNX Runtime library".to_owned())?;
    // SAFETY: takes nothing and returns a pointer to a static, or null.
    let base = unsafe { base().as_ref() }.ok_or("its API is empty")?;
    // SAFETY: a plain getter of the static API table; the string is static and ends in NUL.
    let text = unsafe {
        let text = (base.get_version)();
        if text.is_null() { String::new() } else { CStr::from_ptr(text).to_string_lossy().into_owned() }
    };
    // The library stays loaded: unloading an ONNX Runtime that has started threads is not safe.
    std::mem::forget(library);
    // One that is asked for more than it has says so on the terminal.
    let minor = text.split('.').nth(1).and_then(|minor| minor.parse::<u32>().ok());
    if minor.is_some_and(|minor| text.starts_with("1.") && minor < version) {
        return Ok((text, None));
    }
    // SAFETY: as above.
    let api = unsafe { (base.get_api)(version) };
    Ok((text, Some(api).filter(|api| !api.is_null())))
}

/// Providers that a library was built with, by its names; none where it does not tell.
///
/// # Safety
/// `api` must be a table that a library gave.
unsafe fn providers(api: &ort::sys::OrtApi) -> Vec<String> {
    let (mut names, mut count) = (std::ptr::null_mut(), 0);
    // SAFETY: both places are ours, and what is put there is freed below by the same library.
    let status = unsafe { (api.GetAvailableProviders)(&raw mut names, &raw mut count) };
    if !status.0.is_null() || names.is_null() {
        return Vec::new();
    }
    let count = usize::try_from(count).unwrap_or(0);
    // SAFETY: the library gave `count` strings that end in NUL.
    let found = unsafe {
        (0..count).map(|at| CStr::from_ptr((*names.add(at)).cast()).to_string_lossy().into_owned()).collect()
    };
    // SAFETY: what was given is given back once.
    let _ = unsafe { (api.ReleaseAvailableProviders)(names, i32::try_from(count).unwrap_or(0)) };
    found
}

/// The loader's own words; `libloading` keeps them in the source of its error.
fn reason(error: &libloading::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loader_is_given_a_path_and_never_a_bare_name() {
        let here = std::env::current_dir().unwrap();
        for name in ["onnxruntime.dll", "libonnxruntime.so.1"] {
            assert_eq!(located(Path::new(name)), here.join(name));
        }
        assert_eq!(located(&here), here);
    }
}
