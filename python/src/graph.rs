//! Graphs that are edited. Nodes and stored tensors cross as bytes of `NodeProto` and `TensorProto`; `onnx_prune.surgery` makes
//! objects of the package `onnx` of them.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use onnx_prune::model::{DataType, Dimension, Model, TensorData, TensorType};
use onnx_prune::proto::onnx::{ModelProto, TensorProto};
use onnx_prune::surgery::{self, Begun, Graph, Node, NodeId, Pattern, SurgeryError};
use prost::Message;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::errors::failure;
use crate::model::{PyModel, load};

/// A node of an opened graph. It stays the same while other nodes come and go.
#[pyclass(name = "NodeId", module = "onnx_prune.surgery", frozen, eq)]
#[derive(Clone, PartialEq, Eq)]
struct PyNodeId(NodeId);

#[pymethods]
impl PyNodeId {
    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.0.hash(&mut hasher);
        hasher.finish()
    }
}

/// Operators, inputs, outputs, whether the first two inputs may be the other way round, conditions.
type Step = (String, Vec<String>, Vec<String>, bool, Vec<Py<PyAny>>);

/// Nodes of a match, and values by variable.
type Found = (Vec<PyNodeId>, Vec<(String, String)>);

/// The main graph of a model, opened for edits.
#[pyclass(name = "Graph", module = "onnx_prune._native")]
pub(crate) struct PyGraph {
    graph: Graph<'static>,
    /// Edits that are being made as one, the last one begun at the end.
    begun: Vec<Begun>,
}

fn told<T>(py: Python<'_>, outcome: Result<T, SurgeryError>) -> PyResult<T> {
    outcome.map_err(|error| failure(py, &error.into()))
}

fn decoded<T: Message + Default>(bytes: &[u8]) -> PyResult<T> {
    T::decode(bytes).map_err(|error| PyValueError::new_err(error.to_string()))
}

fn data(py: Python<'_>, bytes: &[u8]) -> PyResult<TensorData> {
    let tensor: TensorProto = decoded(bytes)?;
    let alone = Model::from_proto(ModelProto::default());
    alone.tensor(&tensor).map_err(|error| failure(py, &error.into()))
}

/// Element type of ONNX, and sizes: numbers, names, or `None` for one that is not known.
type Declared = (i32, Option<Vec<Option<Size>>>);

#[derive(FromPyObject, IntoPyObject)]
enum Size {
    Fixed(usize),
    Named(String),
}

fn kind((element, shape): Declared) -> PyResult<TensorType> {
    let element = DataType::try_from(element).map_err(|error| PyValueError::new_err(error.to_string()))?;
    let dimension = |size: Option<Size>| match size {
        Some(Size::Fixed(size)) => Dimension::Size(size),
        Some(Size::Named(name)) => Dimension::Named(name),
        None => Dimension::Unknown,
    };
    Ok(TensorType { element, shape: shape.map(|shape| shape.into_iter().map(dimension).collect()) })
}

fn names(all: &[String]) -> Vec<&str> {
    all.iter().map(String::as_str).collect()
}

fn owned(all: Vec<&str>) -> Vec<String> {
    all.into_iter().map(ToOwned::to_owned).collect()
}

#[pymethods]
#[allow(clippy::needless_pass_by_value, reason = "arguments of methods of the module are owned")]
impl PyGraph {
    #[new]
    fn new(model: &Bound<'_, PyAny>) -> PyResult<Self> {
        let graph = told(model.py(), Graph::owning(load(model)?))?;
        Ok(Self { graph, begun: Vec::new() })
    }

    fn to_model(&self) -> PyModel {
        PyModel(Arc::new(self.graph.to_model()))
    }

    fn validate(&self, py: Python<'_>) -> PyResult<()> {
        told(py, self.graph.validate())
    }

    fn begin(&mut self) {
        let begun = self.graph.begin();
        self.begun.push(begun);
    }

    fn end(&mut self, keep: bool) -> PyResult<()> {
        let begun = self.begun.pop().ok_or_else(|| PyRuntimeError::new_err("no edits were begun"))?;
        self.graph.end(begun, keep);
        Ok(())
    }

    fn walk(&self) -> Vec<PyNodeId> {
        self.graph.walk().into_iter().map(PyNodeId).collect()
    }

    fn node<'py>(&self, py: Python<'py>, id: PyRef<'_, PyNodeId>) -> Option<Bound<'py, PyBytes>> {
        self.graph.node(id.0).map(|node| PyBytes::new(py, &node.encode_to_vec()))
    }

