//! Constant folding: nodes that depend on stored tensors alone are replaced by what they compute.

mod weights;

use std::collections::{HashMap, HashSet};

use super::find::{Names, add_initializer, captured, subgraphs, topological_order};
use crate::model::{Model, TensorData};
use crate::proto::onnx::{GraphProto, NodeProto, TensorProto, ValueInfoProto};

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

/// Folds constants. `evaluate` runs a model without inputs and returns its outputs in order: an engine, usually. What it
/// returns is stored as it is, so it must keep element types: shapes are int64.
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
///     Ok(results.iter().map(TensorData::from).collect())
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
    let (nodes, wanted) = constant_part(model);
    if wanted.is_empty() {
        return Ok(Folded::default());
    }
    let results = evaluate(&constant_model(model, &nodes, &wanted), &wanted)?;
    let found = wanted.into_iter().zip(results).filter(|(_, data)| data.bytes.len() <= MOST_BYTES).collect();
    Ok(store(model, &nodes, found))
}

/// Folds the weights that the model computes from stored tensors (a spectral norm, a product of factors that is added to a
/// weight), where that makes the file no larger; `evaluate` as for [`fold_constants`]. Weights that are stored as integers
/// or in half of their size stay so, and what generators make of a few numbers stays computed.
///
/// # Errors
/// The first error of `evaluate`.
pub(crate) fn fold_weights<E>(
    model: &mut Model,
    evaluate: impl FnOnce(&Model, &[String]) -> Result<Vec<TensorData>, E>,
) -> Result<Folded, E> {
    let (nodes, wanted) = constant_part(model);
    let wanted = weights::candidates(model, &nodes, wanted);
    if wanted.is_empty() {
        return Ok(Folded::default());
    }
    let results = evaluate(&constant_model(model, &nodes, &wanted), &wanted)?;
    let found = weights::worth_storing(model, &nodes, wanted.into_iter().zip(results).collect());
    Ok(store(model, &nodes, found))
}

/// Whether [`fold_weights`] would ask for values.
pub(crate) fn computes_weights(model: &Model) -> bool {
    let (nodes, wanted) = constant_part(model);
    !weights::candidates(model, &nodes, wanted).is_empty()
}

/// Stores values that `nodes` compute, and drops what nothing needs any more.
fn store(model: &mut Model, nodes: &[usize], found: Vec<(String, TensorData)>) -> Folded {
    let mut names = Names::of(model.graph());
    let mut computed: HashMap<String, String> = HashMap::new();
    let mut folded = Folded::default();
    if found.is_empty() {
        return folded;
    }
    for (name, data) in found {
        computed.insert(name.clone(), names.fresh(&format!("{name}_computed")));
        add_initializer(model, &name, &data);
        folded.values.push(name);
    }
    // The stored tensor takes the name; what computed it goes under another, and stays if something else needs it.
    let graph = model.graph_mut();
    for &index in nodes {
        let node = &mut graph.node[index];
        for name in node.input.iter_mut().chain(&mut node.output) {
            if let Some(fresh) = computed.get(name) {
                name.clone_from(fresh);
            }
        }
    }
    retain_needed(graph);
    folded
}

/// A model without inputs of the nodes that compute `wanted`.
fn constant_model(model: &Model, nodes: &[usize], wanted: &[String]) -> Model {
    let mut part = model.clone();
    let graph = part.graph_mut();
    graph.node = nodes.iter().map(|&index| model.graph().node[index].clone()).collect();
    let stored: HashSet<&str> = graph.initializer.iter().map(TensorProto::name).collect();
    graph.input.retain(|input| stored.contains(input.name()));
    graph.value_info.clear();
    let output = |name: &String| ValueInfoProto { name: Some(name.clone()), ..ValueInfoProto::default() };
    graph.output = wanted.iter().map(output).collect();
    retain_needed(graph);
    part
}

/// Drops nodes and stored tensors that no output needs, and the inputs that list such a tensor.
fn retain_needed(graph: &mut GraphProto) {
    let mut needed: HashSet<String> = graph.output.iter().map(|output| output.name().to_owned()).collect();
    let mut kept = vec![false; graph.node.len()];
    for index in topological_order(graph).into_iter().rev() {
        let node = &graph.node[index];
        if node.output.iter().any(|name| needed.contains(name)) {
            needed.extend(node.input.iter().cloned().chain(captured(node)).filter(|name| !name.is_empty()));
            kept[index] = true;
        }
    }
    let mut kept = kept.into_iter();
    graph.node.retain(|_| kept.next() == Some(true));
    let unused = |tensor: &&TensorProto| !needed.contains(tensor.name());
    let gone: HashSet<String> =
        graph.initializer.iter().filter(unused).map(|tensor| tensor.name().to_owned()).collect();
    graph.initializer.retain(|tensor| !gone.contains(tensor.name()));
    graph.input.retain(|input| !gone.contains(input.name()));
}

/// Nodes that depend on constants alone, and those of their values that other nodes read.
fn constant_part(model: &Model) -> (Vec<usize>, Vec<String>) {
    let graph = model.graph();
    let mut constant: HashSet<&str> = graph.initializer.iter().map(TensorProto::name).collect();
    let mut nodes = Vec::new();
    let functions = &model.proto().functions;
    let random_functions = functions.iter().any(|function| function.node.iter().any(is_random));
    let calls = |node: &NodeProto| functions.iter().any(|function| function.name() == node.op_type());
    let random = |node: &NodeProto| is_random(node) || (random_functions && calls(node));
    let foldable = |node: &NodeProto| !random(node) && captured(node).is_empty();
    for index in topological_order(graph) {
        let node = &graph.node[index];
        let known = node.input.iter().all(|name| name.is_empty() || constant.contains(name.as_str()));
        if known && foldable(node) {
            constant.extend(node.output.iter().map(String::as_str));
            nodes.push(index);
        }
    }
    let inside: HashSet<usize> = nodes.iter().copied().collect();
    let read_outside: HashSet<String> = graph
        .node
        .iter()
        .enumerate()
        .filter(|(index, _)| !inside.contains(index))
        .flat_map(|(_, node)| node.input.iter().cloned().chain(captured(node)))
        .collect();
    let outputs: HashSet<&str> = graph.output.iter().map(ValueInfoProto::name).collect();
    let wanted = nodes
        .iter()
        // A `Constant` node is stored already.
        .filter(|&&index| graph.node[index].op_type() != "Constant")
        .flat_map(|&index| &graph.node[index].output)
        .filter(|name| read_outside.contains(*name) && !outputs.contains(name.as_str()))
        .cloned()
        .collect();
    (nodes, wanted)
}

/// Whether the node, or one in its subgraphs, draws random numbers.
fn is_random(node: &NodeProto) -> bool {
    RANDOM.contains(&node.op_type()) || subgraphs(node).any(|graph| graph.node.iter().any(is_random))
}
