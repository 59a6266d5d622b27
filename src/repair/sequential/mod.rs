//! Layer after layer on the pruned model's own activations (`docs/method.md` 9.5 to 9.7).
//!
//! Two models are run side by side, layer after layer. Every layer behind a cut is refitted so that, given what the pruned model feeds it,
//! it gives what the dense model gives at that place; a branch that ends in a sum also makes up for what the shortcut
//! lacks, and what a following `Relu` or `Clip` hides does not count. Errors are corrected where they arise and not
//! passed on. Only what is alive at one place is kept of both models.

mod cache;
mod chain;
mod fit;
mod layers;
mod matrix;
mod patches;
mod rounding;
mod rows;
mod sums;
mod system;

use std::sync::atomic::{AtomicBool, Ordering};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::channels::{Channels, Cut};
use crate::engine::{Engine, Feed, feed};
use crate::model::Model;
use crate::repair::RepairError;
pub(crate) use cache::{ActivationCache, BatchRange};
use fit::{Problem, Solution};
use layers::Layer;
use rows::{Collected, RowLimits, Shape};

/// Images and limits of the reconstruction.
pub struct Reconstruction<'a> {
    /// The model before the cut, its analysis, and the cut.
    pub dense: &'a Model,
    /// Analysis of the dense model.
    pub channels: &'a Channels,
    /// What was removed.
    pub cut: &'a Cut,
    /// What runs both models.
    pub engine: &'a dyn Engine,
    /// The images: all inputs of a run each, `[N, ...]`; all batches of one size but the last.
    pub batches: &'a [Feed],
    /// How many of the last batches are mirror images of the first ones, in their order.
    pub mirrored: usize,
    /// Bytes of activations that are kept of both models together. Where all images take more, fewer are looked at.
    pub memory: u64,
    /// Images that are looked at; more where a layer has too few positions for its rows otherwise, unless `quick`.
    pub images: usize,
    /// Bytes that the rows of one layer's problem may take.
    pub rows: u64,
    /// Only the layers around a value, if only those.
    pub around: Option<Around>,
    /// Whether weights stay near what they are: one strength of the ridge is tried beside new constants alone, and not
    /// several, on a part of the rows.
    pub quick: bool,
    /// Seed of the draw of positions.
    pub seed: u64,
    /// Ends the reconstruction.
    pub cancel: &'a AtomicBool,
}

/// Layers around a value that is passed on where a block was.
#[derive(Debug, Clone)]
pub struct Around {
    /// Name of the value.
    pub value: String,
    /// Layers behind it that are refitted at most, beside the one that stands in for the block.
    pub layers: usize,
}

/// What became of a layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LayerFit {
    /// Name of the node.
    pub name: String,
    /// Weights per output.
    pub columns: usize,
    /// Rows (image, position) that they were fitted on.
    pub rows: usize,
    /// Whether the target makes up for a shortcut (`docs/method.md` 9.6).
    pub shortcut: bool,
    /// Whether an activation's blind range was left out (`docs/method.md` 9.7).
    pub activation: bool,
    /// Strength of the ridge relative to the mean variance of the columns; `None`: only the constant was fitted.
    pub ridge: Option<f64>,
    /// Error on held-out rows relative to the target's spread there: before, and after.
    pub error: (f64, f64),
}

/// What the reconstruction did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reconstructed {
    /// Layers that were refitted, in order.
    pub layers: Vec<LayerFit>,
    /// Layers that the engine did not lead to, and what it said.
    pub left: Vec<(String, String)>,
}

