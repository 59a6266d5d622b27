//! The model with `QuantizeLinear` and `DequantizeLinear` where engines look for them.
//!
//! <https://onnx.ai/onnx/operators/onnx__QuantizeLinear.html>,
//! <https://onnx.ai/onnx/operators/onnx__DequantizeLinear.html> (13: a scale for every index of an axis)

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::options::Activations;
use super::places::{Place, Places};
use super::ranges::Range;
use super::weights::{self, IntegerWeight};
use super::with_nodes;
use crate::model::{DataType, Model, TensorData};
use crate::ops::constant::Constants;
use crate::ops::linear::{BIAS, LinearMap, WEIGHT};
use crate::proto::onnx::{GraphProto, NodeProto, ValueInfoProto};
use crate::surgery::{Names, SurgeryError, topological_order};

/// What is written.
#[derive(Debug, Clone)]
pub(super) struct Form {
    pub(super) activations: Activations,
    /// Largest integer of a weight.
    pub(super) largest: i8,
    /// Values of three channels that get a fourth of zeros.
    pub(super) padded: BTreeSet<String>,
}

/// Scale and zero point of an activation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Grid {
    pub(super) scale: f32,
    pub(super) zero: i32,
}

impl Grid {
    /// The grid whose integers reach the ends of a range, zero exactly.
    #[allow(clippy::cast_possible_truncation, reason = "between the integers' ends")]
    pub(super) fn of(range: Range, activations: Activations) -> Self {
        let scale = match activations {
            Activations::U8 => (range.high - range.low) / 255.0,
            Activations::S8 => range.high.max(-range.low) / 127.0,
        };
        let scale = if scale.is_normal() { scale } else { 1.0 };
        let zero = if activations == Activations::U8 { (-range.low / scale).round().clamp(0.0, 255.0) } else { 0.0 };
        Self { scale, zero: zero as i32 }
    }

    fn zero_tensor(self, activations: Activations, dims: Vec<usize>) -> TensorData {
        let (dtype, byte) = match activations {
            Activations::U8 => (DataType::Uint8, self.zero.to_le_bytes()[0]),
            Activations::S8 => (DataType::Int8, 0),
        };
        TensorData { dtype, dims, bytes: vec![byte].into() }
    }

    /// Numbers as integers.
    fn integers(self, values: &[f32], activations: Activations) -> Vec<u8> {
        let (low, high) = if activations == Activations::U8 { (0.0, 255.0) } else { (-128.0, 127.0) };
        #[allow(clippy::cast_possible_truncation, reason = "clamped")]
        let byte = |value: &f32| {
            let steps = (value / self.scale).round_ties_even() + self.zero as f32;
            (steps.clamp(low, high) as i32).to_le_bytes()[0]
        };
        values.iter().map(byte).collect()
    }
}

/// A model that is being written.
pub(super) struct Writing<'a> {
    pub(super) model: &'a Model,
    pub(super) constants: &'a Constants,
    pub(super) places: &'a Places,
    /// Of every class.
    pub(super) ranges: &'a [Range],
    pub(super) form: Form,
}

impl Writing<'_> {
    /// The model on integers.
    pub(super) fn write(&self) -> Result<Model, SurgeryError> {
        let source = self.model.graph();
        let mut writer = Writer {
            own: self,
            names: Names::of(source),
            nodes: Vec::new(),
            added: Vec::new(),
            grids: BTreeMap::new(),
            reads: HashMap::new(),
            real: HashMap::new(),
            weights: HashMap::new(),
            integers: HashMap::new(),
        };
        // An input that is an output as well stays as it is; nodes read it rounded.
        let inputs: BTreeSet<&str> = source.input.iter().map(ValueInfoProto::name).collect();
        let outputs: BTreeSet<&str> =
            source.output.iter().map(ValueInfoProto::name).filter(|name| !inputs.contains(name)).collect();
        for place in &self.places.values {
            writer.name(place, outputs.contains(place.value.as_str()));
        }
        let by_value: HashMap<&str, &Place> =
            self.places.values.iter().map(|place| (place.value.as_str(), place)).collect();
        let skipped: BTreeSet<usize> =
            self.places.values.iter().filter_map(|place| place.bound.as_ref().map(|(index, _)| *index)).collect();
        for input in source.input.iter().filter_map(|own| by_value.get(own.name())) {
            writer.round(input);
        }
        for index in topological_order(source) {
            if !skipped.contains(&index) {
                writer.node(index, &by_value);
            }
        }
        let Writer { nodes, added, .. } = writer;
        with_nodes(self.model.clone(), nodes, &added)
    }
}

