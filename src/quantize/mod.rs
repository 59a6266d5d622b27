//! Networks on 8-bit integers: which nodes, which ranges, how the file says it.
//!
//! The model is written in QDQ form (`QuantizeLinear`, `DequantizeLinear` round operators in real numbers), which every
//! engine reads and fuses in its own way. [`Quantizer`] makes the graph ready and finds the places, [`Histograms`] gathers
//! what values were on calibration inputs, [`Quantizer::write`] gives the model. What was measured about forms that fuse and
//! forms that do not is in `docs/quantization.md`. [`Halver`] writes 16 bits in place of integers.

mod error;
mod half;
mod observed;
mod options;
mod places;
mod ranges;
mod ready;
mod weights;
mod write;

pub use error::QuantizeError;
pub use half::{Halved, Halver, LARGEST};
pub use observed::Histograms;
pub use options::{Activations, Kernels, Precision, QuantizeForm};
pub use ranges::{Range, RangeMethod};
pub use ready::Readied;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::model::node::node_name;
use crate::model::{DataType, Model, TensorData};
use crate::ops::constant::Constants;
use crate::ops::linear::WEIGHT;
use crate::proto::onnx::NodeProto;
use crate::surgery::{Graph, SurgeryError, Uses, add_initializer, upgrade};
use places::{Choice, Class, Places};
use write::{Form, Writing};

/// Operator set from which on scales may be listed along an axis.
const LEAST_OPSET: i64 = 13;

/// Largest number that an output between 0 and 1 reaches: its scale is 1/256.
const UNIT: Range = Range { low: 0.0, high: 255.0 / 256.0 };

/// A model in real numbers, ready to be written in integers.
#[derive(Debug)]
pub struct Quantizer {
    model: Model,
    constants: Constants,
    /// Values of single precision.
    real: HashSet<String>,
    /// What was done to make it ready.
    pub readied: Readied,
}

/// A model in integers.
#[derive(Debug)]
pub struct Written {
    /// The model in QDQ form.
    pub model: Model,
    /// Names of nodes with products on integers.
    pub products: Vec<String>,
    /// Nodes with products that stay in real numbers, and why.
    pub float: Vec<(String, String)>,
    /// Values that are rounded.
    pub values: usize,
}

impl Quantizer {
    /// Makes a model ready. `rank`: number of axes of a value, where it is known.
    ///
    /// # Errors
    /// If the model's operator set cannot be brought to the one that integers need, or no product can run on integers.
    pub fn new(mut model: Model, rank: &dyn Fn(&str) -> Option<usize>) -> Result<Self, QuantizeError> {
        upgrade(&mut model, LEAST_OPSET)?;
        let readied = ready::ready(&mut model, rank)?;
        let real = of_type(&mut model, |known| known.is_none_or(|own| own == DataType::Float))?;
        let constants = Constants::of(model.graph());
        let own = Self { model, constants, real, readied };
        let places = own.places(&BTreeSet::new(), Activations::U8);
        if places.products.is_empty() {
            let why = places.left.first().map(|(index, why)| format!("`{}`: {why}", own.title(*index)));
            let mut known = own.model.graph().node.iter().map(NodeProto::op_type);
            let integer = known.find(|op| op.starts_with("QLinear") || op.ends_with("Integer"));
            let integer = integer.map(|op| format!("its products are on integers already (`{op}`)"));
            return Err(QuantizeError::Nothing {
                why: integer.or(why).unwrap_or_else(|| "it has no convolution or matrix product".into()),
            });
        }
        Ok(own)
    }

    /// The model in real numbers.
    pub fn model(&self) -> &Model {
        &self.model
    }

    fn title(&self, index: usize) -> String {
        node_name(&self.model.graph().node[index])
    }

    fn places(&self, float: &BTreeSet<usize>, activations: Activations) -> Places {
        let real = |name: &str| self.real.contains(name);
        let folds_bounds = activations == Activations::U8;
        Choice { model: &self.model, constants: &self.constants, real: &real, float, folds_bounds }.places()
    }

    /// Names of the values that are rounded where nothing stays in real numbers.
    pub fn values(&self) -> Vec<String> {
        let places = self.places(&BTreeSet::new(), Activations::U8);
        places.values.iter().map(|place| place.read().to_owned()).collect()
    }

