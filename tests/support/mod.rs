//! Models built in memory, and what tests need of the outside.
#![allow(dead_code, unused_imports, missing_docs, unreachable_pub, reason = "each test binary uses a part")]

pub mod detector;
pub mod help;
pub mod pages;
pub mod problem;
pub mod skips;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use onnx_prune::model::{Model, TensorData};
use onnx_prune::proto::onnx::attribute_proto::AttributeType;
use onnx_prune::proto::onnx::tensor_proto::DataType;
use onnx_prune::proto::onnx::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorShapeProto, TypeProto, ValueInfoProto,
    tensor_shape_proto, type_proto,
};
pub use skips::{Need, onnx_runtime, python, shared, shared_part, skip};

/// A graph that grows node by node; every method returns the name of the value it makes.
pub struct Builder {
    pub graph: GraphProto,
    seed: u64,
    count: usize,
}

impl Builder {
    pub fn new(input: &[usize]) -> Self {
        let mut builder =
            Self { graph: GraphProto { name: Some("g".into()), ..Default::default() }, seed: 1, count: 0 };
        builder.graph.input.push(info("x", input));
        builder
    }

    pub fn seeded(mut self, seed: u64) -> Self {
        self.seed = seed | 1;
        self
    }

    fn name(&mut self, prefix: &str) -> String {
        self.count += 1;
        format!("{prefix}{}", self.count)
    }

    /// Values between -1 and 1 from a xorshift generator.
    fn values(&mut self, count: usize) -> Vec<f32> {
        (0..count)
            .map(|_| {
                self.seed ^= self.seed << 13;
                self.seed ^= self.seed >> 7;
                self.seed ^= self.seed << 17;
                (self.seed % 2001) as f32 / 1000.0 - 1.0
            })
            .collect()
    }

    pub fn weight(&mut self, dims: &[usize]) -> String {
        let name = self.name("w");
        let values = self.values(dims.iter().product());
        self.graph.initializer.push(TensorData::from_f32(dims.to_vec(), &values).to_proto(&name));
        name
    }

    pub fn stored(&mut self, dims: &[usize], values: &[f32]) -> String {
        let name = self.name("w");
        self.graph.initializer.push(TensorData::from_f32(dims.to_vec(), values).to_proto(&name));
        name
    }

    pub fn ints(&mut self, values: &[i64]) -> String {
        let name = self.name("i");
        self.graph.initializer.push(TensorData::from_i64(vec![values.len()], values).to_proto(&name));
        name
    }

    pub fn number(&mut self, value: f32) -> String {
        self.stored(&[], &[value])
    }

    /// A zero of 8 bits.
    pub fn zero_point(&mut self) -> String {
        let name = self.name("z");
        let data = TensorData { dtype: DataType::Int8, dims: Vec::new(), bytes: vec![0].into() };
        self.graph.initializer.push(data.to_proto(&name));
        name
    }

    /// A stored tensor of bytes between -20 and 20 about a zero point.
    pub fn bytes(&mut self, dims: &[usize], dtype: DataType, zero: u8) -> String {
        let name = self.name("q");
        let values = self.values(dims.iter().product());
        let byte = |value: f32| zero.wrapping_add_signed((20.0 * value) as i8);
        let bytes: Vec<u8> = values.into_iter().map(byte).collect();
        self.graph.initializer.push(TensorData { dtype, dims: dims.to_vec(), bytes: bytes.into() }.to_proto(&name));
        name
    }

    /// A stored byte, or a list of equal ones.
    pub fn byte(&mut self, dims: &[usize], dtype: DataType, value: u8) -> String {
        let name = self.name("z");
        let bytes = vec![value; dims.iter().product()];
        self.graph.initializer.push(TensorData { dtype, dims: dims.to_vec(), bytes: bytes.into() }.to_proto(&name));
        name
    }

    /// A node of another domain than that of ONNX.
    pub fn of_domain(&mut self, domain: &str, op: &str, inputs: &[&str], attributes: &[(&str, Vec<i64>)]) -> String {
        let output = self.node(op, inputs, attributes);
        if let Some(node) = self.graph.node.last_mut() {
            node.domain = Some(domain.into());
        }
        output
    }

    /// The image `[1, c, side, side]` as rows `[1, side * side, c]`.
    pub fn rows(&mut self, x: &str, channels: usize, side: usize) -> String {
        let flat = self.ints(&[1, channels as i64, (side * side) as i64]);
        let flat = self.node("Reshape", &[x, &flat], &[]);
        self.node("Transpose", &[&flat], &[("perm", vec![0, 2, 1])])
    }

    /// Rows `[1, side * side, c]` as the image `[1, c, side, side]`.
    pub fn image(&mut self, rows: &str, channels: usize, side: usize) -> String {
        let turned = self.node("Transpose", &[rows], &[("perm", vec![0, 2, 1])]);
        let shape = self.ints(&[1, channels as i64, side as i64, side as i64]);
        self.node("Reshape", &[&turned, &shape], &[])
    }

    /// A condition that nobody can know before the run, fed with the image: whether its sum is above zero.
    pub fn truth(&mut self) -> String {
        let zero = self.number(0.0);
        let mean = self.node("ReduceMean", &["x"], &[("keepdims", vec![0])]);
        self.node("Greater", &[&mean, &zero], &[])
    }

    pub fn table(&mut self, dims: &[usize], values: &[i64]) -> String {
        let name = self.name("i");
        self.graph.initializer.push(TensorData::from_i64(dims.to_vec(), values).to_proto(&name));
        name
    }

