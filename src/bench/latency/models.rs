//! Timing two models on one feed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{
    Comparison, Device, InParts, Interval, LatencyChange, Part, Prepared, Sides, TimingOptions, compare_in_parts,
    disturbances, throughput,
};
use crate::bench::BenchError;
use crate::engine::{CompileOptions, Feed, Session, feed};
use crate::model::Model;

/// Two models, what they are run on, and by what.
#[derive(Clone, Copy)]
pub struct Pairing<'a> {
    /// Where both run.
    pub device: &'a dyn Device,
    /// First model.
    pub before: &'a Model,
    /// Second model.
    pub after: &'a Model,
    /// Inputs by name.
    pub feed: &'a Feed,
    /// Ends the measurement.
    pub cancel: &'a AtomicBool,
}

impl Pairing<'_> {
    /// Times both, until the interval of the ratio is narrow enough or the time is up.
    ///
    /// # Errors
    /// If a model does not run, or on interruption.
    pub fn compare(&self, options: &TimingOptions) -> Result<InParts, BenchError> {
        self.measure(false, options, &|_, _| true)
    }

    /// Times both and the first against itself, until it is `settled` too, given both ratios.
    ///
    /// # Errors
    /// If a model does not run, or on interruption.
    pub fn compare_with_noise(
        &self,
        options: &TimingOptions,
        settled: &dyn Fn(Interval, Interval) -> bool,
    ) -> Result<InParts, BenchError> {
        self.measure(true, options, &|ratio, itself| itself.is_none_or(|itself| settled(ratio, itself)))
    }

    fn measure(
        &self,
        itself: bool,
        options: &TimingOptions,
        settled: &dyn Fn(Interval, Option<Interval>) -> bool,
    ) -> Result<InParts, BenchError> {
        let mut part = |sides: Sides, options: &dyn Fn(f64) -> TimingOptions| self.part(sides, options);
        let all = compare_in_parts(&mut part, itself, options, settled, self.cancel)?;
        if self.cancel.load(Ordering::Relaxed) { Err(BenchError::Interrupted) } else { Ok(all) }
    }

    /// A part, with fresh sessions.
    fn part(&self, sides: Sides, options: &dyn Fn(f64) -> TimingOptions) -> Result<Part, BenchError> {
        let second = if sides.itself { self.before } else { self.after };
        let models = if sides.swapped { [second, self.before] } else { [self.before, second] };
        let mut loaded = self.device.load(models, self.feed)?;
        let prepared = loaded.prepared();
        let (found, elapsed_ms) = loaded.time(&options(prepared.ms.iter().sum()), self.cancel)?;
        Ok(if sides.swapped {
            Part { found: found.swapped(), prepared: prepared.swapped(), elapsed_ms }
        } else {
            Part { found, prepared, elapsed_ms }
        })
    }

    /// What a comparison says, what disturbed it, and what its times leave out.
    pub fn summarise(&self, all: InParts, options: &TimingOptions) -> Timed {
        let batch = feed::samples(self.feed).max(1);
        let change = LatencyChange::new(&all.found, batch, options.seed);
        let width = (change.ratio_high - change.ratio_low) / change.ratio;
        let mut remarks = disturbances(&all.found.before_ms, &all.found.after_ms, width, options.width);
        if self.device.engine().info().in_gpu_memory() {
            remarks.push(
                "inputs and outputs stay on the GPU and every run is waited for: the times hold no copies to and from it"
                    .into(),
            );
        }
        remarks.extend(contradiction(&change));
        let prepared = Some(all.prepared).filter(|own| own.ms.iter().all(|ms| ms.is_finite()));
        Timed { change, samples: all.found, prepared, remarks }
    }

    /// Runs a second of `requests` at a time: both models in the order A B B A, for `most_ms` milliseconds together.
    ///
    /// # Errors
    /// If a model does not run.
    pub fn throughput(&self, requests: usize, most_ms: f64) -> Result<[f64; 2], BenchError> {
        let inputs = feed::pairs(self.feed);
        let sessions = |model: &Model| -> Result<Vec<Box<dyn Session>>, BenchError> {
            (0..requests).map(|_| Ok(self.device.engine().compile(model, &CompileOptions::default())?)).collect()
        };
        let mut both = [sessions(self.before)?, sessions(self.after)?];
        let each = Duration::from_secs_f64(most_ms / 1e3 / 4.0);
        let mut found = [0.0; 2];
        for at in [0, 1, 1, 0] {
            found[at] += throughput(&mut both[at], &inputs, each, self.cancel)? / 2.0;
        }
        Ok(found)
    }
}

/// What to say where the medians of all runs and the ratio within rounds point to different models.
fn contradiction(change: &LatencyChange) -> Option<String> {
    let medians = change.after / change.before;
    let opposed = (medians - 1.0) * (change.ratio - 1.0) < 0.0;
    let apart = medians < change.ratio_low.min(1.0 / 1.02) || medians > change.ratio_high.max(1.02);
    (opposed && apart).then(|| {
        format!(
            "the medians of all runs say x{medians:.3}, rounds compared within themselves x{:.3}: runs so short are \
             disturbed by other programs, and the difference is not to be relied on",
            change.ratio
        )
    })
}

/// Latency of two models, and what a reader should know of its measurement.
#[derive(Debug, Clone, PartialEq)]
pub struct Timed {
    /// The figures.
    pub change: LatencyChange,
    /// Single times.
    pub samples: Comparison,
    /// What each model took until its first result, where the device tells.
    pub prepared: Option<Prepared>,
    /// What disturbed the measurement, and what the times leave out.
    pub remarks: Vec<String>,
}
