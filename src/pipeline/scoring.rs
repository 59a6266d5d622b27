//! Scores of all groups by one criterion.

use ndarray::{Array2, ArrayD, Axis, IxDyn};
use rayon::prelude::*;

use super::classes::Classes;
use super::dense::Observed;
use crate::channels::propagation::source_tensor;
use crate::channels::{Channels, Group, Slices};
use crate::error::Error;
use crate::model::{Model, TensorData};
use crate::score::relatedness::Relatedness;
use crate::score::responses::Responses;
use crate::score::{Criterion, GroupInput, GroupScores, L2, Regression, Response};
use crate::statistics::{Centring, ClassGram, InputFeatures};

/// What the images say about the classes.
pub(super) struct ClassContext {
    /// `None` where the model's outputs cannot be seen as rows.
    pub(super) responses: Option<Responses>,
    pub(super) relatedness: Relatedness,
    pub(super) weights: Vec<f64>,
}

impl ClassContext {
    /// Responses and relatedness of the classes.
    pub(super) fn new(observed: &Observed, classes: &Classes, response: Response) -> Result<Self, Error> {
        let weights = classes.weights();
        let Some(outputs) = &observed.outputs else {
            // Only models without class scores: all images are one class, which is related to nothing.
            return Ok(Self { responses: None, relatedness: Relatedness::single(), weights });
        };
        let responses = match response {
            _ if classes.count() == 1 => Responses::from_embeddings(outputs.view())?,
            Response::Soft => Responses::soft(outputs.view(), &labels(observed, classes), &classes.members)?,
            _ => Responses::from_clusters(&labels(observed, classes), &classes.members)?,
        };
        let responses = if weights.is_empty() {
            responses
        } else {
            responses.with_weights(&crate::score::responses::ClassWeights::Table(weights.clone()))?
        };
        let relatedness = if classes.count() == 1 {
            Relatedness::single()
        } else {
            Relatedness::from_outputs(outputs.view()).merged(&classes.members)
        };
        Ok(Self { responses: Some(responses), relatedness, weights })
    }
}

/// A label of the class that every observed image is in.
fn labels(observed: &Observed, classes: &Classes) -> Vec<usize> {
    observed.labels.iter().map(|&class| classes.members[class].first().copied().unwrap_or(0)).collect()
}

/// Scores groups by one criterion.
pub(super) struct Scorer<'a> {
    pub(super) model: &'a Model,
    pub(super) channels: &'a Channels,
    pub(super) criterion: &'a dyn Criterion,
    pub(super) observed: Option<&'a Observed>,
    pub(super) known: Option<&'a ClassContext>,
    pub(super) seed: u64,
}

/// What a group's input borrows from.
struct Data {
    producers: Vec<Array2<f32>>,
    consumers: Vec<Array2<f32>>,
    regressions: Vec<Regression>,
    contributions: Vec<ClassGram>,
    scales: Vec<Vec<f64>>,
}

impl Scorer<'_> {
    /// One score per pruning unit and group, larger stays.
    pub(super) fn scores(&self) -> Result<Vec<GroupScores>, Error> {
        (0..self.channels.groups.len())
            .into_par_iter()
            .map(|group| {
                let data = self.data(group)?;
                let input = self.input(group, &data);
                // Nothing tells what these channels are for.
                let blind = self.criterion.needs().fallback && data.contributions.is_empty();
                let criterion = if blind && input.responses.is_none() { &L2 } else { self.criterion };
                Ok(criterion.score(&input)?)
            })
            .collect()
    }

    /// The pruning units that a group keeps, as the criterion would rather have them; no value is left without channels.
    pub(super) fn refine(&self, group: usize, kept: Vec<usize>) -> Result<Vec<usize>, Error> {
        let own = &self.channels.groups[group];
        if kept.len() == own.width() || !self.criterion.refines() {
            return Ok(kept);
        }
        let found = self.criterion.refine(&self.input(group, &self.data(group)?), kept.clone())?;
        let whole = own.keep_sets.iter().all(|keep_set| keep_set.iter().any(|unit| found.binary_search(unit).is_ok()));
        Ok(if whole && found.len() == kept.len() { found } else { kept })
    }

    fn data(&self, group: usize) -> Result<Data, Error> {
        let (group, needs) = (&self.channels.groups[group], self.criterion.needs());
        let mut regressions = Vec::new();
        let moments = self.observed.and_then(|observed| observed.moments.as_ref());
        if let Some(moments) = moments.filter(|_| needs.moments) {
            for consumer_input in &group.consumer_inputs {
                regressions.extend(moments.regression(self.model, self.channels, consumer_input)?);
            }
        }
        Ok(Data {
            producers: matrices(self.model, self.channels, &group.producers)?,
            // Only activations are weighted by what reads them.
            consumers: if needs.features || needs.fallback {
                matrices(self.model, self.channels, &group.consumers)?
            } else {
                Vec::new()
            },
            regressions,
            contributions: match (self.observed, self.criterion.centring()) {
                (Some(observed), Some(centring)) if needs.contributions => {
                    contributions(self.model, self.channels, group, observed, centring)?
                }
                _ => Vec::new(),
            },
            scales: scales(self.model, self.channels, group)?,
        })
    }

    fn input<'b>(&'b self, index: usize, data: &'b Data) -> GroupInput<'b> {
        const NONE: &[InputFeatures] = &[];
        let group = &self.channels.groups[index];
        GroupInput {
            name: &group.name,
            width: group.width(),
            producer_weights: data.producers.iter().map(|matrix| matrix.view()).collect(),
            consumer_weights: data.consumers.iter().map(|matrix| matrix.view()).collect(),
            consumer_inputs: self
                .observed
                .and_then(|observed| observed.features.get(index))
                .map_or(NONE, Vec::as_slice),
            regressions: &data.regressions,
            contributions: &data.contributions,
            scales: data.scales.clone(),
            ranks: self.observed.and_then(|observed| observed.ranks.get(index)).map_or(&[], Vec::as_slice),
            responses: self.known.and_then(|known| known.responses.as_ref()),
            relatedness: self.known.map(|known| &known.relatedness),
            class_weights: self.known.map_or(&[], |known| known.weights.as_slice()),
            seed: self.seed,
        }
    }
}

