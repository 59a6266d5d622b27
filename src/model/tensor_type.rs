//! What a graph declares of a value: element type and shape.
//!
//! <https://onnx.ai/onnx/repo-docs/IR.html#standard-data-types>

use std::fmt;

use super::DataType;
use crate::proto::onnx::{TensorShapeProto, TypeProto, ValueInfoProto, tensor_shape_proto, type_proto};

/// One size of a declared shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dimension {
    /// A fixed size.
    Size(usize),
    /// A size known at run time; equal names mean equal sizes.
    Named(String),
    /// A size known at run time.
    Unknown,
}

impl fmt::Display for Dimension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size(size) => write!(f, "{size}"),
            Self::Named(name) => f.write_str(name),
            Self::Unknown => f.write_str("?"),
        }
    }
}

impl From<usize> for Dimension {
    fn from(size: usize) -> Self {
        Self::Size(size)
    }
}

impl From<&str> for Dimension {
    fn from(name: &str) -> Self {
        Self::Named(name.to_owned())
    }
}

/// Element type and shape of a value as a graph declares them.
///
/// ```
/// use onnx_prune::model::{DataType, TensorType};
/// let images = TensorType::new(DataType::Float).shaped(["batch".into(), 3.into(), 224.into(), 224.into()]);
/// assert_eq!(images.to_string(), "Float [batch, 3, 224, 224]");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorType {
    /// Element type.
    pub element: DataType,
    /// Sizes of the axes; `None` if not even their number is known.
    pub shape: Option<Vec<Dimension>>,
}

impl TensorType {
    /// A tensor of which only the element type is known.
    pub fn new(element: DataType) -> Self {
        Self { element, shape: None }
    }

    /// The same with a shape.
    #[must_use]
    pub fn shaped(self, shape: impl IntoIterator<Item = Dimension>) -> Self {
        Self { shape: Some(shape.into_iter().collect()), ..self }
    }

    /// What a declaration says; `None` if it says nothing, or if the value is no tensor.
    pub(crate) fn of(info: &ValueInfoProto) -> Option<Self> {
        use tensor_shape_proto::dimension::Value;
        let Some(type_proto::Value::TensorType(tensor)) = &info.r#type.as_ref()?.value else { return None };
        let dim = |dim: &tensor_shape_proto::Dimension| match &dim.value {
            Some(Value::DimValue(size)) => usize::try_from(*size).map_or(Dimension::Unknown, Dimension::Size),
            Some(Value::DimParam(name)) if !name.is_empty() => Dimension::Named(name.clone()),
            _ => Dimension::Unknown,
        };
        let element = DataType::try_from(tensor.elem_type()).unwrap_or(DataType::Undefined);
        Some(Self { element, shape: tensor.shape.as_ref().map(|shape| shape.dim.iter().map(dim).collect()) })
    }

    /// The declaration for a value.
    pub(crate) fn declare(&self, name: &str) -> ValueInfoProto {
        use tensor_shape_proto::dimension::Value;
        let dim = |dim: &Dimension| tensor_shape_proto::Dimension {
            value: match dim {
                Dimension::Size(size) => i64::try_from(*size).ok().map(Value::DimValue),
                Dimension::Named(name) => Some(Value::DimParam(name.clone())),
                Dimension::Unknown => None,
            },
            denotation: None,
        };
        let shape = self.shape.as_ref().map(|shape| TensorShapeProto { dim: shape.iter().map(dim).collect() });
        let tensor = type_proto::Tensor { elem_type: Some(self.element as i32), shape };
        let kind = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), denotation: None };
        ValueInfoProto { name: Some(name.to_owned()), r#type: Some(kind), ..ValueInfoProto::default() }
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.element)?;
        let Some(shape) = &self.shape else { return f.write_str(" of unknown shape") };
        let shape: Vec<String> = shape.iter().map(Dimension::to_string).collect();
        write!(f, " [{}]", shape.join(", "))
    }
}
