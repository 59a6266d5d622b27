//! The linear least-squares problem of one round: products with the Gauss-Newton matrix over all batches.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rayon::prelude::*;

use super::blocks::Block;
use super::descent::dot;
use super::factors::{Factors, Moments, Watched};
use super::objective::{Batch, Target};
use super::ops::Array;
use super::program::{Program, Trace};

/// Parts whose sums are formed apart and added in order, so that results do not depend on the number of threads.
const PARTS: usize = 8;

/// Images from which the preconditioner is made.
const FACTOR_IMAGES: usize = 48;

/// Images on which the blocks' lengths are found by exact products, and random cotangents by which they are found at least.
const CALIBRATION_IMAGES: usize = 32;
const LEAST_SAMPLES: usize = 48;

/// Images whose passes are held at a time for the preconditioner, where memory does not hold all of a draw.
const FEW_IMAGES: usize = 8;

/// A model linearised at its numbers.
pub(super) struct Linear<'a> {
    pub(super) program: &'a Program,
    pub(super) targets: &'a [Target],
    batches: &'a [Batch],
    numbers: &'a [f32],
    /// Passes over all batches, where memory holds them; else each is made again when it is needed.
    traces: Option<Vec<Arc<Trace>>>,
    images: usize,
}

/// Squared errors of every target, per image.
pub(super) fn errors(program: &Program, targets: &[Target], batches: &[Batch], numbers: &[f32]) -> Option<Vec<f64>> {
    let found: Vec<Option<Vec<f64>>> = batches
        .par_iter()
        .map(|batch| {
            let mut lengths = vec![0.0; targets.len()];
            program.forward(&batch.image, numbers, false, &mut |place, value| {
                lengths[place] = targets[place].distance(&batch.wanted[place], value);
            })?;
            Some(lengths)
        })
        .collect();
    let found = found.into_iter().collect::<Option<Vec<_>>>()?;
    let images: usize = batches.iter().map(Batch::len).sum();
    Some(
        (0..targets.len())
            .map(|target| found.iter().map(|lengths| lengths[target]).sum::<f64>() / images.max(1) as f64)
            .collect(),
    )
}

impl<'a> Linear<'a> {
    /// Linearises; also returns the right side: the transpose applied to what is missing. `keep`: whether all passes are
    /// held.
    pub(super) fn new(
        program: &'a Program,
        targets: &'a [Target],
        batches: &'a [Batch],
        numbers: &'a [f32],
        keep: bool,
    ) -> Option<(Self, Vec<f32>)> {
        let images = batches.iter().map(Batch::len).sum();
        let kept: Mutex<BTreeMap<usize, Arc<Trace>>> = Mutex::default();
        let mut linear = Self { program, targets, batches, numbers, traces: None, images };
        let right = linear.sum(|index, gradient| {
            let batch = &batches[index];
            let mut missing = vec![None; targets.len()];
            let see = &mut |place: usize, value: &Array| {
                missing[place] = targets[place].missing(&batch.wanted[place], value);
            };
            let Some(trace) = program.forward(&batch.image, numbers, true, see) else { return false };
            program.vjp(&trace, numbers, missing, gradient, &mut |_, _| {});
            if keep && let Ok(mut kept) = kept.lock() {
                kept.insert(index, Arc::new(trace));
            }
            true
        })?;
        linear.traces = keep.then(|| kept.into_inner().unwrap_or_default().into_values().collect());
        Some((linear, right))
    }

    /// The pass over a batch.
    fn trace(&self, index: usize) -> Option<Arc<Trace>> {
        if let Some(traces) = &self.traces {
            return traces.get(index).map(Arc::clone);
        }
        let pass = self.program.forward(&self.batches[index].image, self.numbers, true, &mut |_, _| {})?;
        Some(Arc::new(pass))
    }

    /// The mean over images of what `each` adds for every batch; `None` where it cannot.
    fn sum(&self, each: impl Fn(usize, &mut [f32]) -> bool + Sync) -> Option<Vec<f32>> {
        let parts: Option<Vec<Vec<f32>>> = (0..PARTS.min(self.batches.len()))
            .into_par_iter()
            .map(|part| {
                let mut sums = vec![0.0; self.numbers.len()];
                (part..self.batches.len()).step_by(PARTS).all(|index| each(index, &mut sums)).then_some(sums)
            })
            .collect();
        let mut total = vec![0.0f32; self.numbers.len()];
        for part in &parts? {
            total.iter_mut().zip(part).for_each(|(total, value)| *total += value);
        }
        let share = 1.0 / self.images.max(1) as f32;
        for value in &mut total {
            *value *= share;
        }
        Some(total)
    }

