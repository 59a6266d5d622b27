//! Graphs of one operator each, and what they are built with.

use super::random;
use crate::model::node::tensor_info;
use crate::model::{DataType, Model, TensorData};
use crate::proto::onnx::attribute_proto::AttributeType;
use crate::proto::onnx::{AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, ValueInfoProto};

/// An attribute's value.
pub(super) enum Is<'a> {
    Int(i64),
    Ints(&'a [i64]),
    Float(f32),
    Text(&'a str),
}

/// A graph that grows node by node; the image is `x`, the last value `y`.
pub(super) struct Graph {
    pub(super) proto: GraphProto,
    opset: i64,
}

impl Graph {
    pub(super) fn new(image: &[usize]) -> Self {
        let mut proto = GraphProto { name: Some("g".into()), ..GraphProto::default() };
        proto.input.push(tensor_info("x", DataType::Float as i32, Some(image)));
        proto.output.push(ValueInfoProto { name: Some("y".into()), ..tensor_info("y", DataType::Float as i32, None) });
        Self { proto, opset: 17 }
    }

    pub(super) fn opset(self, opset: i64) -> Self {
        Self { opset, ..self }
    }

    pub(super) fn truths(mut self, name: &str, dims: &[usize]) -> Self {
        let bytes: Vec<u8> = random(dims, 5).iter().map(|value| u8::from(*value > 0.0)).collect();
        let data = TensorData { dtype: DataType::Bool, dims: dims.to_vec(), bytes: bytes.into() };
        self.proto.initializer.push(data.to_proto(name));
        self
    }

    pub(super) fn weight(mut self, name: &str, dims: &[usize]) -> Self {
        let values = random(dims, name.bytes().map(u64::from).sum());
        self.proto.initializer.push(TensorData::from_f32(dims.to_vec(), &values).to_proto(name));
        self
    }

    pub(super) fn positive(mut self, name: &str, dims: &[usize]) -> Self {
        let values: Vec<f32> = random(dims, 9).iter().map(|value| value.abs() + 0.5).collect();
        self.proto.initializer.push(TensorData::from_f32(dims.to_vec(), &values).to_proto(name));
        self
    }

    pub(super) fn number(mut self, name: &str, value: f32) -> Self {
        self.proto.initializer.push(TensorData::from_f32(Vec::new(), &[value]).to_proto(name));
        self
    }

    pub(super) fn ints(mut self, name: &str, values: &[i64]) -> Self {
        self.proto.initializer.push(TensorData::from_i64(vec![values.len()], values).to_proto(name));
        self
    }

    pub(super) fn node(mut self, op: &str, inputs: &[&str], output: &str, attributes: &[(&str, Is<'_>)]) -> Self {
        let attribute = |(name, value): &(&str, Is<'_>)| {
            let mut new = AttributeProto { name: Some((*name).into()), ..AttributeProto::default() };
            let kind = match value {
                Is::Int(int) => {
                    new.i = Some(*int);
                    AttributeType::Int
                }
                Is::Ints(ints) => {
                    new.ints = ints.to_vec();
                    AttributeType::Ints
                }
                Is::Float(float) => {
                    new.f = Some(*float);
                    AttributeType::Float
                }
                Is::Text(text) => {
                    new.s = Some(text.as_bytes().to_vec().into());
                    AttributeType::String
                }
            };
            new.r#type = Some(kind as i32);
            new
        };
        self.proto.node.push(NodeProto {
            op_type: Some(op.into()),
            name: Some(format!("{op}_{output}")),
            input: inputs.iter().map(|name| (*name).into()).collect(),
            output: output.split(' ').map(str::to_owned).collect(),
            attribute: attributes.iter().map(attribute).collect(),
            ..NodeProto::default()
        });
        self
    }

    /// A pointwise convolution with adjustable numbers in front.
    pub(super) fn mixed(self) -> Self {
        self.weight("wm", &[4, 3, 1, 1]).weight("bm", &[4]).node("Conv", &["x", "wm", "bm"], "m", &[])
    }

    pub(super) fn model(self) -> Model {
        Model::from_proto(ModelProto {
            ir_version: Some(if self.opset > 20 { 11 } else { 8 }),
            opset_import: vec![OperatorSetIdProto { domain: Some(String::new()), version: Some(self.opset) }],
            graph: Some(self.proto),
            ..ModelProto::default()
        })
    }
}

pub(super) fn images() -> Graph {
    Graph::new(&[2, 3, 7, 6]).mixed()
}

/// One graph for every form of every operator.
#[allow(clippy::too_many_lines, reason = "a table")]
pub(super) fn cases() -> Vec<(&'static str, Graph)> {
    let unary = |op: &str, attributes: &[(&str, Is<'_>)]| images().node(op, &["m"], "y", attributes);
    let conv = |dims: &[usize], attributes: &[(&str, Is<'_>)]| {
        images().weight("w", dims).weight("b", &dims[..1]).node("Conv", &["m", "w", "b"], "y", attributes)
    };
    let flat_maps = || images().ints("s", &[0, 4, -1]).node("Reshape", &["m", "s"], "f", &[]);
    let flat = || images().node("Flatten", &["m"], "f", &[]);
    let two = |op: &str| {
        images().weight("w2", &[4, 3, 1, 1]).node("Conv", &["x", "w2"], "n", &[]).node(op, &["m", "n"], "y", &[])
    };
    let gate = || images().node("GlobalAveragePool", &["m"], "p", &[]).node("Sigmoid", &["p"], "s", &[]);
    vec![
        ("conv", conv(&[5, 4, 3, 3], &[("pads", Is::Ints(&[1, 1, 1, 1]))])),
        (
            "conv, strides and uneven pads",
            conv(&[5, 4, 3, 2], &[("pads", Is::Ints(&[0, 1, 2, 1])), ("strides", Is::Ints(&[2, 3]))]),
        ),
        (
            "conv, dilations",
            conv(&[5, 4, 3, 3], &[("dilations", Is::Ints(&[2, 1])), ("pads", Is::Ints(&[2, 0, 1, 1]))]),
        ),
        ("conv, groups", conv(&[6, 2, 3, 3], &[("group", Is::Int(2)), ("pads", Is::Ints(&[1, 1, 1, 1]))])),
        (
            "conv, depthwise",
            conv(
                &[4, 1, 3, 3],
                &[("group", Is::Int(4)), ("strides", Is::Ints(&[2, 2])), ("pads", Is::Ints(&[1, 1, 1, 1]))],
            ),
        ),
        ("conv, same", conv(&[5, 4, 3, 3], &[("auto_pad", Is::Text("SAME_UPPER")), ("strides", Is::Ints(&[2, 2]))])),
        ("conv, pointwise and strided", conv(&[5, 4, 1, 1], &[("strides", Is::Ints(&[2, 2]))])),
        (
            "gemm",
            flat().weight("w", &[5, 168]).weight("b", &[5]).node(
                "Gemm",
                &["f", "w", "b"],
                "y",
                &[("transB", Is::Int(1)), ("alpha", Is::Float(0.5))],
            ),
        ),
        (
            "transposed convolution",
            images().weight("w", &[4, 2, 3, 2]).weight("b", &[4]).node(
                "ConvTranspose",
                &["m", "w", "b"],
                "y",
                &[("strides", Is::Ints(&[2, 1])), ("pads", Is::Ints(&[1, 0, 0, 1])), ("group", Is::Int(2))],
            ),
        ),
        (
            "transposed convolution over one axis",
            flat_maps().weight("w", &[4, 5, 4]).node(
                "ConvTranspose",
                &["f", "w"],
                "y",
                &[("strides", Is::Ints(&[3])), ("auto_pad", Is::Text("SAME_LOWER"))],
            ),
        ),
        (
            "convolution over one axis",
            flat_maps().weight("w", &[5, 4, 3]).node("Conv", &["f", "w"], "y", &[("dilations", Is::Ints(&[2]))]),
        ),
        ("gemm, plain", flat().weight("w", &[168, 5]).node("Gemm", &["f", "w"], "y", &[])),
        ("matmul", images().weight("w", &[6, 5]).node("MatMul", &["m", "w"], "y", &[])),
        (
            "batch normalization",
            images().weight("s", &[4]).weight("h", &[4]).weight("mean", &[4]).positive("var", &[4]).node(
                "BatchNormalization",
                &["m", "s", "h", "mean", "var"],
                "y",
                &[],
            ),
        ),
        ("relu", unary("Relu", &[])),
        ("leaky relu", unary("LeakyRelu", &[("alpha", Is::Float(0.3))])),
        ("clip", images().number("lo", -0.4).number("hi", 0.5).node("Clip", &["m", "lo", "hi"], "y", &[])),
        ("sigmoid", unary("Sigmoid", &[])),
        ("hard sigmoid", unary("HardSigmoid", &[])),
        ("hard swish", unary("HardSwish", &[])),
        ("tanh", unary("Tanh", &[])),
        ("elu", unary("Elu", &[])),
        ("softplus", unary("Softplus", &[])),
        ("erf", unary("Erf", &[])),
        ("add", two("Add")),
        ("sub", two("Sub")),
        ("mul", two("Mul")),
        ("the same value twice", images().node("Mul", &["m", "m"], "y", &[])),
        (
            "constant",
            images().weight("c", &[4, 1, 1]).node("Mul", &["m", "c"], "n", &[]).number("d", 3.0).node(
                "Div",
                &["n", "d"],
                "y",
                &[],
            ),
        ),
        ("constant first", images().weight("c", &[4, 1, 1]).node("Sub", &["c", "m"], "y", &[])),
        ("gate", gate().node("Mul", &["s", "m"], "y", &[])),
        ("pad", images().ints("p", &[0, 1, 0, 2, 0, 0, 1, 0]).node("Pad", &["m", "p"], "y", &[])),
        (
            "slice",
            images().ints("a", &[1, 6]).ints("e", &[7, -9]).ints("x2", &[2, 3]).ints("t", &[2, -1]).node(
                "Slice",
                &["m", "a", "e", "x2", "t"],
                "y",
                &[],
            ),
        ),
        ("concat", images().node("Concat", &["m", "x", "m"], "y", &[("axis", Is::Int(1))])),
        ("split", images().node("Split", &["m"], "u v", &[("axis", Is::Int(1))]).node("Mul", &["u", "v"], "y", &[])),
        ("transpose", images().node("Transpose", &["m"], "y", &[("perm", Is::Ints(&[0, 2, 3, 1]))])),
        ("reshape", images().ints("s", &[2, 2, 2, -1]).node("Reshape", &["m", "s"], "y", &[])),
        (
            "squeeze",
            images().ints("s", &[0, 2]).node("Unsqueeze", &["m", "s"], "n", &[]).ints("q", &[2]).node(
                "Squeeze",
                &["n", "q"],
                "y",
                &[],
            ),
        ),
        ("global average", images().node("GlobalAveragePool", &["m"], "y", &[])),
        ("mean", images().node("ReduceMean", &["m"], "y", &[("axes", Is::Ints(&[3, 1])), ("keepdims", Is::Int(0))])),
        (
            "average pool",
            images().node(
                "AveragePool",
                &["m"],
                "y",
                &[
                    ("kernel_shape", Is::Ints(&[3, 2])),
                    ("strides", Is::Ints(&[2, 2])),
                    ("pads", Is::Ints(&[1, 0, 1, 1])),
                ],
            ),
        ),
        (
            "average pool with its padding",
            images().node(
                "AveragePool",
                &["m"],
                "y",
                &[
                    ("kernel_shape", Is::Ints(&[3, 3])),
                    ("pads", Is::Ints(&[1, 1, 1, 1])),
                    ("count_include_pad", Is::Int(1)),
                ],
            ),
        ),
        (
            "max pool",
            images().node(
                "MaxPool",
                &["m"],
                "y",
                &[
                    ("kernel_shape", Is::Ints(&[3, 3])),
                    ("strides", Is::Ints(&[2, 2])),
                    ("pads", Is::Ints(&[1, 1, 1, 1])),
                ],
            ),
        ),
        ("identity", images().node("Identity", &["m"], "y", &[])),
    ]
}
