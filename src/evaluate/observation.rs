//! One pass of the dense model over the calibration images, serving all observers at once.

use std::borrow::Cow;
use std::collections::BTreeMap;

use ndarray::{Array2, ArrayD, Axis};

use super::accuracy::answer;
use super::classes::{Classes, rows as rows_of};
use super::kept::{KeptImage, KeptInputs};
use super::roll::{Entry, Reader};
use super::source::stacked;
use super::{EvaluateError, Pass, Predictions, Source, Tally};
use crate::calibration::{Batch, Skipped};
use crate::channels::{Channels, Group};
use crate::engine::{CompileOptions, Feed, readable_outputs};
use crate::model::Model;
use crate::repair::{Moments, SeenImage};
use crate::score::Needs;
use crate::statistics::{Centring, ClassGram, FeatureCollector, FeatureLayout, InputFeatures, RankCollector};

/// Images that say how classes are related and whose features are kept, at most: the first in the seeded order.
pub const MOST_SAMPLED: usize = 10_000;

/// What the pass found. What is kept of every image on its own is kept of a bounded sample.
#[derive(Default)]
pub struct Observed {
    /// Keys ([`Entry::key`]) of the images that `outputs`, `labels` and `features` are of, ascending.
    pub sampled: Vec<u64>,
    /// First output of the dense model, a row `[K]` for each sampled image (positions averaged).
    pub outputs: Option<Array2<f32>>,
    /// Class of every sampled image, as the criteria see them.
    pub labels: Vec<usize>,
    /// Features per group and consumer input, of the sampled images.
    pub features: Vec<Vec<InputFeatures>>,
    /// Mean ranks of feature maps per group and pruning unit.
    pub ranks: Vec<Vec<f64>>,
    /// Images that `ranks` are of.
    pub ranked: usize,
    /// Moments of what consumers read.
    pub moments: Option<Moments>,
    /// Answers on the first images of the seeded order.
    pub predictions: Predictions,
    /// Answers on all images.
    pub tally: Tally,
    /// Images of each class and the sum of their weights.
    pub classes: Vec<[f64; 2]>,
    /// Images that could not be read.
    pub skipped: Skipped,
    /// The first images of the seeded order as the model takes them, all inputs of a run each, where they are wanted again.
    pub batches: Vec<Feed>,
    /// Which images they are of.
    pub kept: Vec<KeptImage>,
}

impl Observed {
    /// Class-conditional statistics of a group, one entry per consumer whose outputs can be told apart by channel.
    pub fn contributions(&self, model: &Model, group: &Group, centring: Centring) -> Vec<ClassGram> {
        let Some(moments) = &self.moments else { return Vec::new() };
        group.consumer_inputs.iter().filter_map(|input| moments.class_gram(model, input, centring)).collect()
    }

    /// Images that were run.
    pub fn images(&self) -> usize {
        self.tally.images
    }

    /// Mean weight of the images of each class; empty where nobody weighs them.
    pub fn class_weights(&self, classes: &Classes) -> Vec<f64> {
        if classes.weights.is_none() {
            return Vec::new();
        }
        self.classes.iter().map(|&[images, sum]| if images > 0.0 { sum / images } else { 1.0 }).collect()
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
    /// Images that are kept for later passes: so many of the first in the seeded order.
    pub kept: usize,
}

impl Wanted {
    /// What a criterion and the repair need. `kept`: as [`Wanted::kept`].
    pub fn new(channels: &Channels, needs: Needs, moments: Option<Moments>, kept: usize) -> Self {
        // With contributions, features only serve the groups that have none.
        let contributes = |group: &Group| {
            let classwise = |own: &Moments| group.consumer_inputs.iter().any(|input| own.classwise(input));
            needs.contributions && moments.as_ref().is_some_and(classwise)
        };
        let feature = |group| (needs.features || needs.fallback && !contributes(group)).then_some(needs.pool);
        Self { features: channels.groups.iter().map(feature).collect(), ranks: needs.ranks, moments, kept }
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
        let mut kept = KeptInputs::new(wanted.kept, self.source.batch);
        let mut observers = Observers::new(channels, wanted);
        let first = readable_outputs(model).into_iter().next().unwrap_or_default();
        let mut names = vec![first];
        names.extend(observers.wants());
        let mut seen = std::collections::BTreeSet::new();
        names.retain(|name| seen.insert(name.clone()));
        let options = CompileOptions { outputs: names.clone(), ..CompileOptions::default() };
        let mut session = self.engine.compile(model, &options)?;
        let mut found = Observed { classes: vec![[0.0; 2]; classes.count()], ..Observed::default() };
        let mut rows_of_batches = Vec::new();
        let (mut fresh, mut roll) = (Fresh::new(self.source), classes.roll.reader());
        found.skipped = self.run(session.as_mut(), |batch, outputs| {
            let values: BTreeMap<String, ArrayD<f32>> = names.iter().cloned().zip(outputs).collect();
            let (rows, values) = fresh.only(batch, values);
            let images = Seen::new(batch, &rows, classes, &mut roll);
            if let Some(output) = values.get(&names[0]) {
                images.count(output, &mut found);
                let sampled = images.below(MOST_SAMPLED);
                if !sampled.is_empty() {
                    rows_of_batches.push(rows_of(&selected(output, &sampled)));
                }
            }
            observers.push(&values, &images)?;
            kept.push(batch, &rows, &images.entries);
            Ok(())
        })?;
        found.outputs = stacked(rows_of_batches);
        (found.batches, found.kept) = kept.finish(self.source.fixed);
        observers.finish(&mut found)?;
        Ok(found)
    }
}

/// Rows of batches that were not run before: a run that takes a number of samples is filled with some of those.
struct Fresh {
    seen: Option<std::collections::BTreeSet<usize>>,
}

impl Fresh {
    fn new(source: &Source) -> Self {
        Self { seen: (source.fixed && source.batch > 1).then(std::collections::BTreeSet::new) }
    }

