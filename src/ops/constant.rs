//! Where constants are stored, who reads them, and how they are written back.
//!
//! A constant is an initializer or the tensor of a `Constant` node:
//! <https://onnx.ai/onnx/repo-docs/IR.html#initializers>, <https://onnx.ai/onnx/operators/onnx__Constant.html>

use std::collections::HashMap;

use crate::model::node::{PLAIN_NUMBERS, attribute, is_onnx, plain_numbers};
use crate::model::{DataType, Model, ModelError, TensorData};
use crate::proto::onnx::{GraphProto, NodeProto, TensorProto};
use crate::surgery::{Names, add_initializer, references};

/// Where a constant is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum ConstantId {
    /// Index into the graph's initializers.
    Initializer(usize),
    /// Index of a `Constant` node.
    Node(usize),
}

/// The stored tensor; a `Constant` node may hold its numbers without one, which [`content`] reads too.
pub(crate) fn tensor(graph: &GraphProto, id: ConstantId) -> Option<&TensorProto> {
    match id {
        ConstantId::Initializer(index) => graph.initializer.get(index),
        ConstantId::Node(index) => attribute(graph.node.get(index)?, "value")?.t.as_ref(),
    }
}

/// Content of a constant, however it is stored; `None` if it is not of numbers.
///
/// # Errors
///
/// [`ModelError`] if the stored tensor cannot be read.
pub(crate) fn content(model: &Model, id: ConstantId) -> Result<Option<TensorData>, ModelError> {
    if let Some(stored) = tensor(model.graph(), id) {
        return model.tensor(stored).map(Some);
    }
    let ConstantId::Node(index) = id else { return Ok(None) };
    Ok(model.graph().node.get(index).and_then(plain_numbers))
}

/// Where the constant of one name is stored; for many names, [`Constants`] looks each up at once.
pub(crate) fn named(graph: &GraphProto, name: &str) -> Option<ConstantId> {
    let initializer = graph.initializer.iter().position(|tensor| tensor.name() == name);
    initializer.map(ConstantId::Initializer).or_else(|| {
        let made = |node: &NodeProto| holds_numbers(node) && node.output.first().is_some_and(|own| own == name);
        graph.node.iter().position(made).map(ConstantId::Node)
    })
}

/// Whether this is a `Constant` node of numbers, not of texts and not sparse.
fn holds_numbers(node: &NodeProto) -> bool {
    let tensor = || attribute(node, "value").is_some_and(|own| own.t.is_some());
    let plain = || PLAIN_NUMBERS.iter().any(|name| attribute(node, name).is_some());
    node.op_type() == "Constant" && is_onnx(node) && (tensor() || plain())
}

/// The constants of a graph by the name of their value.
#[derive(Debug, Clone, Default)]
pub(crate) struct Constants {
    ids: HashMap<String, ConstantId>,
    /// Nodes that only store their input in another way, by their output.
    makers: HashMap<String, usize>,
    readers: HashMap<String, usize>,
}

impl Constants {
    /// All constants of the main graph.
    pub(crate) fn of(graph: &GraphProto) -> Self {
        let mut ids = HashMap::new();
        for (index, node) in graph.node.iter().enumerate().filter(|(_, node)| holds_numbers(node)) {
            if let Some(name) = node.output.first() {
                ids.insert(name.clone(), ConstantId::Node(index));
            }
        }
        for (index, tensor) in graph.initializer.iter().enumerate() {
            ids.insert(tensor.name().to_owned(), ConstantId::Initializer(index));
        }
        let passing = graph.node.iter().enumerate().filter(|(_, node)| super::real::passes(node));
        let makers = passing.filter_map(|(index, node)| Some((node.output.first()?.clone(), index))).collect();
        Self { ids, makers, readers: references(graph) }
    }

    /// The node that gives a value by storing its input in another way.
    pub(super) fn made_by(&self, name: &str) -> Option<usize> {
        self.makers.get(name).copied()
    }

    /// How often a value is read.
    pub(super) fn readers(&self, name: &str) -> usize {
        self.readers.get(name).copied().unwrap_or(0)
    }

