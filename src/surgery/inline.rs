//! Model-local functions and decided branches, written out where they stand.
//!
//! <https://onnx.ai/onnx/repo-docs/IR.html#functions> (IR version 8 and later),
//! <https://onnx.ai/onnx/operators/onnx__If.html>

use std::collections::HashMap;

use super::find::Names;
use crate::model::Model;
use crate::model::axes::sizes;
use crate::model::node::tensor_info;
use crate::proto::onnx::{AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto};

/// Calls are written out until this many nodes; a small file can describe an enormous graph.
const MOST_NODES: usize = 1 << 18;

/// Functions call functions at most this deep; the specification forbids recursion, a hostile file may not.
const DEEPEST: usize = 64;

/// Writes out calls of model-local functions in the main graph and drops the functions that nobody calls any more.
/// Returns how many calls were written out.
///
/// Functions with subgraphs, and those written for another opset than the model's, stay calls.
pub fn inline_functions(model: &mut Model) -> usize {
    if model.proto().functions.is_empty() {
        return 0;
    }
    let functions = model.proto().functions.clone();
    let mut names = Names::of(model.graph());
    let mut count = 0;
    for _ in 0..DEEPEST {
        let calls = model.graph().node.iter().filter(|node| callee(&functions, node, model.proto()).is_some()).count();
        if calls == 0 || model.graph().node.len() > MOST_NODES {
            break;
        }
        count += calls;
        let old = std::mem::take(&mut model.graph_mut().node);
        let mut nodes = Vec::with_capacity(old.len());
        for node in old {
            match callee(&functions, &node, model.proto()) {
                Some(function) => nodes.extend(body(function, &node, &mut names)),
                None => nodes.push(node),
            }
        }
        model.graph_mut().node = nodes;
        adopt(model.proto_mut(), &functions);
    }
    // Only what the main graph no longer calls directly can be dropped: subgraphs and functions may call others.
    if count > 0 && !model.graph().node.iter().any(|node| calls_any(&functions, node)) {
        model.proto_mut().functions.clear();
    }
    count
}

/// Writes out the branch of every `If` of the main graph whose condition is known: `decided` gives it by the name of
/// the value. Returns how many were written out; branches with subgraphs of their own stay.
pub fn inline_branches(model: &mut Model, decided: &dyn Fn(&str) -> Option<bool>) -> usize {
    let mut names = Names::of(model.graph());
    let old = std::mem::take(&mut model.graph_mut().node);
    let (mut nodes, mut stored, mut count) = (Vec::with_capacity(old.len()), Vec::new(), 0);
    for node in old {
        match branch(&node, decided) {
            Some(taken) => {
                count += 1;
                nodes.extend(taken_out(taken, &node, &mut names, &mut stored));
            }
            None => nodes.push(node),
        }
    }
    let listed = model.proto().ir_version() < 4;
    let graph = model.graph_mut();
    graph.node = nodes;
    if listed {
        let declare =
            |tensor: &TensorProto| tensor_info(tensor.name(), tensor.data_type(), sizes(&tensor.dims).as_deref());
        graph.input.extend(stored.iter().map(declare));
    }
    graph.initializer.extend(stored);
    count
}

/// The branch that is taken, if that is known and it can be written out.
fn branch<'n>(node: &'n NodeProto, decided: &dyn Fn(&str) -> Option<bool>) -> Option<&'n GraphProto> {
    if node.op_type() != "If" || !matches!(node.domain(), "" | "ai.onnx") {
        return None;
    }
    let wanted = if decided(node.input.first()?)? { "then_branch" } else { "else_branch" };
    let taken = node.attribute.iter().find(|attribute| attribute.name() == wanted)?.g.as_ref()?;
    let plain = |node: &NodeProto| node.attribute.iter().all(|a| a.g.is_none() && a.graphs.is_empty());
    (taken.node.iter().all(plain) && taken.sparse_initializer.is_empty()).then_some(taken)
}

/// The nodes of a branch under names of the main graph; its stored tensors are added to `stored`.
fn taken_out(taken: &GraphProto, node: &NodeProto, names: &mut Names, stored: &mut Vec<TensorProto>) -> Vec<NodeProto> {
    let mut renamed: HashMap<&str, String> = HashMap::new();
    let own = taken.node.iter().flat_map(|node| &node.output).map(String::as_str);
    let own = own.chain(taken.initializer.iter().map(TensorProto::name));
    for name in own.filter(|name| !name.is_empty()) {
        // Branches may use one name each, but not one of the outer graph.
        renamed.insert(name, names.fresh(name));
    }
    for tensor in &taken.initializer {
        let name = renamed.get(tensor.name()).cloned();
        stored.push(TensorProto { name, ..tensor.clone() });
    }
    let mut nodes: Vec<NodeProto> = taken.node.clone();
    for name in nodes.iter_mut().flat_map(|node| node.input.iter_mut().chain(&mut node.output)) {
        if let Some(outer) = renamed.get(name.as_str()) {
            name.clone_from(outer);
        }
    }
    for (inner, outer) in taken.output.iter().zip(&node.output).filter(|(_, outer)| !outer.is_empty()) {
        let inner = renamed.get(inner.name()).cloned().unwrap_or_else(|| inner.name().to_owned());
        nodes.push(NodeProto {
            op_type: Some("Identity".into()),
            name: Some(names.fresh(&format!("{outer}_taken"))),
            input: vec![inner],
            output: vec![outer.clone()],
            ..NodeProto::default()
        });
    }
    nodes
}

