//! Errors as the exceptions of `onnx_prune._errors`.

use onnx_prune::{Error, ErrorKind, ErrorParts};
use pyo3::prelude::*;

/// What the caller gets for an error.
pub(crate) fn failure(py: Python<'_>, error: &Error) -> PyErr {
    let kind = match error.kind() {
        ErrorKind::Check => "check",
        ErrorKind::Interrupted => "interrupted",
        _ => "input",
    };
    let ErrorParts { what, location, why, help } = error.parts();
    made(py, (kind, what, location, why, help))
}

/// A fault of the library.
pub(crate) fn unexpected(py: Python<'_>) -> PyErr {
    let (what, help) = ("the command ended unexpectedly", "please report this");
    made(py, ("input", what.into(), None, None, Some(help.into())))
}

/// What is not usable, and what is.
pub(crate) fn unusable(py: Python<'_>, what: String, help: &str) -> PyErr {
    made(py, ("input", what, None, None, Some(help.into())))
}

/// Kind, what, where, why, help.
type Parts<'a> = (&'a str, String, Option<String>, Option<String>, Option<String>);

fn made(py: Python<'_>, parts: Parts<'_>) -> PyErr {
    let exception = py.import("onnx_prune._errors").and_then(|errors| errors.getattr("of_native")?.call1(parts));
    exception.map_or_else(|error| error, PyErr::from_value)
}