struct Writer<'a> {
    own: &'a Writing<'a>,
    names: Names,
    nodes: Vec<NodeProto>,
    added: Vec<(String, TensorData)>,
    /// Names of scale and zero point of every class.
    grids: BTreeMap<usize, [String; 2]>,
    /// What is read in place of a value.
    reads: HashMap<String, String>,
    /// Names that values which are graph outputs have before rounding.
    real: HashMap<String, String>,
    /// Integers of rounded values, by what is read.
    integers: HashMap<String, String>,
    /// Dequantised weights by name, axis, and scales.
    weights: HashMap<(String, i64, Vec<u32>), IntegerNames>,
}

/// A weight that is to be in integers.
struct Wanted<'w> {
    name: &'w str,
    data: &'w TensorData,
    /// Whether a fourth channel of zeros is added.
    padded: bool,
    /// The smallest scale of every output.
    least: Vec<f32>,
}

/// A weight in integers: the value that is read, and its scales.
#[derive(Clone)]
struct IntegerNames {
    value: String,
    scales: Vec<f32>,
}

impl Writer<'_> {
    fn graph(&self) -> &GraphProto {
        self.own.model.graph()
    }

    fn grid(&self, class: usize) -> Grid {
        Grid::of(self.own.ranges[class], self.own.form.activations)
    }

    /// Settles under which names a value is made and read.
    fn name(&mut self, place: &Place, output: bool) {
        if place.bound.is_some() {
            return;
        }
        if output {
            let real = self.names.fresh(&format!("{}_real", place.value));
            self.real.insert(place.value.clone(), real);
        } else {
            let read = self.names.fresh(&format!("{}_dequantized", place.value));
            self.reads.insert(place.value.clone(), read);
        }
    }

    fn add(&mut self, wanted: &str, data: TensorData) -> String {
        let name = self.names.fresh(wanted);
        self.added.push((name.clone(), data));
        name
    }

    /// Names of scale and zero point of a value.
    fn grid_names(&mut self, place: &Place) -> [String; 2] {
        let activations = self.own.form.activations;
        let grid = self.grid(place.class);
        if !self.grids.contains_key(&place.class) {
            let scale = TensorData::from_f32(Vec::new(), &[grid.scale]);
            let scale = self.add(&format!("{}_scale", place.read()), scale);
            let zero = self.add(&format!("{}_zero_point", place.read()), grid.zero_tensor(activations, Vec::new()));
            self.grids.insert(place.class, [scale, zero]);
        }
        self.grids[&place.class].clone()
    }

    /// Adds rounding behind a value.
    fn round(&mut self, place: &Place) {
        let grid = self.grid(place.class);
        let [scale, zero] = self.grid_names(place);
        let real = self.real.get(&place.value).unwrap_or(&place.value).clone();
        let mut integers = self.names.fresh(&format!("{}_quantized", place.read()));
        let read = match &place.bound {
            Some((_, name)) => name.clone(),
            None => self.reads.get(&place.value).unwrap_or(&place.value).clone(),
        };
        let rounding = |op: &str, from: &str, to: &str| {
            let name = format!("{to}_{op}");
            NodeProto::new(op).named(&name).input(from).input(&scale).input(&zero).output(to)
        };
        self.nodes.push(rounding("QuantizeLinear", &real, &integers));
        if self.own.form.padded.contains(&place.value) {
            integers = self.fourth_channel(&integers, grid);
        }
        self.integers.insert(read.clone(), integers.clone());
        self.nodes.push(rounding("DequantizeLinear", &integers, &read));
    }

    /// A fourth channel of zeros behind three.
    fn fourth_channel(&mut self, integers: &str, grid: Grid) -> String {
        let pads = TensorData::from_i64(vec![8], &[0, 0, 0, 0, 0, 1, 0, 0]);
        let pads = self.add("fourth_channel_pads", pads);
        let zero = grid.zero_tensor(self.own.form.activations, Vec::new());
        let zero = self.add("fourth_channel_value", zero);
        let padded = self.names.fresh(&format!("{integers}_padded"));
        let name = format!("{padded}_Pad");
        self.nodes.push(NodeProto::new("Pad").named(&name).input(integers).input(&pads).input(&zero).output(&padded));
        padded
    }

    fn node(&mut self, index: usize, places: &HashMap<&str, &Place>) {
        let mut node = self.graph().node[index].clone();
        let original = node.clone();
        for name in &mut node.input {
            if let Some(read) = self.reads.get(name) {
                name.clone_from(read);
            }
        }
        let place = original.output.first().and_then(|name| places.get(name.as_str()));
        if let Some(place) = place.filter(|_| node.op_type() == "Pad" && self.own.places.others.contains(&index)) {
            return self.pad(node, place);
        }
        if self.own.places.products.contains(&index) {
            self.product(&original, &mut node);
        } else if self.own.places.others.contains(&index) && node.op_type() != "Resize" {
            self.constants(&original, &mut node);
        }
        for name in &mut node.output {
            if let Some(real) = self.real.get(name) {
                name.clone_from(real);
            }
        }
        self.nodes.push(node);
        for place in original.output.iter().filter_map(|name| places.get(name.as_str())) {
            self.round(place);
        }
    }

    /// `Pad` of integers themselves: engines do not fuse it.
    fn pad(&mut self, mut node: NodeProto, place: &Place) {
        let [scale, zero] = self.grid_names(place);
        let Some(integers) = node.input.first().and_then(|name| self.integers.get(name)).cloned() else { return };
        let padded = self.names.fresh(&format!("{}_quantized", place.value));
        node.input[0] = integers;
        node.input.resize(3, String::new());
        node.input[2].clone_from(&zero);
        node.output = vec![padded.clone()];
        self.nodes.push(node);
        let read = self.reads.get(&place.value).unwrap_or(&place.value).clone();
        let name = format!("{read}_DequantizeLinear");
        let dequantize = NodeProto::new("DequantizeLinear").named(&name).input(&padded).input(&scale).input(&zero);
        self.nodes.push(dequantize.output(&read));
        self.integers.insert(read, padded);
    }

    /// Weight and bias of a product in integers.
    fn product(&mut self, original: &NodeProto, node: &mut NodeProto) {
        let weight = original.input.get(WEIGHT).cloned().unwrap_or_default();
        let Some(data) = self.own.constants.data(self.own.model, &weight) else { return };
        let input = original.input.first().cloned().unwrap_or_default();
        let padded = self.own.form.padded.contains(&input);
        let place = self.own.places.values.iter().find(|place| place.read() == input);
        let grid = place.map(|place| self.grid(place.class));
        let bias = original.input.get(BIAS).filter(|name| !name.is_empty()).cloned();
        let bias = bias.and_then(|name| Some((self.own.constants.floats(self.own.model, &name)?, name)));
        let least = bias.as_ref().zip(grid).map(|((values, _), grid)| weights::least_scales(values, grid.scale));
        let wanted = Wanted { name: &weight, data: &data, padded, least: least.unwrap_or_default() };
        let Some(integer) = self.weight(original, &wanted) else { return };
        node.input[WEIGHT] = integer.value;
        let Some(((values, bias), grid)) = bias.zip(grid) else { return };
        let scales: Vec<f32> = integer.scales.iter().map(|scale| scale * grid.scale).collect();
        let integers = weights::bias(&values, &scales);
        let data = self.add(&format!("{bias}_quantized"), integers);
        let count = scales.len();
        let scale = self.add(&format!("{bias}_scale"), TensorData::from_f32(vec![count], &scales));
        let read = self.names.fresh(&format!("{bias}_dequantized"));
        let name = format!("{read}_DequantizeLinear");
        let dequantize = NodeProto::new("DequantizeLinear").named(&name).input(&data).input(&scale).output(&read);
        self.nodes.push(dequantize.attr("axis", 0));
        node.input[BIAS] = read;
    }

    /// A weight in integers, once for all that read it in one way.
    fn weight(&mut self, node: &NodeProto, wanted: &Wanted<'_>) -> Option<IntegerNames> {
        let Wanted { name, padded, .. } = *wanted;
        let data = if padded { fourth_of_weight(wanted.data)? } else { wanted.data.clone() };
        let map = LinearMap::of(node, &data.dims)?;
        // Convolutions have a scale for every index of axis 0 alone: engines read no other right.
        let axis: i64 = match node.op_type() {
            "Gemm" if node.int("transB").unwrap_or(0) == 1 => 0,
            "Gemm" | "MatMul" => 1,
            _ => 0,
        };
        let values = data.to_f32()?;
        let own = IntegerWeight::rounded(&map.layout, &values, self.own.form.largest, &wanted.least);
        let bits: Vec<u32> = own.scales.iter().map(|scale| scale.to_bits()).collect();
        let key = (name.to_owned(), axis, bits);
        if let Some(known) = self.weights.get(&key) {
            return Some(known.clone());
        }
        let count = own.scales.len();
        let integers = self.add(&format!("{name}_quantized"), own.tensor(&data.dims));
        let scale = self.add(&format!("{name}_scale"), TensorData::from_f32(vec![count], &own.scales));
        let zeros = TensorData { dtype: DataType::Int8, dims: vec![count], bytes: vec![0; count].into() };
        let zero = self.add(&format!("{name}_zero_point"), zeros);
        let value = self.names.fresh(&format!("{name}_dequantized"));
        let title = format!("{value}_DequantizeLinear");
        let dequantize = NodeProto::new("DequantizeLinear").named(&title).input(&integers).input(&scale).input(&zero);
        self.nodes.push(dequantize.output(&value).attr("axis", axis));
        let names = IntegerNames { value, scales: own.scales };
        self.weights.insert(key, names.clone());
        Some(names)
    }

    /// Constants that a node combines with values.
    fn constants(&mut self, original: &NodeProto, node: &mut NodeProto) {
        if !matches!(original.op_type(), "Add" | "Mul" | "Concat") {
            return;
        }
        let activations = self.own.form.activations;
        for (at, name) in original.input.iter().enumerate() {
            let Some(data) = self.own.constants.data(self.own.model, name) else { continue };
            let Some(values) = data.to_f32() else { continue };
            let ends = values.iter().fold((0.0_f32, 0.0_f32), |(low, high), value| (low.min(*value), high.max(*value)));
            let grid = Grid::of(Range::of(ends.0, ends.1), activations);
            let dtype = if activations == Activations::U8 { DataType::Uint8 } else { DataType::Int8 };
            let bytes = grid.integers(&values, activations).into();
            let integers = self.add(&format!("{name}_quantized"), TensorData { dtype, dims: data.dims, bytes });
            let scale = self.add(&format!("{name}_scale"), TensorData::from_f32(Vec::new(), &[grid.scale]));
            let zero = self.add(&format!("{name}_zero_point"), grid.zero_tensor(activations, Vec::new()));
            let read = self.names.fresh(&format!("{name}_dequantized"));
            let title = format!("{read}_DequantizeLinear");
            let dequantize = NodeProto::new("DequantizeLinear").named(&title).input(&integers).input(&scale);
            self.nodes.push(dequantize.input(&zero).output(&read));
            node.input[at] = read;
        }
    }
}

/// The weight `[O, 3, ...]` of a convolution with zeros for a fourth channel.
fn fourth_of_weight(data: &TensorData) -> Option<TensorData> {
    let values = data.to_f32()?;
    let inner: usize = data.dims.get(2..)?.iter().product();
    let each = 3 * inner;
    let mut dims = data.dims.clone();
    dims[1] = 4;
    let zeros = vec![0.0; inner];
    let padded: Vec<f32> = values.chunks(each).flat_map(|row| row.iter().chain(&zeros).copied()).collect();
    Some(TensorData::from_f32(dims, &padded))
}
