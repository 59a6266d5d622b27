//! What every group's width does to the outputs: curves for the allocation of widths (`compensation.md` 8.3).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ndarray::{ArrayD, Axis, concatenate};

use super::Progress;
use super::classes::class_scores;
use super::dense::Observed;
use super::run::Run;
use super::scoring::{ClassContext, Scorer};
use crate::channels::{Cut, Group};
use crate::engine::{Engine, Tensor};
use crate::error::Error;
use crate::evaluate::{Fidelity, input_specs};
use crate::plan::{Curve, choose};
use crate::repair::{ActivationCache, BatchRange, Compensation, Values, refit};
use crate::rewrite;
use crate::score::Criterion;
use crate::surgery::topological_order;

/// Widths per group that are tried, and images on which: at most, and at least where those would take too long.
const POINTS: (usize, usize) = (8, 4);
const IMAGES: (usize, usize) = (128, 48);

/// Multiply-accumulates of all trials beyond which fewer images and points are used.
const MOST_MACS: f64 = 3e12;

/// Everything that the curves are measured with.
pub(super) struct Curves<'a> {
    pub(super) scorer: &'a Scorer<'a>,
    pub(super) observed: &'a Observed,
    pub(super) engine: &'a dyn Engine,
    /// Scores per group and pruning unit.
    pub(super) scores: &'a [Vec<f64>],
    /// Groups that may be cut, and how narrow.
    pub(super) least: &'a [Option<usize>],
    /// Bytes of activations that are kept.
    pub(super) memory: u64,
    pub(super) progress: &'a dyn Progress,
    pub(super) cancel: &'a AtomicBool,
}

impl Curves<'_> {
    /// One curve per group; a group that may not be cut has only its full width.
    ///
    /// # Errors
    /// If the engine fails, or on interruption.
    pub(super) fn measure(&self) -> Result<Vec<Curve>, Error> {
        let (model, channels) = (self.scorer.model, self.scorer.channels);
        let mut curves: Vec<Curve> =
            channels.groups.iter().map(|group| Curve { points: vec![(group.width(), 0.0)] }).collect();
        let movable = self.least.iter().flatten().count();
        let trial = channels.macs(None) as f64 / 2.0;
        let effort = |points: usize, images: usize| trial * (movable * points * images) as f64;
        let spare = (MOST_MACS / effort(POINTS.0, IMAGES.0).max(1.0)).sqrt();
        let scaled = |(most, least): (usize, usize)| {
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a small share of a small count"
            )]
            let wanted = (most as f64 * spare) as usize;
            wanted.clamp(least, most)
        };
        let (points, images) = (scaled(POINTS), scaled(IMAGES));
        let Some(batches) = self.images(images) else { return Ok(curves) };
        self.progress.phase("sensitivity", Some(movable as u64));
        let mut stream = ActivationCache::new(model, batches, self.memory);
        let outputs: Vec<String> = model.graph().output.iter().map(|output| output.name().to_owned()).collect();
        let dense = answers(&stream, &outputs, model, self.engine)?;
        let nodes = topological_order(model.graph());
        let mut order: Vec<(usize, usize)> = (0..curves.len())
            .filter(|&group| self.least[group].is_some())
            .map(|group| (first_node(&channels.groups[group], &nodes), group))
            .collect();
        order.sort_unstable();
        for (place, group) in order {
            let all = stream.batches();
            stream.advance(model, self.engine, nodes[place], BatchRange { least: all, most: all })?;
            let mut widths = widths(channels.groups[group].width(), self.least[group].unwrap_or(1), points);
            for width in widths.drain(..) {
                if self.cancel.load(Ordering::Relaxed) {
                    return Err(Error::Interrupted);
                }
                let loss = self.loss(group, width, (&stream, &outputs, &dense))?;
                curves[group].points.insert(0, (width, loss));
            }
            self.progress.advance(1);
        }
        Ok(curves)
    }

    /// Loss of the outputs as one group alone is cut and its consumers are refitted.
    fn loss(
        &self,
        group: usize,
        width: usize,
        (stream, outputs, dense): (&ActivationCache, &[String], &[Vec<ArrayD<f32>>]),
    ) -> Result<f64, Error> {
        let (model, channels) = (self.scorer.model, self.scorer.channels);
        let kept: Vec<Vec<usize>> = channels
            .groups
            .iter()
            .enumerate()
            .map(|(index, own)| {
                if index == group {
                    choose(&self.scores[group], &own.keep_sets, width)
                } else {
                    (0..own.width()).collect()
                }
            })
            .collect();
        let cut = Cut::new(channels, &kept);
        let mut pruned = rewrite::slice(model, channels, &cut)?;
        if let Some(moments) = &self.observed.moments {
            refit(model, &mut pruned, channels, &cut, moments, Compensation::Local)?;
        }
        let found = answers(stream, outputs, &pruned, self.engine)?;
        let scores = class_scores(model, channels).is_some();
        let mut fidelity = Fidelity::default();
        for (dense, found) in dense.iter().zip(&found) {
            fidelity.add(dense, found, scores);
        }
        Ok(fidelity.loss())
    }

    /// Images from all over the calibration set, in batches as they came.
    fn images(&self, wanted: usize) -> Option<Vec<Values>> {
        let specs = input_specs(self.scorer.model);
        let input = specs.first()?;
        let all: Vec<(usize, usize)> = (self.observed.batches.iter().enumerate())
            .flat_map(|(batch, images)| (0..images.shape().first().copied().unwrap_or(0)).map(move |row| (batch, row)))
            .collect();
        let size = self.observed.batches.first().map(|batch| batch.shape()[0])?;
        let picked: Vec<(usize, usize)> =
            (0..wanted.min(all.len())).map(|i| all[i * all.len() / wanted.min(all.len())]).collect();
        let fixed = input.shape.first().copied().flatten().is_some();
        let mut batches = Vec::new();
        for part in picked.chunks(size).filter(|part| !fixed || part.len() == size) {
            let rows: Vec<_> = part
                .iter()
                .filter_map(|&(batch, row)| match self.observed.batches[batch].as_ref() {
                    Tensor::F32(images) => Some(images.slice_axis(Axis(0), (row..=row).into())),
                    _ => None,
                })
                .collect();
            let images = concatenate(Axis(0), &rows).ok()?;
            batches.push(BTreeMap::from([(input.name.clone(), Arc::new(Tensor::F32(images)))]));
        }
        (!batches.is_empty()).then_some(batches)
    }
}