impl Reconstruction<'_> {
    /// Refits `pruned`, the dense model without the channels of the cut. `each` is told the number of layers first and
    /// is called after every layer. A layer that the engine does not lead to stays as it is.
    ///
    /// # Errors
    /// On interruption.
    pub fn refit(&self, pruned: &mut Model, each: &mut dyn FnMut(usize)) -> Result<Reconstructed, RepairError> {
        let layers = layers::find(self.dense, pruned, self.around.as_ref());
        each(layers.len());
        let batches = Batches::new(self.batches, self.mirrored);
        let images: Vec<Feed> = batches.order.iter().map(|&batch| self.batches[batch].clone()).collect();
        let mut caches = Caches {
            dense: ActivationCache::new(self.dense, images.clone(), self.memory / 2),
            pruned: ActivationCache::new(pruned, images, self.memory / 2),
        };
        let places = self.dense_places(&layers, &caches.dense);
        let mut done = Reconstructed::default();
        for (layer, place) in layers.iter().zip(places) {
            if self.cancel.load(Ordering::Relaxed) {
                return Err(RepairError::Interrupted);
            }
            let fit = place.map_or(Ok(None), |place| self.layer(pruned, (layer, place), &batches, &mut caches));
            match fit {
                Ok(fit) => done.layers.extend(fit),
                Err(RepairError::Engine(error)) => done.left.push((layer.name.clone(), error.to_string())),
                Err(error) => return Err(error),
            }
            each(0);
        }
        Ok(done)
    }

    /// Up to where the dense model is to be run for each layer: behind what the layer is to give, so that it is computed
    /// once, or before the layer's node where a later layer begins before that. `None` where the dense model has no such
    /// layer.
    fn dense_places(&self, layers: &[Layer], dense: &ActivationCache) -> Vec<Option<usize>> {
        let nodes = &self.dense.graph().node;
        let own = |layer: &Layer| nodes.iter().position(|node| node.output.contains(&layer.output));
        let before: Vec<Option<usize>> = layers.iter().map(|layer| own(layer).map(|node| dense.place(node))).collect();
        let mut limit = usize::MAX;
        let mut places = Vec::with_capacity(layers.len());
        for (layer, before) in layers.iter().zip(&before).rev() {
            let behind = dense.behind(self.dense, &layer.chain.target().to_owned()).filter(|&place| place <= limit);
            places.push(before.map(|before| behind.unwrap_or(before)));
            limit = before.unwrap_or(limit).min(limit);
        }
        places.reverse();
        places
    }

    /// `place`: up to where the dense model is run.
    fn layer(
        &self,
        pruned: &mut Model,
        (layer, place): (&Layer, usize),
        batches: &Batches,
        caches: &mut Caches,
    ) -> Result<Option<LayerFit>, RepairError> {
        let most = batches.holding(self.wanted_images(layer));
        let ends = [place, caches.pruned.place(layer.node)];
        let held = self.advance(pruned, ends, BatchRange { least: batches.least, most }, caches)?;
        let looked_at: Vec<(usize, usize)> = batches.first(held);
        let Some(rows) = self.collect(pruned, layer, &looked_at, caches)? else { return Ok(None) };
        let Some(mut matrix) = matrix::Matrix::of(pruned, layer) else { return Ok(None) };
        if !rows.fits(&matrix) {
            return Ok(None);
        }
        let solve = |group: usize| -> Option<Solution> {
            let (weights, bias) = matrix.problem(group);
            let (fit, hold) = rows.group(group, matrix.layout.groups);
            let intercept = matrix.can_shift;
            let (grid, bounds, quick) = (matrix.grid(group), layer.chain.bounds(), self.quick);
            Problem { fit, hold, weights, bias, intercept, grid, bounds, quick }.solve()
        };
        let solutions: Vec<Option<Solution>> = {
            use rayon::prelude::*;
            (0..matrix.layout.groups).into_par_iter().map(solve).collect()
        };
        let spread = rows.spread(layer.chain.bounds());
        let mut total = [0.0; 3];
        for (group, solution) in solutions.iter().enumerate() {
            let Some(solution) = solution else { continue };
            matrix.accept(group, solution);
            total.iter_mut().zip(solution.errors).for_each(|(sum, error)| *sum += error);
        }
        matrix.store(pruned, layer);
        let first = solutions.iter().flatten().next();
        Ok(first.map(|first| LayerFit {
            name: layer.name.clone(),
            columns: matrix.layout.columns,
            rows: rows.count(),
            shortcut: layer.chain.shortcut.is_some(),
            activation: layer.chain.bounds().is_some(),
            ridge: first.ridge,
            error: (total[0] / spread, total[2] / spread),
        }))
    }

    /// Both caches up to a layer, side by side where memory holds all batches; the number of batches that both hold.
    /// `ends`: places in the order of the dense and of the pruned model.
    fn advance(
        &self,
        pruned: &Model,
        ends: [usize; 2],
        batches: BatchRange,
        caches: &mut Caches,
    ) -> Result<usize, RepairError> {
        let Caches { dense, pruned: own } = caches;
        if dense.batches() < batches.most {
            let held = dense.advance(self.dense, self.engine, ends[0], batches)?;
            return Ok(own.advance(pruned, self.engine, ends[1], BatchRange { most: held, ..batches })?.min(held));
        }
        let (dense, own) = rayon::join(
            || dense.advance(self.dense, self.engine, ends[0], batches),
            || own.advance(pruned, self.engine, ends[1], batches),
        );
        Ok(dense?.min(own?))
    }

    /// Images that the layer is to be fitted on.
    fn wanted_images(&self, layer: &Layer) -> usize {
        if self.quick {
            return self.images;
        }
        let outputs = self.channels.shape(&layer.output).unwrap_or_default();
        let channels = outputs.get(layer.axis(outputs.len().max(1))).copied().unwrap_or(1);
        let positions = outputs.iter().product::<usize>() / channels.max(1);
        self.images.max(rows::images_for(layer.map.layout.columns, positions, self.quick))
    }

    /// What the layer reads in the pruned model, and what it is to give. `batches`: number of the first image of each,
    /// and how many it has.
    fn collect(
        &self,
        pruned: &Model,
        layer: &Layer,
        batches: &[(usize, usize)],
        caches: &Caches,
    ) -> Result<Option<Collected>, RepairError> {
        let target = layer.chain.target().to_owned();
        let Some(ids) = self.channels.value_ids(&target) else { return Ok(None) };
        let kept = self.channels.kept(self.cut, ids, layer.axis(ids.rank()));
        let mut wanted = vec![layer.input.clone()];
        wanted.extend(layer.chain.shortcut.clone());
        let Caches { dense, pruned: own } = caches;
        let mut aims = dense.segment(self.dense, self.engine, &[target])?;
        let mut reads = own.segment(pruned, self.engine, &wanted)?;
        let images: usize = batches.iter().map(|&(_, images)| images).sum();
        let mut rows: Option<Collected> = None;
        for (batch, &(first, size)) in batches.iter().enumerate() {
            if self.cancel.load(Ordering::Relaxed) {
                return Err(RepairError::Interrupted);
            }
            let (aim, read) = rayon::join(|| dense.run(&mut aims, batch), || own.run(&mut reads, batch));
            let (aim, read) = (aim?, read?);
            let (Some(aim), Some(x)) = (aim.first(), read.first()) else { return Ok(None) };
            if rows.is_none() {
                let shape = Shape::of(layer, x.shape(), aim.shape(), &kept, size);
                let Some(shape) = shape else { return Ok(None) };
                let groups = layer.map.layout.groups;
                let columns = shape.columns() / groups;
                let limits = RowLimits { images, memory: self.rows, quick: self.quick };
                let shortcut = layer.chain.shortcut.is_some();
                rows = Some(Collected::new(shape, columns, limits, shortcut, self.seed));
            }
            let Some(collected) = &mut rows else { return Ok(None) };
            if !collected.add(first, x, aim, read.get(1).map(AsRef::as_ref)) {
                return Ok(None);
            }
        }
        Ok(rows)
    }
}

