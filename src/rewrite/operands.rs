//! Operands that carry channel counts: targets of `Reshape`, amounts of `Pad`, bounds of `Slice`.
//!
//! Stored operands are replaced. Operands that the model computes itself from shapes often adapt on their own; where
//! they do not, the elements that came out wrong are overridden.

use std::collections::HashMap;

use super::RewriteError;
use super::added::Added;
use crate::channels::run::{attribute, node_name};
use crate::channels::{AnalyseOptions, Channels, small_values};
use crate::model::{DataType, Model, TensorData};
use crate::proto::onnx::NodeProto;
use crate::surgery::{Names, add_initializer, references};

/// An operand that must hold these values: (node, input, values).
pub(super) type Required = (usize, usize, Vec<i64>);

pub(super) fn adapt(
    model: &Model,
    result: &mut Model,
    channels: &Channels,
    required: &[Required],
    names: &mut Names,
    added: &mut Added,
) -> Result<(), RewriteError> {
    let mut computed = Vec::new();
    for (node, input, values) in required {
        let name = result.graph().node[*node].input[*input].clone();
        match stored(model, &name) {
            Some(old) => {
                let data = like(&old, values);
                replace(result, (*node, *input), &name, &data, names);
            }
            None if name.is_empty() => {
                let data = TensorData::from_i64(vec![values.len()], values);
                let wanted = format!("{}_operand", node_name(&result.graph().node[*node]));
                replace(result, (*node, *input), &wanted, &data, names);
            }
            None => computed.push((*node, *input, values.clone())),
        }
    }
    if computed.is_empty() { Ok(()) } else { adapt_computed(model, result, channels, computed, names, added) }
}

/// Overrides computed operands until every one holds what it must.
fn adapt_computed(
    model: &Model,
    result: &mut Model,
    channels: &Channels,
    mut open: Vec<Required>,
    names: &mut Names,
    added: &mut Added,
) -> Result<(), RewriteError> {
    // An element that changes with the sizes of symbolic dims must stay computed.
    let here = small_values(model, &channels.options);
    let elsewhere = small_values(
        model,
        &AnalyseOptions {
            batch: channels.options.batch + 1,
            other: channels.options.other * 2,
            sizes: channels.options.sizes.iter().map(|(name, size)| (name.clone(), size * 2)).collect(),
            ..channels.options.clone()
        },
    );
    while !open.is_empty() {
        let now = small_values(result, &channels.options);
        let before = open.len();
        let mut rest = Vec::new();
        for (node, input, values) in open {
            let name = result.graph().node[node].input[input].clone();
            let Some(found) = now.get(&name) else {
                rest.push((node, input, values));
                continue;
            };
            if *found == values {
                continue;
            }
            let varies = here.get(&name) != elsewhere.get(&name);
            let shape = channels.shape(&name).filter(|shape| shape.iter().product::<usize>() == values.len());
            let dims = shape.map_or_else(|| vec![values.len()], <[usize]>::to_vec);
            let data = TensorData::from_i64(dims.clone(), &values);
            let wanted = format!("{name}_pruned");
            let fixed = names.fresh(&wanted);
            add_initializer(result, &fixed, &data);
            let replacement = if varies {
                let wrong: Vec<u8> = values.iter().zip(found).map(|(a, b)| u8::from(a != b)).collect();
                let data = TensorData { dtype: DataType::Bool, dims, bytes: wrong.into() };
                let (mask, output) = (names.fresh(&format!("{name}_mask")), names.fresh(&format!("{name}_where")));
                add_initializer(result, &mask, &data);
                let patch = NodeProto {
                    op_type: Some("Where".into()),
                    name: Some(output.clone()),
                    input: vec![mask, fixed, name],
                    output: vec![output.clone()],
                    ..NodeProto::default()
                };
                added.before(result, node, patch);
                output
            } else {
                fixed
            };
            result.graph_mut().node[node].input[input] = replacement;
        }
        if rest.len() == before {
            let (node, input, _) = rest[0];
            let node = &result.graph().node[node];
            return Err(RewriteError::Operand { node: node_name(node), op: node.op_type().to_owned(), input });
        }
        open = rest;
    }
    Ok(())
}

/// The tensor behind a name, if it is stored rather than computed.
fn stored(model: &Model, name: &str) -> Option<TensorData> {
    let graph = model.graph();
    if let Some(tensor) = graph.initializer.iter().find(|tensor| tensor.name() == name) {
        return model.tensor(tensor).ok();
    }
    let node = graph.node.iter().find(|node| node.output.iter().any(|output| output == name))?;
    if node.op_type() != "Constant" {
        return None;
    }
    if let Some(tensor) = attribute(node, "value").and_then(|value| value.t.as_ref()) {
        return model.tensor(tensor).ok();
    }
    let ints = &attribute(node, "value_ints")?.ints;
    Some(TensorData::from_i64(vec![ints.len()], ints))
}

/// Whole numbers in the type of `old`, and in its shape where they are as many.
fn like(old: &TensorData, values: &[i64]) -> TensorData {
    let dims = if old.len() == values.len() { old.dims.clone() } else { vec![values.len()] };
    if old.dtype == DataType::Int32 {
        let narrow = |&value: &i64| i32::try_from(value).unwrap_or(if value < 0 { i32::MIN } else { i32::MAX });
        let bytes: Vec<u8> = values.iter().flat_map(|value| narrow(value).to_le_bytes()).collect();
        return TensorData { dtype: DataType::Int32, dims, bytes: bytes.into() };
    }
    TensorData::from_i64(dims, values)
}

/// Gives one input of one node a stored operand, in place if nobody else reads it.
fn replace(result: &mut Model, (node, input): (usize, usize), name: &str, data: &TensorData, names: &mut Names) {
    let counts: HashMap<String, usize> = references(result.graph());
    let alone = counts.get(name) == Some(&1);
    let graph = result.graph_mut();
    if let Some(tensor) = graph.initializer.iter_mut().find(|tensor| alone && tensor.name() == name) {
        *tensor = data.to_proto(name);
        return;
    }
    let fresh = names.fresh(&if counts.contains_key(name) { format!("{name}_pruned") } else { name.to_owned() });
    add_initializer(result, &fresh, data);
    result.graph_mut().node[node].input[input] = fresh;
}
