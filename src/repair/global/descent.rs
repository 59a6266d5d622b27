//! Damped Gauss-Newton steps on fresh draws of images.
//!
//! The direction of a step is the right side of the draw's least-squares problem times the inverse of the
//! Kronecker-factored Gauss-Newton matrix; every block's length is that which is best for the block alone, found once by
//! exact products, and the length of all together is measured again and again. Lengths are measured on another draw than
//! the direction is from: on its own draw a direction that fits noise looks good, and a classifier of a thousand outputs
//! has many numbers for the few rows of a draw. Steps take a share of the length, with momentum, so that a solution draws
//! on many more images than are held at a time.

use std::time::Instant;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::dense::Dense;
use super::factors::Factors;
use super::images::Images;
use super::linear::{Linear, errors};
use super::objective::{Batch, Target};
use super::options::RefineOptions;
use super::program::Program;
use crate::repair::RepairError;

/// Share of the best length that a step takes at first. With 0.15, 0.3 and 0.6 ResNet-20 at half the MACs came to 88.85, 89.04
/// and 89.18 % in six rounds on 1,000 images.
const SHARE: f64 = 0.6;

/// What is left of [`SHARE`] in the last round: a cosine leads there.
const LAST_SHARE: f64 = 0.1;

/// What is left of the last step in the next.
const MOMENTUM: f32 = 0.9;

/// Ridge of the preconditioner, relative to the mean of the moments.
const RIDGE: f64 = 0.3;

/// Rounds that should fit into the time, and steps of a round at least: only after a round is it known whether it helped.
const LEAST_ROUNDS: f64 = 4.0;
const LEAST_STEPS: usize = 4;

/// Multiply-accumulates for which a second is reckoned where rounds are counted: half of what two cores do, so that the
/// time ends the rounds of slow machines alone.
const MACS_PER_SECOND: f64 = 5e9;

/// A round that ends not farther than this share above the least error goes on from where it is: large steps wander about
/// what smaller ones will find.
const NEAR: f64 = 0.02;

/// Steps between measurements of the length, and weight of a new one in their geometric mean.
const MEASURE: usize = 5;
const NEWEST: f64 = 0.2;

/// Draws of images with the dense model's values.
pub(super) struct Draws<'a> {
    teacher: Dense,
    images: &'a Images<'a>,
    fit: Vec<usize>,
    count: usize,
    size: usize,
    rng: ChaCha8Rng,
    /// Whether memory holds two draws, so that one is made while the other is learned from.
    ahead: bool,
    /// The draw that was made ahead.
    next: Option<Vec<Batch>>,
}

impl<'a> Draws<'a> {
    /// Draws of `count` of the images `fit`, in batches of `size`; `ahead`: whether memory holds two of them.
    pub(super) fn new(
        teacher: Dense,
        images: &'a Images<'a>,
        fit: Vec<usize>,
        [count, size]: [usize; 2],
        ahead: bool,
        seed: u64,
    ) -> Self {
        Self { teacher, images, fit, count, size, rng: ChaCha8Rng::seed_from_u64(seed), ahead, next: None }
    }

    fn make(&mut self) -> Result<Vec<Batch>, RepairError> {
        let picks = self.images.draw(&self.fit, self.count, &mut self.rng);
        self.teacher.batches(self.images, &picks, self.size)
    }

    /// What `learn` makes of the next draw. The dense model runs on the one after it meanwhile, where there is room.
    fn with_next<T: Send>(&mut self, learn: impl FnOnce(&[Batch]) -> T + Send) -> Result<T, RepairError> {
        let draw = if let Some(draw) = self.next.take() { draw } else { self.make()? };
        if !self.ahead {
            return Ok(learn(&draw));
        }
        let (learned, next) = rayon::join(|| learn(&draw), || self.make());
        self.next = Some(next?);
        Ok(learned)
    }
}

/// What came of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It found the least error on held-out images so far.
    Better,
    /// It ended near it; the next round goes on from there.
    Near,
    /// It ended farther away; the next round starts from the best numbers with half the steps.
    Undone,
}

