//! The rounds: draw images, linearise, solve, keep the step if held-out images say so.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ndarray::ArrayD;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::dense::{Dense, single_input};
use super::images::{Images, Pick};
use super::linear::{Linear, errors};
use super::objective::{Batch, Target, variance};
use super::ops;
use super::options::{RefineOptions, Refined, Stop};
use super::program::{Program, write_back};
use super::solve::solve;
use super::survey::survey;
use crate::Error;
use crate::engine::Engine;
use crate::model::Model;

/// Every so many images one is held out.
const HELD_OUT: usize = 5;

/// Bytes that the images of a round may take.
const MOST_BYTES: usize = 1 << 30;

/// Numbers of the images of a batch, about: what stays in the cache while a batch is passed through.
const BATCH_NUMBERS: usize = 1 << 15;

fn env(name: &str, default: f64) -> f64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

/// Adjusts the weights of `pruned` so that it computes more nearly what `dense` computes on `images`, batches
/// `[N, ...]` of the single input of both. Labels are not used. What cannot be adjusted is left alone and named.
///
/// Every round solves a damped least-squares problem around the present weights (Gauss-Newton) on newly drawn images;
/// its step is kept only if the objective falls on images that are held out. `cancel` ends it early with what was
/// reached.
///
/// # Errors
/// If a stored tensor cannot be read or the engine does not run one of the models.
pub fn refine(
    dense: &Model,
    pruned: &mut Model,
    engine: &dyn Engine,
    images: &[ArrayD<f32>],
    options: &RefineOptions,
    cancel: &AtomicBool,
) -> Result<Refined, Error> {
    let begin = Instant::now();
    let images = Images::new(images);
    let nothing = |why: &str| Refined { left_out: vec![("model".into(), why.into())], ..Refined::default() };
    let Some((input, fixed)) = single_input(pruned) else {
        return Ok(nothing("it has not one input of single-precision numbers"));
    };
    let numbers = images.shape().iter().product::<usize>().max(1);
    let size = fixed.unwrap_or_else(|| (BATCH_NUMBERS / numbers).clamp(1, 8));
    if images.len() < HELD_OUT * size || images.len() < 2 * HELD_OUT {
        return Ok(nothing("there are too few images"));
    }
    let held: Vec<Pick> = (0..images.len()).step_by(HELD_OUT).map(Pick::plain).collect();
    let fit: Vec<usize> = (0..images.len()).filter(|image| image % HELD_OUT != 0).collect();
    let first = images.batch(&held[..size.min(held.len())]);
    let seen = survey(pruned, engine, &input, &first, &|node| ops::is_known(node))?;
    let mut program = Program::build(pruned, &seen, &input);
    let candidates = program.junctions();
    let opened = Dense::open(dense, engine, &program, &candidates, &first)?;
    let Some(mut teacher) = opened.filter(|_| !program.blocks.is_empty()) else {
        let mut refined = nothing("no weight leads to a value that the dense model has too");
        refined.left_out.append(&mut program.left_out);
        return Ok(refined);
    };
    drop(seen);
    program.aim(&teacher.targets);
    let per_image =
        (program.kept_per_image() + 2 * program.compared_per_image(&teacher.targets) + numbers) * size_of::<f32>();
    let room = (MOST_BYTES / per_image.max(1)).max(size);
    let per_round = options.images_per_round.min(room).max(size);
    let held_out = teacher.batches(&images, &held[..held.len().min(room)], size)?;
    let targets = weigh(&program, &teacher.targets, &held_out);
    let mut run = Run {
        program: &program,
        targets,
        held_out,
        numbers: program.numbers.clone(),
        damping: env("RF_MU", 3e-1) as f32,
        share: 0.4,
        guess: Vec::new(),
    };
    let mut refined = Refined {
        parameters: program.adjustable(),
        nodes: program.blocks.len(),
        images: [fit.len(), held.len()],
        compared: teacher.targets.iter().map(|&value| program.values[value].name.clone()).collect(),
        left_out: program.left_out.clone(),
        stopped_by: Stop::Rounds,
        ..Refined::default()
    };
    let Some(mut best) = run.objective(&run.numbers) else { return Ok(refined) };
    refined.errors.push(best);
    let late = || begin.elapsed() > Duration::try_from_secs_f64(options.seconds).unwrap_or(Duration::MAX);
    let stop = || {
        if cancel.load(Ordering::Relaxed) { Some(Stop::Cancelled) } else { late().then_some(Stop::Time) }
    };
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    let mut failures = 0;
    for round in 0..options.rounds {
        if let Some(why) = stop() {
            refined.stopped_by = why;
            break;
        }
        let picks = images.draw(&fit, per_round, &mut rng);
        let batches = teacher.batches(&images, &picks, size)?;
        let new = run.round(&batches, options.cg, options.seed.wrapping_add(round as u64), best, &|| stop().is_none());
        refined.rounds += 1;
        if std::env::var("RF_LOG").is_ok() {
            let e = errors(run.program, &run.targets, &run.held_out, &run.numbers);
            eprintln!(
                "round {round} {:.1}s obj {:?} mu {:.1e} share {} held {:.4?}",
                begin.elapsed().as_secs_f64(),
                new,
                run.damping,
                run.share,
                e
            );
        }
        if let Some(new) = new {
            (best, failures) = (new, 0);
            refined.kept += 1;
        } else {
            failures += 1;
        }
        refined.errors.push(best);
        if failures == 2 {
            refined.stopped_by = Stop::NoGain;
            break;
        }
    }
    if refined.kept > 0 {
        write_back(pruned, &program.blocks, &run.numbers);
    }
    Ok(refined)
}

