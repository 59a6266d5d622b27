//! One pass of the dense model over the calibration images, serving all observers at once.

use std::collections::BTreeMap;

use ndarray::{Array2, ArrayD};

use super::classes::{Classes, rows};
use super::source::stacked;
use super::{EvaluateError, Pass, Predictions, Source};
use crate::calibration::{Batch, Skipped};
use crate::channels::{Channels, Group};
use crate::engine::{CompileOptions, Feed, readable_outputs};
use crate::model::Model;
use crate::repair::Moments;
use crate::score::Needs;
use crate::statistics::{Centring, ClassGram, FeatureCollector, FeatureLayout, InputFeatures, RankCollector};

/// What the pass found.
#[derive(Default)]
pub struct Observed {
    /// First output of the dense model, a row `[K]` for each image (positions averaged).
    pub outputs: Option<Array2<f32>>,
    /// Class of every image, as the criteria see them; in the order of `outputs`.
    pub labels: Vec<usize>,
    /// Features per group and consumer input.
    pub features: Vec<Vec<InputFeatures>>,
    /// Mean ranks of feature maps per group and pruning unit.
    pub ranks: Vec<Vec<f64>>,
    /// Moments of what consumers read.
    pub moments: Option<Moments>,
    /// Its answers.
    pub predictions: Predictions,
    /// Images that were run.
    pub images: usize,
    /// Images that could not be read.
    pub skipped: Skipped,
    /// The images as the model takes them, all inputs of a run each, where they are wanted again.
    pub batches: Vec<Feed>,
}

impl Observed {
    /// Class-conditional statistics of a group, one entry per consumer whose outputs can be told apart by channel.
    pub fn contributions(&self, model: &Model, group: &Group, centring: Centring) -> Vec<ClassGram> {
        let Some(moments) = &self.moments else { return Vec::new() };
        group.consumer_inputs.iter().filter_map(|input| moments.class_gram(model, input, centring)).collect()
    }
}

/// What the pass is to gather.
#[derive(Default)]
pub struct Wanted {
    /// Features of which groups, and their pool size.
    pub features: Vec<Option<usize>>,
    /// Whether the ranks of feature maps are wanted.
    pub ranks: bool,
    /// Collectors of moments.
    pub moments: Option<Moments>,
    /// Bytes of images that are kept for later passes, if any are: beyond, every other batch is, or fewer.
    pub images: Option<u64>,
}

impl Wanted {
    /// What a criterion and the repair need. `images`: as [`Wanted::images`].
    pub fn new(channels: &Channels, needs: Needs, moments: Option<Moments>, images: Option<u64>) -> Self {
        // With contributions, features only serve the groups that have none.
        let contributes = |group: &Group| {
            let classwise = |own: &Moments| group.consumer_inputs.iter().any(|input| own.classwise(input));
            needs.contributions && moments.as_ref().is_some_and(classwise)
        };
        let feature = |group| (needs.features || needs.fallback && !contributes(group)).then_some(needs.pool);
        Self { features: channels.groups.iter().map(feature).collect(), ranks: needs.ranks, moments, images }
    }
}

impl Pass<'_> {
    /// Runs the dense model over the images once, in their order, for everything that is wanted.
    ///
    /// # Errors
    /// As [`Pass::run`], and if an activation does not have the shape of the analysis.
    pub fn observe(
        &self,
        model: &Model,
        channels: &Channels,
        classes: &Classes,
        wanted: Wanted,
    ) -> Result<Observed, EvaluateError> {
        let source = self.source;
        let mut cache = wanted.images.map(|most| BatchCache::new(source, self.indices.len(), most));
        let mut observers = Observers::new(channels, wanted);
        let first = readable_outputs(model).into_iter().next().unwrap_or_default();
        let mut names = vec![first];
        names.extend(observers.wants());
        let mut seen = std::collections::BTreeSet::new();
        names.retain(|name| seen.insert(name.clone()));
        let options = CompileOptions { outputs: names.clone(), ..CompileOptions::default() };
        let mut session = self.engine.compile(model, &options)?;
        let mut found = Observed::default();
        let mut rows_of_batches = Vec::new();
        found.skipped = self.run(session.as_mut(), |batch, outputs| {
            let values: BTreeMap<String, ArrayD<f32>> = names.iter().cloned().zip(outputs).collect();
            if let Some(output) = values.get(&names[0]) {
                found.predictions.add(output, &batch.labels, &batch.items);
                rows_of_batches.push(rows(output));
            }
            let own: Vec<usize> = batch.items.iter().map(|item| classes.of.get(item).copied().unwrap_or(0)).collect();
            let weight = |weights: &BTreeMap<usize, f64>, item: &usize| weights.get(item).copied().unwrap_or(1.0);
            let weights: Option<Vec<f64>> = (classes.image_weights.as_ref())
                .map(|weights| batch.items.iter().map(|item| weight(weights, item)).collect());
            observers.push(&values, &own, weights.as_deref())?;
            if let Some(cache) = &mut cache {
                cache.push(batch);
            }
            found.labels.extend(own);
            Ok(())
        })?;
        found.outputs = stacked(rows_of_batches);
        found.images = found.predictions.images();
        found.batches = cache.map(|cache| cache.batches).unwrap_or_default();
        observers.finish(&mut found)?;
        Ok(found)
    }
}