/// State of the rounds.
pub(super) struct Descent<'a> {
    program: &'a Program,
    targets: Vec<Target>,
    held_out: Vec<Batch>,
    options: &'a RefineOptions,
    /// The best numbers and their error on held-out images.
    best: (Vec<f32>, f64),
    /// Where the next round starts, and with which momentum.
    at: Vec<f32>,
    momentum: Vec<f32>,
    factors: Option<Factors>,
    /// Direction of the last draw.
    direction: Vec<f32>,
    /// Best length of all blocks together.
    length: f64,
    share: f64,
    rounds: usize,
    /// Images that steps were taken on.
    drawn: usize,
    /// Whether passes over a draw are held.
    keep: bool,
    /// Steps of a round.
    steps: usize,
}

impl<'a> Descent<'a> {
    /// Starts from the numbers that the file holds; `None` if they give no error. `keep`: whether passes over a draw are
    /// held. `step_macs`: multiply-accumulates of one pass over a draw.
    pub(super) fn new(
        program: &'a Program,
        targets: Vec<Target>,
        held_out: Vec<Batch>,
        options: &'a RefineOptions,
        keep: bool,
        step_macs: u64,
    ) -> Option<Self> {
        let at = program.numbers.clone();
        let best = objective(program, &targets, &held_out, &at)?;
        let momentum = vec![0.0; at.len()];
        let best = (at.clone(), best);
        let state = (None, 0.0, SHARE, 0);
        let (factors, length, share, rounds) = state;
        Some(Self {
            program,
            targets,
            held_out,
            options,
            best,
            at,
            momentum,
            factors,
            direction: Vec::new(),
            length,
            share,
            rounds,
            drawn: 0,
            keep,
            steps: counted(options, step_macs),
        })
    }

    /// The error on held-out images.
    pub(super) fn best(&self) -> f64 {
        self.best.1
    }

    /// Images that steps were taken on so far.
    pub(super) fn drawn(&self) -> usize {
        self.drawn
    }

    pub(super) fn numbers(&self) -> &[f32] {
        &self.best.0
    }

