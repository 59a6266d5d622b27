//! The linear least-squares problem of one round: products with the Gauss-Newton matrix over all batches.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rayon::prelude::*;

use super::factors::{Factors, Watched};
use super::objective::{Batch, Target};
use super::ops::Array;
use super::program::{Program, Trace};

/// Parts whose sums are formed apart and added in order, so that results do not depend on the number of threads.
const PARTS: usize = 8;

/// Batches from which the preconditioner is made.
const FACTOR_IMAGES: usize = 48;

/// A model linearised at its numbers.
pub(super) struct Linear<'a> {
    pub(super) program: &'a Program,
    pub(super) targets: &'a [Target],
    batches: &'a [Batch],
    numbers: &'a [f32],
    traces: Vec<Trace>,
    images: usize,
}

/// Squared errors of every target, per image.
pub(super) fn errors(program: &Program, targets: &[Target], batches: &[Batch], numbers: &[f32]) -> Option<Vec<f64>> {
    let found: Vec<Option<Vec<f64>>> = batches
        .par_iter()
        .map(|batch| {
            let (_, values) = program.forward(&batch.image, numbers, false)?;
            Some(lengths(targets, batch, &values))
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

fn lengths(targets: &[Target], batch: &Batch, values: &[Array]) -> Vec<f64> {
    let all = targets.iter().zip(&batch.wanted).zip(values);
    all.map(|((target, wanted), value)| target.length(&(wanted - value))).collect()
}

impl<'a> Linear<'a> {
    /// Linearises; also returns the right side: the transpose applied to what is missing.
    pub(super) fn new(
        program: &'a Program,
        targets: &'a [Target],
        batches: &'a [Batch],
        numbers: &'a [f32],
    ) -> Option<(Self, Vec<f32>)> {
        let passes: Vec<Option<(Trace, Vec<Array>)>> =
            batches.par_iter().map(|batch| program.forward(&batch.image, numbers, true)).collect();
        let passes = passes.into_iter().collect::<Option<Vec<_>>>()?;
        let (traces, values): (Vec<Trace>, Vec<Vec<Array>>) = passes.into_iter().unzip();
        let images = batches.iter().map(Batch::len).sum();
        let linear = Self { program, targets, batches, numbers, traces, images };
        let right = linear.sum(|index, gradient| {
            let batch = &batches[index];
            let pairs = targets.iter().zip(&batch.wanted).zip(&values[index]);
            let missing = pairs.map(|((target, wanted), value)| Some((wanted - value) * target.weight)).collect();
            program.vjp(&linear.traces[index], numbers, missing, gradient, &mut |_, _| {});
        });
        Some((linear, right))
    }

    /// The mean over images of what `each` adds for every batch.
    fn sum(&self, each: impl Fn(usize, &mut [f32]) + Sync) -> Vec<f32> {
        let parts: Vec<Vec<f32>> = (0..PARTS.min(self.batches.len()))
            .into_par_iter()
            .map(|part| {
                let mut sums = vec![0.0; self.numbers.len()];
                (part..self.batches.len()).step_by(PARTS).for_each(|index| each(index, &mut sums));
                sums
            })
            .collect();
        let mut total = vec![0.0f32; self.numbers.len()];
        for part in &parts {
            total.iter_mut().zip(part).for_each(|(total, value)| *total += value);
        }
        let share = 1.0 / self.images.max(1) as f32;
        for value in &mut total {
            *value *= share;
        }
        total
    }

    /// The curvature along a direction: its squared length in the Gauss-Newton metric, by an exact product on at most
    /// `most` images.
    pub(super) fn curvature(&self, direction: &[f32], most: usize) -> f64 {
        let size = self.batches.first().map_or(1, Batch::len).max(1);
        let some = most.div_ceil(size).clamp(1, self.batches.len().max(1)).min(self.batches.len());
        let parts: Vec<f64> = (0..some)
            .into_par_iter()
            .map(|index| {
                let changes = self.program.jvp(&self.traces[index], self.numbers, direction);
                self.targets.iter().zip(changes).filter_map(|(target, change)| Some(target.length(&change?))).sum()
            })
            .collect();
        parts.iter().sum::<f64>() / (some * size).max(1) as f64
    }

    /// The preconditioner, from random cotangents on some of the batches.
    pub(super) fn factors(&self, ridge: f64, seed: u64) -> Factors {
        let size = self.batches.first().map_or(1, Batch::len).max(1);
        let some = FACTOR_IMAGES.div_ceil(size).min(self.batches.len());
        let watched: Vec<(&Trace, Watched)> = (0..some)
            .into_par_iter()
            .map(|index| {
                let mut rng = ChaCha8Rng::seed_from_u64(seed.wrapping_add(index as u64));
                let wanted = &self.batches[index].wanted;
                let random =
                    self.targets.iter().zip(wanted).map(|(target, wanted)| Some(target.sample(wanted, &mut rng)));
                let mut watched: Watched = self.program.blocks.iter().map(|_| None).collect();
                let mut watch = |step: &super::program::Step, cotangent: &Array| {
                    if let Some(block) = step.block {
                        watched[block] = Some(cotangent.clone());
                    }
                };
                let trace = &self.traces[index];
                self.program.vjp(trace, self.numbers, random.collect(), &mut [], &mut watch);
                (trace, watched)
            })
            .collect();
        Factors::new(self.program, &watched, some * size, ridge)
    }
}
