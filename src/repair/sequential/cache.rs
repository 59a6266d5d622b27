//! A model run in parts: what is alive at one place of the graph is kept for all images, so that what comes next need not
//! start from the images again.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use half::slice::HalfFloatSliceExt as _;
use half::vec::HalfFloatVecExt as _;
use ndarray::ArrayD;

use crate::engine::{CompileOptions, Engine, EngineError, Feed, Session, Tensor};
use crate::model::node::tensor_info;
use crate::model::{DataType, Model};
use crate::proto::onnx::GraphProto;
use crate::repair::RepairError;
use crate::surgery::{captured, extract, topological_order, variable};

/// A model and what is alive in it at one place, batch by batch.
pub(crate) struct ActivationCache {
    order: Vec<usize>,
    /// Values that depend on the images.
    variable: HashSet<String>,
    /// The graph's inputs.
    inputs: Vec<Feed>,
    /// Number of nodes of `order` whose results are in `live` where something later reads them.
    done: usize,
    /// What is alive of the first batches; those after them are not held and start from their inputs.
    live: Vec<BTreeMap<String, Held>>,
    /// Bytes that `live` may hold.
    limit: u64,
}

/// How many batches are to be held.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchRange {
    pub(crate) least: usize,
    pub(crate) most: usize,
}

/// A value that is kept.
enum Held {
    Whole(Arc<Tensor>),
    /// In half precision, since all would not fit otherwise.
    Half(ArrayD<half::f16>),
}

/// Feed up to here can be held in half precision.
const MOST_HALVED: f32 = 30_000.0;

impl Held {
    fn new(value: Arc<Tensor>, halve: bool) -> Self {
        match value.as_ref() {
            Tensor::F32(array) if halve => halved(array).map_or_else(|| Self::Whole(Arc::clone(&value)), Self::Half),
            _ => Self::Whole(value),
        }
    }

    fn element_type(&self) -> DataType {
        match self {
            Self::Whole(value) => value.element_type(),
            Self::Half(_) => DataType::Float,
        }
    }

    fn value(&self) -> Arc<Tensor> {
        match self {
            Self::Whole(value) => Arc::clone(value),
            Self::Half(array) => Arc::new(Tensor::F32(doubled(array))),
        }
    }
}

/// In half precision, where all values can be.
fn halved(array: &ArrayD<f32>) -> Option<ArrayD<half::f16>> {
    let array = array.as_standard_layout();
    let values = array.as_slice()?;
    // Without a branch, so that the compiler takes many at a time; what is no number is not below the bound.
    let fits = values.iter().fold(true, |fits, value| fits & (value.abs() <= MOST_HALVED));
    fits.then(|| ArrayD::from_shape_vec(array.raw_dim(), Vec::from_f32_slice(values)).ok())?
}

fn doubled(array: &ArrayD<half::f16>) -> ArrayD<f32> {
    let all = array.as_slice().and_then(|own| ArrayD::from_shape_vec(array.raw_dim(), own.to_f32_vec()).ok());
    all.unwrap_or_else(|| array.mapv(half::f16::to_f32))
}

impl ActivationCache {
    /// Before the first node. `batches`: the graph's inputs.
    pub(crate) fn new(model: &Model, batches: Vec<Feed>, limit: u64) -> Self {
        let graph = model.graph();
        let order = topological_order(graph);
        let variable = variable(graph, &order);
        let whole = |(name, value): (&String, &Arc<Tensor>)| (name.clone(), Held::Whole(Arc::clone(value)));
        let live = batches.iter().map(|batch| batch.iter().map(whole).collect()).collect();
        Self { order, variable, inputs: batches, done: 0, live, limit }
    }

    /// Number of batches that are held.
    pub(crate) fn batches(&self) -> usize {
        self.live.len()
    }

