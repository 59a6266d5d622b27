//! Scores of all groups by one criterion.

use ndarray::Array2;
use rayon::prelude::*;

use super::Calibration;
use super::group_weights::{matrices, scales};
use crate::channels::{Channels, Group};
use crate::error::Error;
use crate::evaluate::{Classes, Observed};
use crate::model::{Model, ModelError};
use crate::pipeline::options::Criteria;
use crate::pipeline::record::{Record, Told};
use crate::pipeline::session::Session;
use crate::score::relatedness::Relatedness;
use crate::score::responses::{ClassWeights, Responses};
use crate::score::{Criterion, GroupInput, GroupScores, L2, Regression, Response};
use crate::statistics::{Centring, ClassGram, InputFeatures};

/// What is known before the first plan: one pass over the images, one score for every channel.
pub(in crate::pipeline) struct Scored<'a> {
    pub(in crate::pipeline) criterion: &'a dyn Criterion,
    pub(in crate::pipeline) calibration: Option<&'a Calibration>,
    pub(in crate::pipeline) class_context: Option<ClassContext>,
    pub(in crate::pipeline) scores: Vec<GroupScores>,
}

impl<'a> Scored<'a> {
    /// What scored the groups, for the choice within a group.
    pub(super) fn scorer(&'a self, session: &'a Session<'_>) -> Scorer<'a> {
        Scorer::new(session, self.criterion, self.calibration, self.class_context.as_ref())
    }
}

/// The criterion that was asked for, or the best that the data allow; `images`: whether there are some.
pub(in crate::pipeline) fn criterion(criteria: &Criteria, images: bool) -> Result<Box<dyn Criterion>, Error> {
    let mut criteria = criteria.clone();
    if !images && criteria.criterion.is_none() {
        criteria.criterion = Some(Criteria::DEFAULT_WITHOUT_IMAGES.into());
    }
    let criterion = criteria.build()?;
    if !images && criterion.needs().images() {
        return Err(Error::Usage {
            what: format!("the criterion `{}` needs images", criterion.name()),
            help: "give them with `--data DIR`, or use `--criterion l2`".into(),
        });
    }
    Ok(criterion)
}

/// One score for every pruning unit of every group.
pub(in crate::pipeline) fn score<'a>(
    session: &Session<'_>,
    criterion: &'a dyn Criterion,
    calibration: Option<&'a Calibration>,
    response: Response,
) -> Result<Told<Scored<'a>>, Error> {
    let weighted = !session.options.criteria.class_weights.is_empty();
    let followed = calibration.filter(|_| criterion.needs().outputs || weighted);
    let class_context = followed.map(|own| ClassContext::new(own, response)).transpose()?;
    session.progress.phase("score", None);
    let mut record = Record::default();
    let scorer = Scorer::new(session, criterion, calibration, class_context.as_ref());
    let scores = record.timed(session, "score", |_| scorer.scores())?;
    Ok(Told::new(Scored { criterion, calibration, class_context, scores }, record))
}

/// What the images say about the classes.
pub(in crate::pipeline) struct ClassContext {
    /// `None` where the model's outputs cannot be seen as rows.
    pub(in crate::pipeline) responses: Option<Responses>,
    pub(in crate::pipeline) relatedness: Relatedness,
    pub(in crate::pipeline) weights: Vec<f64>,
}

impl ClassContext {
    /// Responses and relatedness of the classes.
    fn new(calibration: &Calibration, response: Response) -> Result<Self, Error> {
        let Calibration { observed, classes, .. } = calibration;
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
pub(super) struct Scorer<'a> {
    model: &'a Model,
    channels: &'a Channels,
    criterion: &'a dyn Criterion,
    observed: Option<&'a Observed>,
    class_context: Option<&'a ClassContext>,
    seed: u64,
}

/// What a group's input borrows from.
struct Data {
    producers: Vec<Array2<f32>>,
    consumers: Vec<Array2<f32>>,
    regressions: Vec<Regression>,
    contributions: Vec<ClassGram>,
    scales: Vec<Vec<f64>>,
}

impl<'a> Scorer<'a> {
    fn new(
        session: &'a Session<'_>,
        criterion: &'a dyn Criterion,
        calibration: Option<&'a Calibration>,
        class_context: Option<&'a ClassContext>,
    ) -> Self {
        let observed = calibration.map(|own| &own.observed);
        let Session { model, channels, options, .. } = session;
        Self { model, channels, criterion, observed, class_context, seed: options.seed }
    }

    /// One score per pruning unit and group, larger stays.
    fn scores(&self) -> Result<Vec<GroupScores>, Error> {
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
            responses: self.class_context.and_then(|context| context.responses.as_ref()),
            relatedness: self.class_context.map(|context| &context.relatedness),
            class_weights: self.class_context.map_or(&[], |context| context.weights.as_slice()),
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
) -> Result<Vec<ClassGram>, ModelError> {
    let mut found = Vec::new();
    let Some(moments) = &observed.moments else { return Ok(found) };
    for consumer_input in &group.consumer_inputs {
        found.extend(moments.class_gram(model, channels, consumer_input, centring)?);
    }
    Ok(found)
}
