//! Models and values as they are sent.

use bytes::Bytes;
use prost::Message as _;

use super::kept::{kept, taken};
use super::message::{Numbers, Stored};
use crate::engine::{Feed, Tensor};
use crate::model::{LoadOptions, Model, ModelError, TensorData};
use crate::proto::onnx::{ModelProto, TensorProto};

/// Bytes from which a tensor is sent beside the graph.
const LARGE: usize = 256;

/// A model in two parts: the graph, and the numbers of its large initializers by their places.
#[derive(Clone, PartialEq)]
pub(super) struct Packed {
    pub(super) graph: Bytes,
    pub(super) tensors: Vec<(usize, String, TensorData)>,
}

impl Packed {
    pub(super) fn new(model: &Model) -> Self {
        let mut proto = model.proto().clone();
        let mut tensors = Vec::new();
        let initializers = proto.graph.as_mut().map(|graph| &mut graph.initializer[..]).unwrap_or_default();
        for (place, tensor) in initializers.iter_mut().enumerate() {
            // What cannot be read as numbers (texts) stays where it is.
            let Ok(data) = model.tensor(tensor) else { continue };
            if data.bytes.len() < LARGE && tensor.external_data.is_empty() {
                continue;
            }
            let name = tensor.name().to_owned();
            let (dims, data_type) = (tensor.dims.clone(), tensor.data_type);
            *tensor = TensorProto { dims, data_type, name: Some(name.clone()), ..TensorProto::default() };
            tensors.push((place, name, data));
        }
        Self { graph: proto.encode_to_vec().into(), tensors }
    }

    /// Where the numbers come from at a peer that holds some models, and those that have to be sent.
    pub(super) fn beside(&self, held: &[(u32, Self)]) -> (Vec<Stored>, Vec<Bytes>) {
        let mut sent = Vec::new();
        let stored = self.tensors.iter().map(|(place, name, data)| {
            let known = held.iter().find_map(|(model, own)| {
                let (place, _, whole) = own.tensors.iter().find(|(_, own, _)| own == name)?;
                Some(Numbers::Kept { model: *model, place: *place, kept: kept(data, whole)? })
            });
            let numbers = known.unwrap_or_else(|| {
                sent.push(data.bytes.clone());
                Numbers::Sent { bytes: data.bytes.len() }
            });
            Stored { place: *place, numbers }
        });
        (stored.collect(), sent)
    }
}

/// A model that was sent. `held`: an initializer of a model that is held, by number and place; `room`: bytes that the numbers
/// may take.
///
/// # Errors
/// What is wrong with it.
pub(super) fn unpacked(
    payload: &Bytes,
    graph: usize,
    tensors: &[Stored],
    held: &dyn Fn(u32, usize) -> Option<TensorData>,
    mut room: u64,
) -> Result<Model, String> {
    let mut at = graph;
    let graph = part(payload, 0, graph)?;
    let mut model = Model::from_bytes(graph, &LoadOptions::default()).map_err(|error| told(&error))?;
    for Stored { place, numbers } in tensors {
        let data = match numbers {
            Numbers::Sent { bytes } => {
                at += bytes;
                part(payload, at - bytes, at)?
            }
            Numbers::Kept { model, place, kept } => {
                let whole = held(*model, *place).ok_or("it refers to a tensor that is not here")?;
                let count: usize =
                    kept.iter().zip(&whole.dims).map(|(own, &all)| own.as_ref().map_or(all, Vec::len)).product();
                let size = TensorData::element_size(whole.dtype).unwrap_or(1);
                let copied = if kept.iter().all(Option::is_none) { 0 } else { (count * size) as u64 };
                room = room.checked_sub(copied).ok_or("it needs more memory than the agent may use")?;
                taken(&whole, kept).ok_or("it refers to indices that are not there")?.bytes
            }
        };
        let tensor = model.graph_mut().initializer.get_mut(*place).ok_or("it has no such initializer")?;
        tensor.raw_data = Some(data);
    }
    model.checked().map_err(|error| told(&error))
}

fn told(error: &ModelError) -> String {
    use crate::explain::Explain as _;
    error.why().map_or_else(|| error.to_string(), |why| format!("{error}: {why}"))
}

fn part(payload: &Bytes, from: usize, to: usize) -> Result<Bytes, String> {
    let inside = from <= to && to <= payload.len();
    if inside { Ok(payload.slice(from..to)) } else { Err("it is shorter than it says".into()) }
}

/// Values by name as messages, and their lengths.
pub(super) fn packed_values<'a>(values: impl Iterator<Item = (&'a str, &'a Tensor)>) -> (Vec<usize>, Vec<Bytes>) {
    let encoded = values.map(|(name, value)| Bytes::from(TensorData::from(value).to_proto(name).encode_to_vec()));
    encoded.map(|bytes| (bytes.len(), bytes)).unzip()
}

/// Values that were sent.
///
/// # Errors
/// What is wrong with them.
pub(super) fn unpacked_values(payload: &Bytes, lengths: &[usize]) -> Result<Vec<(String, Tensor)>, String> {
    let mut from = 0_usize;
    let mut found = Vec::new();
    for length in lengths {
        let to = from.checked_add(*length).ok_or("it is shorter than it says")?;
        let message = TensorProto::decode(part(payload, from, to)?).map_err(|error| error.to_string())?;
        let data = Model::from_proto(ModelProto::default()).tensor(&message).map_err(|error| told(&error))?;
        let value = Tensor::try_from(&data).map_err(|error| error.to_string())?;
        found.push((message.name().to_owned(), value));
        from = to;
    }
    Ok(found)
}

/// Inputs that were sent.
pub(super) fn unpacked_feed(payload: &Bytes, lengths: &[usize]) -> Result<Feed, String> {
    Ok(unpacked_values(payload, lengths)?.into_iter().map(|(name, value)| (name, value.into())).collect())
}
