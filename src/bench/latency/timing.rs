//! The interleaved loop.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::comparison::Comparison;
use super::pinning::pin;
use crate::bench::BenchError;
use crate::engine::{EngineError, Session, Tensor};

/// Where time comes from; tests bring their own.
pub trait Clock {
    /// Milliseconds since some fixed moment.
    fn now_ms(&self) -> f64;
}

/// The operating system's monotonic clock.
#[derive(Debug)]
pub struct MonotonicClock(Instant);

impl Default for MonotonicClock {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock for MonotonicClock {
    fn now_ms(&self) -> f64 {
        self.0.elapsed().as_secs_f64() * 1e3
    }
}

/// Milliseconds after which a model that was loaded is warm, however few runs that were.
pub const WARM_MS: f64 = 200.0;

/// How long and how precisely to time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TimingOptions {
    /// Runs of each that are not counted; fewer, one at least, once they took [`WARM_MS`].
    pub warm_up: u32,
    /// Milliseconds of such runs at least.
    pub warm_up_ms: f64,
    /// Pairs at least.
    pub least_pairs: usize,
    /// Milliseconds at least.
    pub least_ms: f64,
    /// Milliseconds at most.
    pub most_ms: f64,
    /// Relative width of the ratio's interval at which timing may stop.
    pub width: f64,
    /// A sample of a fast model covers so many milliseconds.
    pub sample_ms: f64,
    /// Seed of the bootstrap.
    pub seed: u64,
}

impl Default for TimingOptions {
    fn default() -> Self {
        Self {
            warm_up: 5,
            warm_up_ms: 0.0,
            least_pairs: 9,
            least_ms: 3e3,
            most_ms: 15e3,
            width: 0.03,
            sample_ms: 2.0,
            seed: 0,
        }
    }
}

/// How to time the models of a command.
#[derive(Debug, Clone, Default)]
pub struct Timing {
    /// Images per run where the model leaves it open.
    pub batch: usize,
    /// Cores to keep to; empty: all.
    pub cores: Vec<usize>,
    /// Length and precision.
    pub options: TimingOptions,
    /// Whether nothing is timed.
    pub skip: bool,
}

impl Timing {
    /// Keeps this thread, and those that it starts from now on, to the cores that are asked for. `here`: models run in this
    /// program.
    ///
    /// # Errors
    /// If the system refuses, or models run elsewhere.
    pub fn keep_to_cores(&self, here: bool) -> Result<(), BenchError> {
        if self.cores.is_empty() {
            return Ok(());
        }
        if !here {
            let why =
                "the models run on another device: `exec:taskset -c LIST onnx-prune agent` keeps the agent to cores";
            return Err(BenchError::Cores { why: why.into() });
        }
        pin(&self.cores).map_err(|why| BenchError::Cores { why })
    }
}

/// Times two actions in the order A B B A, so that drift hits both alike: a part of a comparison, for the least pairs and
/// the least time.
///
/// # Errors
/// The first error of an action.
pub fn time_pair<E>(
    mut a: impl FnMut() -> Result<(), E>,
    mut b: impl FnMut() -> Result<(), E>,
    options: &TimingOptions,
    clock: &dyn Clock,
    cancel: &AtomicBool,
) -> Result<Comparison, E> {
    let start = clock.now_ms();
    let mut warmed: u32 = 0;
    let cold = |warmed: u32| {
        let elapsed = clock.now_ms() - start;
        warmed == 0 || elapsed < options.warm_up_ms || warmed < options.warm_up && elapsed < WARM_MS
    };
    while cold(warmed) {
        a()?;
        b()?;
        warmed += 1;
        if cancel.load(Ordering::Relaxed) {
            break;
        }
    }
    let once = (clock.now_ms() - start) / (2.0 * f64::from(warmed));
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small count")]
    let repeats = (options.sample_ms / once.max(1e-4)).ceil().clamp(1.0, 1e4) as usize;
    let sample = |action: &mut dyn FnMut() -> Result<(), E>| {
        let from = clock.now_ms();
        for _ in 0..repeats {
            action()?;
        }
        Ok((clock.now_ms() - from) / repeats as f64)
    };
    take_turns(|| sample(&mut a), || sample(&mut b), options, clock, cancel)
}

/// Takes samples of two models in the order A B B A, for the least pairs and the least time.
///
/// # Errors
/// The first error of a sample.
pub fn take_turns<E>(
    mut a: impl FnMut() -> Result<f64, E>,
    mut b: impl FnMut() -> Result<f64, E>,
    options: &TimingOptions,
    clock: &dyn Clock,
    cancel: &AtomicBool,
) -> Result<Comparison, E> {
    let (mut before, mut after) = (Vec::new(), Vec::new());
    let start = clock.now_ms();
    loop {
        before.push(a()?);
        after.push(b()?);
        after.push(b()?);
        before.push(a()?);
        let elapsed = clock.now_ms() - start;
        let enough = before.len() >= options.least_pairs && elapsed >= options.least_ms;
        if enough || elapsed >= options.most_ms || cancel.load(Ordering::Relaxed) {
            return Ok(Comparison { parts: vec![before.len()], before_ms: before, after_ms: after });
        }
    }
}

/// Times two sessions on the same inputs, which are put in place before ([`Session::bind`]).
///
/// # Errors
/// If a session fails.
pub fn time_sessions(
    a: &mut dyn Session,
    b: &mut dyn Session,
    inputs: &[(&str, &Tensor)],
    options: &TimingOptions,
    cancel: &AtomicBool,
) -> Result<Comparison, EngineError> {
    let (mut a, mut b) = (a.bind(inputs)?, b.bind(inputs)?);
    time_pair(|| a.run(), || b.run(), options, &MonotonicClock::default(), cancel)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    struct Fake<'a>(&'a Cell<f64>);

    impl Clock for Fake<'_> {
        fn now_ms(&self) -> f64 {
            self.0.get()
        }
    }

    #[test]
    fn the_ratio_of_two_steady_actions_is_exact() {
        let time = Cell::new(0.0);
        let pass = |ms: f64| {
            time.set(time.get() + ms);
            Ok::<(), ()>(())
        };
        let options = TimingOptions { least_ms: 100.0, most_ms: 1000.0, ..TimingOptions::default() };
        let cancel = AtomicBool::new(false);
        let found = time_pair(|| pass(10.0), || pass(6.0), &options, &Fake(&time), &cancel).unwrap();
        assert!((found.ratio(0).median - 0.6).abs() < 1e-9);
        assert!(found.before_ms.len() >= 9);
        assert_eq!(found.before_ms.len(), found.after_ms.len());
    }
}