/// Outputs of a model that starts from what a stream holds, batch by batch.
fn answers(
    stream: &ActivationCache,
    outputs: &[String],
    model: &crate::model::Model,
    engine: &dyn Engine,
) -> Result<Vec<Vec<ArrayD<f32>>>, Error> {
    let mut segment = stream.segment(model, engine, outputs)?;
    (0..stream.batches())
        .map(|batch| Ok(stream.run(&mut segment, batch)?.iter().map(|value| value.to_f32()).collect()))
        .collect()
}

/// Place in the order of the first node that a cut of the group changes.
fn first_node(group: &Group, order: &[usize]) -> usize {
    let nodes = group.producers.iter().chain(&group.parameters).chain(&group.consumers);
    let places = nodes.filter_map(|slices| order.iter().position(|&node| node == slices.node));
    places.min().unwrap_or(0)
}

/// Widths below the full one, descending.
fn widths(full: usize, least: usize, points: usize) -> Vec<usize> {
    let mut widths: Vec<usize> = (1..=points)
        .map(|point| full - (full - least) * point / points.max(1))
        .filter(|&width| width < full && width >= least)
        .collect();
    widths.dedup();
    widths
}

impl Run<'_> {
    /// The curves of these scores: those measured before where they are the same and cover the same groups.
    pub(super) fn measured(
        &self,
        criterion: &dyn Criterion,
        (observed, known): (&Observed, Option<&ClassContext>),
        (scores, least): (&[Vec<f64>], &[Option<usize>]),
    ) -> Result<(Vec<Vec<f64>>, Vec<Curve>), Error> {
        if let Some(old) = &self.curves {
            let covered = |(curve, least): (&Curve, &Option<usize>)| least.is_none() || curve.points.len() > 1;
            if old.0 == scores && old.1.iter().zip(least).all(covered) {
                return Ok(old.clone());
            }
        }
        let scorer = self.scorer(criterion, Some(observed), known);
        let (engine, progress, cancel) = (self.engine.as_ref(), self.progress, self.cancel);
        let memory = self.shares.activations;
        let curves = Curves { scorer: &scorer, observed, engine, scores, least, memory, progress, cancel }.measure()?;
        Ok((scores.to_vec(), curves))
    }
}