    /// Names of the nodes whose products can run on integers.
    pub fn products(&self) -> Vec<String> {
        self.places(&BTreeSet::new(), Activations::U8).products.iter().map(|&index| self.title(index)).collect()
    }

    /// Writes the model with ranges by the names of values; a value that has none is taken to lie between -1 and 1.
    ///
    /// # Errors
    /// If the graph cannot be edited.
    pub fn write(&self, ranges: &BTreeMap<String, Range>, form: &QuantizeForm) -> Result<Written, QuantizeError> {
        let nodes = self.model.graph().node.iter().enumerate();
        let float: BTreeSet<usize> =
            nodes.filter(|(_, node)| form.float.contains(&node_name(node))).map(|(index, _)| index).collect();
        let places = self.places(&float, form.activations);
        let mut found: Vec<Option<Range>> = vec![None; places.classes.len()];
        for place in &places.values {
            if let Some(own) = ranges.get(place.read()) {
                let all = &mut found[place.class];
                *all = Some(all.map_or(*own, |other| other.and(*own)));
            }
        }
        let settled = |(range, class): (Option<Range>, &Class)| {
            let range = range.unwrap_or(Range { low: -1.0, high: 1.0 });
            let range = class.bounds.map_or(range, |bounds| range.within(bounds));
            if class.unit { UNIT } else { range }
        };
        let ranges: Vec<Range> = found.into_iter().zip(&places.classes).map(settled).collect();
        let padded = if form.pads_images { self.images(&places) } else { BTreeSet::new() };
        let form = Form { activations: form.activations, largest: form.largest, padded };
        let writing =
            Writing { model: &self.model, constants: &self.constants, places: &places, ranges: &ranges, form };
        let model = writing.write()?;
        let asked = float.iter().map(|&index| (self.title(index), "as chosen".to_owned()));
        let left = places.left.iter().map(|&(index, why)| (self.title(index), why.to_owned()));
        Ok(Written {
            model,
            products: places.products.iter().map(|&index| self.title(index)).collect(),
            float: asked.chain(left).collect(),
            values: places.values.len(),
        })
    }

    /// Rounded values of three channels that only convolutions on integers read.
    fn images(&self, places: &Places) -> BTreeSet<String> {
        let graph = self.model.graph();
        let uses = Uses::of(graph);
        let convolves = |reader: &Option<usize>| {
            let Some(index) = reader.filter(|index| places.products.contains(index)) else { return false };
            let node = &graph.node[index];
            let dims = node.input.get(WEIGHT).and_then(|name| self.constants.data(&self.model, name));
            let grouped = node.int("group").unwrap_or(1) != 1;
            node.op_type() == "Conv" && !grouped && dims.is_some_and(|data| data.dims.len() == 4 && data.dims[1] == 3)
        };
        let alone = |value: &str| {
            let readers = uses.readers(value);
            !readers.is_empty() && readers.iter().all(convolves)
        };
        let of = |class: usize| places.values.iter().filter(|other| other.class == class).count();
        let images = places.values.iter().filter(|place| place.bound.is_none() && of(place.class) == 1);
        images.map(|place| place.value.clone()).filter(|value| alone(value)).collect()
    }
}

/// Inputs and values that nodes make whose element type, where it is known, is `wanted`.
fn of_type(model: &mut Model, wanted: impl Fn(Option<DataType>) -> bool) -> Result<HashSet<String>, QuantizeError> {
    let names: Vec<String> = {
        let graph = model.graph();
        let inputs = graph.input.iter().map(|own| own.name().to_owned());
        inputs.chain(graph.node.iter().flat_map(|node| node.output.iter().cloned())).collect()
    };
    let graph = Graph::of(model)?;
    let found = names.into_iter().filter(|name| !name.is_empty() && wanted(graph.element_type(name)));
    Ok(found.collect())
}

/// A model with other nodes and more stored tensors, without what is not used any more.
fn with_nodes(mut model: Model, nodes: Vec<NodeProto>, stored: &[(String, TensorData)]) -> Result<Model, SurgeryError> {
    model.graph_mut().node = nodes;
    for (name, data) in stored {
        add_initializer(&mut model, name, data);
    }
    let mut graph = Graph::of(&mut model)?;
    graph.remove_unused();
    graph.finish();
    Ok(model)
}
