//! Operands that carry channel counts: targets of `Reshape`, amounts of `Pad`, bounds of `Slice`.
//!
//! Stored operands are replaced. Operands that the model computes itself from shapes often adapt on their own; where
//! they do not, the elements that came out wrong are overridden.

use std::collections::{BTreeMap, HashMap};

use super::InputPlace;
use super::RewriteError;
use super::added::Added;
use crate::channels::{AnalyseOptions, Channels, small_values};
use crate::model::node::node_name;
use crate::model::{DataType, Model, TensorData};
use crate::ops::constant::{content, named};
use crate::proto::onnx::NodeProto;
use crate::surgery::{Names, add_initializer, references};

/// An operand that must hold these values.
pub(super) struct Required {
    /// Index of the node in the original graph.
    pub(super) node: usize,
    pub(super) input: usize,
    pub(super) values: Vec<i64>,
    /// Its shape, where it is no list.
    pub(super) shape: Option<Vec<usize>>,
}

impl Required {
    /// The shape to give it: its own, that of as many values before, or a list.
    fn dims(&self, before: Option<&[usize]>) -> Vec<usize> {
        let fits = |shape: &&[usize]| shape.iter().product::<usize>() == self.values.len();
        self.shape.as_deref().or(before.filter(fits)).map_or_else(|| vec![self.values.len()], <[usize]>::to_vec)
    }

    fn error(&self, model: &Model) -> RewriteError {
        let node = &model.graph().node[self.node];
        RewriteError::Operand { node: node_name(node), op: node.op_type().to_owned(), input: self.input }
    }
}

pub(super) fn adapt(
    model: &Model,
    result: &mut Model,
    channels: &Channels,
    required: Vec<Required>,
    names: &mut Names,
    added: &mut Added,
) -> Result<(), RewriteError> {
    let mut computed = Vec::new();
    for wanted in required {
        if wanted.shape.as_ref().is_some_and(|shape| shape.iter().product::<usize>() != wanted.values.len()) {
            return Err(wanted.error(model));
        }
        let place = InputPlace { node: wanted.node, input: wanted.input };
        let name = result.graph().node[place.node].input[place.input].clone();
        match stored(model, &name) {
            Some(old) => {
                let data = like(&old, wanted.dims(Some(&old.dims)), &wanted.values);
                replace(result, place, &name, &data, names);
            }
            None if name.is_empty() => {
                let data = TensorData::from_i64(wanted.dims(None), &wanted.values);
                let name = format!("{}_operand", node_name(&result.graph().node[place.node]));
                replace(result, place, &name, &data, names);
            }
            None => computed.push(wanted),
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
            // What a run showed is true of these sizes alone.
            shapes: BTreeMap::new(),
            ..channels.options.clone()
        },
    );
    while !open.is_empty() {
        let now = small_values(result, &channels.options);
        let mut rest = Vec::new();
        let mut stuck = true;
        for wanted in open {
            let name = result.graph().node[wanted.node].input[wanted.input].clone();
            match now.get(&name) {
                Some(found) => {
                    stuck = false;
                    if *found != wanted.values {
                        let varies = here.get(&name) != elsewhere.get(&name);
                        force(result, channels, &wanted, varies.then_some(found), names, added);
                    }
                }
                None => rest.push(wanted),
            }
        }
        if stuck {
            // Shapes in front of it are not known after the cut: what it was before tells which elements to force.
            let wanted = rest.remove(0);
            let name = &result.graph().node[wanted.node].input[wanted.input];
            let Some(before) = here.get(name).cloned() else { return Err(wanted.error(model)) };
            if before != wanted.values {
                let varies = Some(&before) != elsewhere.get(name);
                force(result, channels, &wanted, varies.then_some(&before), names, added);
            }
        }
        open = rest;
    }
    Ok(())
}

/// Overrides a computed operand: as a whole, or where it differs from `found` if the rest must stay computed.
fn force(
    result: &mut Model,
    channels: &Channels,
    wanted: &Required,
    found: Option<&Vec<i64>>,
    names: &mut Names,
    added: &mut Added,
) {
    let name = result.graph().node[wanted.node].input[wanted.input].clone();
    let dims = wanted.dims(channels.shape(&name));
    let data = TensorData::from_i64(dims.clone(), &wanted.values);
    let fixed = names.fresh(&format!("{name}_pruned"));
    add_initializer(result, &fixed, &data);
    let replacement = match found {
        Some(found) => {
            let wrong: Vec<u8> = wanted.values.iter().zip(found).map(|(a, b)| u8::from(a != b)).collect();
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
            added.before(result, wanted.node, patch);
            output
        }
        None => fixed,
    };
    result.graph_mut().node[wanted.node].input[wanted.input] = replacement;
}

/// The tensor behind a name, if it is stored rather than computed.
fn stored(model: &Model, name: &str) -> Option<TensorData> {
    content(model, named(model.graph(), name)?).ok()?
}

/// Whole numbers in the type of `old`.
fn like(old: &TensorData, dims: Vec<usize>, values: &[i64]) -> TensorData {
    if old.dtype == DataType::Int32 {
        let narrow = |&value: &i64| i32::try_from(value).unwrap_or(if value < 0 { i32::MIN } else { i32::MAX });
        let bytes: Vec<u8> = values.iter().flat_map(|value| narrow(value).to_le_bytes()).collect();
        return TensorData { dtype: DataType::Int32, dims, bytes: bytes.into() };
    }
    TensorData::from_i64(dims, values)
}

/// Gives one input of one node a stored operand, in place if nobody else reads it.
fn replace(result: &mut Model, place: InputPlace, name: &str, data: &TensorData, names: &mut Names) {
    let counts: HashMap<String, usize> = references(result.graph());
    let alone = counts.get(name) == Some(&1);
    let graph = result.graph_mut();
    if let Some(tensor) = graph.initializer.iter_mut().find(|tensor| alone && tensor.name() == name) {
        *tensor = data.to_proto(name);
        return;
    }
    let fresh = names.fresh(&if counts.contains_key(name) { format!("{name}_pruned") } else { name.to_owned() });
    add_initializer(result, &fresh, data);
    result.graph_mut().node[place.node].input[place.input] = fresh;
}
