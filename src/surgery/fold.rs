//! Constant folding: nodes that depend on stored tensors alone are replaced by what they compute.

use std::collections::HashSet;

use super::Graph;
use super::find::{captured, topological_order};
use crate::model::{Model, TensorData};
use crate::proto::onnx::{GraphProto, NodeProto, ValueInfoProto};

/// Results larger than this are left computed: folding `Expand` must not blow a file up.
const MOST_BYTES: usize = 16 << 20;

/// Operators whose result is not determined by their inputs.
const RANDOM: &[&str] =
    &["RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"];

/// What folding did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Folded {
    /// Values that are stored now.
    pub values: Vec<String>,
}

/// Folds constants. `evaluate` runs a model without inputs and returns its outputs in order: an engine, usually.
///
/// ```
/// use onnx_prune::engine::{CompileOptions, Engine, EngineError};
/// use onnx_prune::model::{Model, TensorData};
/// use onnx_prune::surgery::fold_constants;
///
/// # fn demo(mut model: Model, engine: &dyn Engine) -> Result<(), EngineError> {
/// let folded = fold_constants(&mut model, |part, outputs| -> Result<Vec<TensorData>, EngineError> {
///     let options = CompileOptions { outputs: outputs.to_vec(), ..CompileOptions::default() };
///     let results = engine.compile(part, &options)?.run(&[])?;
///     let stored = results.iter().map(|result| {
///         TensorData::from_f32(result.shape().to_vec(), &result.to_f32().iter().copied().collect::<Vec<_>>())
///     });
///     Ok(stored.collect())
/// })?;
/// println!("{} values are stored now", folded.values.len());
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// The first error of `evaluate` or of reading a tensor.
pub fn fold_constants<E>(
    model: &mut Model,
    evaluate: impl FnOnce(&Model, &[String]) -> Result<Vec<TensorData>, E>,
) -> Result<Folded, E> {
    let (nodes, wanted) = constant_part(model.graph());
    if wanted.is_empty() {
        return Ok(Folded::default());
    }
    let mut part = model.clone();
    let graph = part.graph_mut();
    graph.node = nodes.iter().map(|&index| model.graph().node[index].clone()).collect();
    graph.input.clear();
    graph.value_info.clear();
    graph.output =
        wanted.iter().map(|name| ValueInfoProto { name: Some(name.clone()), ..ValueInfoProto::default() }).collect();
    Graph::of(&mut part).remove_unused();
    let results = evaluate(&part, &wanted)?;
    let mut folded = Folded::default();
    for (name, data) in wanted.iter().zip(results) {
        if data.bytes.len() > MOST_BYTES {
            continue;
        }
        let graph = model.graph_mut();
        for output in graph.node.iter_mut().flat_map(|node| &mut node.output).filter(|output| *output == name) {
            // The node stays until nobody needs its other outputs.
            output.clear();
        }
        graph.initializer.push(data.to_proto(name));
        folded.values.push(name.clone());
    }
    model.graph_mut().node.retain(|node| node.output.iter().any(|output| !output.is_empty()));
    Graph::of(model).remove_unused();
    Ok(folded)
}

/// Nodes that depend on constants alone, and those of their values that other nodes read.
fn constant_part(graph: &GraphProto) -> (Vec<usize>, Vec<String>) {
    let mut constant: HashSet<&str> = graph.initializer.iter().map(crate::proto::onnx::TensorProto::name).collect();
    let mut nodes = Vec::new();
    let foldable = |node: &NodeProto| !RANDOM.contains(&node.op_type()) && captured(node).is_empty();
    for index in topological_order(graph) {
        let node = &graph.node[index];
        let known = node.input.iter().all(|name| name.is_empty() || constant.contains(name.as_str()));
        if known && foldable(node) {
            constant.extend(node.output.iter().map(String::as_str));
            nodes.push(index);
        }
    }
    let inside: HashSet<usize> = nodes.iter().copied().collect();
    let read_outside: HashSet<&str> = graph
        .node
        .iter()
        .enumerate()
        .filter(|(index, _)| !inside.contains(index))
        .flat_map(|(_, node)| node.input.iter().map(String::as_str))
        .collect();
    let outputs: HashSet<&str> = graph.output.iter().map(ValueInfoProto::name).collect();
    let wanted = nodes
        .iter()
        // A `Constant` node is stored already.
        .filter(|&&index| graph.node[index].op_type() != "Constant")
        .flat_map(|&index| &graph.node[index].output)
        .filter(|name| read_outside.contains(name.as_str()) && !outputs.contains(name.as_str()))
        .cloned()
        .collect();
    (nodes, wanted)
}
