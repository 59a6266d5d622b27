//! Cutting and masking stored tensors, copy on write.

use std::collections::BTreeMap;

use super::{InputPlace, RewriteError};
use crate::channels::indices::{Place, Role};
use crate::channels::propagation::{ConstantId, Use};
use crate::channels::{Channels, Cut};
use crate::model::{Model, TensorData};
use crate::ops::constant::{content, put};
use crate::ops::quantised::Quantisation;
use crate::surgery::{Names, add_initializer, references};

/// What one use wants of its tensor: per axis the indices to keep (slice) or to zero (mask); `None`: all or nothing.
type Wish = Vec<Option<Vec<usize>>>;

pub(super) fn slice(
    model: &Model,
    result: &mut Model,
    channels: &Channels,
    cut: &Cut,
    names: &mut Names,
) -> Result<(), RewriteError> {
    let wish = |read: &Use| -> Wish {
        (0..read.ids.rank())
            .map(|axis| {
                let kept = channels.kept(cut, &read.ids, axis);
                (kept.len() < read.ids.shape[axis]).then_some(kept)
            })
            .collect()
    };
    replace(model, result, channels, names, wish, |data, axis, indices, _| data.select(axis, indices))
}

pub(super) fn mask(
    model: &Model,
    result: &mut Model,
    channels: &Channels,
    cut: &Cut,
    names: &mut Names,
) -> Result<(), RewriteError> {
    let mut number = 0;
    let mut summed: Vec<Vec<usize>> = vec![Vec::new(); channels.uses().len()];
    for site in channels.channel_indices.sites() {
        if let (Place::Constant { use_id, axis }, Some((Role::Input, _))) = (&site.place, site.role) {
            summed[*use_id].push(*axis);
        }
    }
    let wish = |read: &Use| -> Wish {
        let axes = &summed[number];
        number += 1;
        (0..read.ids.rank())
            .map(|axis| {
                let kept = channels.kept(cut, &read.ids, axis);
                let cut_here = axes.contains(&axis) && kept.len() < read.ids.shape[axis];
                cut_here.then(|| (0..read.ids.shape[axis]).filter(|index| kept.binary_search(index).is_err()).collect())
            })
            .collect()
    };
    replace(model, result, channels, names, wish, |data, axis, indices, at| {
        let own = Quantisation::of(model, &model.graph().node[at.node], at.input, data.dims.len());
        zeroed(data, axis, indices, own.as_ref())
    })
}

/// The tensor with zeros at `indices` of `axis`: of integers those that stand for zero.
fn zeroed(data: &TensorData, axis: usize, indices: &[usize], own: Option<&Quantisation>) -> Option<TensorData> {
    let size = TensorData::element_size(data.dtype)?;
    let inner = data.dims[axis + 1..].iter().product::<usize>();
    let outer: usize = data.dims[..axis].iter().product();
    let mut bytes = data.bytes.to_vec();
    for o in 0..outer {
        for index in indices {
            let start = (o * data.dims[axis] + index) * inner;
            let cut = bytes.get_mut(start * size..(start + inner) * size)?;
            match own.filter(|_| size == 1) {
                None => cut.fill(0),
                Some(own) => cut.iter_mut().enumerate().for_each(|(at, byte)| {
                    *byte = own.zero(&data.dims, start + at).to_le_bytes()[0];
                }),
            }
        }
    }
    Some(TensorData { dtype: data.dtype, dims: data.dims.clone(), bytes: bytes.into() })
}

/// Gives every use the tensor it wants. A tensor all of whose readers want the same is changed in place; else the
/// readers that want something new get copies.
fn replace(
    model: &Model,
    result: &mut Model,
    channels: &Channels,
    names: &mut Names,
    mut wish: impl FnMut(&Use) -> Wish,
    change: impl Fn(&TensorData, usize, &[usize], InputPlace) -> Option<TensorData>,
) -> Result<(), RewriteError> {
    let mut by_source: BTreeMap<ConstantId, BTreeMap<Wish, Vec<(usize, usize)>>> = BTreeMap::new();
    for read in channels.uses() {
        let wanted = wish(read);
        by_source.entry(read.source).or_default().entry(wanted).or_default().push((read.node, read.input));
    }
    let counts = references(model.graph());
    for (source, wishes) in by_source {
        let Some(old) = content(model, source)? else { continue };
        let name = match source {
            ConstantId::Initializer(index) => model.graph().initializer[index].name().to_owned(),
            ConstantId::Node(index) => model.graph().node[index].output[0].clone(),
        };
        let readers = counts.get(&name).copied().unwrap_or(0);
        let mut copies: Vec<(String, TensorData)> = Vec::new();
        for (wanted, readers_here) in &wishes {
            if wanted.iter().all(Option::is_none) {
                continue;
            }
            let (node, input) = readers_here[0];
            let place = InputPlace { node, input };
            let mut data = old.clone();
            for (axis, indices) in wanted.iter().enumerate().filter_map(|(a, i)| Some((a, i.as_ref()?))) {
                let changed = change(&data, axis, indices, place);
                data = changed.ok_or_else(|| crate::model::ModelError::Tensor {
                    tensor: name.clone(),
                    why: "its element type cannot be sliced".into(),
                })?;
            }
            if wishes.len() == 1 && readers_here.len() == readers {
                put(result, source, &data);
                continue;
            }
            // Tensors of zeros were merged by the exporter; their slices are equal again.
            let known = copies.iter().find(|(_, other)| other.dims == data.dims && other.bytes == data.bytes);
            let copy = if let Some((copy, _)) = known {
                copy.clone()
            } else {
                let copy = names.fresh(&format!("{name}_pruned"));
                add_initializer(result, &copy, &data);
                copies.push((copy.clone(), data));
                copy
            };
            for &(node, input) in readers_here {
                result.graph_mut().node[node].input[input].clone_from(&copy);
            }
        }
    }
    Ok(())
}