    /// Names of the values that are alive before the node at `place` of the order.
    fn alive(&self, graph: &GraphProto, place: usize) -> Vec<String> {
        let mut made: BTreeSet<&str> = graph.input.iter().map(crate::proto::onnx::ValueInfoProto::name).collect();
        made.extend(self.order[..place].iter().flat_map(|&index| graph.node[index].output.iter().map(String::as_str)));
        let mut read: BTreeSet<String> = graph.output.iter().map(|output| output.name().to_owned()).collect();
        for &index in &self.order[place..] {
            read.extend(graph.node[index].input.iter().cloned().chain(captured(&graph.node[index])));
        }
        read.into_iter().filter(|name| made.contains(name.as_str()) && self.variable.contains(name)).collect()
    }

    /// Place of a node in the order; 0 where it has none.
    pub(crate) fn place(&self, node: usize) -> usize {
        self.order.iter().position(|&index| index == node).unwrap_or(0)
    }

    /// The place behind the node that makes a value, if the value is alive there.
    pub(super) fn behind(&self, model: &Model, value: &String) -> Option<usize> {
        let graph = model.graph();
        let place = self.order.iter().position(|&index| graph.node[index].output.contains(value))? + 1;
        self.alive(graph, place).contains(value).then_some(place)
    }

    /// Keeps what is alive at `place` in place of what was kept: of as many batches as fit, in half precision where that
    /// lets more of them fit, up to `most`. Where not even `least` fit, all stays as it was of that many. Returns the
    /// number of batches that are held.
    ///
    /// # Errors
    /// If the engine fails.
    pub(crate) fn advance(
        &mut self,
        model: &Model,
        engine: &dyn Engine,
        place: usize,
        batches: BatchRange,
    ) -> Result<usize, RepairError> {
        let BatchRange { least, most } = BatchRange { most: batches.most.min(self.inputs.len()), ..batches };
        if place <= self.done || most == 0 {
            return Ok(self.live.len().min(most));
        }
        let names = self.alive(model.graph(), place);
        let mut segment = self.segment(model, engine, &names)?;
        let first = self.run(&mut segment, 0)?;
        let each: u64 = first.iter().map(|value| value.bytes()).sum();
        let halve = each.saturating_mul(most as u64) > self.limit;
        let held = if halve { each / 2 } else { each };
        let fit = self.limit.checked_div(held).map_or(most, |fit| usize::try_from(fit).unwrap_or(most)).min(most);
        // Batches that come back start from their inputs: not for a few.
        let fit = if fit < 2 * self.live.len() { fit.min(self.live.len()) } else { fit };
        if fit < least.min(most) {
            self.live.truncate(least);
            return Ok(self.live.len());
        }
        self.live.truncate(fit);
        let hold = |values: Vec<Arc<Tensor>>| {
            names.iter().cloned().zip(values.into_iter().map(|value| Held::new(value, halve))).collect()
        };
        let mut first = Some(first);
        for batch in 0..self.live.len() {
            let values = first.take().map_or_else(|| self.run(&mut segment, batch), Ok)?;
            self.live[batch] = hold(values);
        }
        if self.live.len() < fit {
            let inputs = &self.inputs[self.live.len()];
            let known = inputs.iter().map(|(name, value)| (name.clone(), value.element_type())).collect();
            let mut segment = Segment::new(model, engine, &known, &names)?;
            for batch in self.live.len()..fit {
                let values = segment.run(&self.inputs[batch])?;
                self.live.push(hold(values));
            }
        }
        self.done = place;
        Ok(fit)
    }

    /// Ready to compute `names` from what is kept.
    ///
    /// # Errors
    /// If the engine does not accept the part of the model in between.
    pub(crate) fn segment(&self, model: &Model, engine: &dyn Engine, names: &[String]) -> Result<Segment, RepairError> {
        let first = self.live.first().into_iter().flatten();
        let known = first.map(|(name, held)| (name.clone(), held.element_type())).collect();
        Ok(Segment::new(model, engine, &known, names)?)
    }

