//! How far outputs are from those in real numbers, as the scales of a model imply it.
//!
//! Rounding to steps of `s` makes an error of variance `s^2 / 12` (Widrow, Kollar and Liu, "Statistical theory of
//! quantization", 1996). The variance of every element is carried through the graph beside its value: products by the squares
//! of their weights, sums by the sum of both deviations, since both may come from one value.

use std::collections::{BTreeMap, HashMap};

use onnx_prune::model::{Model, TensorData};
use onnx_prune::proto::onnx::{GraphProto, NodeProto};

/// Rounding of the zero point, and what the ends of a range move: as much again as rounding itself, each.
const MORE: f32 = 3.0;

struct Walk {
    graph: GraphProto,
    constants: HashMap<String, TensorData>,
    makers: HashMap<String, NodeProto>,
    /// Name of the variance of a value; none of what has no error.
    variances: BTreeMap<String, String>,
    nodes: Vec<NodeProto>,
}

/// A model that computes the variance of every output's elements in place of the outputs; `None` where an operator is not
/// known here.
pub(crate) fn variances(model: &Model) -> Option<Model> {
    let mut built = model.clone();
    let graph = model.graph().clone();
    let stored = graph.initializer.iter();
    let constants = stored.filter_map(|own| Some((own.name().to_owned(), model.tensor(own).ok()?))).collect();
    let nodes = graph.node.iter();
    let makers = nodes.flat_map(|node| node.output.iter().map(|name| (name.clone(), node.clone()))).collect();
    let mut walk = Walk { graph, constants, makers, variances: BTreeMap::new(), nodes: Vec::new() };
    for node in &model.graph().node {
        walk.nodes.push(node.clone());
        if let Some(variance) = walk.node(node)? {
            walk.variances.extend(node.output.iter().map(|name| (name.clone(), variance.clone())));
        }
    }
    let outputs: Option<Vec<String>> =
        model.graph().output.iter().map(|own| walk.variances.get(own.name()).cloned()).collect();
    for (output, name) in walk.graph.output.iter_mut().zip(outputs?) {
        output.name = Some(name);
    }
    walk.graph.value_info.clear();
    walk.graph.node = walk.nodes;
    *built.graph_mut() = walk.graph;
    Some(built)
}

impl Walk {
    fn numbers(&self, name: &str) -> Option<Vec<f32>> {
        self.constants.get(name)?.to_f32()
    }

    fn constant(&mut self, data: &TensorData) -> String {
        let name = format!("bound:c{}", self.graph.initializer.len());
        self.graph.initializer.push(data.to_proto(&name));
        name
    }

    fn number(&mut self, value: f32) -> String {
        self.constant(&TensorData::from_f32(Vec::new(), &[value]))
    }

    /// Adds a node; the name of what it makes.
    fn add(&mut self, op: &str, inputs: &[&str]) -> String {
        let name = format!("bound:v{}", self.nodes.len());
        let node = inputs.iter().fold(NodeProto::new(op), |node, input| node.input(input));
        self.nodes.push(node.output(&name));
        name
    }

    /// The same operator on the variance of its first input and on other inputs.
    fn same(&mut self, node: &NodeProto, first: &str, others: &[String]) -> String {
        let name = format!("bound:v{}", self.nodes.len());
        let mut own = node.clone();
        own.name = None;
        own.input = std::iter::once(first.to_owned()).chain(others.iter().cloned()).collect();
        own.output = vec![name.clone()];
        self.nodes.push(own);
        name
    }