    /// The rows, and the values with these rows alone.
    fn only(
        &mut self,
        batch: &Batch,
        values: BTreeMap<String, ArrayD<f32>>,
    ) -> (Vec<usize>, BTreeMap<String, ArrayD<f32>>) {
        let all = 0..batch.items.len();
        let Some(seen) = &mut self.seen else { return (all.collect(), values) };
        let rows: Vec<usize> = all.filter(|&row| seen.insert(batch.items[row])).collect();
        let part = |value: ArrayD<f32>| {
            let by_rows = value.ndim() > 0 && value.len_of(Axis(0)) == batch.items.len();
            if by_rows { selected(&value, &rows).into_owned() } else { value }
        };
        let values = values.into_iter().map(|(name, value)| (name, part(value))).collect();
        (rows, values)
    }
}

/// Rows of a value; the value itself where these are all.
fn selected<'a>(value: &'a ArrayD<f32>, rows: &[usize]) -> Cow<'a, ArrayD<f32>> {
    if value.ndim() == 0 || rows.len() == value.len_of(Axis(0)) {
        return Cow::Borrowed(value);
    }
    Cow::Owned(value.select(Axis(0), rows))
}

/// The images of a batch.
struct Seen {
    entries: Vec<Entry>,
    items: Vec<usize>,
    labels: Vec<Option<usize>>,
    images: Vec<SeenImage>,
}

impl Seen {
    fn new(batch: &Batch, rows: &[usize], classes: &Classes, roll: &mut Reader<'_>) -> Self {
        let items: Vec<usize> = rows.iter().map(|&row| batch.items[row]).collect();
        let entries: Vec<Entry> = items.iter().map(|&item| roll.entry(item).unwrap_or_default()).collect();
        let image = |&entry: &Entry| SeenImage {
            number: entry.place as usize,
            class: entry.class as usize,
            weight: classes.weight(entry),
        };
        let images = entries.iter().map(image).collect();
        Self { images, entries, labels: rows.iter().map(|&row| batch.labels[row]).collect(), items }
    }

    /// Places in the batch of images that are among the first `most` of the seeded order.
    fn below(&self, most: usize) -> Vec<usize> {
        (0..self.entries.len()).filter(|&at| (self.entries[at].place as usize) < most).collect()
    }

    /// Counts what is known of each image.
    fn count(&self, output: &ArrayD<f32>, found: &mut Observed) {
        let scores = output.axis_iter(Axis(0));
        for ((row, image), (&item, &label)) in scores.zip(&self.images).zip(self.items.iter().zip(&self.labels)) {
            let answer = answer(&row);
            found.tally.add(answer, answer, label);
            if image.number < MOST_SAMPLED {
                found.predictions.insert(item, answer, label);
            }
        }
        for (image, entry) in self.images.iter().zip(&self.entries) {
            if let Some([images, weight]) = found.classes.get_mut(image.class) {
                (*images, *weight) = (*images + 1.0, *weight + image.weight);
            }
            if image.number < MOST_SAMPLED {
                found.sampled.push(entry.key());
                found.labels.push(image.class);
            }
        }
    }
}

/// Everything that looks at activations.
struct Observers {
    features: Vec<Vec<(String, FeatureCollector)>>,
    ranks: Vec<Option<(String, RankCollector)>>,
    ranked: usize,
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
            ranked: 0,
            moments: wanted.moments,
        }
    }

    fn wants(&self) -> Vec<String> {
        let features = self.features.iter().flatten().map(|(value, _)| value.clone());
        let ranks = self.ranks.iter().flatten().map(|(value, _)| value.clone());
        features.chain(ranks).chain(self.moments.iter().flat_map(Moments::wants)).collect()
    }

    fn push(&mut self, values: &BTreeMap<String, ArrayD<f32>>, images: &Seen) -> Result<(), EvaluateError> {
        let sampled = images.below(MOST_SAMPLED);
        for (value, collector) in self.features.iter_mut().flatten() {
            if let Some(array) = values.get(value).filter(|_| !sampled.is_empty()) {
                collector.push(&selected(array, &sampled).view())?;
            }
        }
        let ranked = images.below(RankCollector::MOST_IMAGES);
        self.ranked += ranked.len();
        for (value, collector) in self.ranks.iter_mut().flatten() {
            if let Some(array) = values.get(value).filter(|_| !ranked.is_empty()) {
                collector.push(&selected(array, &ranked).view());
            }
        }
        if let Some(moments) = &mut self.moments {
            moments.observe(values, &images.images);
        }
        Ok(())
    }

    fn finish(self, found: &mut Observed) -> Result<(), EvaluateError> {
        let finish = |inputs: Vec<(String, FeatureCollector)>| {
            inputs.into_iter().map(|(_, collector)| Ok(collector.finish()?)).collect::<Result<_, EvaluateError>>()
        };
        found.features = self.features.into_iter().map(finish).collect::<Result<_, _>>()?;
        let ranks = |own: Option<(String, RankCollector)>| own.map_or_else(Vec::new, |(_, ranks)| ranks.finish());
        found.ranked = self.ranked;
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
