//! Models and nodes built in code: an empty model, a node builder, attributes by type.
//!
//! <https://onnx.ai/onnx/repo-docs/IR.html#attributes>

use super::node::attribute;
use super::{Model, TensorData};
use crate::proto::onnx::attribute_proto::AttributeType;
use crate::proto::onnx::{AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto};

/// The value of an attribute. What goes in where one is wanted converts by itself: `1`, `[1, 1]`, `0.5`, `"SAME_UPPER"`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum AttributeValue {
    /// An integer.
    Int(i64),
    /// Integers.
    Ints(Vec<i64>),
    /// A number.
    Float(f32),
    /// Numbers.
    Floats(Vec<f32>),
    /// A text.
    Text(String),
    /// Texts.
    Texts(Vec<String>),
    /// A tensor.
    Tensor(TensorData),
    /// A graph: a branch or a loop's body.
    Graph(GraphProto),
}

macro_rules! converts {
    ($($from:ty => $variant:ident),*) => {$(
        impl From<$from> for AttributeValue {
            fn from(value: $from) -> Self {
                Self::$variant(value.into())
            }
        }
    )*};
}
converts!(i64 => Int, i32 => Int, bool => Int, f32 => Float, &str => Text, String => Text, Vec<i64> => Ints,
    &[i64] => Ints, Vec<f32> => Floats, &[f32] => Floats, Vec<String> => Texts, TensorData => Tensor,
    GraphProto => Graph);

impl<const N: usize> From<[i64; N]> for AttributeValue {
    fn from(values: [i64; N]) -> Self {
        Self::Ints(values.into())
    }
}

impl<const N: usize> From<[f32; N]> for AttributeValue {
    fn from(values: [f32; N]) -> Self {
        Self::Floats(values.into())
    }
}

impl<const N: usize> From<[&str; N]> for AttributeValue {
    fn from(values: [&str; N]) -> Self {
        Self::Texts(values.map(str::to_owned).into())
    }
}

impl Model {
    /// A model without nodes for an operator set of the standard, to be built with [`Graph`](crate::surgery::Graph).
    ///
    /// ```
    /// use onnx_prune::model::{DataType, Model, TensorType};
    /// use onnx_prune::surgery::{Graph, Node};
    /// let mut model = Model::new(17);
    /// let mut graph = Graph::of(&mut model)?;
    /// graph.add_input("x", &TensorType::new(DataType::Float).shaped(["n".into(), 8.into()]))?;
    /// graph.insert(Node::new("Relu").input("x").output("y"))?;
    /// graph.set_outputs(&["y"])?;
    /// graph.finish();
    /// # Ok::<(), onnx_prune::surgery::SurgeryError>(())
    /// ```
    pub fn new(opset: i64) -> Self {
        // The IR version that came with the operator set: <https://onnx.ai/onnx/repo-docs/Versioning.html>.
        let ir_version = match opset {
            ..=18 => 8,
            19..=20 => 9,
            21..=22 => 10,
            _ => 11,
        };
        let import = OperatorSetIdProto { domain: Some(String::new()), version: Some(opset) };
        let graph = GraphProto { name: Some("graph".into()), ..GraphProto::default() };
        Self::from_proto(ModelProto {
            ir_version: Some(ir_version),
            opset_import: vec![import],
            graph: Some(graph),
            ..ModelProto::default()
        })
    }
}

impl AttributeValue {
    fn named(self, name: &str) -> AttributeProto {
        let empty = AttributeProto { name: Some(name.to_owned()), ..AttributeProto::default() };
        let (kind, rest) = match self {
            Self::Int(value) => (AttributeType::Int, AttributeProto { i: Some(value), ..empty }),
            Self::Ints(values) => (AttributeType::Ints, AttributeProto { ints: values, ..empty }),
            Self::Float(value) => (AttributeType::Float, AttributeProto { f: Some(value), ..empty }),
            Self::Floats(values) => (AttributeType::Floats, AttributeProto { floats: values, ..empty }),
            Self::Text(text) => (AttributeType::String, AttributeProto { s: Some(text.into()), ..empty }),
            Self::Texts(texts) => {
                let strings = texts.into_iter().map(Into::into).collect();
                (AttributeType::Strings, AttributeProto { strings, ..empty })
            }
            Self::Tensor(data) => {
                let tensor = TensorProto { name: None, ..data.to_proto("") };
                (AttributeType::Tensor, AttributeProto { t: Some(tensor), ..empty })
            }
            Self::Graph(graph) => (AttributeType::Graph, AttributeProto { g: Some(graph), ..empty }),
        };
        AttributeProto { r#type: Some(kind.into()), ..rest }
    }
}

/// Building a node, and its attributes by type. A getter gives `None` where the attribute is absent or of another type.
///
/// ```
/// use onnx_prune::surgery::Node;
///
/// let conv = Node::new("Conv").input("x").input("w").output("y").attr("pads", [1, 1, 1, 1]).attr("group", 1);
/// assert_eq!(conv.ints("pads"), Some(&[1, 1, 1, 1][..]));
/// assert_eq!((conv.int("group"), conv.float("group")), (Some(1), None));
/// ```
impl NodeProto {
    /// A node of an operator, without inputs and outputs.
    pub fn new(op_type: &str) -> Self {
        Self { op_type: Some(op_type.to_owned()), ..Self::default() }
    }