    /// The variance of a node's output; `Some(None)` of what has none.
    fn node(&mut self, node: &NodeProto) -> Option<Option<String>> {
        let variance = |at: usize| node.input.get(at).and_then(|name| self.variances.get(name).cloned());
        let (first, second) = (variance(0), variance(1));
        match node.op_type() {
            "QuantizeLinear" | "Relu" | "Clip" | "Tanh" | "Sigmoid" | "Neg" | "Abs" | "Identity" | "LeakyRelu" => {
                Some(first)
            }
            "MaxPool" | "AveragePool" | "GlobalAveragePool" | "ReduceMean" | "ReduceMax" | "Reshape" | "Flatten"
            | "Transpose" | "Squeeze" | "Unsqueeze" | "Slice" | "Expand" | "Tile" | "DepthToSpace" | "SpaceToDepth"
                if node.output.len() == 1 =>
            {
                Some(first.map(|first| self.same(node, &first, &node.input[1..])))
            }
            // What is added has no error, whatever it is.
            "Pad" if node.input.len() < 4 => Some(first.map(|first| self.same(node, &first, &node.input[1..2]))),
            "DequantizeLinear" => self.rounded(node, first),
            "Concat" => {
                let parts = node.input.iter().map(|name| match self.variances.get(name) {
                    Some(own) => own.clone(),
                    None => self.add("Sub", &[name, name]),
                });
                let parts: Vec<String> = parts.collect();
                Some(Some(self.same(node, &parts[0], &parts[1..])))
            }
            "Add" | "Sub" | "Mul" => Some(Some(self.both(node, first, second))),
            "Conv" | "MatMul" => self.product(node, first),
            "Gemm" if node.float("alpha").unwrap_or(1.0) == 1.0 && node.float("beta").unwrap_or(1.0) == 1.0 => {
                self.product(node, first)
            }
            _ => None,
        }
    }

    /// Behind rounding to integers and back.
    fn rounded(&mut self, node: &NodeProto, before: Option<String>) -> Option<Option<String>> {
        // Weights and biases are looked at where they are used.
        if self.constants.contains_key(&node.input[0]) {
            return Some(None);
        }
        let scale = *self.numbers(&node.input[1])?.first()?;
        let own = self.number(MORE * scale * scale / 12.0);
        let before = before.unwrap_or_else(|| self.add("Sub", &[&node.output[0], &node.output[0]]));
        Some(Some(self.add("Add", &[&before, &own])))
    }

    /// Of a sum, `(s_a + s_b)^2`; of a product, `(|b| s_a + |a| s_b)^2`.
    fn both(&mut self, node: &NodeProto, first: Option<String>, second: Option<String>) -> String {
        let multiplies = node.op_type() == "Mul";
        let mut parts = Vec::new();
        for (variance, other) in [(first, &node.input[1]), (second, &node.input[0])] {
            let variance = variance.unwrap_or_else(|| self.add("Sub", &[other, other]));
            let deviation = self.add("Sqrt", &[&variance]);
            let size = self.add("Abs", &[other]);
            parts.push(if multiplies { self.add("Mul", &[&deviation, &size]) } else { deviation });
        }
        let sum = self.add("Add", &[&parts[0], &parts[1]]);
        self.add("Mul", &[&sum, &sum])
    }

    /// Of a product with weights: `V * W^2 + x^2 * s_w^2 / 12 + s_b^2 / 12`.
    fn product(&mut self, node: &NodeProto, before: Option<String>) -> Option<Option<String>> {
        let made = self.makers.get(&node.input[1]).cloned();
        let (stored, scales) = match &made {
            Some(made) if made.op_type() == "DequantizeLinear" => {
                (made.input[0].clone(), self.numbers(&made.input[1])?)
            }
            Some(_) => return None,
            None => (node.input[1].clone(), vec![]),
        };
        let data = self.constants.get(&stored)?.clone();
        let axis = made.and_then(|made| made.int("axis")).unwrap_or(0).max(0) as usize;
        let inner: usize = data.dims.get(axis + 1..)?.iter().product();
        let scale = |at: usize| match scales.len() {
            0 => None,
            many => Some(scales[at / inner.max(1) % many]),
        };
        let values: Vec<f32> = match data.to_i64().filter(|_| !scales.is_empty()) {
            Some(values) => values.iter().map(|value| *value as f32).collect(),
            None => data.to_f32()?,
        };
        let squares: Vec<f32> =
            values.iter().enumerate().map(|(at, value)| (value * scale(at).unwrap_or(1.0)).powi(2)).collect();
        let steps: Vec<f32> = (0..values.len()).map(|at| scale(at).map_or(0.0, |scale| scale * scale / 12.0)).collect();
        let [squares, steps] = [squares, steps].map(|own| TensorData::from_f32(data.dims.clone(), &own));
        let (squares, steps) = (self.constant(&squares), self.constant(&steps));
        let x = self.add("Mul", &[&node.input[0], &node.input[0]]);
        let mut sum = self.same(node, &x, &[steps]);
        if let Some(before) = before {
            let passed = self.same(node, &before, &[squares]);
            sum = self.add("Add", &[&sum, &passed]);
        }
        Some(Some(sum))
    }
}