/// Shares of the objective and scales of the targets.
#[allow(clippy::cast_possible_truncation, reason = "weights are single precision")]
fn weigh(program: &Program, values: &[usize], batches: &[Batch]) -> Vec<Target> {
    let last_plane =
        values.iter().rposition(|&value| program.values[value].shape.iter().skip(2).product::<usize>() > 1);
    let ends = program.ends();
    values
        .iter()
        .enumerate()
        .map(|(place, &value)| {
            let spread = variance(batches.iter().map(|batch| &batch.wanted[place])).max(1e-12);
            let end = ends.contains(&value);
            let scores = program.values[value].shape.len() == 2 && program.values[value].shape[1] > 1;
            let share = if end {
                env("RF_OUT", 1.0)
            } else if Some(place) == last_plane {
                env("RF_LAST", 1.0)
            } else if program.values[value].shape.len() < 4 {
                env("RF_POOL", 0.0)
            } else {
                env("RF_MID", 0.3) / values.len() as f64
            };
            let fisher = if end && scores { env("RF_FISHER", 0.0) } else { 0.0 };
            Target { squares: (share / spread) as f32, fisher: fisher as f32 }
        })
        .collect()
}

/// State of the rounds.
struct Run<'a> {
    program: &'a Program,
    targets: Vec<Target>,
    held_out: Vec<Batch>,
    numbers: Vec<f32>,
    damping: f32,
    /// Share of a step that was kept last.
    share: f32,
    /// Where the next solution is expected.
    guess: Vec<f32>,
}

impl Run<'_> {
    /// The objective on held-out images.
    fn objective(&self, numbers: &[f32]) -> Option<f64> {
        let all = errors(self.program, &self.targets, &self.held_out, numbers)?;
        Some(all.iter().sum::<f64>()).filter(|error| error.is_finite())
    }

    /// One round: the new objective if a step was kept.
    fn round(&mut self, batches: &[Batch], cg: usize, seed: u64, best: f64, go_on: &dyn Fn() -> bool) -> Option<f64> {
        let step = {
            let (linear, right) = Linear::new(self.program, &self.targets, batches, &self.numbers)?;
            let factors = linear.factors(env("RF_RIDGE", 3e-1), seed);
            solve(&linear, &factors, &right, &self.guess, self.damping, cg, go_on)
        };
        let trial = |share: f32| -> Vec<f32> {
            self.numbers.iter().zip(&step).map(|(number, step)| number + share * step).collect()
        };
        let (mut found, mut share) = (None, 0.0);
        for own in [self.share, 2.0 * self.share, 0.5 * self.share, 0.2 * self.share] {
            // A smaller share is of no use where a larger one is better.
            if found.is_some() && own < self.share && share > self.share || found.is_some() && own < 0.3 * self.share {
                break;
            }
            let below = found.unwrap_or(best);
            if let Some(new) = self.objective(&trial(own)).filter(|&new| new < below) {
                (found, share) = (Some(new), own);
            }
        }
        let decay = env("RF_WARM", 0.0) as f32;
        if found.is_some() {
            self.numbers = trial(share);
            self.share = share.clamp(0.02, 0.6);
            self.guess = step.iter().map(|v| v * decay * (1.0 - env("RF_LEFT", 1.0) as f32 * share)).collect();
        } else {
            self.share *= 0.3;
            self.guess.clear();
        }
        found
    }
}
