//! Execution providers in a library of their own: registered with ONNX Runtime, and one of their devices given to a session.
//!
//! The functions are those of the C API of ONNX Runtime 1.22. `ort` is built for an older one, so that older libraries load; they
//! are taken from the table by their places, to which functions are only ever added at the end (`onnxruntime_c_api.h`).
#![allow(unsafe_code, reason = "calling into a shared library, each call argued for")]

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::{Mutex, OnceLock};

use ort::AsPointer as _;
use ort::environment::Environment;
use ort::session::builder::SessionBuilder;
use ort::sys::{OrtEnv, OrtSessionOptions, OrtStatusPtr, os_char};

use super::library;
use super::{EngineOptions, HardwareType, ProviderChoice, providers};

/// The C API that has the functions.
const LEAST_API: u32 = 22;

/// `OrtEpDevice` and `OrtHardwareDevice`, known by their addresses.
type EpDevice = c_void;
type HardwareDevice = c_void;

/// Functions of the C API.
struct Functions {
    register: unsafe extern "system" fn(*mut OrtEnv, *const c_char, *const os_char) -> OrtStatusPtr,
    devices: unsafe extern "system" fn(*const OrtEnv, *mut *const *const EpDevice, *mut usize) -> OrtStatusPtr,
    append: Append,
    hardware_type: unsafe extern "system" fn(*const HardwareDevice) -> c_int,
    name: unsafe extern "system" fn(*const EpDevice) -> *const c_char,
    hardware: unsafe extern "system" fn(*const EpDevice) -> *const HardwareDevice,
}

/// `SessionOptionsAppendExecutionProvider_V2`: session, environment, devices and their number, keys, values and their number.
type Append = unsafe extern "system" fn(
    *mut OrtSessionOptions,
    *mut OrtEnv,
    *const *const EpDevice,
    usize,
    *const *const c_char,
    *const *const c_char,
    usize,
) -> OrtStatusPtr;

/// Those of the library that the one environment of the process belongs to.
static FUNCTIONS: OnceLock<Functions> = OnceLock::new();

impl Functions {
    fn of(runtime: &Path) -> Result<Self, String> {
        let (version, table) = library::table(runtime, LEAST_API)?;
        let table = table.ok_or_else(|| {
            format!("ONNX Runtime {version} takes no providers from libraries; 1.{LEAST_API} or newer is needed")
        })?;
        // SAFETY: a library that gives a table for this version of the API has these functions at these places.
        unsafe {
            Ok(Self {
                register: function(table, 301),
                devices: function(table, 303),
                append: function(table, 304),
                hardware_type: function(table, 307),
                name: function(table, 312),
                hardware: function(table, 316),
            })
        }
    }
}

/// The function at a place of a table of the C API.
///
/// # Safety
/// `F` must be the type of the function that is there.
unsafe fn function<F: Copy>(table: *const c_void, place: usize) -> F {
    const { assert!(size_of::<F>() == size_of::<*const c_void>(), "a function is one pointer") };
    // SAFETY: the table is an array of pointers to functions, and the caller knows what is at this place.
    unsafe { table.cast::<F>().add(place).read() }
}

/// A device as a provider in a library runs on it.
#[derive(Debug, Clone)]
pub(super) struct PlugIn {
    /// What the provider calls itself.
    name: String,
    hardware: Option<HardwareType>,
    handle: Handle,
}

/// An `OrtEpDevice`. The environment holds it as long as its library is registered, which is to the end.
#[derive(Debug, Clone, Copy)]
struct Handle(*const EpDevice);

// SAFETY: what it points to does not change once it is made.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

/// What libraries came to that were registered: the environment refuses to register one twice.
static REGISTERED: Mutex<BTreeMap<PathBuf, Result<Vec<PlugIn>, String>>> = Mutex::new(BTreeMap::new());

