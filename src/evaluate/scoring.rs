//! Scores of all groups by one criterion, from the model's weights and what the images showed.

use ndarray::Array2;
use rayon::prelude::*;

use super::group_weights::{matrices, scales};
use super::{Classes, EvaluateError, Observed};
use crate::channels::Channels;
use crate::model::Model;
use crate::score::relatedness::Relatedness;
use crate::score::responses::{ClassWeights, Responses};
use crate::score::{Criterion, GroupInput, GroupScores, L2, Regression, Response};
use crate::statistics::{ClassGram, InputFeatures};

/// What the images say about the classes.
pub struct ClassContext {
    /// `None` where the model's outputs cannot be seen as rows.
    pub responses: Option<Responses>,
    /// How the classes are related.
    pub relatedness: Relatedness,
    /// Mean weight of the images of each class; empty where nobody weighs them.
    pub weights: Vec<f64>,
}

impl ClassContext {
    /// Responses and relatedness of the classes.
    ///
    /// # Errors
    /// If the outputs or labels give no responses.
    pub fn new(observed: &Observed, classes: &Classes, response: Response) -> Result<Self, EvaluateError> {
        let weights = observed.class_weights(classes);
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
            responses.with_weights(&ClassWeights::Table(weights.clone()))?
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
#[derive(Clone, Copy)]
pub struct Scorer<'a> {
    /// The dense model.
    pub model: &'a Model,
    /// Its analysis.
    pub channels: &'a Channels,
    /// What scores.
    pub criterion: &'a dyn Criterion,
    /// What the images showed, if there were some.
    pub observed: Option<&'a Observed>,
    /// What they say about the classes.
    pub class_context: Option<&'a ClassContext>,
    /// Seed of random choices.
    pub seed: u64,
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
    ///
    /// # Errors
    /// If a stored tensor cannot be read, or the criterion cannot score.
    pub fn scores(&self) -> Result<Vec<GroupScores>, EvaluateError> {
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
    ///
    /// # Errors
    /// As [`Scorer::scores`].
    pub fn refine(&self, group: usize, kept: Vec<usize>) -> Result<Vec<usize>, EvaluateError> {
        let own = &self.channels.groups[group];
        if kept.len() == own.width() || !self.criterion.refines() {
            return Ok(kept);
        }
        let found = self.criterion.refine(&self.input(group, &self.data(group)?), kept.clone())?;
        let whole = own.keep_sets.iter().all(|keep_set| keep_set.iter().any(|unit| found.binary_search(unit).is_ok()));
        Ok(if whole && found.len() == kept.len() { found } else { kept })
    }

    fn data(&self, group: usize) -> Result<Data, EvaluateError> {
        let (group, needs) = (&self.channels.groups[group], self.criterion.needs());
        let mut regressions = Vec::new();
        let moments = self.observed.and_then(|observed| observed.moments.as_ref());
        if let Some(moments) = moments.filter(|_| needs.moments) {
            for consumer_input in &group.consumer_inputs {
                regressions.extend(moments.regression(self.model, consumer_input));
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
                    observed.contributions(self.model, group, centring)
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
            responses: self.class_context.and_then(|context| context.responses.as_ref()),
            relatedness: self.class_context.map(|context| &context.relatedness),
            class_weights: self.class_context.map_or(&[], |context| context.weights.as_slice()),
            seed: self.seed,
        }
    }
}
