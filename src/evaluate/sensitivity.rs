//! What every group's width does to the outputs: curves for the allocation of widths (`docs/method.md` 8.4, 8.5).

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use ndarray::ArrayD;

use super::kept::spread;
use super::{EvaluateError, Fidelity, TrialEffort, class_scores, input_specs};
use crate::channels::{Channels, Cut, Group};
use crate::engine::{Engine, Feed, feed, readable_outputs};
use crate::model::Model;
use crate::ops::constant::{Constants, differ};
use crate::plan::{Curve, choose};
use crate::proto::onnx::NodeProto;
use crate::repair::{ActivationCache, BatchRange, Compensation, Moments, refit};
use crate::rewrite;
use crate::surgery::topological_order;

/// Most and fewest of what is tried: fewer where all trials would take too long.
struct Range {
    most: usize,
    least: usize,
}

/// Widths per group that are tried.
const POINTS: Range = Range { most: 8, least: 4 };

/// Images at least.
const LEAST_IMAGES: usize = 48;

/// Images at least where every image has many numbers in the outputs, as maps and boxes do: so many say as much.
const LEAST_MANY: usize = 12;
const MANY: usize = 1024;

/// Everything that the curves are measured with.
pub struct Sensitivity<'a> {
    /// The dense model.
    pub model: &'a Model,
    /// Its analysis.
    pub channels: &'a Channels,
    /// What runs it.
    pub engine: &'a dyn Engine,
    /// Moments of what consumers read, by which they are refitted.
    pub moments: Option<&'a Moments>,
    /// Images as the model takes them, all inputs of a run each.
    pub batches: &'a [Feed],
    /// Scores per group and pruning unit.
    pub scores: &'a [Vec<f64>],
    /// Groups that may be cut, and how narrow.
    pub least: &'a [Option<usize>],
    /// Multiply-accumulates of all trials beyond which fewer images and points are used, and images at most.
    pub effort: TrialEffort,
    /// Bytes of activations that are kept.
    pub memory: u64,
    /// Ends the measurement.
    pub cancel: &'a AtomicBool,
}

/// What the dense model computes, and where a trial starts from.
struct Reference<'a> {
    cache: &'a ActivationCache,
    /// Names of the outputs, and their values batch by batch.
    names: &'a [String],
    outputs: &'a [Vec<ArrayD<f32>>],
}

