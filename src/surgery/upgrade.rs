//! A model in a later operator set of ONNX, computing what it did.
//!
//! <https://github.com/onnx/onnx/blob/main/docs/Changelog.md>: what operators changed between sets 7 and 13. Attributes that
//! became inputs are stored; `Upsample` is `Resize`; `Softmax` over several axes at once is written out.

use super::rules::title;
use super::{Graph, NodeId, SurgeryError};
use crate::model::{Model, TensorData};
use crate::proto::onnx::NodeProto;

/// The oldest set that is understood, and the latest that is made.
const OLDEST: i64 = 7;
const LATEST: i64 = 13;

/// IR version that came with operator set 13.
const IR_VERSION: i64 = 7;

/// Brings a model to operator set `least`, at most 13; a model of that or a later one stays as it is.
///
/// # Errors
/// [`SurgeryError::Invalid`] if its set is older than 7, or an operator's change is not known.
pub fn upgrade(model: &mut Model, least: i64) -> Result<(), SurgeryError> {
    let least = least.min(LATEST);
    let opset = model.opset("").unwrap_or(1);
    if opset >= least {
        return Ok(());
    }
    if opset < OLDEST {
        let why = format!("operator set {opset} is too old to be brought to {least}: export the model anew");
        return Err(SurgeryError::Invalid { why });
    }
    let proto = model.proto_mut();
    proto.ir_version = Some(proto.ir_version().max(IR_VERSION));
    for import in proto.opset_import.iter_mut().filter(|own| matches!(own.domain(), "" | "ai.onnx")) {
        import.version = Some(LATEST);
    }
    unlist(model);
    let mut graph = Graph::of(model)?;
    for id in graph.walk() {
        node(&mut graph, id, opset)?;
    }
    graph.finish();
    Ok(())
}

/// Takes initializers from the inputs, which must not list them since IR version 4 made them defaults.
fn unlist(model: &mut Model) {
    let graph = model.graph_mut();
    let stored: std::collections::HashSet<String> =
        graph.initializer.iter().map(|tensor| tensor.name().to_owned()).collect();
    graph.input.retain(|input| !stored.contains(input.name()));
}

/// Attributes of a node that become inputs, in the order of the inputs from `first` on.
struct Moved<'a> {
    first: usize,
    names: &'a [&'a str],
}

fn node(graph: &mut Graph<'_>, id: NodeId, opset: i64) -> Result<(), SurgeryError> {
    let Some(own) = graph.node(id).cloned() else { return Ok(()) };
    if !matches!(own.domain(), "" | "ai.onnx") {
        return Ok(());
    }
    if own.attribute.iter().any(|attribute| attribute.g.is_some()) {
        let why = format!("{} holds a graph, whose operators are not brought to another set", title(&own));
        return Err(SurgeryError::Invalid { why });
    }
    let moved = |names| Moved { first: 1, names };
    match own.op_type() {
        "Clip" if opset < 11 => store(graph, id, &moved(&["min", "max"])),
        "Pad" if opset < 11 => store(graph, id, &moved(&["pads", "value"])),
        "Slice" if opset < 10 => store(graph, id, &moved(&["starts", "ends", "axes"])),
        "TopK" if opset < 10 => store(graph, id, &moved(&["k"])),
        "Squeeze" | "Unsqueeze" | "ReduceSum" => store(graph, id, &moved(&["axes"])),
        "Split" => store(graph, id, &moved(&["split"])),
        "Upsample" => resize(graph, id),
        "Resize" if opset < 11 => resize(graph, id),
        "Scatter" if opset < 11 => graph.update(id, |node| node.op_type = Some("ScatterElements".into())),
        "Softmax" | "LogSoftmax" | "Hardmax" => softmax(graph, id),
        "Dropout" if own.output.iter().skip(1).all(String::is_empty) => graph.update(id, |node| {
            *node = NodeProto {
                input: own.input[..1].to_vec(),
                output: own.output[..1].to_vec(),
                ..plain("Identity", &own)
            };
        }),
        "BatchNormalization" if own.int("spatial") != Some(0) => graph.update(id, |node| {
            node.unset("spatial");
        }),
        "Dropout" | "BatchNormalization" => {
            let why = format!("{} has a form that later operator sets do not have", title(&own));
            Err(SurgeryError::Invalid { why })
        }
        _ => Ok(()),
    }
}