    /// The curvature along a direction: its squared length in the Gauss-Newton metric, by exact products.
    pub(super) fn curvature(&self, direction: &[f32]) -> f64 {
        self.curvature_on(direction, self.batches.len())
    }

    /// The curvature along every block's part of a direction: exactly on some images where passes are held, else from random
    /// cotangents on all of them, which are fewer passes.
    pub(super) fn curvature_of_blocks(&self, direction: &[f32], seed: u64) -> Vec<f64> {
        if self.traces.is_none() {
            return self.sampled_curvature_of_blocks(direction, seed);
        }
        let alone = |block: &Block| {
            let mut own = vec![0.0f32; direction.len()];
            own[block.range.clone()].copy_from_slice(&direction[block.range.clone()]);
            own
        };
        let size = self.batches.first().map_or(1, Batch::len).max(1);
        let batches = CALIBRATION_IMAGES.div_ceil(size).min(self.batches.len());
        self.program.blocks.iter().map(|block| self.curvature_on(&alone(block), batches)).collect()
    }

    /// The same from random cotangents, each batch with its own: the square of their product with `J d` has the curvature as
    /// its mean, and one pass backwards gives it for all blocks.
    fn sampled_curvature_of_blocks(&self, direction: &[f32], seed: u64) -> Vec<f64> {
        let repeated = LEAST_SAMPLES.div_ceil(self.batches.len().max(1));
        let parts: Option<Vec<Vec<f64>>> = (0..self.batches.len())
            .into_par_iter()
            .map(|index| {
                let trace = self.trace(index)?;
                let mut along = vec![0.0; self.program.blocks.len()];
                for again in 0..repeated {
                    let random = self.random(index, seed.wrapping_add((again * self.batches.len()) as u64));
                    let mut gradient = vec![0.0f32; direction.len()];
                    self.program.vjp(&trace, self.numbers, random, &mut gradient, &mut |_, _| {});
                    for (along, block) in along.iter_mut().zip(&self.program.blocks) {
                        *along += dot(&gradient[block.range.clone()], &direction[block.range.clone()]).powi(2);
                    }
                }
                Some(along)
            })
            .collect();
        let Some(parts) = parts else { return vec![f64::NAN; self.program.blocks.len()] };
        let share = 1.0 / (self.images * repeated).max(1) as f64;
        (0..self.program.blocks.len()).map(|at| parts.iter().map(|part| part[at]).sum::<f64>() * share).collect()
    }

    /// Squared length of a direction in the Gauss-Newton metric, per image, on the first batches.
    fn curvature_on(&self, direction: &[f32], batches: usize) -> f64 {
        let parts: Vec<f64> = (0..batches)
            .into_par_iter()
            .map(|index| {
                let Some(trace) = self.trace(index) else { return f64::NAN };
                let changes = self.program.jvp(&trace, self.numbers, direction);
                self.targets.iter().zip(changes).filter_map(|(target, change)| Some(target.length(&change?))).sum()
            })
            .collect();
        let size = self.batches.first().map_or(1, Batch::len);
        parts.iter().sum::<f64>() / (batches * size).max(1) as f64
    }

    /// The preconditioner, from random cotangents on some of the batches.
    pub(super) fn factors(&self, ridge: f64, seed: u64) -> Factors {
        let size = self.batches.first().map_or(1, Batch::len).max(1);
        let some = FACTOR_IMAGES.div_ceil(size).min(self.batches.len());
        // Passes over so many batches are held at a time.
        let held = if self.traces.is_some() { some } else { FEW_IMAGES.div_ceil(size) };
        let mut moments = Moments::new(self.program);
        for from in (0..some).step_by(held.max(1)) {
            let watched: Vec<(Arc<Trace>, Watched)> = (from..some.min(from + held))
                .into_par_iter()
                .filter_map(|index| {
                    let mut watched: Watched = self.program.steps.iter().map(|_| None).collect();
                    let mut watch = |step: usize, cotangent: &Array| watched[step] = Some(cotangent.clone());
                    let trace = self.trace(index)?;
                    self.program.vjp(&trace, self.numbers, self.random(index, seed), &mut [], &mut watch);
                    Some((trace, watched))
                })
                .collect();
            moments.add(&watched);
        }
        moments.invert(some * size, ridge)
    }

    /// Random cotangents of a batch, whose second moments are the objective's metric.
    fn random(&self, index: usize, seed: u64) -> Vec<Option<Array>> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed.wrapping_add(index as u64));
        let wanted = &self.batches[index].wanted;
        self.targets.iter().zip(wanted).map(|(target, wanted)| Some(target.sample(wanted, &mut rng))).collect()
    }
}