impl PlugIn {
    /// The device of the library at `path` that the options ask for: of their provider, if they name one, and of their type, the
    /// one that the library names first, or the `--gpu`-th of that type.
    ///
    /// # Errors
    /// The loader's or ONNX Runtime's words, or what the library has in place of what is asked for.
    pub(super) fn find(
        runtime: &Path,
        environment: &Environment,
        path: &Path,
        options: &EngineOptions,
    ) -> Result<Self, String> {
        let mut registered = REGISTERED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let all = registered.entry(library::located(path)).or_insert_with(|| register(runtime, environment, path));
        choose(all.as_ref().map_err(Clone::clone)?, options).cloned()
    }

    /// Gives the device to a session.
    ///
    /// # Errors
    /// The provider's words.
    pub(super) fn append(
        &self,
        environment: &Environment,
        builder: &mut SessionBuilder,
        options: &[(String, String)],
    ) -> Result<(), String> {
        let functions = FUNCTIONS.get().ok_or("no library of a provider is registered")?;
        let text = |text: &String| CString::new(text.as_str()).map_err(|error| error.to_string());
        let keys: Vec<CString> = options.iter().map(|own| text(&own.0)).collect::<Result<_, _>>()?;
        let values: Vec<CString> = options.iter().map(|own| text(&own.1)).collect::<Result<_, _>>()?;
        let pointers = |texts: &[CString]| texts.iter().map(|own| own.as_ptr()).collect::<Vec<_>>();
        let (keys, values) = (pointers(&keys), pointers(&values));
        // SAFETY: session options and environment are alive, the device is the environment's own, and keys and values are as many
        // strings as is said; all is copied.
        checked(unsafe {
            (functions.append)(
                builder.ptr_mut(),
                environment.ptr().cast_mut(),
                &raw const self.handle.0,
                1,
                keys.as_ptr(),
                values.as_ptr(),
                options.len(),
            )
        })
    }

    /// As flags and reports call the provider: by the name in the table, where it is one of those.
    pub(super) fn name(&self) -> &str {
        providers::providers().find(|own| own.1.registered == self.name).map_or(&self.name, |own| own.1.name)
    }
}

/// Registers a library, and tells the devices that are there only since.
fn register(runtime: &Path, environment: &Environment, path: &Path) -> Result<Vec<PlugIn>, String> {
    if !path.is_file() {
        return Err("no such file".into());
    }
    let found = Functions::of(runtime)?;
    let functions = FUNCTIONS.get_or_init(|| found);
    let place = library::located(path);
    let name = CString::new(place.to_string_lossy().as_bytes()).map_err(|error| error.to_string())?;
    let before = devices(functions, environment)?;
    let place = os_text(&place);
    // SAFETY: the environment is alive, it locks what it changes, and both strings end in NUL. Loading runs the library's
    // initialisers: the user named it, or installed it beside ONNX Runtime for that.
    checked(unsafe { (functions.register)(environment.ptr().cast_mut(), name.as_ptr(), place.as_ptr()) })?;
    let own = devices(functions, environment)?.into_iter().filter(|device| !before.contains(device));
    Ok(own.map(|device| described(functions, device)).collect())
}

/// Devices that the environment knows, each with one provider.
fn devices(functions: &Functions, environment: &Environment) -> Result<Vec<*const EpDevice>, String> {
    let (mut first, mut count) = (ptr::null(), 0);
    // SAFETY: both places are ours.
    checked(unsafe { (functions.devices)(environment.ptr(), &raw mut first, &raw mut count) })?;
    if first.is_null() || count == 0 {
        return Ok(Vec::new());
    }
    // SAFETY: the environment holds so many pointers there until a library is registered, which [`REGISTERED`] is locked for.
    Ok(unsafe { std::slice::from_raw_parts(first, count) }.to_vec())
}

fn described(functions: &Functions, device: *const EpDevice) -> PlugIn {
    // SAFETY: the environment gave the device; its name is a string of its own that ends in NUL, and its hardware is never null.
    let (name, kind) = unsafe {
        let name = (functions.name)(device);
        let name = if name.is_null() { String::new() } else { CStr::from_ptr(name).to_string_lossy().into_owned() };
        (name, (functions.hardware_type)((functions.hardware)(device)))
    };
    let hardware = usize::try_from(kind).ok().and_then(|kind| HardwareType::ALL.get(kind)).copied();
    PlugIn { name, hardware, handle: Handle(device) }
}

