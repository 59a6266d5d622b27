//! False alarms and missed slowdowns on simulated busy machines.

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::{Outcome, noise_share, timed};
use crate::latency::{Interval, calm_interval};

/// Rounds (A B B A) of a comparison: at least, and at most where the interval stays wider than is wanted.
const ROUNDS: (usize, usize) = (50, 400);

/// Width of the interval at which a comparison ends, as by default.
const WIDTH: f64 = 0.03;

/// A machine on which other programs come and go and the clock drifts.
struct Machine {
    rng: ChaCha8Rng,
    /// Samples that another program still takes part of.
    busy: usize,
    drift: f64,
}

impl Machine {
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

    fn compare(&mut self, a: f64, b: f64, seed: u64) -> Interval {
        let (mut before, mut after) = (Vec::new(), Vec::new());
        loop {
            for _ in 0..ROUNDS.0 {
                before.push(self.sample(a));
                after.extend([self.sample(b), self.sample(b)]);
                before.push(self.sample(a));
            }
            let found = calm_interval(&before, &after, seed);
            if found.high - found.low <= WIDTH * found.median || before.len() >= 2 * ROUNDS.1 {
                return found;
            }
        }
    }

    /// As the pipeline does it: the noise first, then both, once more where that would fail.
    fn fails(&mut self, slower: f64, seed: u64) -> bool {
        let noise = noise_share(Some(self.compare(1.0, 1.0, seed)));
        (0..3).all(|_| timed(self.compare(1.0, slower, seed), 1.0, noise) == Outcome::Failed)
    }
}

fn failures(comparisons: u64, slower: f64) -> u64 {
    let fails = |seed: u64| {
        let mut machine = Machine { rng: ChaCha8Rng::seed_from_u64(seed), busy: 0, drift: 0.0 };
        u64::from(machine.fails(slower, seed))
    };
    (0..comparisons).map(fails).sum()
}

#[test]
fn a_model_is_not_slower_than_itself() {
    let alarms = failures(1000, 1.0);
    assert!(alarms <= 10, "{alarms} of 1,000");
}

#[test]
fn a_model_that_is_slower_is_caught() {
    let caught = failures(100, 1.05);
    assert!(caught >= 95, "{caught} of 100");
}
