//! What the outputs lose as one block more is left out and the layers around it are refitted (`docs/method.md` 8.9).

use std::sync::atomic::AtomicBool;

use ndarray::ArrayD;

use super::kept::spread;
use super::trials::images_within;
use super::{EvaluateError, Fidelity, TrialEffort, class_scores, input_specs, outputs_on};
use crate::channels::{Channels, Cut};
use crate::engine::{Engine, Feed, feed};
use crate::model::Model;
use crate::repair::{Around, Reconstruction};
use crate::rewrite;

/// Images that are used at least.
const LEAST_IMAGES: usize = 16;

/// Trials for every block, about.
const TRIALS: usize = 3;

/// Runs of one image in a trial, about: both models for the layers' problems, one to judge.
const RUNS: usize = 3;

/// Layers behind a block that are refitted in a trial.
const LAYERS: usize = 3;

/// What the trials of all blocks may take.
#[derive(Debug, Clone, Copy)]
pub struct TrialLimits {
    /// Multiply-accumulates and images.
    pub effort: TrialEffort,
    /// Bytes of activations that are kept.
    pub activations: u64,
    /// Bytes of rows of one layer's problem.
    pub rows: u64,
}

/// Everything that losses without blocks are measured with.
pub struct BlockTrials<'a> {
    /// The dense model.
    pub model: &'a Model,
    /// Its analysis.
    pub channels: &'a Channels,
    /// What runs it.
    pub engine: &'a dyn Engine,
    /// Inputs that layers are refitted on.
    pub fitting: Vec<Feed>,
    /// Inputs that judge.
    pub judging: Vec<Feed>,
    /// What the dense model gives for those.
    dense: Vec<Vec<ArrayD<f32>>>,
    /// What the trials may take.
    pub limits: TrialLimits,
    /// Seed of the draws of positions.
    pub seed: u64,
    /// Ends the measurement.
    pub cancel: &'a AtomicBool,
}

impl<'a> BlockTrials<'a> {
    /// Takes as many of the inputs as the trials of all blocks allow, and runs the dense model on those that judge.
    ///
    /// # Errors
    /// If the engine fails, or on interruption.
    pub fn new(
        (model, channels): (&'a Model, &'a Channels),
        engine: &'a dyn Engine,
        [fitting, judging]: [&[Feed]; 2],
        limits: TrialLimits,
        seed: u64,
        cancel: &'a AtomicBool,
    ) -> Result<Self, EvaluateError> {
        let macs = channels.macs(None) as f64 * (TRIALS * RUNS * channels.blocks.len()) as f64;
        let images =
            images_within(limits.effort.macs, macs).clamp(LEAST_IMAGES, limits.effort.images.max(LEAST_IMAGES));
        let divisible = input_specs(model).iter().all(|input| input.shape.first().is_none_or(Option::is_none));
        let [fitting, judging] = [fitting, judging].map(|own| spread(own, images, divisible));
        let dense = outputs_on(engine, model, judging.iter(), cancel)?;
        Ok(Self { model, channels, engine, fitting, judging, dense, limits, seed, cancel })
    }

    /// Takes one block more out of `base`, the dense model or one without blocks already, refits the layers around it, and
    /// tells the loss of the outputs.
    ///
    /// # Errors
    /// On interruption, or if a weight cannot be read. What the engine does not run loses everything.
    pub fn without(&self, base: &Model, block: usize) -> Result<(Model, f64), EvaluateError> {
        let own = &self.channels.blocks[block];
        let mut model = rewrite::without_block(base, own);
        let cut = Cut::block(self.channels, block);
        let reconstruction = Reconstruction {
            dense: self.model,
            channels: self.channels,
            cut: &cut,
            engine: self.engine,
            batches: &self.fitting,
            mirrored: 0,
            memory: self.limits.activations,
            images: self.fitting.iter().map(feed::samples).sum(),
            rows: self.limits.rows,
            around: Some(Around { value: own.last_output().to_owned(), layers: LAYERS }),
            quick: false,
            seed: self.seed,
            cancel: self.cancel,
        };
        reconstruction.refit(&mut model, &mut |_| {})?;
        match outputs_on(self.engine, &model, self.judging.iter(), self.cancel) {
            Ok(found) => {
                let scores = class_scores(self.model, self.channels).is_some();
                Ok((model, Fidelity::between(&self.dense, &found, scores)))
            }
            Err(EvaluateError::Engine(_)) => Ok((model, f64::INFINITY)),
            Err(error) => Err(error),
        }
    }
}
