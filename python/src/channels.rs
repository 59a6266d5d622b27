//! Channels, cuts, and the models that they make.

use std::collections::BTreeMap;
use std::sync::Arc;

use onnx_prune::Error;
use onnx_prune::channels::{Block, Channels, Cut, Protected, Scope, Slices};
use onnx_prune::model::Model;
use onnx_prune::pipeline::analyse_model;
use onnx_prune::rewrite::{mask, slice, tidy};
use pyo3::exceptions::{PyIndexError, PyKeyError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyMapping;

use crate::errors::failure;
use crate::model::{PyModel, load};

/// Slices of one stored tensor along one axis, for every pruning unit of a group.
#[pyclass(name = "Slices", module = "onnx_prune", frozen, get_all)]
struct PySlices {
    /// Number of the node that reads the tensor, in the model of the channels.
    node: usize,
    /// Number of the tensor among the node's inputs.
    input: usize,
    /// Name of the tensor.
    tensor: Option<String>,
    axis: usize,
    /// Indices along the axis, one list for each pruning unit.
    indices: Vec<Vec<usize>>,
}

/// Channels that go together, unit by unit.
#[pyclass(name = "Group", module = "onnx_prune", frozen, get_all)]
struct PyGroup {
    /// That of the first node that makes the channels.
    name: String,
    /// Number of pruning units.
    width: usize,
    /// A number of units that leaves every value some channels.
    least: usize,
    /// Whether several nodes make the channels together: a residual stream.
    stream: bool,
    /// Weights that make the channels.
    producers: Vec<Py<PySlices>>,
    /// Biases, normalisation, depthwise filters.
    parameters: Vec<Py<PySlices>>,
    /// Weights that sum over the channels.
    consumers: Vec<Py<PySlices>>,
    /// Sets of units of which one must stay.
    keep_sets: Vec<Vec<usize>>,
}

#[pymethods]
impl PyGroup {
    fn __repr__(&self) -> String {
        format!("Group({:?}, width={})", self.name, self.width)
    }
}

/// Channels of one node that may not be cut, and why.
#[pyclass(name = "Protected", module = "onnx_prune", frozen, get_all)]
struct PyProtected {
    node: String,
    op_type: String,
    /// How many of its channels are protected.
    channels: usize,
    /// How many it makes.
    of: usize,
    reasons: Vec<String>,
}

#[pymethods]
impl PyProtected {
    fn __repr__(&self) -> String {
        format!("Protected({:?}, {} of {})", self.node, self.channels, self.of)
    }
}

/// A part of the graph that can be left out whole.
#[pyclass(name = "Block", module = "onnx_prune", frozen, get_all)]
struct PyBlock {
    /// Name of the node behind it.
    name: String,
    /// Numbers of its nodes, in the model of the channels.
    nodes: Vec<usize>,
    macs: u64,
    params: u64,
}

#[pymethods]
impl PyBlock {
    fn __repr__(&self) -> String {
        format!("Block({:?}, {} nodes)", self.name, self.nodes.len())
    }
}

/// A model and the channels found in it.
struct Analysed {
    model: Arc<Model>,
    channels: Channels,
}

/// Which channels of a model go together, which may be cut, and who protects the others.
#[pyclass(name = "Channels", module = "onnx_prune", frozen)]
pub(crate) struct PyChannels {
    analysed: Arc<Analysed>,
    groups: Vec<Py<PyGroup>>,
}

#[pymethods]
impl PyChannels {
    /// Analyses a model: a path, the bytes of a file, or an `onnx.ModelProto`. `dim` gives sizes of symbolic axes by name or
    /// `INPUT:AXIS`; channels of nodes that a pattern of `ignore` matches stay.
    #[new]
    #[pyo3(signature = (model, *, dim=BTreeMap::new(), ignore=Vec::new()))]
    #[allow(clippy::needless_pass_by_value, reason = "arguments of methods of the module are owned")]
    fn new(model: &Bound<'_, PyAny>, dim: BTreeMap<String, usize>, ignore: Vec<String>) -> PyResult<Self> {
        let py = model.py();
        let model = load(model)?;
        let (model, channels) =
            py.detach(|| analyse_model(model, &dim, &ignore)).map_err(|error| failure(py, &error))?;
        let analysed = Analysed { model: Arc::new(model), channels };
        let groups =
            (0..analysed.channels.groups.len()).map(|number| group(py, &analysed, number)).collect::<PyResult<_>>()?;
        Ok(Self { analysed: Arc::new(analysed), groups })
    }

    /// The model that the channels are of: calls of functions, branches that are always taken and weights that are computed from
    /// stored tensors are written out in it.
    #[getter]
    fn model(&self) -> PyModel {
        PyModel(Arc::clone(&self.analysed.model))
    }

    /// Channels that can be cut, in the order in which the graph makes them.
    #[getter]
    fn groups(&self, py: Python<'_>) -> Vec<Py<PyGroup>> {
        self.groups.iter().map(|group| group.clone_ref(py)).collect()
    }

    /// Channels that cannot, with reasons.
    #[getter]
    fn protected(&self) -> Vec<PyProtected> {
        let told = |own: &Protected| PyProtected {
            node: own.node.clone(),
            op_type: own.op.clone(),
            channels: own.channels,
            of: own.of,
            reasons: own.reasons.iter().map(ToString::to_string).collect(),
        };
        self.analysed.channels.protected.iter().map(told).collect()
    }

    /// Parts of the graph that can be left out whole.
    #[getter]
    fn blocks(&self) -> Vec<PyBlock> {
        let told = |own: &Block| PyBlock {
            name: own.name.clone(),
            nodes: own.nodes.clone(),
            macs: own.macs,
            params: own.params,
        };
        self.analysed.channels.blocks.iter().map(told).collect()
    }

    /// Multiply-accumulates of one run with batch 1.
    #[getter]
    fn macs(&self) -> u64 {
        self.analysed.channels.macs(None)
    }

    /// Shape of a value, if it could be found.
    fn shape(&self, value: &str) -> Option<Vec<usize>> {
        self.analysed.channels.shape(value).map(<[usize]>::to_vec)
    }

    fn __repr__(&self) -> String {
        let Channels { groups, protected, blocks, .. } = &self.analysed.channels;
        format!("Channels({} groups, {} protected, {} blocks)", groups.len(), protected.len(), blocks.len())
    }
}

fn group(py: Python<'_>, analysed: &Analysed, number: usize) -> PyResult<Py<PyGroup>> {
    let (model, channels) = (&analysed.model, &analysed.channels);
    let own = &channels.groups[number];
    let slices = |all: &[Slices]| {
        let one = |own: &Slices| PySlices {
            node: own.node,
            input: own.input,
            tensor: channels.tensor_name(model, own),
            axis: own.axis,
            indices: own.indices.clone(),
        };
        all.iter().map(|own| Py::new(py, one(own))).collect::<PyResult<Vec<_>>>()
    };
    let made = PyGroup {
        name: own.name.clone(),
        width: own.width(),
        least: own.least(),
        stream: own.scope == Scope::Stream,
        producers: slices(&own.producers)?,
        parameters: slices(&own.parameters)?,
        consumers: slices(&own.consumers)?,
        keep_sets: own.keep_sets.clone(),
    };
    Py::new(py, made)
}

/// A group, by its number or by its name.
#[derive(FromPyObject)]
enum Key {
    Number(usize),
    Name(String),
}

/// What is removed: the pruning units that no group keeps, and blocks.
#[pyclass(name = "Cut", module = "onnx_prune", frozen)]
pub(crate) struct PyCut {
    analysed: Arc<Analysed>,
    cut: Cut,
}

#[pymethods]
impl PyCut {
    /// Units that stay, by the number or the name of their group; groups that are not named stay whole. `blocks` are numbers of
    /// blocks that go.
    #[new]
    #[pyo3(signature = (channels, kept=None, *, blocks=Vec::new()))]
    #[allow(clippy::needless_pass_by_value, reason = "arguments of methods of the module are owned")]
    fn new(channels: &PyChannels, kept: Option<Bound<'_, PyAny>>, blocks: Vec<usize>) -> PyResult<Self> {
        let analysed = &channels.analysed;
        let all = whole(&analysed.channels);
        let kept = match kept {
            Some(kept) => chosen(&analysed.channels, all, &kept)?,
            None => all,
        };
        if let Some(block) = blocks.iter().find(|&&block| block >= analysed.channels.blocks.len()) {
            return Err(PyIndexError::new_err(format!(
                "there are {} blocks, not {block}",
                analysed.channels.blocks.len()
            )));
        }
        let cut = Cut::new(&analysed.channels, &kept).with_blocks(&analysed.channels, &blocks);
        Ok(Self { analysed: Arc::clone(analysed), cut })
    }

    /// Multiply-accumulates that are left, of one run with batch 1.
    #[getter]
    fn macs(&self) -> u64 {
        self.analysed.channels.macs(Some(&self.cut))
    }

    fn __repr__(&self) -> String {
        format!("Cut({} of {} MACs)", self.macs(), self.analysed.channels.macs(None))
    }
}

fn whole(channels: &Channels) -> Vec<Vec<usize>> {
    channels.groups.iter().map(|group| (0..group.width()).collect()).collect()
}

/// Units that stay: for every group in order, or, of a mapping, for some.
fn chosen(channels: &Channels, mut all: Vec<Vec<usize>>, kept: &Bound<'_, PyAny>) -> PyResult<Vec<Vec<usize>>> {
    if let Ok(kept) = kept.cast::<PyMapping>() {
        for item in kept.items()? {
            let (key, units): (Key, Vec<usize>) = item.extract()?;
            all[number(channels, &key)?] = units;
        }
        return checked(channels, all);
    }
    let kept: Vec<Vec<usize>> = kept.extract()?;
    if kept.len() != all.len() {
        return Err(PyValueError::new_err(format!("{} lists of units for {} groups", kept.len(), all.len())));
    }
    checked(channels, kept)
}

fn number(channels: &Channels, key: &Key) -> PyResult<usize> {
    let groups = &channels.groups;
    match key {
        Key::Number(number) if *number < groups.len() => Ok(*number),
        Key::Number(number) => Err(PyIndexError::new_err(format!("there are {} groups, not {number}", groups.len()))),
        Key::Name(name) => {
            let named: Vec<usize> = (0..groups.len()).filter(|&at| groups[at].name == *name).collect();
            match named[..] {
                [number] => Ok(number),
                [] => Err(PyKeyError::new_err(format!("no group is named `{name}`"))),
                _ => Err(PyKeyError::new_err(format!("{} groups are named `{name}`: give a number", named.len()))),
            }
        }
    }
}

/// Refuses units that a group does not have.
fn checked(channels: &Channels, kept: Vec<Vec<usize>>) -> PyResult<Vec<Vec<usize>>> {
    for (group, units) in channels.groups.iter().zip(&kept) {
        if let Some(unit) = units.iter().find(|&&unit| unit >= group.width()) {
            let (name, width) = (&group.name, group.width());
            return Err(PyIndexError::new_err(format!("group `{name}` has {width} units, not unit {unit}")));
        }
    }
    Ok(kept)
}

/// The model without what a cut removes.
#[pyfunction]
#[pyo3(name = "slice")]
fn sliced(py: Python<'_>, cut: &PyCut) -> PyResult<PyModel> {
    let Analysed { model, channels } = &*cut.analysed;
    let made = py.detach(|| {
        let sliced = slice(model, channels, &cut.cut)?;
        Ok(if cut.cut.has_blocks() { tidy(sliced, channels, &cut.cut)? } else { sliced })
    });
    Ok(PyModel(Arc::new(made.map_err(|error: Error| failure(py, &error))?)))
}

/// The original with what a cut removes zeroed: it computes what the sliced model computes.
#[pyfunction]
#[pyo3(name = "mask")]
fn masked(py: Python<'_>, cut: &PyCut) -> PyResult<PyModel> {
    let Analysed { model, channels } = &*cut.analysed;
    let made = py.detach(|| mask(model, channels, &cut.cut));
    Ok(PyModel(Arc::new(made.map_err(|error| failure(py, &error.into()))?)))
}

pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyChannels>()?;
    module.add_class::<PyCut>()?;
    module.add_class::<PyGroup>()?;
    module.add_class::<PySlices>()?;
    module.add_class::<PyProtected>()?;
    module.add_class::<PyBlock>()?;
    module.add_function(wrap_pyfunction!(sliced, module)?)?;
    module.add_function(wrap_pyfunction!(masked, module)?)
}
