//! What a graph computes from the images and what without them, and the shapes of the former for one batch.

use std::collections::{BTreeMap, HashMap, HashSet};

use ndarray::ArrayD;

use super::site::Constants;
use crate::engine::{CompileOptions, Engine, Tensor};
use crate::model::Model;
use crate::ops::constant::{self, content};
use crate::ops::real::RealWeight;
use crate::ops::{Operator, operator};
use crate::proto::onnx::NodeProto;
use crate::repair::RepairError;
use crate::surgery::{captured, topological_order};

/// Operators whose output depends on the shape of the input alone.
pub(super) const SHAPES: &[&str] = &["Shape", "Size"];

/// A model's run-time values and constants for batches of one size.
pub(super) struct Survey {
    /// Nodes, producers first.
    pub(super) order: Vec<usize>,
    pub(super) constants: Constants,
    /// Run-time values of the first batch, as the engine computes them.
    pub(super) values: HashMap<String, ArrayD<f32>>,
    pub(super) shapes: HashMap<String, Vec<usize>>,
}

/// Runs `model` once on `batch`. `wanted` says of a node whether its outputs are worth having.
pub(super) fn survey(
    model: &Model,
    engine: &dyn Engine,
    input: &str,
    batch: &ArrayD<f32>,
    wanted: &dyn Fn(&NodeProto) -> bool,
) -> Result<Survey, RepairError> {
    let graph = model.graph();
    let order = topological_order(graph);
    let stored = constant::Constants::of(graph);
    let mut constants = Constants::default();
    let weighted = graph.node.iter().filter(|node| operator(node).is_some_and(Operator::has_weights));
    for name in weighted.flat_map(|node| &node.input) {
        if RealWeight::is_own(model, &stored, name) {
            constants.adjustable.insert(name.clone());
        }
    }
    for tensor in &graph.initializer {
        constants.add_stored(tensor.name(), &model.tensor(tensor)?);
    }
    let (mut run_time, mut known) = (HashSet::from([input]), HashSet::from([input]));
    let mut fetched: Vec<String> = Vec::new();
    let mut computed: HashSet<&str> = HashSet::new();
    for &index in &order {
        let node = &graph.node[index];
        if let Some(own) = node.output.first().and_then(|name| stored.find(name)) {
            if let Some(data) = content(model, own)? {
                constants.add_stored(&node.output[0], &data);
            }
            continue;
        }
        let inner = captured(node);
        let reads: Vec<&str> =
            node.input.iter().chain(&inner).map(String::as_str).filter(|name| run_time.contains(name)).collect();
        let outputs = node.output.iter().map(String::as_str).filter(|name| !name.is_empty());
        if reads.is_empty() || SHAPES.contains(&node.op_type()) {
            computed.extend(outputs);
            continue;
        }
        run_time.extend(outputs.clone());
        if wanted(node) && reads.iter().all(|name| known.contains(name)) {
            let outputs: Vec<&str> = outputs.take(if node.op_type() == "Split" { usize::MAX } else { 1 }).collect();
            known.extend(&outputs);
            fetched.extend(outputs.iter().map(|name| (*name).to_owned()));
            let operands = node.input.iter().filter(|name| computed.contains(name.as_str()));
            fetched.extend(operands.cloned());
        }
    }
    fetched.sort_unstable();
    fetched.dedup();
    let options = CompileOptions {
        outputs: fetched.clone(),
        input_shapes: BTreeMap::from([(input.to_owned(), batch.shape().to_vec())]),
        ..CompileOptions::default()
    };
    let feed = Tensor::F32(batch.clone());
    let results =
        if fetched.is_empty() { Vec::new() } else { engine.compile(model, &options)?.run(&[(input, &feed)])? };
    let mut values = HashMap::from([(input.to_owned(), batch.clone())]);
    for (name, tensor) in fetched.iter().zip(&results) {
        if computed.contains(name.as_str()) {
            constants.add_computed(name, tensor);
        } else if matches!(tensor, Tensor::F32(_) | Tensor::F16(_) | Tensor::F64(_)) {
            values.insert(name.clone(), tensor.to_f32().as_standard_layout().into_owned());
        }
    }
    let shapes = values.iter().map(|(name, array)| (name.clone(), array.shape().to_vec())).collect();
    Ok(Survey { order, constants, values, shapes })
}
