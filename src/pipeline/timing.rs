//! Timing two models on one feed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::bench::latency::{
    Comparison, InParts, Interval, Part, Sides, TimingOptions, compare_in_parts, disturbances, percentile,
    time_sessions,
};
use crate::engine::{CompileOptions, Engine, Session, Tensor};
use crate::error::Error;
use crate::model::Model;
use crate::report::LatencyChange;

/// Two models, what they are run on, and by what.
pub(super) struct Pairing<'a> {
    pub(super) engine: &'a dyn Engine,
    pub(super) before: &'a Model,
    pub(super) after: &'a Model,
    pub(super) feed: &'a [(String, Tensor)],
    pub(super) cancel: &'a AtomicBool,
}

impl Pairing<'_> {
    /// Times both, until the interval of the ratio is narrow enough or the time is up.
    pub(super) fn compare(&self, options: &TimingOptions) -> Result<InParts, Error> {
        self.go(false, options, &|_, _| true)
    }

    /// Times both and the first against itself, until it is `settled` too, given both ratios.
    pub(super) fn compare_with_noise(
        &self,
        options: &TimingOptions,
        settled: &dyn Fn(Interval, Interval) -> bool,
    ) -> Result<InParts, Error> {
        self.go(true, options, &|ratio, itself| itself.is_none_or(|itself| settled(ratio, itself)))
    }

    fn go(
        &self,
        itself: bool,
        options: &TimingOptions,
        settled: &dyn Fn(Interval, Option<Interval>) -> bool,
    ) -> Result<InParts, Error> {
        #[cfg(test)]
        if let Some(found) = simulated::compare(self) {
            return Ok(found);
        }
        let inputs: Vec<(&str, &Tensor)> = self.feed.iter().map(|(name, value)| (name.as_str(), value)).collect();
        let mut part = |sides: Sides, options: &dyn Fn(f64) -> TimingOptions| self.part(sides, &inputs, options);
        let all = compare_in_parts(&mut part, itself, options, settled, self.cancel)?;
        if self.cancel.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { Ok(all) }
    }

    /// A part, with fresh sessions.
    fn part(
        &self,
        sides: Sides,
        inputs: &[(&str, &Tensor)],
        options: &dyn Fn(f64) -> TimingOptions,
    ) -> Result<Part, Error> {
        let second = if sides.itself { self.before } else { self.after };
        let (first, last) = if sides.swapped { (second, self.before) } else { (self.before, second) };
        let (mut first, first_ms) = self.prepared(first, inputs)?;
        let (mut last, last_ms) = self.prepared(last, inputs)?;
        let begin = Instant::now();
        let options = options(first_ms + last_ms);
        let found = time_sessions(first.as_mut(), last.as_mut(), inputs, &options, self.cancel)?;
        let elapsed_ms = 1e3 * begin.elapsed().as_secs_f64();
        Ok(if sides.swapped {
            Part { found: found.swapped(), prepare_ms: [last_ms, first_ms], elapsed_ms }
        } else {
            Part { found, prepare_ms: [first_ms, last_ms], elapsed_ms }
        })
    }

    /// A session that gave its first result, and the milliseconds until then.
    fn prepared(&self, model: &Model, inputs: &[(&str, &Tensor)]) -> Result<(Box<dyn Session>, f64), Error> {
        let begin = Instant::now();
        let mut session = self.engine.compile(model, &CompileOptions::default())?;
        session.bind(inputs)?.run()?;
        Ok((session, 1e3 * begin.elapsed().as_secs_f64()))
    }
}

/// Latency of two models, and what a reader should know of its measurement.
pub(super) struct Timed {
    pub(super) change: LatencyChange,
    pub(super) samples: Comparison,
    pub(super) prepare_ms: [f64; 2],
    pub(super) remarks: Vec<String>,
}

/// Times two models for the report.
pub(super) fn time(pairing: &Pairing<'_>, options: &TimingOptions) -> Result<Timed, Error> {
    Ok(told(pairing, pairing.compare(options)?, options))
}

/// What a comparison says, what disturbed it, and what its times leave out.
pub(super) fn told(pairing: &Pairing<'_>, all: InParts, options: &TimingOptions) -> Timed {
    let change = latency(&all.found, pairing.feed, options.seed);
    let width = (change.ratio_high - change.ratio_low) / change.ratio;
    let mut remarks = disturbances(&all.found.before_ms, &all.found.after_ms, (width, options.width));
    if pairing.engine.info().provider != "cpu" {
        remarks.push(
            "inputs and outputs stay on the GPU and every run is waited for: the times hold no copies to and from it"
                .into(),
        );
    }
    Timed { change, samples: all.found, prepare_ms: all.prepare_ms, remarks }
}

/// Times as the report has them.
fn latency(found: &Comparison, feed: &[(String, Tensor)], seed: u64) -> LatencyChange {
    let at = |samples: &[f64], p: f64| percentile(samples, p);
    let (before, after) = (&found.before_ms, &found.after_ms);
    let ratio = found.ratio(seed);
    LatencyChange {
        before: at(before, 0.5),
        after: at(after, 0.5),
        before_p95: at(before, 0.95),
        after_p95: at(after, 0.95),
        before_tail: [at(before, 0.9), at(before, 0.99)],
        after_tail: [at(after, 0.9), at(after, 0.99)],
        ratio: ratio.median,
        ratio_low: ratio.low,
        ratio_high: ratio.high,
        pairs: before.len(),
        batch: feed.first().and_then(|(_, value)| value.shape().first().copied()).unwrap_or(1),
    }
}

#[cfg(test)]
pub(super) mod simulated {
    //! A clock that tests can hold: the time of a model is a staircase over its multiply-accumulates.

    use std::cell::Cell;

    use super::{Comparison, InParts, Pairing};
    use crate::channels::{AnalyseOptions, analyse};
    use crate::model::Model;

    thread_local! {
        static HELD: Cell<bool> = const { Cell::new(false) };
    }

    /// Whether times of this thread are simulated from now on.
    pub(in crate::pipeline) fn hold(held: bool) {
        HELD.set(held);
    }

    /// A tenth of the time is fixed, the rest goes with steps of a 32nd of `full` multiply-accumulates.
    fn ms(model: &Model, full: f64) -> f64 {
        let macs = analyse(model, &AnalyseOptions::default()).macs(None) as f64;
        4.0 * (0.1 + 0.9 * (32.0 * macs / full).ceil() / 32.0)
    }

    pub(super) fn compare(pairing: &Pairing<'_>) -> Option<InParts> {
        if !HELD.get() {
            return None;
        }
        let full = analyse(pairing.before, &AnalyseOptions::default()).macs(None) as f64;
        let (before, after) = (ms(pairing.before, full), ms(pairing.after, full));
        let found = Comparison { parts: vec![4, 4], before_ms: vec![before; 8], after_ms: vec![after; 8] };
        Some(InParts { found, itself: None, prepare_ms: [1.0, 1.0] })
    }
}