    /// The node with a name.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// The node with an operator of another domain than the standard's, such as `com.microsoft`.
    #[must_use]
    pub fn of_domain(mut self, domain: &str) -> Self {
        self.domain = Some(domain.to_owned());
        self
    }

    /// The node with one more input; `""` leaves an optional one out.
    #[must_use]
    pub fn input(mut self, value: &str) -> Self {
        self.input.push(value.to_owned());
        self
    }

    /// The node with one more output; `""` leaves an optional one out.
    #[must_use]
    pub fn output(mut self, value: &str) -> Self {
        self.output.push(value.to_owned());
        self
    }

    /// The node with an attribute.
    #[must_use]
    pub fn attr(mut self, name: &str, value: impl Into<AttributeValue>) -> Self {
        self.set(name, value);
        self
    }

    /// Sets an attribute, whether it is there or not.
    pub fn set(&mut self, name: &str, value: impl Into<AttributeValue>) {
        let new = value.into().named(name);
        match self.attribute.iter_mut().find(|attribute| attribute.name() == name) {
            Some(known) => *known = new,
            None => self.attribute.push(new),
        }
    }

    /// Removes an attribute, so that the operator's default holds. Returns whether it was there.
    pub fn unset(&mut self, name: &str) -> bool {
        let before = self.attribute.len();
        self.attribute.retain(|attribute| attribute.name() != name);
        self.attribute.len() < before
    }

    /// The attribute, if it is of that type. Very old files do not say of which type one is.
    fn typed(&self, name: &str, kind: AttributeType) -> Option<&AttributeProto> {
        attribute(self, name).filter(|found| found.r#type() == kind || found.r#type() == AttributeType::Undefined)
    }

    /// An integer attribute.
    pub fn int(&self, name: &str) -> Option<i64> {
        self.typed(name, AttributeType::Int)?.i
    }

    /// An attribute of integers.
    pub fn ints(&self, name: &str) -> Option<&[i64]> {
        self.typed(name, AttributeType::Ints).map(|attribute| attribute.ints.as_slice())
    }

    /// A number attribute.
    pub fn float(&self, name: &str) -> Option<f32> {
        self.typed(name, AttributeType::Float)?.f
    }

    /// An attribute of numbers.
    pub fn floats(&self, name: &str) -> Option<&[f32]> {
        self.typed(name, AttributeType::Floats).map(|attribute| attribute.floats.as_slice())
    }

    /// A text attribute; `None` too if it is not UTF-8.
    pub fn text(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.typed(name, AttributeType::String)?.s.as_ref()?).ok()
    }

    /// An attribute of texts; `None` too if one is not UTF-8.
    pub fn texts(&self, name: &str) -> Option<Vec<&str>> {
        let strings = &self.typed(name, AttributeType::Strings)?.strings;
        strings.iter().map(|text| std::str::from_utf8(text).ok()).collect()
    }

    /// A tensor attribute; [`Model::tensor`](super::Model::tensor) reads its elements.
    pub fn tensor(&self, name: &str) -> Option<&TensorProto> {
        self.typed(name, AttributeType::Tensor)?.t.as_ref()
    }

    /// A graph attribute: a branch or a loop's body.
    pub fn graph(&self, name: &str) -> Option<&GraphProto> {
        self.typed(name, AttributeType::Graph)?.g.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_come_back_by_their_type() {
        let data = TensorData::from_i64(vec![2], &[3, 4]);
        let mut node = NodeProto::new("Op")
            .attr("int", 1)
            .attr("ints", vec![1, 2])
            .attr("float", 0.5)
            .attr("floats", [0.5, 1.5])
            .attr("text", "SAME_UPPER")
            .attr("texts", ["a", "b"])
            .attr("tensor", data.clone())
            .attr("graph", GraphProto::default());
        assert_eq!((node.int("int"), node.ints("ints")), (Some(1), Some(&[1, 2][..])));
        assert_eq!((node.float("float"), node.floats("floats")), (Some(0.5), Some(&[0.5, 1.5][..])));
        assert_eq!((node.text("text"), node.texts("texts")), (Some("SAME_UPPER"), Some(vec!["a", "b"])));
        assert_eq!(node.tensor("tensor").and_then(|tensor| tensor.raw_data.clone()), Some(data.bytes));
        assert!(node.graph("graph").is_some());
        assert_eq!((node.int("ints"), node.ints("int"), node.text("none")), (None, None, None));
        node.set("int", 7);
        assert_eq!((node.int("int"), node.attribute.len()), (Some(7), 8));
        assert!(node.unset("int") && !node.unset("int"));
        // A file of IR version 2 does not say of which type an attribute is.
        node.set("old", 3);
        node.attribute.last_mut().unwrap().r#type = None;
        assert_eq!(node.int("old"), Some(3));
    }
}
