//! What a model takes.

use std::collections::BTreeMap;

use super::{DataType, Model};
use crate::proto::onnx::tensor_shape_proto::dimension::Value as Size;
use crate::proto::onnx::type_proto::Value as Kind;

/// A true graph input (not a weight that is listed as one).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputSpec {
    /// Name of the value.
    pub name: String,
    /// Element type.
    pub dtype: DataType,
    /// Sizes; `None` where symbolic.
    pub shape: Vec<Option<usize>>,
    /// Names of symbolic sizes.
    pub symbols: Vec<Option<String>>,
}

impl InputSpec {
    /// Element type and shape for people: `float32 [N, 3, ?, 224]`.
    pub fn describe(&self) -> String {
        let size = |(axis, size): (usize, &Option<usize>)| match (size, &self.symbols[axis]) {
            (Some(size), _) => size.to_string(),
            (None, Some(symbol)) => symbol.clone(),
            (None, None) => "?".to_owned(),
        };
        let sizes: Vec<String> = self.shape.iter().enumerate().map(size).collect();
        format!("{} [{}]", format!("{:?}", self.dtype).to_lowercase(), sizes.join(", "))
    }

    /// Whether pictures could be meant: four axes, one of which may be 1, 3 or 4 channels.
    pub fn takes_pictures(&self) -> bool {
        let channels = |size: Option<usize>| size.is_none_or(|size| matches!(size, 1 | 3 | 4));
        matches!(self.shape[..], [_, first, _, last] if channels(first) || channels(last))
    }

    /// The shape with every size filled in: by `INPUT:AXIS` or the symbol's name, else `batch` first and 64 elsewhere.
    pub fn concrete(&self, sizes: &BTreeMap<String, usize>, batch: usize) -> Vec<usize> {
        self.shape
            .iter()
            .enumerate()
            .map(|(axis, size)| {
                let named = || sizes.get(&format!("{}:{axis}", self.name)).copied();
                let symbol = || self.symbols[axis].as_ref().and_then(|symbol| sizes.get(symbol)).copied();
                size.or_else(named).or_else(symbol).unwrap_or(if axis == 0 { batch } else { 64 })
            })
            .collect()
    }
}

/// The inputs that a caller must feed, in the file's order.
pub fn input_specs(model: &Model) -> Vec<InputSpec> {
    let graph = model.graph();
    graph
        .input
        .iter()
        .filter(|input| !graph.initializer.iter().any(|tensor| tensor.name() == input.name()))
        .filter_map(|input| {
            let Some(Kind::TensorType(tensor)) = input.r#type.as_ref()?.value.as_ref() else { return None };
            let dims = tensor.shape.as_ref().map(|shape| shape.dim.as_slice()).unwrap_or_default();
            let size = |size: &Option<Size>| match size {
                Some(Size::DimValue(size)) => usize::try_from(*size).ok().filter(|&size| size > 0),
                _ => None,
            };
            let symbol = |size: &Option<Size>| match size {
                Some(Size::DimParam(name)) => Some(name.clone()),
                _ => None,
            };
            Some(InputSpec {
                name: input.name().to_owned(),
                dtype: DataType::try_from(tensor.elem_type()).ok()?,
                shape: dims.iter().map(|dim| size(&dim.value)).collect(),
                symbols: dims.iter().map(|dim| symbol(&dim.value)).collect(),
            })
        })
        .collect()
}