impl Sensitivity<'_> {
    /// One curve per group; a group that may not be cut has only its full width. `each` is told the number of groups
    /// that are measured first, and is called with 0 after each.
    ///
    /// # Errors
    /// If the engine fails, or on interruption.
    pub fn measure(&self, each: &mut dyn FnMut(usize)) -> Result<Vec<Curve>, EvaluateError> {
        let (model, channels) = (self.model, self.channels);
        let mut curves: Vec<Curve> =
            channels.groups.iter().map(|group| Curve { points: vec![(group.width(), 0.0)] }).collect();
        let movable = self.least.iter().flatten().count();
        let (points, images) = self.points_and_images(movable);
        let divisible = input_specs(model).iter().all(|input| input.shape.first().is_none_or(Option::is_none));
        let batches = spread(self.batches, images, divisible);
        if batches.is_empty() {
            return Ok(curves);
        }
        each(movable);
        let mut cache = ActivationCache::new(model, batches, self.memory);
        let names = readable_outputs(model);
        let outputs = answers(&cache, &names, model, self.engine)?;
        let nodes = topological_order(model.graph());
        let stored = Constants::of(model.graph());
        let mut order: Vec<(usize, usize)> = (0..curves.len())
            .filter(|&group| self.least[group].is_some())
            .map(|group| Ok((self.first_changed(group, &nodes, &stored)?, group)))
            .collect::<Result<_, EvaluateError>>()?;
        order.sort_unstable();
        for (place, group) in order {
            let all = cache.batches();
            cache.advance(model, self.engine, cache.place(nodes[place]), BatchRange { least: all, most: all })?;
            let reference = Reference { cache: &cache, names: &names, outputs: &outputs };
            for width in widths(channels.groups[group].width(), self.least[group].unwrap_or(1), points) {
                if self.cancel.load(Ordering::Relaxed) {
                    return Err(EvaluateError::Interrupted);
                }
                let loss = self.loss(group, width, &reference)?;
                curves[group].points.insert(0, (width, loss));
            }
            each(0);
        }
        Ok(curves)
    }

    /// Widths per group and images that are tried, where so many groups are.
    fn points_and_images(&self, movable: usize) -> (usize, usize) {
        let trial = self.channels.macs(None) as f64 / 2.0;
        let held: usize = self.batches.iter().map(feed::samples).sum();
        let least = if self.many_numbers() { LEAST_MANY } else { LEAST_IMAGES };
        let images = Range { most: self.effort.images.min(held), least: least.min(held) };
        let macs = trial * (movable * POINTS.most * images.most) as f64;
        let spare = (self.effort.macs / macs.max(1.0)).sqrt();
        let scaled = |range: Range| {
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a small share of a small count"
            )]
            let wanted = (range.most as f64 * spare) as usize;
            wanted.clamp(range.least, range.most)
        };
        (scaled(POINTS), scaled(images))
    }

    /// Whether the outputs have many numbers for every image and are no class scores.
    fn many_numbers(&self) -> bool {
        let of_image = |name: &String| {
            let shape = self.channels.shape(name).unwrap_or_default();
            shape.iter().skip(1).product::<usize>()
        };
        let numbers: usize = readable_outputs(self.model).iter().map(of_image).sum();
        class_scores(self.model, self.channels).is_none() && numbers >= MANY
    }

    /// One group alone as narrow as that.
    fn cut(&self, group: usize, width: usize) -> Cut {
        let channels = self.channels;
        let kept = |(index, own): (usize, &Group)| {
            if index == group { choose(&self.scores[group], &own.keep_sets, width) } else { (0..own.width()).collect() }
        };
        let kept: Vec<Vec<usize>> = channels.groups.iter().enumerate().map(kept).collect();
        Cut::new(channels, &kept)
    }

    /// Place in `order` of the first node that a cut of the group changes, or whose constants it does: what comes before is
    /// as in the dense model. `old`: the dense model's constants.
    fn first_changed(&self, group: usize, order: &[usize], old: &Constants) -> Result<usize, EvaluateError> {
        let model = self.model;
        let pruned = rewrite::slice(model, self.channels, &self.cut(group, self.least[group].unwrap_or(1)))?;
        let new = Constants::of(pruned.graph());
        let twins: HashMap<&str, &NodeProto> = pruned.graph().node.iter().map(|node| (first(node), node)).collect();
        let changed = |&node: &usize| {
            let own = &model.graph().node[node];
            if old.find(first(own)).is_some() {
                // Its number counts where it is read.
                return false;
            }
            let Some(twin) = twins.get(first(own)) else { return true };
            let operand = |(a, b): (&String, &String)| match [old.find(a), new.find(b)] {
                [None, None] => a != b,
                stored => differ([model, &pruned], stored),
            };
            own.op_type != twin.op_type
                || own.attribute != twin.attribute
                || own.input.len() != twin.input.len()
                || own.input.iter().zip(&twin.input).any(operand)
        };
        Ok(order.iter().position(changed).unwrap_or(0))
    }

    /// Loss of the outputs as one group alone is cut and its consumers are refitted.
    fn loss(&self, group: usize, width: usize, reference: &Reference<'_>) -> Result<f64, EvaluateError> {
        let (model, channels) = (self.model, self.channels);
        let cut = self.cut(group, width);
        let mut pruned = rewrite::slice(model, channels, &cut)?;
        if let Some(moments) = self.moments {
            refit(model, &mut pruned, channels, &cut, moments, Compensation::Local)?;
        }
        let found = answers(reference.cache, reference.names, &pruned, self.engine)?;
        Ok(Fidelity::between(reference.outputs, &found, class_scores(model, channels).is_some()))
    }
}

/// Outputs of a model that starts from what a cache holds, batch by batch.
fn answers(
    cache: &ActivationCache,
    outputs: &[String],
    model: &Model,
    engine: &dyn Engine,
) -> Result<Vec<Vec<ArrayD<f32>>>, EvaluateError> {
    let mut segment = cache.segment(model, engine, outputs)?;
    (0..cache.batches())
        .map(|batch| Ok(cache.run(&mut segment, batch)?.iter().map(|value| value.to_f32()).collect()))
        .collect()
}

/// Name of a node's first output.
fn first(node: &NodeProto) -> &str {
    node.output.first().map(String::as_str).unwrap_or_default()
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