    fn op_type(&self, id: PyRef<'_, PyNodeId>) -> Option<String> {
        self.graph.node(id.0).map(|node| node.op_type().to_owned())
    }

    fn named(&self, name: &str) -> Option<PyNodeId> {
        self.graph.named(name).map(PyNodeId)
    }

    fn contains(&self, value: &str) -> bool {
        self.graph.contains(value)
    }

    fn producer(&self, value: &str) -> Option<PyNodeId> {
        self.graph.producer(value).map(PyNodeId)
    }

    fn readers(&self, value: &str) -> Vec<(PyNodeId, Option<usize>)> {
        self.graph.readers(value).into_iter().map(|reader| (PyNodeId(reader.node), reader.input)).collect()
    }

    fn is_output(&self, value: &str) -> bool {
        self.graph.is_output(value)
    }

    fn is_input(&self, value: &str) -> bool {
        self.graph.is_input(value)
    }

    fn is_constant(&self, value: &str) -> bool {
        self.graph.is_constant(value)
    }

    fn inputs(&self) -> Vec<String> {
        owned(self.graph.inputs())
    }

    fn outputs(&self) -> Vec<String> {
        owned(self.graph.outputs())
    }

    fn initializers(&self) -> Vec<String> {
        owned(self.graph.initializers())
    }

    fn fresh_name(&mut self, wanted: &str) -> String {
        self.graph.fresh_name(wanted)
    }

    fn constant<'py>(&self, py: Python<'py>, value: &str) -> PyResult<Bound<'py, PyBytes>> {
        let data = told(py, self.graph.constant(value))?;
        Ok(PyBytes::new(py, &data.to_proto(value).encode_to_vec()))
    }

    fn set_constant(&mut self, py: Python<'_>, value: &str, tensor: &[u8]) -> PyResult<()> {
        let data = data(py, tensor)?;
        told(py, self.graph.set_constant(value, &data))
    }

    fn add_initializer(&mut self, py: Python<'_>, name: &str, tensor: &[u8]) -> PyResult<()> {
        let data = data(py, tensor)?;
        told(py, self.graph.add_initializer(name, &data))
    }

    fn info(&self, value: &str) -> Option<Declared> {
        let TensorType { element, shape } = self.graph.info(value)?;
        let size = |dimension: Dimension| match dimension {
            Dimension::Size(size) => Some(Size::Fixed(size)),
            Dimension::Named(name) => Some(Size::Named(name)),
            Dimension::Unknown => None,
        };
        Some((element as i32, shape.map(|shape| shape.into_iter().map(size).collect())))
    }

    fn set_info(&mut self, py: Python<'_>, value: &str, declared: Declared) -> PyResult<()> {
        let kind = kind(declared)?;
        told(py, self.graph.set_info(value, &kind))
    }

    fn element_type(&self, value: &str) -> Option<i32> {
        self.graph.element_type(value).map(|element| element as i32)
    }

    fn forget_shapes(&mut self, py: Python<'_>, value: &str) -> PyResult<()> {
        told(py, self.graph.forget_shapes(value))
    }

    fn insert(&mut self, py: Python<'_>, node: &[u8]) -> PyResult<PyNodeId> {
        let node = decoded::<Node>(node)?;
        told(py, self.graph.insert(node)).map(PyNodeId)
    }

    fn insert_after(&mut self, py: Python<'_>, value: &str, node: &[u8]) -> PyResult<PyNodeId> {
        let node = decoded::<Node>(node)?;
        told(py, self.graph.insert_after(value, node)).map(PyNodeId)
    }

    fn insert_before(&mut self, reader: PyRef<'_, PyNodeId>, input: usize, node: &[u8]) -> PyResult<PyNodeId> {
        let node = decoded::<Node>(node)?;
        told(reader.py(), self.graph.insert_before(reader.0, input, node)).map(PyNodeId)
    }

    fn replace(&mut self, id: PyRef<'_, PyNodeId>, node: &[u8]) -> PyResult<()> {
        let node = decoded::<Node>(node)?;
        told(id.py(), self.graph.replace(id.0, node))
    }

    fn set_input(&mut self, id: PyRef<'_, PyNodeId>, input: usize, value: &str) -> PyResult<()> {
        told(id.py(), self.graph.set_input(id.0, input, value))
    }

    fn remove(&mut self, id: PyRef<'_, PyNodeId>) -> PyResult<()> {
        told(id.py(), self.graph.remove(id.0)).map(drop)
    }

    fn replace_nodes(
        &mut self,
        py: Python<'_>,
        old: Vec<PyRef<'_, PyNodeId>>,
        new: Vec<Vec<u8>>,
    ) -> PyResult<Vec<PyNodeId>> {
        let old: Vec<NodeId> = old.iter().map(|id| id.0).collect();
        let new = new.iter().map(|node| decoded::<Node>(node)).collect::<PyResult<_>>()?;
        Ok(told(py, self.graph.replace_nodes(&old, new))?.into_iter().map(PyNodeId).collect())
    }

    fn bypass(&mut self, id: PyRef<'_, PyNodeId>) -> PyResult<()> {
        told(id.py(), self.graph.bypass(id.0)).map(drop)
    }

    fn rename(&mut self, py: Python<'_>, from: &str, to: &str) -> PyResult<()> {
        told(py, self.graph.rename(from, to))
    }

    fn redirect(&mut self, py: Python<'_>, from: &str, to: &str) -> PyResult<()> {
        told(py, self.graph.redirect(from, to))
    }

    fn add_input(&mut self, py: Python<'_>, name: &str, declared: Declared) -> PyResult<()> {
        let kind = kind(declared)?;
        told(py, self.graph.add_input(name, &kind))
    }

    fn remove_input(&mut self, py: Python<'_>, name: &str) -> PyResult<()> {
        told(py, self.graph.remove_input(name))
    }

    fn set_outputs(&mut self, py: Python<'_>, values: Vec<String>) -> PyResult<()> {
        told(py, self.graph.set_outputs(&names(&values)))
    }

    fn remove_unused(&mut self) -> usize {
        self.graph.remove_unused()
    }

    #[pyo3(signature = (steps, shared, constant, last=None))]
    fn find(
        &self,
        py: Python<'_>,
        steps: Vec<Step>,
        shared: Vec<String>,
        constant: Vec<String>,
        last: Option<PyRef<'_, PyNodeId>>,
    ) -> PyResult<Vec<Found>> {
        let raised = Arc::new(Mutex::new(None));
        let variables: Vec<String> =
            steps.iter().flat_map(|(_, inputs, outputs, ..)| inputs.iter().chain(outputs)).cloned().collect();
        let mut pattern = steps.into_iter().fold(Pattern::new(), |pattern, step| with_step(pattern, py, step, &raised));
        pattern = shared.iter().fold(pattern, |pattern, variable| pattern.shared(variable));
        pattern = constant.iter().fold(pattern, |pattern, variable| pattern.constant(variable));
        let found = match last {
            Some(last) => self.graph.find_at(&pattern, last.0).into_iter().collect(),
            None => self.graph.find(&pattern),
        };
        if let Some(error) = raised.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(error);
        }
        let value = |one: &surgery::Match, variable: &String| (variable.clone(), one.value(variable).to_owned());
        let told = |one: &surgery::Match| {
            let values = variables.iter().map(|variable| value(one, variable)).collect();
            (one.nodes().iter().copied().map(PyNodeId).collect(), values)
        };
        Ok(found.iter().map(told).collect())
    }
}