    /// Where the constant of that name is stored.
    pub(crate) fn find(&self, name: &str) -> Option<ConstantId> {
        self.ids.get(name).copied()
    }

    /// Where the constant of that name is stored, if it is read once: then it can be changed without side effects.
    pub(crate) fn read_once(&self, name: &str) -> Option<ConstantId> {
        self.find(name).filter(|_| self.readers.get(name) == Some(&1))
    }

    /// All names, in no order, and where they are stored.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, ConstantId)> {
        self.ids.iter().map(|(name, id)| (name.as_str(), *id))
    }

    /// Content of the constant of that name.
    pub(crate) fn data(&self, model: &Model, name: &str) -> Option<TensorData> {
        content(model, self.find(name)?).ok()?
    }

    /// Numbers of the constant of that name, if it is of a floating-point type.
    pub(crate) fn floats(&self, model: &Model, name: &str) -> Option<Vec<f32>> {
        self.data(model, name)?.to_f32()
    }
}

/// Whether two models hold different numbers where they are said to be, or one of them holds none.
pub(crate) fn differ([before, after]: [&Model; 2], [old, new]: [Option<ConstantId>; 2]) -> bool {
    let (Some(old), Some(new)) = (old, new) else { return old.is_some() != new.is_some() };
    match (tensor(before.graph(), old), tensor(after.graph(), new)) {
        (Some(old), Some(new)) => old != new,
        _ => content(before, old).ok() != content(after, new).ok(),
    }
}

/// Stores other content in place of a constant; name, documentation and metadata of the tensor stay.
pub(crate) fn put(model: &mut Model, id: ConstantId, data: &TensorData) {
    let graph = model.graph_mut();
    let place = match id {
        ConstantId::Initializer(index) => graph.initializer.get_mut(index),
        ConstantId::Node(index) => graph.node.get_mut(index).map(value_tensor),
    };
    if let Some(place) = place {
        let old = std::mem::take(place);
        let new = data.to_proto(old.name.as_deref().unwrap_or_default());
        *place = TensorProto { name: old.name, doc_string: old.doc_string, metadata_props: old.metadata_props, ..new };
    }
}

/// The tensor of a `Constant` node; numbers that it holds otherwise make room for it.
fn value_tensor(node: &mut NodeProto) -> &mut TensorProto {
    if attribute(node, "value").is_none() {
        node.attribute.retain(|own| !PLAIN_NUMBERS.contains(&own.name()));
        node.set("value", TensorData::from_f32(vec![0], &[]));
    }
    let at = node.attribute.iter().position(|own| own.name() == "value").unwrap_or_default();
    node.attribute[at].t.get_or_insert_default()
}

/// Stores other numbers in place of a constant, in its element type; false if it is not found or of another size or kind.
pub(crate) fn put_floats(model: &mut Model, id: ConstantId, values: &[f32]) -> bool {
    let Ok(Some(old)) = content(model, id) else { return false };
    let Some(data) = old.with_f32(values) else { return false };
    put(model, id, &data);
    true
}

/// Adds to the numbers of a constant; false if it is not found or of another size or kind.
#[allow(clippy::cast_possible_truncation, reason = "biases are stored in single precision")]
pub(crate) fn add_floats<T: Copy + Into<f64>>(model: &mut Model, id: ConstantId, more: &[T]) -> bool {
    let Ok(Some(old)) = content(model, id) else { return false };
    let Some(values) = old.to_f32().filter(|values| values.len() == more.len()) else { return false };
    let sum = values.iter().zip(more).map(|(value, more)| (f64::from(*value) + (*more).into()) as f32);
    let sum: Vec<f32> = sum.collect();
    put_floats(model, id, &sum)
}

