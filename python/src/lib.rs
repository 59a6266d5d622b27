//! The module `onnx_prune._native`: commands, models, channels and graphs of onnx-prune in the interpreter's process.

#![allow(missing_docs, reason = "the attributes of the module make items that nobody sees")]

mod channels;
mod commands;
mod errors;
mod graph;
mod model;

use pyo3::prelude::*;

#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_function(wrap_pyfunction!(commands::run, module)?)?;
    module.add_function(wrap_pyfunction!(commands::inputs, module)?)?;
    module.add_function(wrap_pyfunction!(commands::kept, module)?)?;
    module.add_function(wrap_pyfunction!(commands::main, module)?)?;
    module.add_class::<model::PyModel>()?;
    channels::add(module)?;
    graph::add(module)
}
