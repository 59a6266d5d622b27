//! Nodes and value infos of the file format: names, attributes, declared shapes.
//!
//! <https://onnx.ai/onnx/repo-docs/IR.html#nodes>

use super::TensorData;
use crate::proto::onnx::{AttributeProto, NodeProto, ValueInfoProto};

/// Name of a node for people: its own, else that of its first output.
pub(crate) fn node_name(node: &NodeProto) -> String {
    let own = Some(node.name()).filter(|name| !name.is_empty()).map(str::to_owned);
    own.or_else(|| node.output.iter().find(|name| !name.is_empty()).cloned()).unwrap_or_default()
}

/// Whether the operator belongs to the standard's own domain.
pub(crate) fn is_onnx(node: &NodeProto) -> bool {
    matches!(node.domain(), "" | "ai.onnx")
}

/// The attribute of that name.
pub(crate) fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name() == name)
}

/// Attributes of a `Constant` node that hold numbers without a tensor.
pub(crate) const PLAIN_NUMBERS: [&str; 4] = ["value_int", "value_ints", "value_float", "value_floats"];

/// Numbers that a `Constant` node holds without a tensor: a scalar or a list.
pub(crate) fn plain_numbers(node: &NodeProto) -> Option<TensorData> {
    let int = || node.int("value_int").map(|value| TensorData::from_i64(Vec::new(), &[value]));
    let ints = || node.ints("value_ints").map(|values| TensorData::from_i64(vec![values.len()], values));
    let float = || node.float("value_float").map(|value| TensorData::from_f32(Vec::new(), &[value]));
    let floats = || node.floats("value_floats").map(|values| TensorData::from_f32(vec![values.len()], values));
    int().or_else(ints).or_else(float).or_else(floats)
}

/// What a file declares of a tensor: its element type, and its shape where that is known.
pub(crate) fn tensor_info(name: &str, elem_type: i32, shape: Option<&[usize]>) -> ValueInfoProto {
    use crate::proto::onnx::{TensorShapeProto, TypeProto, tensor_shape_proto, type_proto};
    let dim = |&size: &usize| tensor_shape_proto::Dimension {
        value: i64::try_from(size).ok().map(tensor_shape_proto::dimension::Value::DimValue),
        denotation: None,
    };
    let shape = shape.map(|dims| TensorShapeProto { dim: dims.iter().map(dim).collect() });
    let tensor = type_proto::Tensor { elem_type: Some(elem_type), shape };
    let kind = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), denotation: None };
    ValueInfoProto { name: Some(name.to_owned()), r#type: Some(kind), ..ValueInfoProto::default() }
}
