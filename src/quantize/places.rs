//! Which nodes run on integers, and which values are rounded for them.
//!
//! A node runs on integers where `QuantizeLinear` and `DequantizeLinear` stand round it, since engines fuse what lies
//! between. Products come first (`Conv`, `Gemm`, `MatMul`); what combines or moves values follows where it leads from
//! integers to integers. What lies elsewhere stays in real numbers.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::model::node::is_onnx;
use crate::model::{DataType, Model};
use crate::ops::constant::Constants;
use crate::ops::linear::{BIAS, LinearMap, WEIGHT};
use crate::ops::scalar::bounds;
use crate::ops::{Int8, operator};
use crate::proto::onnx::{NodeProto, ValueInfoProto};
use crate::surgery::{Uses, topological_order};

/// A value that is rounded.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Place {
    /// The value in real numbers.
    pub(super) value: String,
    /// Node of the bound (`Relu`, `Clip`) that rounding stands for, and the value behind it.
    pub(super) bound: Option<(usize, String)>,
    /// Values with one number share a scale.
    pub(super) class: usize,
}

impl Place {
    /// The value that readers see.
    pub(super) fn read(&self) -> &str {
        self.bound.as_ref().map_or(&self.value, |(_, name)| name)
    }
}

/// What is known of the values that share a scale.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Class {
    /// Bounds that an activation sets.
    pub(super) bounds: Option<(f32, f32)>,
    /// Whether the values lie between 0 and 1, whatever the data.
    pub(super) unit: bool,
}

/// Nodes on integers, and rounded values.
#[derive(Debug, Clone, Default)]
pub(super) struct Places {
    /// Indices of nodes with products.
    pub(super) products: BTreeSet<usize>,
    /// Indices of other nodes on integers.
    pub(super) others: BTreeSet<usize>,
    pub(super) values: Vec<Place>,
    pub(super) classes: Vec<Class>,
    /// Nodes with products that stay in real numbers though nobody asked for it, and why.
    pub(super) left: Vec<(usize, &'static str)>,
}

/// How places are chosen.
pub(super) struct Choice<'a> {
    pub(super) model: &'a Model,
    pub(super) constants: &'a Constants,
    /// Whether a value is of single precision.
    pub(super) real: &'a dyn Fn(&str) -> bool,
    /// Nodes that stay in real numbers.
    pub(super) float: &'a BTreeSet<usize>,
    /// Whether rounding to unsigned integers stands for `Relu` and `Clip`.
    pub(super) folds_bounds: bool,
}

impl Choice<'_> {
    /// The places of a model.
    pub(super) fn places(&self) -> Places {
        let graph = self.model.graph();
        let uses = Uses::of(graph);
        let mut finder = Finder {
            choice: self,
            outputs: graph.output.iter().map(ValueInfoProto::name).collect(),
            uses: &uses,
            order: topological_order(graph),
            places: Places::default(),
            can: HashSet::new(),
            wanted: HashSet::new(),
        };
        finder.products();
        finder.reachable();
        finder.others();
        finder.values();
        finder.places
    }

    fn node(&self, index: usize) -> &NodeProto {
        &self.model.graph().node[index]
    }

    pub(super) fn int8(&self, index: usize) -> Int8 {
        let node = self.node(index);
        let kind = operator(node).filter(|_| is_onnx(node)).map_or(Int8::None, |own| own.int8);
        let fits = match node.op_type() {
            "Resize" => matches!(node.text("mode"), None | Some("nearest" | "linear")),
            "Pad" => self.pads_zeros(node),
            // Dropout and pools with a second output do more than move.
            _ => node.op_type() == "Split" || node.output.iter().skip(1).all(String::is_empty),
        };
        if fits { kind } else { Int8::None }
    }

    /// Whether a `Pad` adds zeros.
    fn pads_zeros(&self, node: &NodeProto) -> bool {
        let value = match node.input.get(2).filter(|name| !name.is_empty()) {
            Some(name) => self.constants.floats(self.model, name).and_then(|own| own.first().copied()),
            None => Some(0.0),
        };
        value == Some(0.0) && node.text("mode").is_none_or(|mode| mode == "constant")
    }

    fn is_constant(&self, name: &str) -> bool {
        self.constants.find(name).is_some()
    }

    /// Inputs of a node that data flow in by.
    pub(super) fn activations(&self, index: usize) -> impl Iterator<Item = &String> + '_ {
        let node = self.node(index);
        let first = self.int8(index) == Int8::Moves || matches!(node.op_type(), "Conv" | "Gemm");
        let most = if first { 1 } else { usize::MAX };
        node.input.iter().take(most).filter(|name| !name.is_empty() && !self.is_constant(name))
    }

    /// Why a node with a product cannot run on integers.
    fn unfit(&self, index: usize) -> Option<&'static str> {
        let node = self.node(index);
        let kind = |name: &String| self.constants.data(self.model, name).map(|data| (data.dtype, data.dims));
        let weight = node.input.get(WEIGHT).and_then(kind);
        if node.input.first().is_none_or(|name| self.is_constant(name)) {
            return Some("what it multiplies is a constant");
        }
        if self.activations(index).any(|name| !(self.real)(name)) {
            return Some("it is not of single precision");
        }
        let Some((dtype, dims)) = weight else {
            let both = node.op_type() == "MatMul" && self.activations(index).count() == 2;
            return if both { None } else { Some("its weight is computed") };
        };
        if dtype != DataType::Float {
            return Some("its weight is not of single precision");
        }
        if LinearMap::of(node, &dims).is_none_or(|map| !map.is_plain()) {
            return Some("its weight is no plain matrix");
        }
        let bias = node.input.get(BIAS).filter(|name| !name.is_empty());
        let per_output = |name: &String| {
            let map = LinearMap::of(node, &dims);
            kind(name).zip(map).is_some_and(|((_, own), map)| map.is_per_output(&own))
        };
        if bias.is_some_and(|name| !per_output(name)) {
            return Some("its bias has not one number for every output");
        }
        None
    }
}