    /// The values of a segment for a batch.
    ///
    /// # Errors
    /// If the engine fails.
    pub(crate) fn run(&self, segment: &mut Segment, batch: usize) -> Result<Vec<Arc<Tensor>>, EngineError> {
        let read = self.live[batch].iter().filter(|(name, _)| segment.reads(name));
        let known = read.map(|(name, held)| (name.clone(), held.value())).collect();
        segment.run(&known)
    }
}

/// Part of a model, compiled.
pub(crate) struct Segment {
    names: Vec<String>,
    /// Those that are not known already, and what computes them.
    missing: Vec<String>,
    session: Option<Box<dyn Session>>,
    inputs: Vec<String>,
}

impl Segment {
    /// `known`: what is there already, with its element type.
    fn new(
        model: &Model,
        engine: &dyn Engine,
        known: &BTreeMap<String, DataType>,
        names: &[String],
    ) -> Result<Self, EngineError> {
        let mut segment = Self { names: names.to_vec(), missing: Vec::new(), session: None, inputs: Vec::new() };
        // A layer may read what is its own shortcut.
        let mut seen = HashSet::new();
        let missing = names.iter().filter(|name| !known.contains_key(*name) && seen.insert(name.as_str()));
        segment.missing = missing.cloned().collect();
        if segment.missing.is_empty() {
            return Ok(segment);
        }
        let fail = |why: String| EngineError::Compile { engine: engine.info().name.clone(), why };
        let inputs: Vec<&str> = known.keys().map(String::as_str).collect();
        let outputs: Vec<&str> = segment.missing.iter().map(String::as_str).collect();
        let mut part = extract(model, &inputs, &outputs).map_err(|error| fail(error.to_string()))?;
        let graph = part.graph_mut();
        let read: HashSet<String> =
            graph.node.iter().flat_map(|node| node.input.iter().cloned().chain(captured(node))).collect();
        graph.input.retain(|input| read.contains(input.name()));
        for input in &mut graph.input {
            if let Some(&element) = known.get(input.name()) {
                *input = tensor_info(input.name(), element as i32, None);
            }
        }
        segment.inputs =
            graph.input.iter().map(|i| i.name().to_owned()).filter(|name| known.contains_key(name)).collect();
        let options = CompileOptions { outputs: segment.missing.clone(), ..CompileOptions::default() };
        segment.session = Some(engine.compile(&part, &options)?);
        Ok(segment)
    }

    /// Whether it starts from this value, or hands it on.
    fn reads(&self, name: &String) -> bool {
        self.inputs.contains(name) || self.names.contains(name) && !self.missing.contains(name)
    }

    /// The values in the order of the names, `[N, ...]` each.
    ///
    /// # Errors
    /// If the engine fails.
    fn run(&mut self, known: &Feed) -> Result<Vec<Arc<Tensor>>, EngineError> {
        let mut made = BTreeMap::new();
        if let Some(session) = &mut self.session {
            let feed: Vec<(&str, &Tensor)> =
                self.inputs.iter().filter_map(|name| Some((name.as_str(), known.get(name)?.as_ref()))).collect();
            made.extend(self.missing.iter().zip(session.run(&feed)?.into_iter().map(Arc::new)));
        }
        let value = |name: &String| known.get(name).or_else(|| made.get(name)).map(Arc::clone);
        Ok(self.names.iter().filter_map(value).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(values: Vec<f32>) -> Held {
        let array = ArrayD::from_shape_vec(vec![1, values.len()], values).unwrap();
        Held::new(Arc::new(Tensor::F32(array)), true)
    }

    #[test]
    fn values_are_halved_where_all_fit() {
        let values: Vec<f32> = (0..37_i16).map(|value| f32::from(value) / 7.0 - 2.0).collect();
        let own = held(values.clone());
        assert!(matches!(own, Held::Half(_)));
        let back = own.value().to_f32();
        assert!(back.iter().zip(&values).all(|(a, b)| (a - b).abs() <= 1e-3 * b.abs().max(1.0)));
        for bad in [1e6, f32::NAN, f32::INFINITY] {
            assert!(matches!(held(vec![1.0, bad]), Held::Whole(_)));
        }
    }
}