/// The first exception that a condition raised.
type Raised = Arc<Mutex<Option<PyErr>>>;

fn with_step(
    pattern: Pattern,
    py: Python<'_>,
    (operators, inputs, outputs, any_order, tests): Step,
    raised: &Raised,
) -> Pattern {
    let pattern = pattern.node(&operators, &names(&inputs), &names(&outputs));
    let pattern = if any_order { pattern.in_any_order() } else { pattern };
    tests.iter().fold(pattern, |pattern, test| {
        let (test, raised) = (test.clone_ref(py), Arc::clone(raised));
        pattern.when(move |node| {
            let holds = |py: Python<'_>| test.call1(py, (PyBytes::new(py, &node.encode_to_vec()),))?.is_truthy(py);
            Python::attach(holds).unwrap_or_else(|error| {
                raised.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                false
            })
        })
    })
}

/// A model of its own for the part between two sets of values.
#[pyfunction]
#[allow(clippy::needless_pass_by_value, reason = "arguments of functions of the module are owned")]
fn extract(model: &Bound<'_, PyAny>, inputs: Vec<String>, outputs: Vec<String>) -> PyResult<PyModel> {
    let part = surgery::extract(&load(model)?, &names(&inputs), &names(&outputs));
    Ok(PyModel(Arc::new(told(model.py(), part)?)))
}

pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyGraph>()?;
    module.add_class::<PyNodeId>()?;
    module.add_function(wrap_pyfunction!(extract, module)?)
}
