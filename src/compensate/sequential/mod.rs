//! Layer after layer on the pruned model's own activations (`compensation.md` 7.4 to 7.6, "error-aware").
//!
//! Two models are walked side by side. Every layer behind a cut is refitted so that, given what the pruned model feeds it,
//! it gives what the dense model gives at that place; a branch that ends in a sum also makes up for what the shortcut
//! lacks, and what a following `Relu` or `Clip` hides does not count. Errors are corrected where they arise and not
//! passed on. Only what is alive at one place is kept of both models.

mod chain;
mod fit;
mod layers;
mod matrix;
mod patches;
mod rows;
mod stream;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};

use crate::channels::{Channels, Cut};
use crate::engine::{Engine, Tensor};
use crate::error::Error;
use crate::model::Model;
use fit::{Problem, Solution};
use layers::Layer;
use rows::{Collected, Shape};
pub(crate) use stream::{Stream, Values};

/// Images and limits of the walk.
pub struct Walk<'a> {
    /// The model before the cut, its analysis, and the cut.
    pub dense: &'a Model,
    /// Analysis of the dense model.
    pub channels: &'a Channels,
    /// What was removed.
    pub cut: &'a Cut,
    /// What runs both models.
    pub engine: &'a dyn Engine,
    /// Name of the models' input.
    pub input: &'a str,
    /// The images, `[N, ...]` each; all batches of one size but the last.
    pub batches: &'a [Arc<Tensor>],
    /// Bytes of activations that are kept of both models together.
    pub memory: u64,
    /// Seed of the draw of positions.
    pub seed: u64,
    /// Ends the walk.
    pub cancel: &'a AtomicBool,
}

/// What became of a layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerFit {
    /// Name of the node.
    pub name: String,
    /// Weights per output.
    pub columns: usize,
    /// Rows (image, position) that they were fitted on.
    pub rows: usize,
    /// Whether the target makes up for a shortcut (7.5).
    pub shortcut: bool,
    /// Whether an activation's blind range was left out (7.6).
    pub activation: bool,
    /// Strength of the ridge relative to the mean variance of the columns; `None`: only the constant was fitted.
    pub ridge: Option<f64>,
    /// Error on held-out rows relative to the target's spread there: before, and after.
    pub error: (f64, f64),
}

/// What the walk did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Walked {
    /// Layers that were refitted, in order.
    pub layers: Vec<LayerFit>,
    /// Layers that the engine did not lead to, and what it said.
    pub left: Vec<(String, String)>,
}

impl Walk<'_> {
    /// Refits `pruned`, the dense model without the channels of the cut. `each` is told the number of layers first and
    /// is called after every layer. A layer that the engine does not lead to stays as it is.
    ///
    /// # Errors
    /// On interruption.
    pub fn refit(&self, pruned: &mut Model, each: &mut dyn FnMut(usize)) -> Result<Walked, Error> {
        let layers = layers::find(self.dense, pruned);
        each(layers.len());
        let images: Vec<Values> =
            self.batches.iter().map(|batch| BTreeMap::from([(self.input.to_owned(), Arc::clone(batch))])).collect();
        let mut streams =
            (Stream::new(self.dense, images.clone(), self.memory / 2), Stream::new(pruned, images, self.memory / 2));
        let mut walked = Walked::default();
        for layer in &layers {
            if self.cancel.load(Ordering::Relaxed) {
                return Err(Error::Interrupted);
            }
            match self.layer(pruned, layer, &mut streams) {
                Ok(fit) => walked.layers.extend(fit),
                Err(Error::Engine(error)) => walked.left.push((layer.name.clone(), error.to_string())),
                Err(error) => return Err(error),
            }
            each(0);
        }
        Ok(walked)
    }

    fn layer(
        &self,
        pruned: &mut Model,
        layer: &Layer,
        (dense, own): &mut (Stream, Stream),
    ) -> Result<Option<LayerFit>, Error> {
        let made = |node: &crate::proto::onnx::NodeProto| node.output.contains(&layer.output);
        let Some(twin) = self.dense.graph().node.iter().position(made) else { return Ok(None) };
        dense.advance(self.dense, self.engine, twin)?;
        own.advance(pruned, self.engine, layer.node)?;
        let Some(rows) = self.collect(pruned, layer, (dense, own))? else { return Ok(None) };
        let Some(mut matrix) = matrix::Matrix::of(pruned, layer) else { return Ok(None) };
        if !rows.fits(&matrix) {
            return Ok(None);
        }
        let solve = |group: usize| -> Option<Solution> {
            let (weights, bias) = matrix.problem(group);
            let (fit, hold) = rows.group(group, matrix.groups);
            let intercept = matrix.can_shift;
            Problem { fit, hold, weights, bias, intercept, bounds: layer.chain.bounds() }.solve()
        };
        let solutions: Vec<Option<Solution>> = {
            use rayon::prelude::*;
            (0..matrix.groups).into_par_iter().map(solve).collect()
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
            columns: matrix.columns,
            rows: rows.count(),
            shortcut: layer.chain.shortcut.is_some(),
            activation: layer.chain.bounds().is_some(),
            ridge: first.ridge,
            error: (total[0] / spread, total[2] / spread),
        }))
    }

    /// What the layer reads in the pruned model, and what it is to give.
    fn collect(
        &self,
        pruned: &Model,
        layer: &Layer,
        (dense, own): (&Stream, &Stream),
    ) -> Result<Option<Collected>, Error> {
        let target = layer.chain.target().to_owned();
        let Some(ids) = self.channels.value_ids(&target) else { return Ok(None) };
        let kept = self.channels.kept(self.cut, ids, layer.axis(ids.rank()));
        let mut wanted = vec![layer.input.clone()];
        wanted.extend(layer.chain.shortcut.clone());
        let mut aims = dense.segment(self.dense, self.engine, &[target])?;
        let mut reads = own.segment(pruned, self.engine, &wanted)?;
        let images: usize = self.batches.iter().filter_map(|batch| batch.shape().first()).sum();
        let mut rows: Option<Collected> = None;
        let mut first = 0;
        for batch in 0..own.batches() {
            if self.cancel.load(Ordering::Relaxed) {
                return Err(Error::Interrupted);
            }
            let (aim, read) = (aims.run(&dense.kept(batch))?, reads.run(&own.kept(batch))?);
            let (Some(aim), Some(x)) = (aim.first(), read.first()) else { return Ok(None) };
            if rows.is_none() {
                let shape = Shape::of(layer, x.shape(), aim.shape(), &kept, self.batches[batch].shape()[0]);
                let Some(shape) = shape else { return Ok(None) };
                let groups = layer.groups();
                let columns = shape.columns() / groups;
                rows = Some(Collected::new(shape, columns, images, layer.chain.shortcut.is_some(), self.seed));
            }
            let Some(collected) = &mut rows else { return Ok(None) };
            if !collected.add(first, x, aim, read.get(1).map(AsRef::as_ref)) {
                return Ok(None);
            }
            first += self.batches[batch].shape()[0];
        }
        Ok(rows)
    }
}