    pub fn scalar_int(&mut self, value: i64) -> String {
        let name = self.name("i");
        self.graph.initializer.push(TensorData::from_i64(Vec::new(), &[value]).to_proto(&name));
        name
    }

    pub fn floats(&mut self, values: &[f32]) -> String {
        let name = self.name("f");
        self.graph.initializer.push(TensorData::from_f32(vec![values.len()], values).to_proto(&name));
        name
    }

    /// Names for a node with two outputs.
    pub fn pair(&mut self) -> Vec<String> {
        vec![self.name("front"), self.name("back")]
    }

    /// A node with one attribute of text.
    pub fn with_text(&mut self, op: &str, inputs: &[&str], (name, text): (&str, &str)) -> String {
        let output = self.node(op, inputs, &[]);
        if let Some(node) = self.graph.node.last_mut() {
            node.attribute.push(AttributeProto {
                name: Some(name.into()),
                r#type: Some(AttributeType::String.into()),
                s: Some(text.as_bytes().to_vec().into()),
                ..Default::default()
            });
        }
        output
    }

    pub fn node(&mut self, op: &str, inputs: &[&str], attributes: &[(&str, Vec<i64>)]) -> String {
        let output = self.name(&op.to_lowercase());
        self.nodes(op, inputs, attributes, vec![output.clone()]);
        output
    }

    pub fn nodes(&mut self, op: &str, inputs: &[&str], attributes: &[(&str, Vec<i64>)], outputs: Vec<String>) {
        const SINGLE: [&str; 16] = [
            "group",
            "axis",
            "blocksize",
            "transA",
            "transB",
            "keepdims",
            "to",
            "size",
            "hidden_size",
            "num_groups",
            "output_height",
            "output_width",
            "q_num_heads",
            "kv_num_heads",
            "num_heads",
            "offset_group",
        ];
        let attribute = attributes
            .iter()
            .map(|(name, values)| {
                let single = SINGLE.contains(name);
                AttributeProto {
                    name: Some((*name).into()),
                    r#type: Some(if single { AttributeType::Int } else { AttributeType::Ints }.into()),
                    i: single.then(|| values[0]),
                    ints: if single { Vec::new() } else { values.clone() },
                    ..Default::default()
                }
            })
            .collect();
        self.graph.node.push(NodeProto {
            name: outputs.first().map(|output| format!("node_{output}")),
            op_type: Some(op.into()),
            input: inputs.iter().map(|name| (*name).to_owned()).collect(),
            output: outputs,
            attribute,
            ..Default::default()
        });
    }

    /// 3x3 convolution that keeps the size.
    pub fn conv(&mut self, x: &str, inputs: usize, outputs: usize, group: usize) -> String {
        let w = self.weight(&[outputs, inputs / group, 3, 3]);
        let b = self.weight(&[outputs]);
        self.node("Conv", &[x, &w, &b], &[("pads", vec![1; 4]), ("group", vec![group as i64])])
    }

    pub fn relu(&mut self, x: &str) -> String {
        self.node("Relu", &[x], &[])
    }

    pub fn model(mut self, output: &str) -> Model {
        self.graph.output.push(ValueInfoProto {
            name: Some(output.to_owned()),
            r#type: Some(TypeProto {
                value: Some(type_proto::Value::TensorType(type_proto::Tensor {
                    elem_type: Some(DataType::Float as i32),
                    shape: None,
                })),
                denotation: None,
            }),
            ..Default::default()
        });
        Model::from_proto(ModelProto {
            ir_version: Some(8),
            opset_import: vec![OperatorSetIdProto { domain: Some(String::new()), version: Some(17) }],
            graph: Some(self.graph),
            ..Default::default()
        })
    }
}

pub fn info(name: &str, shape: &[usize]) -> ValueInfoProto {
    let dim = shape
        .iter()
        .map(|&size| tensor_shape_proto::Dimension {
            value: Some(tensor_shape_proto::dimension::Value::DimValue(size as i64)),
            denotation: None,
        })
        .collect();
    let tensor = type_proto::Tensor { elem_type: Some(DataType::Float as i32), shape: Some(TensorShapeProto { dim }) };
    ValueInfoProto {
        name: Some(name.to_owned()),
        r#type: Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), denotation: None }),
        ..Default::default()
    }
}

/// A small net: two convolutions, a residual sum, a head.
pub fn small_model() -> Model {
    let mut b = Builder::new(&[1, 3, 8, 8]);
    let a = b.conv("x", 3, 8, 1);
    let a = b.relu(&a);
    let c = b.conv(&a, 8, 12, 1);
    let c = b.relu(&c);
    let d = b.conv(&c, 12, 8, 1);
    let sum = b.node("Add", &[&a, &d], &[]);
    let pooled = b.node("GlobalAveragePool", &[&sum], &[]);
    let flat = b.node("Flatten", &[&pooled], &[("axis", vec![1])]);
    let w = b.weight(&[5, 8]);
    let head = b.node("Gemm", &[&flat, &w], &[("transB", vec![1])]);
    b.model(&head)
}

/// How the system says that a file is not there.
pub const MISSING: &str = if cfg!(windows) { "The system cannot find the" } else { "No such file" };

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Runs the binary on the embedded engine, which is there on every machine.
pub fn onnx_prune(arguments: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_onnx-prune"))
        .args(arguments)
        .current_dir(folder)
        .env_remove("ORT_DYLIB_PATH")
        .output()
        .expect("the binary runs")
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
