//! Sizes of values: what the file declares, what symbols stand for, what a run of the model has shown.

use std::collections::BTreeMap;

use super::analysis::AnalyseOptions;
use crate::model::Model;
use crate::proto::onnx::tensor_shape_proto::dimension::Value as Size;
use crate::proto::onnx::type_proto::Value as Kind;
use crate::proto::onnx::{GraphProto, NodeProto, ValueInfoProto};

/// A shape, and whether it is more than a guess.
#[derive(Debug, Clone)]
pub(crate) struct Declared {
    pub(crate) shape: Vec<usize>,
    /// Every size is a number, given by the user, or that of an input.
    pub(crate) certain: bool,
}

/// Sizes given to symbolic dims: by `NAME` of the dim or `INPUT:AXIS`.
#[derive(Debug, Clone)]
pub(crate) struct Sizes {
    named: BTreeMap<String, usize>,
    batch: usize,
    other: usize,
    /// Shapes of values as a run of the model showed them.
    measured: BTreeMap<String, Vec<usize>>,
    /// Sizes of the inputs' symbols.
    symbols: BTreeMap<String, usize>,
}

impl Sizes {
    pub(crate) fn new(options: &AnalyseOptions) -> Self {
        Self {
            named: options.sizes.clone(),
            batch: options.batch,
            other: options.other,
            measured: options.shapes.clone(),
            symbols: BTreeMap::new(),
        }
    }

    /// With the symbols of the graph's inputs, which later declarations mean the same by.
    pub(super) fn with_symbols(&self, graph: &GraphProto) -> Self {
        let mut sizes = self.clone();
        for input in &graph.input {
            let shape = self.of(input).map(|own| own.shape).unwrap_or_default();
            for (dim, size) in dims(input).into_iter().flatten().zip(shape) {
                if let Some(Size::DimParam(name)) = dim {
                    sizes.symbols.entry(name.clone()).or_insert(size);
                }
            }
        }
        sizes
    }

    /// The shape that a value is declared to have; `None` if the file says nothing of it.
    pub(super) fn of(&self, value: &ValueInfoProto) -> Option<Declared> {
        let mut certain = true;
        let mut shape = Vec::new();
        for (axis, dim) in dims(value)?.into_iter().enumerate() {
            let named = self.named.get(&format!("{}:{axis}", value.name())).copied();
            let known = match dim {
                Some(Size::DimValue(size)) if *size > 0 => usize::try_from(*size).ok(),
                Some(Size::DimParam(name)) => {
                    named.or_else(|| self.named.get(name).or_else(|| self.symbols.get(name)).copied())
                }
                _ => named,
            };
            certain &= known.is_some();
            shape.push(known.unwrap_or(if axis == 0 { self.batch } else { self.other }));
        }
        Some(Declared { shape, certain })
    }

    /// The shape that a run of the model showed.
    pub(super) fn measured(&self, name: &str) -> Option<Declared> {
        Some(Declared { shape: self.measured.get(name)?.clone(), certain: true })
    }
}

/// Dims of a value of a declared rank.
fn dims(value: &ValueInfoProto) -> Option<Vec<Option<&Size>>> {
    let Some(Kind::TensorType(tensor)) = value.r#type.as_ref()?.value.as_ref() else { return None };
    Some(tensor.shape.as_ref()?.dim.iter().map(|dim| dim.value.as_ref()).collect())
}

/// Whether every size of every true input is given, but for first axes.
pub(super) fn is_open_in_batch_only(model: &Model) -> bool {
    let graph = model.graph();
    let stored = |name: &str| graph.initializer.iter().any(|tensor| tensor.name() == name);
    let given = |size: Option<&Size>| matches!(size, Some(Size::DimValue(size)) if *size > 0);
    let inputs = graph.input.iter().filter(|input| !stored(input.name()));
    inputs.map(dims).all(|dims| dims.is_some_and(|dims| dims.into_iter().skip(1).all(given)))
}

/// Shape of an output that the body of an `If` or `Loop` declares.
pub(super) fn promised(node: &NodeProto, output: usize, sizes: &Sizes) -> Option<Declared> {
    let body = node.attribute.iter().find_map(|attribute| attribute.g.as_ref())?;
    let own = match node.op_type() {
        "If" => body.output.get(output)?,
        // What is carried from step to step keeps its shape; the body gives its condition first.
        "Loop" if output + 2 < node.input.len() => body.output.get(output + 1)?,
        _ => return None,
    };
    sizes.of(own)
}