struct Finder<'a, 'm> {
    choice: &'a Choice<'m>,
    outputs: HashSet<&'a str>,
    uses: &'a Uses,
    order: Vec<usize>,
    places: Places,
    /// Values that come of integers.
    can: HashSet<String>,
    /// Values that a node on integers reads.
    wanted: HashSet<String>,
}

impl Finder<'_, '_> {
    /// The bound that alone reads a value.
    fn bound(&self, value: &str) -> Option<(usize, &str)> {
        let index = self.uses.only(value).filter(|_| !self.outputs.contains(value))?;
        let node = self.choice.node(index);
        if self.choice.int8(index) != Int8::Bounds || node.input.first().is_none_or(|own| own != value) {
            return None;
        }
        // What moves values shares its scale with what they are before, which others may read.
        let maker = self.uses.maker(value).map(|maker| self.choice.int8(maker));
        if !matches!(maker, Some(Int8::Product | Int8::Combines)) {
            return None;
        }
        let (low, _) = bounds(self.choice.model, self.choice.constants, node)?;
        (low == 0.0).then(|| Some((index, node.output.first()?.as_str())))?
    }

    /// The value that is rounded in place of another.
    fn end<'v>(&'v self, value: &'v str) -> &'v str {
        self.bound(value).map_or(value, |(_, name)| name)
    }

    fn products(&mut self) {
        for &index in &self.order {
            if self.choice.int8(index) != Int8::Product || self.choice.float.contains(&index) {
                continue;
            }
            match self.choice.unfit(index) {
                Some(why) => self.places.left.push((index, why)),
                None => {
                    self.places.products.insert(index);
                }
            }
        }
        for &index in &self.places.products {
            self.wanted.extend(self.choice.activations(index).cloned());
        }
    }

    /// Values that come of integers where everything is on integers that can be.
    fn reachable(&mut self) {
        for index in self.order.clone() {
            let makes = match self.choice.int8(index) {
                Int8::Product => self.places.products.contains(&index),
                Int8::Combines | Int8::Moves if !self.choice.float.contains(&index) => {
                    let mut inputs = self.choice.activations(index).peekable();
                    inputs.peek().is_some() && inputs.all(|name| self.can.contains(name) || self.wanted.contains(name))
                }
                _ => false,
            };
            if makes {
                let outputs = self.choice.node(index).output.iter().filter(|name| !name.is_empty());
                let ends: Vec<String> = outputs.map(|name| self.end(name).to_owned()).collect();
                self.can.extend(ends);
            }
        }
    }

