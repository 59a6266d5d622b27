//! False alarms and missed slowdowns on simulated busy machines.

use std::sync::atomic::AtomicBool;

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rayon::prelude::*;

use super::{Gate, Outcome, Quantity, confirmed, noise_share};
use crate::bench::latency::{Comparison, Interval, Part, Prepared, Sides, TimingOptions, compare_in_parts};

/// Milliseconds of a run of the base.
const RUN: f64 = 4.0;

/// Milliseconds until both models gave their first result.
const LOADING: f64 = 60.0;

/// A machine on which other programs come and go and the clock drifts.
struct Machine {
    rng: ChaCha8Rng,
    /// Samples that another program still takes part of.
    busy: usize,
    drift: f64,
}

impl Machine {
    fn new(seed: u64) -> Self {
        Self { rng: ChaCha8Rng::seed_from_u64(seed), busy: 0, drift: 0.0 }
    }

    fn sample(&mut self, ms: f64) -> f64 {
        if self.busy == 0 && self.rng.random_range(0.0..1.0) < 0.03 {
            self.busy = self.rng.random_range(1..40);
        }
        let other = if self.busy > 0 { self.rng.random_range(0.1..1.5) } else { 0.0 };
        self.busy = self.busy.saturating_sub(1);
        self.drift += self.rng.random_range(-0.001..0.001);
        let jitter: f64 =
            self.rng.random_range(0.0..0.06) + if self.rng.random_range(0.0..1.0) < 0.02 { 0.5 } else { 0.0 };
        ms * (1.0 + jitter + other) * (1.0 + self.drift)
    }

    /// A session is faster or slower by where its buffers lie, and the first is slower.
    fn part(&mut self, sides: Sides, slower: f64, options: &TimingOptions) -> Part {
        let mut layout = || 1.0 + self.rng.random_range(-0.005..0.005);
        let second = if sides.itself { 1.0 } else { slower };
        let (mut a, mut b) = (RUN * layout(), RUN * second * layout());
        *(if sides.swapped { &mut b } else { &mut a }) *= 1.01;
        let mut found = Comparison::default();
        let mut elapsed_ms = 0.0;
        while elapsed_ms < options.least_ms {
            let order = if sides.swapped { [b, a, a, b] } else { [a, b, b, a] };
            let times = order.map(|ms| self.sample(ms));
            elapsed_ms += times.iter().sum::<f64>();
            let (outer, inner) = ([times[0], times[3]], [times[1], times[2]]);
            let (before, after) = if sides.swapped { (inner, outer) } else { (outer, inner) };
            found.before_ms.extend(before);
            found.after_ms.extend(after);
        }
        found.parts = vec![found.before_ms.len()];
        Part { found, prepared: Prepared { ms: [LOADING / 2.0; 2], memory_bytes: None }, elapsed_ms }
    }

    /// The verdict on a bound, as the pipeline comes to it.
    fn judged(&mut self, slower: f64, limit: f64, seed: u64) -> Outcome {
        let options = TimingOptions { seed, ..TimingOptions::default() };
        let gate = |ratio: Interval, itself: Interval| {
            Gate::measured(Quantity::LatencyRatio, ratio, limit, noise_share(Some(itself)))
        };
        let settled = |ratio, itself: Option<Interval>| itself.is_none_or(|itself| gate(ratio, itself).settled());
        let measure = || {
            let mut part = |sides: Sides, options: &dyn Fn(f64) -> TimingOptions| {
                Ok::<_, ()>(self.part(sides, slower, &options(LOADING)))
            };
            let all = compare_in_parts(&mut part, true, &options, &settled, &AtomicBool::new(false))?;
            let itself = all.itself.unwrap_or_default().ratio(seed);
            Ok::<_, ()>(gate(all.found.ratio(seed), itself))
        };
        let (gate, _) = confirmed(2, measure, |gate: &Gate| gate.outcome == Outcome::Failed).unwrap();
        gate.outcome
    }
}

/// How many of so many comparisons end so, with a bound on a model that is slower by this factor.
fn count(outcome: Outcome, comparisons: u64, slower: f64, limit: f64) -> u64 {
    let judged = |seed| u64::from(Machine::new(seed).judged(slower, limit, seed) == outcome);
    (0..comparisons).into_par_iter().map(judged).sum()
}

#[test]
fn a_model_is_not_slower_than_itself() {
    let alarms = count(Outcome::Failed, 1000, 1.0, 1.0);
    assert!(alarms <= 10, "{alarms} of 1,000");
}

#[test]
fn a_model_that_is_slower_is_caught() {
    let caught = count(Outcome::Failed, 100, 1.05, 1.0);
    assert!(caught >= 95, "{caught} of 100");
}

/// Inconclusive is not good enough where there is room.
#[test]
fn a_model_within_its_bound_passes() {
    for (slower, limit) in [(1.0, 1.05), (1.1, 1.2)] {
        let passed = count(Outcome::Passed, 100, slower, limit);
        assert!(passed >= 95, "x{slower}, at most x{limit}: {passed} of 100");
    }
}