/// Class-conditional statistics of a group, one entry per consumer whose outputs can be told apart by channel.
pub(super) fn contributions(
    model: &Model,
    channels: &Channels,
    group: &Group,
    observed: &Observed,
    centring: Centring,
) -> Result<Vec<ClassGram>, Error> {
    let mut found = Vec::new();
    for (moments, consumer_input) in observed
        .moments
        .iter()
        .flat_map(|moments| group.consumer_inputs.iter().map(move |consumer_input| (moments, consumer_input)))
    {
        found.extend(moments.class_gram(model, channels, consumer_input, centring)?);
    }
    Ok(found)
}

/// Scales of the batch normalisations that the pruning units pass.
fn scales(model: &Model, channels: &Channels, group: &Group) -> Result<Vec<Vec<f64>>, Error> {
    let mut found = Vec::new();
    for slices in &group.parameters {
        let scale = model.graph().node[slices.node].op_type() == "BatchNormalization" && slices.input == 1;
        let Some(source) = channels.source(slices.node, slices.input).filter(|_| scale) else { continue };
        let Some(tensor) = source_tensor(model.graph(), source) else { continue };
        let Some(values) = model.tensor(tensor)?.to_f32() else { continue };
        let largest = |own: &Vec<usize>| own.iter().map(|&at| f64::from(values[at].abs())).fold(0.0, f64::max);
        found.push(slices.indices.iter().map(largest).collect());
    }
    Ok(found)
}

/// For every constant a matrix `[units, elements]`. Constants whose slices differ in number are left out.
fn matrices(model: &Model, channels: &Channels, slices: &[Slices]) -> Result<Vec<Array2<f32>>, Error> {
    let mut matrices = Vec::new();
    for slices in slices {
        let Some(source) = channels.source(slices.node, slices.input) else { continue };
        let Some(tensor) = source_tensor(model.graph(), source) else { continue };
        let data = model.tensor(tensor)?;
        let Some(values) = data.to_f32().or_else(|| dequantised(model, slices, &data)) else { continue };
        let each = slices.indices.first().map_or(0, Vec::len);
        let in_order = slices.indices.iter().enumerate().all(|(unit, own)| own[..] == [unit]);
        if slices.axis == 0 && in_order && data.dims.first() == Some(&slices.indices.len()) {
            // Filters as they are stored: no second copy of a large weight.
            matrices.extend(Array2::from_shape_vec((data.dims[0], values.len() / data.dims[0].max(1)), values).ok());
            continue;
        }
        let Ok(array) = ArrayD::from_shape_vec(IxDyn(&data.dims), values) else { continue };
        if each == 0 || slices.indices.iter().any(|own| own.len() != each) {
            continue;
        }
        let rest = array.len() / array.len_of(Axis(slices.axis)).max(1);
        let mut matrix = Array2::zeros((slices.indices.len(), each * rest));
        for (mut row, own) in matrix.axis_iter_mut(Axis(0)).zip(&slices.indices) {
            let mut cells = row.iter_mut();
            for &index in own {
                for (cell, value) in cells.by_ref().zip(array.index_axis(Axis(slices.axis), index)) {
                    *cell = *value;
                }
            }
        }
        matrices.push(matrix);
    }
    Ok(matrices)
}

/// Values of an integer weight behind `DequantizeLinear`; the zero point plays no part where it is zero, as it is for
/// the symmetric weights that quantisers write. Without a stored scale the integers themselves are compared.
fn dequantised(model: &Model, slices: &Slices, data: &TensorData) -> Option<Vec<f32>> {
    #[allow(clippy::cast_precision_loss, reason = "8-bit weights")]
    let mut values: Vec<f32> = data.to_i64()?.into_iter().map(|value| value as f32).collect();
    let node = &model.graph().node[slices.node];
    let stored = node.input.get(1).and_then(|name| model.graph().initializer.iter().find(|t| t.name() == name));
    let scales = stored.and_then(|tensor| model.tensor(tensor).ok()).and_then(|scales| scales.to_f32());
    if let Some(scales) = scales.filter(|_| node.op_type() == "DequantizeLinear") {
        // One scale for all, or one per index of the axis that the attribute names (1 by default).
        let axis = crate::model::node::int_attribute(node, "axis").unwrap_or(1);
        let axis = usize::try_from(axis).unwrap_or(0).min(data.dims.len().saturating_sub(1));
        let inner: usize = data.dims[axis + 1..].iter().product();
        for (at, value) in values.iter_mut().enumerate() {
            let index = (at / inner.max(1)) % data.dims[axis].max(1);
            *value *= scales.get(index).or(scales.first()).copied().unwrap_or(1.0);
        }
    }
    Some(values)
}