/// The device that the options ask for.
fn choose<'a>(all: &'a [PlugIn], options: &EngineOptions) -> Result<&'a PlugIn, String> {
    if all.is_empty() {
        return Err("it knows none of the devices that this machine has".into());
    }
    let wanted = options.provider;
    let fits = |own: &&PlugIn| {
        let named = wanted == ProviderChoice::Auto || providers::provider(wanted).registered == own.name;
        named && options.provider_device.is_none_or(|kind| own.hardware == Some(kind))
    };
    let found: Vec<&PlugIn> = all.iter().filter(fits).collect();
    let alike = found.iter().filter(|own| found.first().is_some_and(|first| own.hardware == first.hardware));
    let at = usize::try_from(options.gpu).unwrap_or(usize::MAX);
    alike.copied().nth(at).ok_or_else(|| format!("it has {}", listed(all)))
}

/// Providers and devices for people.
fn listed(all: &[PlugIn]) -> String {
    let one = |own: &PlugIn| format!("{} on {}", own.name(), own.hardware.map_or("another device", HardwareType::name));
    all.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// The words of a status that is not success.
fn checked(status: OrtStatusPtr) -> Result<(), String> {
    if status.0.is_null() {
        return Ok(());
    }
    let api = ort::api();
    // SAFETY: the library gave the status, whose message is a string that ends in NUL; it is released once.
    unsafe {
        let text = CStr::from_ptr((api.GetErrorMessage)(status.0)).to_string_lossy().into_owned();
        (api.ReleaseStatus)(status.0);
        Err(text)
    }
}

/// A path as the system's functions take it, with a NUL.
#[cfg(unix)]
fn os_text(path: &Path) -> Vec<os_char> {
    use std::os::unix::ffi::OsStrExt as _;
    path.as_os_str().as_bytes().iter().copied().chain([0]).map(u8::cast_signed).map(|byte| byte as os_char).collect()
}

/// A path as the system's functions take it, with a NUL.
#[cfg(windows)]
fn os_text(path: &Path) -> Vec<os_char> {
    use std::os::windows::ffi::OsStrExt as _;
    path.as_os_str().encode_wide().chain([0]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plug_in(name: &str, hardware: HardwareType) -> PlugIn {
        PlugIn { name: name.into(), hardware: Some(hardware), handle: Handle(ptr::null()) }
    }

    #[test]
    fn a_device_is_chosen_by_provider_type_and_number() {
        let open = "OpenVINOExecutionProvider";
        let all = [
            plug_in(open, HardwareType::Cpu),
            plug_in(open, HardwareType::Gpu),
            plug_in("other", HardwareType::Gpu),
            plug_in("other", HardwareType::Npu),
        ];
        let usual = EngineOptions::default();
        let at = |options: &EngineOptions| {
            choose(&all, options).map(|own| all.iter().position(|other| ptr::eq(own, other)).unwrap())
        };
        assert_eq!(at(&usual), Ok(0));
        assert_eq!(at(&EngineOptions { provider: ProviderChoice::OpenVino, ..usual.clone() }), Ok(0));
        let gpu = EngineOptions { provider_device: Some(HardwareType::Gpu), ..usual.clone() };
        assert_eq!(at(&gpu), Ok(1));
        assert_eq!(at(&EngineOptions { gpu: 1, ..gpu.clone() }), Ok(2));
        let why = at(&EngineOptions { gpu: 2, ..gpu }).unwrap_err();
        assert_eq!(why, "it has openvino on cpu, openvino on gpu, other on gpu, other on npu");
        assert!(at(&EngineOptions { provider: ProviderChoice::Qnn, ..usual.clone() }).is_err());
        assert!(choose(&[], &usual).unwrap_err().contains("none of the devices"));
    }
}