fn matches(function: &FunctionProto, node: &NodeProto) -> bool {
    function.name() == node.op_type() && function.domain() == node.domain() && function.overload() == node.overload()
}

fn calls_any(functions: &[FunctionProto], node: &NodeProto) -> bool {
    let inside = |node: &NodeProto| node.attribute.iter().any(|a| a.g.is_some() || !a.graphs.is_empty());
    functions.iter().any(|function| matches(function, node)) || inside(node)
}

/// The function that a node calls, if it can be written out.
fn callee<'f>(functions: &'f [FunctionProto], node: &NodeProto, proto: &ModelProto) -> Option<&'f FunctionProto> {
    let function = functions.iter().find(|function| matches(function, node))?;
    let plain = |node: &NodeProto| node.attribute.iter().all(|a| a.g.is_none() && a.graphs.is_empty());
    let domain = |name: &str| if name == "ai.onnx" { String::new() } else { name.to_owned() };
    let same_opset = function.opset_import.iter().all(|wanted| {
        let own = proto.opset_import.iter().find(|own| domain(own.domain()) == domain(wanted.domain()));
        own.is_none_or(|own| own.version() == wanted.version())
    });
    (same_opset && function.node.iter().all(plain)).then_some(function)
}

/// Takes over the opsets of written-out functions.
fn adopt(proto: &mut ModelProto, functions: &[FunctionProto]) {
    for import in functions.iter().flat_map(|function| &function.opset_import) {
        let used = proto.graph.as_ref().is_some_and(|graph| graph.node.iter().any(|n| n.domain() == import.domain()));
        let known = proto.opset_import.iter().any(|own| own.domain() == import.domain());
        if used && !known && !matches!(import.domain(), "" | "ai.onnx") {
            proto.opset_import.push(import.clone());
        }
    }
}

/// The nodes of one call.
fn body(function: &FunctionProto, call: &NodeProto, names: &mut Names) -> Vec<NodeProto> {
    let own = if call.name().is_empty() { call.output.first().map_or("call", String::as_str) } else { call.name() };
    let mut renamed: HashMap<&str, String> = HashMap::new();
    for (number, input) in function.input.iter().enumerate() {
        renamed.insert(input, call.input.get(number).cloned().unwrap_or_default());
    }
    let mut nodes = Vec::new();
    for (number, output) in function.output.iter().enumerate() {
        let Some(wanted) = call.output.get(number).filter(|name| !name.is_empty()) else { continue };
        if let Some(handed_on) = renamed.get(output.as_str()) {
            nodes.push(NodeProto {
                op_type: Some("Identity".into()),
                name: Some(format!("{own}/{output}")),
                input: vec![handed_on.clone()],
                output: vec![wanted.clone()],
                ..NodeProto::default()
            });
            continue;
        }
        renamed.insert(output, wanted.clone());
    }
    for inner in &function.node {
        let mut node = inner.clone();
        node.name = Some(format!("{own}/{}", crate::model::node::node_name(inner)));
        let own_names = inner.input.iter().chain(&inner.output);
        for (name, key) in node.input.iter_mut().chain(&mut node.output).zip(own_names) {
            if !key.is_empty() {
                let outer = renamed.entry(key).or_insert_with(|| names.fresh(&format!("{own}/{key}")));
                name.clone_from(outer);
            }
        }
        node.attribute = inner.attribute.iter().filter_map(|attribute| bound(attribute, call, function)).collect();
        nodes.push(node);
    }
    nodes
}

/// An attribute of an inner node, with the call's value or the default where it refers to one; `None`: not given.
fn bound(attribute: &AttributeProto, call: &NodeProto, function: &FunctionProto) -> Option<AttributeProto> {
    if attribute.ref_attr_name().is_empty() {
        return Some(attribute.clone());
    }
    let wanted = attribute.ref_attr_name();
    let given = call.attribute.iter().chain(&function.attribute_proto).find(|given| given.name() == wanted)?;
    Some(AttributeProto { name: attribute.name.clone(), ..given.clone() })
}
