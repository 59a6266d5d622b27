//! The rounds: steps on fresh draws, kept if held-out images say so.

use std::borrow::Borrow;
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ndarray::ArrayD;

use super::dense::{Dense, Teacher, single_input};
use super::descent::{Descent, Draws, Outcome};
use super::images::{Images, Pick};
use super::objective::weigh;
use super::ops;
use super::options::{RefineOptions, Refined, Stop};
use super::program::{Program, write_back};
use super::survey::survey;
use crate::engine::Engine;
use crate::model::Model;
use crate::repair::RepairError;

/// Every so many images one is held out.
const HELD_OUT: usize = 5;

/// Numbers of the images of a batch, about: what stays in the cache while a batch is passed through.
const BATCH_NUMBERS: usize = 1 << 15;

/// An objective below which nothing is left to gain: rounding.
const NOTHING: f64 = 1e-9;

/// Rounds one after the other that were undone before it ends.
const PATIENCE: usize = 3;

/// The same where the time alone ends it: each of them halves the steps.
const LONG_PATIENCE: usize = 6;

/// Adjusts the weights of `pruned` so that it computes more nearly what the dense model computes on `images`, batches
/// `[N, ...]` of the single input of both. Labels are not used. What cannot be adjusted is left alone and named.
///
/// Every round is a number of damped Gauss-Newton steps on newly drawn images; it is kept only if the objective falls on
/// images that are held out. `cancel` ends it early with what was reached.
///
/// # Errors
/// If a stored tensor cannot be read or the engine does not run one of the models.
pub fn refine(
    teacher: &Teacher<'_>,
    pruned: &mut Model,
    engine: &dyn Engine,
    images: &[impl Borrow<ArrayD<f32>>],
    options: &RefineOptions,
    cancel: &AtomicBool,
) -> Result<Refined, RepairError> {
    let begin = Instant::now();
    let images = Images::new(images);
    let mut work = match prepare(teacher, pruned, engine, &images, options.memory)? {
        Ok(work) => work,
        Err(refined) => return Ok(refined),
    };
    let mut refined = work.report(&images);
    if work.room < options.least_draw {
        let why = format!("memory holds what is compared of {} images at a time, too few to learn from", work.room);
        refined.left_out.insert(0, ("model".into(), why));
        refined.stopped_by = Stop::Nothing;
        return Ok(refined);
    }
    let limit = Duration::try_from_secs_f64(options.seconds).unwrap_or(Duration::MAX);
    let stop = || {
        let late = begin.elapsed() > limit;
        if cancel.load(Ordering::Relaxed) { Some(Stop::Cancelled) } else { late.then_some(Stop::Time) }
    };
    let held: Vec<Pick> = held_out(images.len(), work.held).map(Pick::plain).collect();
    let held_out = work.teacher.batches(&images, &held, work.size)?;
    let fit: Vec<usize> = (0..images.len()).filter(|image| image % HELD_OUT != 0).collect();
    let targets = weigh(&work.program, &held_out, fit.len());
    let count = options.images_per_draw.min(work.room).max(work.size);
    let mut draws = Draws::new(work.teacher, &images, fit, [count, work.size], 2 * count <= work.room, options.seed);
    let keep = count * work.per_image <= options.memory;
    let macs = work.program.macs_per_image().saturating_mul(count as u64);
    let Some(mut descent) = Descent::new(&work.program, targets, held_out, options, keep, macs) else {
        return Ok(refined);
    };
    refined.errors.push(descent.best());
    if descent.best() < NOTHING {
        refined.left_out.insert(0, ("model".into(), "what can be compared is as in the dense model".into()));
        refined.stopped_by = Stop::Nothing;
        refined.errors.clear();
        return Ok(refined);
    }
    let mut failures = 0;
    while options.rounds.is_none_or(|most| refined.rounds < most) {
        if let Some(why) = stop() {
            refined.stopped_by = why;
            break;
        }
        let progress = match options.rounds {
            Some(most) => refined.rounds as f64 / most.max(1) as f64,
            None => begin.elapsed().as_secs_f64() / options.seconds,
        };
        let cut = Cell::new(None);
        let go_on = || {
            cut.set(stop());
            cut.get().is_none()
        };
        let outcome = descent.round(&mut draws, progress, &go_on)?;
        refined.rounds += 1;
        refined.kept += usize::from(outcome == Outcome::Better);
        refined.errors.push(descent.best());
        refined.drawn = descent.drawn();
        failures = if outcome == Outcome::Undone { failures + 1 } else { 0 };
        if failures == if options.rounds.is_some() { PATIENCE } else { LONG_PATIENCE } {
            refined.stopped_by = Stop::NoGain;
            break;
        }
        if let Some(why) = cut.get() {
            refined.stopped_by = why;
            break;
        }
    }
    if refined.kept > 0 {
        write_back(pruned, &work.program.blocks, descent.numbers());
    }
    Ok(refined)
}

