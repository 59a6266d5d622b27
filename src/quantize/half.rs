//! Networks in half precision: weights and activations of 16 bits, with `Cast` where an operator wants single precision.
//!
//! <https://onnx.ai/onnx/operators/onnx__Cast.html>; inputs and outputs of the graph keep their types.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::{QuantizeError, of_type, with_nodes};
use crate::model::node::node_name;
use crate::model::{DataType, Model, TensorData, TensorType};
use crate::ops::constant::Constants;
use crate::ops::{Operator, operator};
use crate::proto::onnx::{NodeProto, ValueInfoProto};
use crate::surgery::{Names, SurgeryError, captured, topological_order};

/// Numbers beyond this are left in single precision: half of the largest number of 16 bits, so that other inputs have room.
pub const LARGEST: f32 = 32_752.0;

/// A model in half precision.
#[derive(Debug)]
pub struct Halved {
    /// The model.
    pub model: Model,
    /// Names of nodes with weights or products in half precision.
    pub products: Vec<String>,
    /// Such nodes that stay in single precision, and why.
    pub float: Vec<(String, String)>,
    /// Values of 16 bits.
    pub values: usize,
}

/// A model in single precision, to be written in half precision.
#[derive(Debug)]
pub struct Halver {
    model: Model,
    constants: Constants,
    /// Values that are known to be of single precision.
    singles: HashSet<String>,
}

impl Halver {
    /// Looks a model over.
    ///
    /// # Errors
    /// If its graph cannot be read.
    pub fn new(mut model: Model) -> Result<Self, QuantizeError> {
        let mut singles = of_type(&mut model, |known| known == Some(DataType::Float))?;
        let stored = model.graph().initializer.iter().filter(|own| own.data_type() == DataType::Float as i32);
        singles.extend(stored.map(|own| own.name().to_owned()));
        let constants = Constants::of(model.graph());
        Ok(Self { model, constants, singles })
    }

    /// The model in single precision.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Values that may be of 16 bits, constants aside.
    pub fn values(&self) -> Vec<String> {
        let nodes = self.model.graph().node.iter().filter(|node| operator(node).is_some_and(Operator::in_half));
        let values = nodes.flat_map(|node| node.output.iter().chain(&node.input));
        let stored = |name: &String| self.constants.find(name).is_some();
        let names: BTreeSet<&String> = values.filter(|name| self.singles.contains(*name) && !stored(name)).collect();
        names.into_iter().cloned().collect()
    }

    /// Names of the nodes with weights or products that can be in half precision.
    pub fn products(&self) -> Vec<String> {
        let none = BTreeSet::new();
        let place = Place { own: self, large: &none, kept: &none };
        self.computing().filter(|node| place.why_single(node).is_none()).map(node_name).collect()
    }

    /// Writes the model. `large`: values with numbers beyond [`LARGEST`]; `kept`: names of nodes that stay in single
    /// precision.
    ///
    /// # Errors
    /// If nothing in the model can be in half precision, or the graph cannot be edited.
    pub fn write(&self, large: &BTreeSet<String>, kept: &BTreeSet<String>) -> Result<Halved, QuantizeError> {
        let place = Place { own: self, large, kept };
        let (mut products, mut float) = (Vec::new(), Vec::new());
        for node in self.computing() {
            match place.why_single(node) {
                None => products.push(node_name(node)),
                Some(why) => float.push((node_name(node), why.to_owned())),
            }
        }
        if products.is_empty() {
            let first = float.first().map(|(name, why)| format!("`{name}`: {why}"));
            let why = first.unwrap_or_else(|| "it has no convolution or matrix product".into());
            return Err(QuantizeError::Single { why });
        }
        let (model, values) = self.rewritten(place)?;
        Ok(Halved { model, products, float, values })
    }

    /// Nodes with weights or products.
    fn computing(&self) -> impl Iterator<Item = &NodeProto> {
        let computes = |node: &&NodeProto| operator(node).is_some_and(|own| own.macs || own.has_weights());
        self.model.graph().node.iter().filter(computes)
    }

    /// The model in half precision, and the number of its values of 16 bits.
    fn rewritten(&self, place: Place<'_>) -> Result<(Model, usize), SurgeryError> {
        let graph = self.model.graph();
        let halves: Vec<bool> = graph.node.iter().map(|node| place.why_single(node).is_none()).collect();
        let made = graph.node.iter().zip(&halves).filter(|(_, half)| **half).flat_map(|(node, _)| &node.output);
        let mut writer = Writer {
            own: self,
            made: made.map(String::as_str).collect(),
            names: Names::of(graph),
            forms: HashMap::new(),
            nodes: Vec::with_capacity(graph.node.len()),
            stored: Vec::new(),
        };
        for index in topological_order(graph) {
            writer.node(&graph.node[index], halves[index]);
        }
        for output in &graph.output {
            writer.single(output.name());
        }
        let Writer { nodes, forms, stored, .. } = writer;
        let values = forms.keys().filter(|(name, half)| *half && self.constants.find(name).is_none()).count();
        let mut model = self.model.clone();
        declare(&mut model, &forms);
        Ok((with_nodes(model, nodes, &stored)?, values))
    }
}

