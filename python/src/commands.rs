//! The commands, run on a thread of their own.
//!
//! The interpreter's lock is released; the calling thread looks for signals, so that Ctrl-C ends the command. Flags, results
//! and errors are those of the command line.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use onnx_prune::cli::{Called, ExitStatus, Host, call};
use onnx_prune::evaluate::input_specs;
use onnx_prune::model::{LoadOptions, Model};
use onnx_prune::pipeline::{Metric, MetricFunction, ModelOptions, Progress, kept_tensors};
use pyo3::prelude::*;

use crate::errors::{failure, unexpected};

/// Time between two looks for signals.
const POLL: Duration = Duration::from_millis(50);

/// Name of a metric that is a function, in reports.
const FUNCTION: &str = "a Python function";

/// The first exception that a function of the caller raised; it ends the command.
#[derive(Clone, Default)]
struct Raised {
    first: Arc<Mutex<Option<PyErr>>>,
    cancel: Arc<AtomicBool>,
}

impl Raised {
    fn raise(&self, error: PyErr) {
        self.cancel.store(true, Ordering::Relaxed);
        self.first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    fn take(&self) -> Option<PyErr> {
        self.first.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Tells a function of the caller: `(phase, done, total, line)`, the line where the command line would print one.
struct Told {
    function: Option<Py<PyAny>>,
    raised: Raised,
    phase: Mutex<(String, u64, Option<u64>)>,
}

impl Told {
    fn tell(&self, line: Option<&str>) {
        let Some(function) = &self.function else { return };
        let (phase, done, total) = self.phase.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Python::attach(|py| {
            if let Err(error) = function.call1(py, (phase, done, total, line)) {
                self.raised.raise(error);
            }
        });
    }
}

impl Progress for Told {
    fn phase(&self, name: &str, total: Option<u64>) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = (name.to_owned(), 0, total);
        self.tell(None);
    }

    fn advance(&self, units: u64) {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner).1 += units;
        self.tell(None);
    }

    fn say(&self, line: &str) {
        self.tell(Some(line));
    }
}

/// The caller's judge of a model's file.
fn judge(function: Py<PyAny>, lower_is_better: bool, raised: Raised) -> Metric {
    let function = Arc::new(function);
    let of = move |path: &Path| {
        let found = Python::attach(|py| function.call1(py, (path,))?.extract::<f64>(py));
        found.map_err(|error| {
            let why = error.to_string();
            raised.raise(error);
            why
        })
    };
    Metric { command: FUNCTION.into(), lower_is_better, function: Some(MetricFunction(Arc::new(of))) }
}

/// Runs a command, `arguments` without the program's name. Gives its exit status and what it printed.
///
/// # Errors
/// `InputError` or `CheckFailed` where the command fails; what a function of the caller raised; what a signal handler raised.
#[pyfunction]
#[pyo3(signature = (arguments, progress=None, metric=None, lower_is_better=false))]
pub(crate) fn run(
    py: Python<'_>,
    arguments: Vec<OsString>,
    progress: Option<Py<PyAny>>,
    metric: Option<Py<PyAny>>,
    lower_is_better: bool,
) -> PyResult<(u8, String)> {
    let raised = Raised::default();
    let cancel = Arc::clone(&raised.cancel);
    let told = Told { function: progress, raised: raised.clone(), phase: Mutex::default() };
    let metric = metric.map(|function| judge(function, lower_is_better, raised.clone()));
    let arguments: Vec<OsString> = std::iter::once(OsString::from("onnx-prune")).chain(arguments).collect();
    let (done, wait) = mpsc::channel();
    let wait = Mutex::new(wait);
    let worker = {
        let cancel = Arc::clone(&cancel);
        std::thread::spawn(move || {
            let host = Host { progress: &told, cancel: &cancel, metric };
            let called = call(arguments, &host);
            // Nobody waits for it any more where the caller is gone.
            let _ = done.send(());
            called
        })
    };
    let mut signal = None;
    loop {
        let waited = py.detach(|| wait.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(POLL));
        if !matches!(waited, Err(mpsc::RecvTimeoutError::Timeout)) {
            break;
        }
        if let Err(error) = py.check_signals() {
            cancel.store(true, Ordering::Relaxed);
            signal.get_or_insert(error);
        }
    }
    let called = py.detach(|| worker.join());
    if let Some(error) = raised.take().or(signal) {
        return Err(error);
    }
    match called {
        Ok(Ok(Called { status, printed })) => Ok((status_code(status), printed)),
        Ok(Err(error)) => Err(failure(py, &error)),
        Err(_) => Err(unexpected(py)),
    }
}

fn status_code(status: ExitStatus) -> u8 {
    status as u8
}

/// Name and rank of the inputs of a model's file.
///
/// # Errors
/// `InputError` where the file is no model.
#[pyfunction]
#[allow(clippy::needless_pass_by_value, reason = "arguments of functions of the module are owned")]
pub(crate) fn inputs(py: Python<'_>, model: PathBuf) -> PyResult<Vec<(String, usize)>> {
    let loaded = py.detach(|| Model::load(&model, &LoadOptions::default()));
    let loaded = loaded.map_err(|error| failure(py, &error.into()))?;
    Ok(input_specs(&loaded).into_iter().map(|spec| (spec.name, spec.shape.len())).collect())
}

/// What a plan leaves of a stored tensor: the first output of the node that reads it, the number of the input, its name, and
/// the indices that stay, axis by axis.
type Kept = (String, usize, String, Vec<Vec<usize>>);

/// What a plan leaves of the stored tensors of the model it was made for.
///
/// # Errors
/// `InputError` if the plan is for another model or a file cannot be read.
#[pyfunction]
#[allow(clippy::needless_pass_by_value, reason = "arguments of functions of the module are owned")]
pub(crate) fn kept(py: Python<'_>, model: PathBuf, plan: PathBuf) -> PyResult<Vec<Kept>> {
    let options = ModelOptions { path: model, ..ModelOptions::default() };
    let found = py.detach(|| kept_tensors(&options, &plan)).map_err(|error| failure(py, &error))?;
    Ok(found.into_iter().map(|(output, own)| (output, own.input, own.name, own.kept)).collect())
}

/// Runs the command line itself, on the terminal: `arguments` with the program's name. Gives its exit status.
#[pyfunction]
pub(crate) fn main(py: Python<'_>, arguments: Vec<OsString>) -> u8 {
    py.detach(|| status_code(onnx_prune::cli::run(arguments)))
}