/// Activations of both models at one place.
struct Caches {
    dense: ActivationCache,
    pruned: ActivationCache,
}

/// Images that are looked at in any case.
const LEAST_IMAGES: usize = 64;

/// The batches in an order in which the first of them, however many, come from all over the images.
struct Batches {
    order: Vec<usize>,
    /// Number of the first image of every batch, and how many it has; in that order.
    extents: Vec<(usize, usize)>,
    /// Batches that are looked at in any case.
    least: usize,
}

impl Batches {
    /// `mirrored`: how many of the last batches are mirror images of the first ones. They come after all others, and have
    /// numbers that hold them out where the image is held out.
    fn new(batches: &[Feed], mirrored: usize) -> Self {
        let own = batches.len() - mirrored;
        let mut order: Vec<usize> = (0..batches.len()).collect();
        // Halves, quarters, eighths (van der Corput).
        order.sort_by_key(|&batch| (batch >= own, (batch.checked_sub(own).unwrap_or(batch) as u64).reverse_bits()));
        let sizes: Vec<usize> = batches.iter().map(feed::samples).collect();
        let first = sizes[..own].iter().sum::<usize>().next_multiple_of(rows::HELD_OUT);
        let before = |batch: usize| sizes[..batch].iter().sum::<usize>();
        let start = |batch: usize| if batch < own { before(batch) } else { first + before(batch - own) };
        let extents = order.iter().map(|&batch| (start(batch), sizes[batch])).collect();
        let least = LEAST_IMAGES.div_ceil(sizes.first().copied().unwrap_or(1).max(1));
        Self { order, extents, least }
    }

    /// Number of the first batches that hold so many images.
    fn holding(&self, images: usize) -> usize {
        let mut sum = 0;
        let enough = self.extents.iter().position(|&(_, size)| {
            sum += size;
            sum >= images
        });
        enough.map_or(self.extents.len(), |last| last + 1)
    }

    /// Extents of the first batches.
    fn first(&self, count: usize) -> Vec<(usize, usize)> {
        self.extents[..count].to_vec()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ndarray::ArrayD;

    use super::*;
    use crate::engine::Tensor;

    #[test]
    fn mirror_images_come_last_and_are_held_out_with_their_images() {
        let batch =
            |images: usize| Feed::from([("x".to_owned(), Arc::new(Tensor::F32(ArrayD::zeros(vec![images, 2]))))]);
        let all: Vec<Feed> = [4, 4, 3, 4, 4, 3].map(batch).into();
        let batches = Batches::new(&all, 3);
        assert_eq!(batches.order, [0, 2, 1, 3, 5, 4]);
        let starts: Vec<usize> = batches.extents.iter().map(|own| own.0).collect();
        // 11 images, and their mirror images from 15 on.
        assert_eq!(starts, [0, 8, 4, 15, 23, 19]);
        assert_eq!(batches.holding(12), 4);
    }
}