/// Images for later passes.
struct BatchCache {
    every: usize,
    seen: usize,
    batches: Vec<Feed>,
}

impl BatchCache {
    fn new(source: &Source, images: usize, most: u64) -> Self {
        let bytes = 4 * (images * source.volume()) as u64;
        let every = usize::try_from(bytes.div_ceil(most.max(1))).unwrap_or(usize::MAX);
        Self { every: every.max(1), seen: 0, batches: Vec::new() }
    }

    fn push(&mut self, batch: &Batch) {
        if self.seen.is_multiple_of(self.every) {
            self.batches.push(batch.inputs.clone());
        }
        self.seen += 1;
    }
}

/// Everything that looks at activations.
struct Observers {
    features: Vec<Vec<(String, FeatureCollector)>>,
    ranks: Vec<Option<(String, RankCollector)>>,
    moments: Option<Moments>,
}

impl Observers {
    fn new(channels: &Channels, wanted: Wanted) -> Self {
        let features = wanted.features.iter().zip(&channels.groups);
        let rank = |group: &Group| {
            let consumer_input = group.consumer_inputs.first().filter(|_| wanted.ranks)?;
            Some((
                consumer_input.value.clone(),
                RankCollector::new(consumer_input.axis, consumer_input.indices.clone()),
            ))
        };
        Self {
            features: features.map(|(pool, group)| collectors(group, *pool)).collect(),
            ranks: channels.groups.iter().map(rank).collect(),
            moments: wanted.moments,
        }
    }

    fn wants(&self) -> Vec<String> {
        let features = self.features.iter().flatten().map(|(value, _)| value.clone());
        let ranks = self.ranks.iter().flatten().map(|(value, _)| value.clone());
        features.chain(ranks).chain(self.moments.iter().flat_map(Moments::wants)).collect()
    }

    fn push(
        &mut self,
        values: &BTreeMap<String, ArrayD<f32>>,
        classes: &[usize],
        weights: Option<&[f64]>,
    ) -> Result<(), EvaluateError> {
        for (value, collector) in self.features.iter_mut().flatten() {
            if let Some(array) = values.get(value) {
                collector.push(&array.view())?;
            }
        }
        for (value, collector) in self.ranks.iter_mut().flatten() {
            if let Some(array) = values.get(value) {
                collector.push(&array.view());
            }
        }
        if let Some(moments) = &mut self.moments {
            moments.observe(values, classes, weights);
        }
        Ok(())
    }

    fn finish(self, found: &mut Observed) -> Result<(), EvaluateError> {
        let finish = |inputs: Vec<(String, FeatureCollector)>| {
            inputs.into_iter().map(|(_, collector)| Ok(collector.finish()?)).collect::<Result<_, EvaluateError>>()
        };
        found.features = self.features.into_iter().map(finish).collect::<Result<_, _>>()?;
        let ranks = |own: Option<(String, RankCollector)>| own.map_or_else(Vec::new, |(_, ranks)| ranks.finish());
        found.ranks = self.ranks.into_iter().map(ranks).collect();
        found.moments = self.moments;
        Ok(())
    }
}

/// One collector per distinct consumer input. One whose pruning units own different numbers of channels is left out.
fn collectors(group: &Group, pool: Option<usize>) -> Vec<(String, FeatureCollector)> {
    let mut seen = std::collections::BTreeSet::new();
    let Some(pool) = pool else { return Vec::new() };
    group
        .consumer_inputs
        .iter()
        .filter(|consumer_input| seen.insert(consumer_input.value.clone()))
        .filter(|consumer_input| consumer_input.indices.windows(2).all(|pair| pair[0].len() == pair[1].len()))
        .map(|consumer_input| {
            let layout =
                FeatureLayout { channel_axis: consumer_input.axis, units: consumer_input.indices.clone(), pool };
            (consumer_input.value.clone(), FeatureCollector::new(layout))
        })
        .collect()
}