/// Values have other names in half precision; what is declared of them moves along.
fn declare(model: &mut Model, forms: &HashMap<(String, bool), String>) {
    let mut declared: Vec<ValueInfoProto> = Vec::new();
    for info in &model.graph().value_info {
        let half = forms.get(&(info.name().to_owned(), true));
        let single = forms.get(&(info.name().to_owned(), false));
        if half.is_none() || single.is_some_and(|name| name == info.name()) {
            declared.push(info.clone());
        }
        let of_half = TensorType::of(info).map(|own| TensorType { element: DataType::Float16, ..own });
        declared.extend(half.zip(of_half).map(|(name, own)| own.declare(name)));
    }
    model.graph_mut().value_info = declared;
}

/// Where half precision is possible.
#[derive(Clone, Copy)]
struct Place<'a> {
    own: &'a Halver,
    large: &'a BTreeSet<String>,
    kept: &'a BTreeSet<String>,
}

impl Place<'_> {
    /// Why a node stays as it is.
    fn why_single(&self, node: &NodeProto) -> Option<&'static str> {
        let Some(own) = operator(node).filter(|own| own.in_half()) else {
            return Some("engines have it in single precision alone");
        };
        let read = read_in_half(node, own);
        let all = || read.iter().copied().chain(node.output.iter().filter(|name| !name.is_empty()));
        if !all().any(|name| self.own.singles.contains(name)) {
            return Some("it is not of single precision");
        }
        if self.kept.contains(&node_name(node)) {
            return Some("as chosen");
        }
        if all().any(|name| self.large.contains(name)) {
            return Some("its numbers come near the largest of 16 bits");
        }
        let stored = |name: &&String| self.own.singles.contains(*name) && self.own.constants.find(name).is_some();
        let fits = |name: &String| {
            let numbers = self.own.constants.floats(&self.own.model, name);
            numbers.is_some_and(|numbers| numbers.iter().all(|number| number.abs() <= LARGEST || number.is_infinite()))
        };
        (!read.into_iter().filter(stored).all(fits)).then_some("its weights come near the largest number of 16 bits")
    }
}

/// Inputs of a node that are in half precision where it is.
fn read_in_half<'n>(node: &'n NodeProto, own: &Operator) -> Vec<&'n String> {
    let inputs = node.input.iter().enumerate();
    inputs.filter(|(at, name)| !name.is_empty() && !own.single_inputs().contains(at)).map(|own| own.1).collect()
}

/// A model that is being written.
struct Writer<'a> {
    own: &'a Halver,
    /// Values that nodes in half precision make.
    made: HashSet<&'a str>,
    names: Names,
    /// Names of values in half (`true`) and in single precision, once they are there.
    forms: HashMap<(String, bool), String>,
    nodes: Vec<NodeProto>,
    stored: Vec<(String, TensorData)>,
}

impl Writer<'_> {
    fn node(&mut self, node: &NodeProto, half: bool) {
        for name in captured(node) {
            self.single(&name);
        }
        let mut written = node.clone();
        let singles = operator(node).map(Operator::single_inputs).unwrap_or_default();
        for (at, name) in node.input.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            written.input[at] = if half && !singles.contains(&at) { self.half(name) } else { self.single(name) };
        }
        for name in written.output.iter_mut().filter(|name| half && self.own.singles.contains(*name)) {
            let own = self.names.fresh(&format!("{name}_half"));
            self.forms.insert((name.clone(), true), own.clone());
            *name = own;
        }
        self.nodes.push(written);
    }

    /// The name of a value in single precision, cast where it is not there yet.
    fn single(&mut self, name: &str) -> String {
        let made = self.made.contains(name) && self.own.singles.contains(name);
        let key = (name.to_owned(), false);
        if made
            && !self.forms.contains_key(&key)
            && let Some(half) = self.forms.get(&(name.to_owned(), true)).cloned()
        {
            self.cast(&half, name, DataType::Float);
            self.forms.insert(key, name.to_owned());
        }
        name.to_owned()
    }

    /// The name of a value in half precision, stored or cast where it is not there yet; that of one of another type as it is.
    fn half(&mut self, name: &str) -> String {
        let key = (name.to_owned(), true);
        if !self.own.singles.contains(name) {
            return name.to_owned();
        }
        if let Some(known) = self.forms.get(&key) {
            return known.clone();
        }
        let own = self.names.fresh(&format!("{name}_half"));
        match self.own.constants.data(&self.own.model, name).and_then(|data| in_half(&data)) {
            Some(data) => self.stored.push((own.clone(), data)),
            None => self.cast(name, &own, DataType::Float16),
        }
        self.forms.insert((name.to_owned(), false), name.to_owned());
        self.forms.insert(key, own.clone());
        own
    }

    fn cast(&mut self, from: &str, to: &str, kind: DataType) {
        let name = self.names.fresh(&format!("{to}_cast"));
        self.nodes.push(NodeProto::new("Cast").named(&name).input(from).output(to).attr("to", kind as i64));
    }
}

/// Numbers of 16 bits, each the nearest.
fn in_half(data: &TensorData) -> Option<TensorData> {
    let numbers = data.to_f32()?;
    let bytes: Vec<u8> = numbers.into_iter().flat_map(|number| half::f16::from_f32(number).to_le_bytes()).collect();
    Some(TensorData { dtype: DataType::Float16, dims: data.dims.clone(), bytes: bytes.into() })
}