/// A node of another operator with the same name.
fn plain(op: &str, node: &NodeProto) -> NodeProto {
    NodeProto { name: node.name.clone(), ..NodeProto::new(op) }
}

fn store(graph: &mut Graph<'_>, id: NodeId, moved: &Moved<'_>) -> Result<(), SurgeryError> {
    let Some(mut node) = graph.node(id).cloned() else { return Ok(()) };
    let mut inputs = Vec::new();
    for name in moved.names {
        let data = match (node.ints(name), node.int(name), node.float(name)) {
            (Some(values), ..) => Some(TensorData::from_i64(vec![values.len()], values)),
            (_, Some(value), _) => Some(TensorData::from_i64(vec![1], &[value])),
            (.., Some(value)) => Some(TensorData::from_f32(Vec::new(), &[value])),
            _ => None,
        };
        node.unset(name);
        inputs.push(match data {
            Some(data) => {
                let wanted = format!("{}_{name}", node.output.first().map_or("", String::as_str));
                let stored = graph.fresh_name(&wanted);
                graph.add_initializer(&stored, &data)?;
                stored
            }
            None => String::new(),
        });
    }
    while inputs.last().is_some_and(String::is_empty) {
        inputs.pop();
    }
    node.input.truncate(moved.first);
    node.input.extend(inputs);
    graph.replace(id, node)
}

/// Old resizing takes the pixel at the place times the scale, cut off.
fn resize(graph: &mut Graph<'_>, id: NodeId) -> Result<(), SurgeryError> {
    let Some(node) = graph.node(id).cloned() else { return Ok(()) };
    let scales = match (node.input.get(1), node.floats("scales")) {
        (Some(name), _) => name.clone(),
        (None, Some(values)) => {
            let stored = graph.fresh_name(&format!("{}_scales", node.output[0]));
            graph.add_initializer(&stored, &TensorData::from_f32(vec![values.len()], values))?;
            stored
        }
        (None, None) => {
            return Err(SurgeryError::Invalid { why: format!("{} has no scales", title(&node)) });
        }
    };
    let mode = node.text("mode").unwrap_or("nearest").to_owned();
    let resize = NodeProto {
        input: vec![node.input[0].clone(), String::new(), scales],
        output: node.output.clone(),
        ..plain("Resize", &node)
    };
    let resize = resize.attr("mode", mode.as_str()).attr("coordinate_transformation_mode", "asymmetric");
    graph.replace(id, resize.attr("nearest_mode", "floor"))
}

/// Before set 13 the axes from `axis` on were one.
fn softmax(graph: &mut Graph<'_>, id: NodeId) -> Result<(), SurgeryError> {
    let Some(node) = graph.node(id).cloned() else { return Ok(()) };
    let axis = node.int("axis").unwrap_or(1);
    let rank = graph.info(&node.input[0]).and_then(|own| own.shape).map(|shape| shape.len());
    let last = rank.and_then(|rank| crate::model::axes::resolve_axis(axis, rank).map(|axis| axis + 1 == rank));
    if axis == -1 || last == Some(true) {
        return graph.update(id, |node| node.set("axis", -1));
    }
    let (input, output) = (node.input[0].clone(), node.output[0].clone());
    let names = ["flat", "shape", "normalised"].map(|part| graph.fresh_name(&format!("{output}_{part}")));
    let [flat, shape, normalised] = &names;
    let new = vec![
        NodeProto::new("Flatten").input(&input).output(flat).attr("axis", axis),
        NodeProto { input: vec![flat.clone()], output: vec![normalised.clone()], ..plain(node.op_type(), &node) }
            .attr("axis", -1),
        NodeProto::new("Shape").input(&input).output(shape),
        NodeProto::new("Reshape").input(normalised).input(shape).output(&output),
    ];
    graph.replace_nodes(&[id], new).map(drop)
}