    /// Nodes that lead from integers to integers, from the last to the first.
    fn others(&mut self) {
        for index in self.order.clone().into_iter().rev() {
            let kind = self.choice.int8(index);
            if self.choice.float.contains(&index) || !matches!(kind, Int8::Combines | Int8::Moves) {
                continue;
            }
            let wanted = self.choice.node(index).output.iter().any(|name| self.wanted.contains(self.end(name)));
            let inputs: Vec<String> = self.choice.activations(index).cloned().collect();
            let known = |name: &String| self.can.contains(name) || self.wanted.contains(name);
            let reached = match kind {
                Int8::Moves => inputs.iter().all(|name| (self.choice.real)(name)),
                _ => inputs.iter().all(known) && self.constants_fit(index),
            };
            if wanted && reached && !inputs.is_empty() {
                self.places.others.insert(index);
                self.wanted.extend(inputs);
            }
        }
    }

    /// Whether the constants that a node combines are of single precision.
    fn constants_fit(&self, index: usize) -> bool {
        let node = self.choice.node(index);
        let constants = node.input.iter().filter(|name| self.choice.is_constant(name));
        let single = |name: &String| {
            self.choice.constants.data(self.choice.model, name).is_some_and(|data| data.dtype == DataType::Float)
        };
        constants.clone().count() == 0
            || matches!(node.op_type(), "Add" | "Mul" | "Concat") && constants.clone().all(single)
    }

    /// The values that nodes on integers read and make, with their classes.
    fn values(&mut self) {
        let mut classes = Classes::default();
        let mut order = Vec::new();
        for &index in &self.order {
            let product = self.places.products.contains(&index);
            if !product && !self.places.others.contains(&index) {
                continue;
            }
            let node = self.choice.node(index);
            let reads: Vec<&String> = self.choice.activations(index).collect();
            // A convolution is fused only where its output is rounded; a matrix product gives real numbers as well.
            let always = node.op_type() != "Gemm" && node.op_type() != "MatMul";
            let makes = node.output.iter().filter(|name| !name.is_empty());
            let makes: Vec<&String> = makes.filter(|name| always || self.wanted.contains(self.end(name))).collect();
            for name in reads.iter().copied().chain(makes.iter().copied()) {
                classes.of(self.end(name));
            }
            order.extend(reads.iter().map(|name| (*name).clone()));
            order.extend(makes.iter().map(|name| (*name).clone()));
            if self.choice.int8(index) == Int8::Moves {
                for (input, output) in reads.iter().flat_map(|input| makes.iter().map(move |output| (input, output))) {
                    classes.unite(self.end(input), self.end(output));
                }
            }
        }
        self.number(&order, &mut classes);
    }

    fn number(&mut self, order: &[String], classes: &mut Classes) {
        let mut numbers: BTreeMap<usize, usize> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        let mut values = Vec::new();
        for name in order {
            let bound = self.bound(name).map(|(index, name)| (index, name.to_owned()));
            let read = bound.as_ref().map_or(name.as_str(), |(_, read)| read).to_owned();
            // A value behind a bound is met as what the bound makes, too.
            if !seen.insert(read.clone()) {
                continue;
            }
            let next = numbers.len();
            let class = *numbers.entry(classes.of(&read)).or_insert(next);
            self.places.classes.resize(numbers.len(), Class::default());
            let own = &mut self.places.classes[class];
            if let Some((index, _)) = &bound {
                own.bounds = bounds(self.choice.model, self.choice.constants, self.choice.node(*index));
            }
            let maker = self.uses.maker(&read).map(|index| self.choice.node(index).op_type());
            own.unit |= matches!(maker, Some("Sigmoid" | "Softmax"));
            let place = match bound {
                Some(bound) if self.choice.folds_bounds => Place { value: name.clone(), bound: Some(bound), class },
                _ => Place { value: read, bound: None, class },
            };
            values.push(place);
        }
        self.places.values = values;
    }
}

/// Values that share a scale, united.
#[derive(Default)]
struct Classes {
    of: BTreeMap<String, usize>,
    parents: Vec<usize>,
}

impl Classes {
    fn of(&mut self, name: &str) -> usize {
        let next = self.parents.len();
        let at = *self.of.entry(name.to_owned()).or_insert(next);
        if at == next {
            self.parents.push(next);
        }
        self.root(at)
    }

    fn root(&self, mut at: usize) -> usize {
        while self.parents[at] != at {
            at = self.parents[at];
        }
        at
    }

    fn unite(&mut self, a: &str, b: &str) {
        let (a, b) = (self.of(a), self.of(b));
        self.parents[a.max(b)] = a.min(b);
    }
}