    /// One round, and what came of it. `progress`: the share of all rounds that is behind. `go_on` is asked before every
    /// step.
    pub(super) fn round(
        &mut self,
        draws: &mut Draws<'_>,
        progress: f64,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Outcome, RepairError> {
        let fading = 0.5 * (1.0 + (progress.clamp(0.0, 1.0) * std::f64::consts::PI).cos());
        let share = self.share * (LAST_SHARE + (1.0 - LAST_SHARE) * fading);
        let mut mean = Mean::new(self.at.len());
        let begin = Instant::now();
        for step in 0..self.options.draws {
            if step >= self.steps || !go_on() || !draws.with_next(|draw| self.step(draw, step, share))? {
                break;
            }
            if step == 1 && self.rounds == 0 {
                self.fit_into_time(begin.elapsed().as_secs_f64() / 2.0);
            }
            if step >= self.steps / 2 {
                mean.add(&self.at);
            }
        }
        self.rounds += 1;
        let outcome = self.outcome(&mean);
        if outcome == Outcome::Undone {
            self.share *= 0.5;
            self.at.clone_from(&self.best.0);
            self.momentum.fill(0.0);
        }
        Ok(outcome)
    }

    /// Where the time alone ends the rounds: steps of a round with which a few fit into it, when one takes so many
    /// seconds. Where rounds are counted, the clock decides nothing but the end.
    fn fit_into_time(&mut self, seconds: f64) {
        if self.options.rounds.is_none() {
            let most = self.options.draws;
            self.steps = at_least(self.options.seconds / (LEAST_ROUNDS * seconds.max(1e-9)), most);
        }
    }

    /// Takes one step on a draw; `false` if it has no direction.
    #[allow(clippy::cast_possible_truncation, reason = "vectors are single precision")]
    fn step(&mut self, batches: &[Batch], step: usize, share: f64) -> bool {
        let Some((linear, right)) = Linear::new(self.program, &self.targets, batches, &self.at, self.keep) else {
            return false;
        };
        if step == 0 {
            let seed = self.options.seed.wrapping_add(self.rounds as u64);
            let mut factors = linear.factors(RIDGE, seed);
            if let Some(old) = &self.factors {
                factors.lengths.clone_from(&old.lengths);
            }
            self.factors = Some(factors);
        }
        let Some(factors) = &mut self.factors else { return false };
        if self.length == 0.0 && !self.direction.is_empty() {
            factors.calibrate(&linear, &right, &mut self.direction, self.options.seed);
        }
        let direction = factors.apply(&self.program.blocks, &right);
        if !self.direction.is_empty() && (step.is_multiple_of(MEASURE) || self.length == 0.0) {
            self.length = measured(self.length, &self.direction, &linear, &right);
        }
        let length = (self.length * share) as f32;
        for ((momentum, direction), number) in self.momentum.iter_mut().zip(&direction).zip(&mut self.at) {
            *momentum = MOMENTUM * *momentum + length * direction;
            *number += *momentum;
        }
        self.direction = direction;
        self.drawn += batches.iter().map(Batch::len).sum::<usize>();
        true
    }

    /// Keeps the numbers reached or their mean over the end of the round, if either is better than the best; what came of the
    /// round by the better of both.
    fn outcome(&mut self, mean: &Mean) -> Outcome {
        let before = self.best.1;
        let mut least = f64::INFINITY;
        for numbers in [&self.at, &mean.mean] {
            let error = objective(self.program, &self.targets, &self.held_out, numbers).unwrap_or(f64::INFINITY);
            least = least.min(error);
            if error < self.best.1 {
                self.best = (numbers.clone(), error);
            }
        }
        if least < before {
            Outcome::Better
        } else if least <= before * (1.0 + NEAR) {
            Outcome::Near
        } else {
            Outcome::Undone
        }
    }
}

/// Steps of a round where rounds are counted: the same on every machine. `macs`: multiply-accumulates of a step.
fn counted(options: &RefineOptions, macs: u64) -> usize {
    match options.rounds {
        Some(rounds) => {
            let round = options.seconds * MACS_PER_SECOND / rounds.max(1) as f64;
            at_least(round / macs.max(1) as f64, options.draws)
        }
        None => options.draws,
    }
}

/// As many whole steps, not fewer than [`LEAST_STEPS`] and else at most `most`.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small count, saturated")]
fn at_least(steps: f64, most: usize) -> usize {
    (steps as usize).clamp(LEAST_STEPS, most.max(LEAST_STEPS))
}

/// The best length along the last draw's direction, measured on another draw and averaged with the length so far.
fn measured(so_far: f64, direction: &[f32], linear: &Linear<'_>, right: &[f32]) -> f64 {
    let new = dot(right, direction) / linear.curvature(direction);
    if !(new > 0.0 && new.is_finite()) {
        return so_far;
    }
    let old = if so_far > 0.0 { so_far } else { new };
    old * (new / old).powf(NEWEST)
}

/// The objective on held-out images, if it is a number.
fn objective(program: &Program, targets: &[Target], batches: &[Batch], numbers: &[f32]) -> Option<f64> {
    let all = errors(program, targets, batches, numbers)?;
    Some(all.iter().sum::<f64>()).filter(|error| error.is_finite())
}

/// A running mean of vectors.
struct Mean {
    mean: Vec<f32>,
    count: f32,
}

impl Mean {
    fn new(size: usize) -> Self {
        Self { mean: vec![0.0; size], count: 0.0 }
    }

    fn add(&mut self, vector: &[f32]) {
        self.count += 1.0;
        self.mean.iter_mut().zip(vector).for_each(|(mean, value)| *mean += (value - *mean) / self.count);
    }
}

/// An inner product in double precision.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counted_rounds_take_steps_by_the_work_and_not_by_the_clock() {
        let options = RefineOptions { rounds: Some(6), draws: 25, seconds: 120.0, ..RefineOptions::default() };
        // 100e9 multiply-accumulates for a round.
        assert_eq!([1_000_000, 5_000_000_000, 100_000_000_000].map(|macs| counted(&options, macs)), [25, 20, 4]);
        assert_eq!(counted(&RefineOptions { seconds: 60.0, ..options }, 5_000_000_000), 10);
        assert_eq!(counted(&RefineOptions { rounds: None, ..options }, 5_000_000_000), 25);
    }
}
