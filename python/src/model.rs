//! Models in memory.

use std::path::PathBuf;
use std::sync::Arc;

use onnx_prune::model::{LoadOptions, Model, SaveOptions};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::errors::{failure, unusable};

/// An ONNX model. Of a path the file is mapped: weights are read when they are needed.
#[pyclass(name = "Model", module = "onnx_prune", frozen)]
pub(crate) struct PyModel(pub(crate) Arc<Model>);

#[pymethods]
impl PyModel {
    /// Loads a path, the bytes of a file, or an `onnx.ModelProto`.
    #[new]
    fn new(source: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self(Arc::new(load(source)?)))
    }

    /// Writes the model. An existing file needs `force`.
    #[pyo3(signature = (path, *, force=false, external_data=false))]
    #[allow(clippy::needless_pass_by_value, reason = "arguments of methods of the module are owned")]
    fn save(&self, py: Python<'_>, path: PathBuf, force: bool, external_data: bool) -> PyResult<()> {
        let mut options = SaveOptions::default();
        (options.force, options.external_data) = (force, external_data);
        let saved = py.detach(|| self.0.save(&path, &options));
        saved.map_err(|error| failure(py, &error.into()))
    }

    /// The bytes of the file.
    fn to_bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let inlined = self.0.inlined().map_err(|error| failure(py, &error.into()))?;
        Ok(PyBytes::new(py, &inlined.to_bytes()))
    }

    /// The model as an `onnx.ModelProto`. Needs the package `onnx`.
    fn to_proto<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        py.import("onnx")?.getattr("load_from_string")?.call1((self.to_bytes(py)?,))
    }

    fn __repr__(&self) -> String {
        let graph = self.0.graph();
        format!("Model({} nodes, {} weights)", graph.node.len(), self.0.weight_count())
    }
}

/// The model that a caller gives: one of these, a path, bytes, or what can serialise itself.
pub(crate) fn load(source: &Bound<'_, PyAny>) -> PyResult<Model> {
    let py = source.py();
    if let Ok(model) = source.cast::<PyModel>() {
        return Ok(Model::clone(&model.get().0));
    }
    let bytes = if source.hasattr("SerializeToString")? {
        Some(source.call_method0("SerializeToString")?.extract::<Vec<u8>>()?)
    } else {
        source.extract::<Vec<u8>>().ok()
    };
    let loaded = if let Some(bytes) = bytes {
        py.detach(|| Model::from_bytes(bytes.into(), &LoadOptions::default()))
    } else {
        let path: PathBuf = source.extract().map_err(|_| {
            let kind = source.get_type().name().map_or_else(|_| "this".to_owned(), |name| name.to_string());
            unusable(py, format!("a model of type {kind} cannot be read"), "give a path, bytes or an onnx.ModelProto")
        })?;
        py.detach(|| Model::load(&path, &LoadOptions::default()))
    };
    loaded.map_err(|error| failure(py, &error.into()))
}