/// What the rounds need.
struct Work {
    program: Program,
    teacher: Dense,
    /// Images of a batch.
    size: usize,
    /// Images of a draw at most.
    room: usize,
    /// Held-out images at most.
    held: usize,
    /// Bytes of one image while its derivatives are formed.
    per_image: usize,
}

/// Every [`HELD_OUT`]th image; where there is no room for so many, as many from all over them: images come class by class.
fn held_out(images: usize, room: usize) -> impl Iterator<Item = usize> {
    let all = images.div_ceil(HELD_OUT);
    let count = all.min(room);
    (0..count).map(move |at| HELD_OUT * (at * all / count.max(1)))
}

impl Work {
    fn report(&self, images: &Images<'_>) -> Refined {
        let held = images.len().div_ceil(HELD_OUT);
        Refined {
            parameters: self.program.adjustable(),
            nodes: self.program.steps.iter().filter(|step| step.block.is_some()).count(),
            images: [images.len() - held, held.min(self.held)],
            compared: self.program.targets().iter().map(|&value| self.program.values[value].name.clone()).collect(),
            left_out: self.program.left_out.clone(),
            stopped_by: Stop::Rounds,
            ..Refined::default()
        }
    }
}

/// Looks the pruned model over and opens the dense one; the report of having done nothing if there is nothing to do.
fn prepare(
    teacher: &Teacher<'_>,
    pruned: &Model,
    engine: &dyn Engine,
    images: &Images<'_>,
    memory: usize,
) -> Result<Result<Work, Refined>, RepairError> {
    let nothing = |why: &str| Refined { left_out: vec![("model".into(), why.into())], ..Refined::default() };
    let Some((input, fixed)) = single_input(pruned) else {
        return Ok(Err(nothing("it has not one input of single-precision numbers")));
    };
    let numbers = images.shape().iter().product::<usize>();
    if numbers == 0 {
        return Ok(Err(nothing("the images are empty")));
    }
    let size = fixed.unwrap_or_else(|| (BATCH_NUMBERS / numbers).clamp(1, 8));
    if images.len() < HELD_OUT * size.max(2) {
        return Ok(Err(nothing("there are too few images")));
    }
    let first = images.batch(&(0..size).map(Pick::plain).collect::<Vec<_>>());
    let seen = survey(pruned, engine, &input, &first, &ops::is_known)?;
    let mut program = Program::build(pruned, &seen, &input);
    drop(seen);
    let opened = Dense::open(teacher, engine, &program, &program.junctions(), &first)?;
    let Some(teacher) = opened.filter(|_| !program.blocks.is_empty()) else {
        let mut refined = nothing("no weight leads to a value that the dense model has too");
        refined.left_out.append(&mut program.left_out);
        return Ok(Err(refined));
    };
    program.aim(&teacher.targets);
    let compared = program.compared_per_image() + numbers;
    // Half for what is compared of a draw, half for what is held out.
    let room = (memory / 2 / (compared * size_of::<f32>())).max(size);
    let per_image = program.kept_per_image() * size_of::<f32>();
    Ok(Ok(Work { program, teacher, size, room, held: room, per_image }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn held_out_images_come_from_all_over() {
        assert_eq!(held_out(23, 100).collect::<Vec<_>>(), [0, 5, 10, 15, 20]);
        assert_eq!(held_out(100, 4).collect::<Vec<_>>(), [0, 25, 50, 75]);
        assert_eq!(held_out(0, 4).count(), 0);
    }
}