/// Gives a node the bias `[O]` at input 2 that it lacks, of an element type.
pub(crate) fn add_bias(model: &mut Model, node: usize, dtype: DataType, bias: &[f32]) {
    let name = model.graph().node[node].input.get(1).cloned().unwrap_or_default();
    let name = Names::of(model.graph()).fresh(&format!("{name}_bias"));
    let plain = TensorData::from_f32(vec![bias.len()], bias);
    let like = TensorData { dtype, ..plain.clone() }.with_f32(bias);
    add_initializer(model, &name, &like.unwrap_or(plain));
    let node = &mut model.graph_mut().node[node];
    node.input.resize(2, String::new());
    node.input.push(name);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::onnx::{AttributeProto, ModelProto};

    fn model() -> Model {
        let value = TensorData::from_f32(vec![2], &[1.0, 2.0]).to_proto("");
        let attribute = AttributeProto { name: Some("value".into()), t: Some(value), ..AttributeProto::default() };
        let constant = NodeProto {
            op_type: Some("Constant".into()),
            output: vec!["c".into()],
            attribute: vec![attribute],
            ..NodeProto::default()
        };
        let reader = |inputs: [&str; 2]| NodeProto {
            op_type: Some("Add".into()),
            input: inputs.map(str::to_owned).to_vec(),
            output: vec!["y".into()],
            ..NodeProto::default()
        };
        let graph = GraphProto {
            node: vec![constant, reader(["x", "c"]), reader(["w", "w"])],
            initializer: vec![TensorData::from_f32(vec![1], &[3.0]).to_proto("w")],
            ..GraphProto::default()
        };
        Model::from_proto(ModelProto { graph: Some(graph), ..ModelProto::default() })
    }

    #[test]
    fn initializers_and_constant_nodes_are_one() {
        let mut model = model();
        let constants = Constants::of(model.graph());
        assert_eq!(constants.find("c"), Some(ConstantId::Node(0)));
        assert_eq!(constants.read_once("c"), Some(ConstantId::Node(0)));
        assert_eq!((constants.find("w"), constants.read_once("w")), (Some(ConstantId::Initializer(0)), None));
        assert_eq!(constants.find("x"), None);
        for (name, dims) in [("c", vec![2_usize]), ("w", vec![1])] {
            let id = named(model.graph(), name).unwrap();
            assert_eq!(content(&model, id).unwrap().unwrap().dims, dims);
        }
        assert!(named(model.graph(), "y").is_none());
        for (name, more) in [("c", vec![0.5, 1.5]), ("w", vec![-1.0])] {
            assert!(add_floats(&mut model, constants.find(name).unwrap(), &more));
        }
        assert_eq!(constants.floats(&model, "c"), Some(vec![1.5, 3.5]));
        assert_eq!(constants.floats(&model, "w"), Some(vec![2.0]));
        assert!(!add_floats(&mut model, ConstantId::Node(0), &[1.0]));
        assert!(!put_floats(&mut model, ConstantId::Initializer(7), &[1.0]));
    }

    #[test]
    fn numbers_without_a_tensor_are_constants_too() {
        let mut graph = GraphProto::default();
        let node = |name: &str, node: NodeProto| NodeProto { output: vec![name.into()], ..node };
        graph.node.push(node("list", NodeProto::new("Constant").attr("value_floats", vec![1.0_f32, 2.0])));
        graph.node.push(node("scalar", NodeProto::new("Constant").attr("value_int", 3_i64)));
        graph.node.push(node("text", NodeProto::new("Constant").attr("value_string", "no")));
        graph.node.push(node("other", NodeProto::new("Constant").of_domain("own").attr("value_int", 3_i64)));
        let mut model = Model::from_proto(ModelProto { graph: Some(graph), ..ModelProto::default() });
        let constants = Constants::of(model.graph());
        assert_eq!(constants.data(&model, "list").unwrap().dims, [2]);
        assert!(constants.data(&model, "scalar").unwrap().dims.is_empty());
        assert_eq!(constants.data(&model, "scalar").unwrap().to_i64(), Some(vec![3]));
        for name in ["text", "other"] {
            assert!(constants.find(name).is_none() && named(model.graph(), name).is_none(), "{name}");
        }
        assert!(add_floats(&mut model, ConstantId::Node(0), &[0.5, 0.5]));
        assert_eq!(Constants::of(model.graph()).floats(&model, "list"), Some(vec![1.5, 2.5]));
        assert_eq!(model.graph().node[0].attribute.len(), 1);
    }
}
