//! A comparison in parts that goes on until it says enough.

use std::sync::atomic::{AtomicBool, Ordering};

use super::comparison::Comparison;
use super::interval::Interval;
use super::prepared::Prepared;
use super::timing::TimingOptions;

/// Parts, two blocks of both orders, that the least time is meant for. Where an engine happens to put its buffers is worth a
/// percent or two, and a single pair of sessions would take it for a difference of the models.
const PARTS: f64 = 4.0;

/// Length of a part of the first model against itself, as a share of a part of both.
const NOISE_SHARE: f64 = 0.5;

/// Pairs of a part at least.
const LEAST_PAIRS: usize = 2;

/// What a part compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sides {
    /// The first model against itself in place of both.
    pub itself: bool,
    /// Whether the second is loaded first and goes first.
    pub swapped: bool,
}

/// One part, measured.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Part {
    /// Its times; the sides as they are called, in whichever order they went.
    pub found: Comparison,
    /// What each model took until its first result.
    pub prepared: Prepared,
    /// Milliseconds that it took, loading left out.
    pub elapsed_ms: f64,
}

/// A comparison in parts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct InParts {
    /// Both models.
    pub found: Comparison,
    /// The first against itself, where that was asked for.
    pub itself: Option<Comparison>,
    /// What each model took until its first result, on average: the session is made, and what the engine builds or tries out
    /// on the first run is done.
    pub prepared: Prepared,
}

/// Measures a part. The function says for how long, given the milliseconds that loading took.
pub type Measure<'a, E> = &'a mut dyn FnMut(Sides, &dyn Fn(f64) -> TimingOptions) -> Result<Part, E>;

/// Compares in parts, blocks of both orders, for the least time at least; then until the interval of the ratio is narrow,
/// that of the first model against itself too, if it is asked for, and both are `settled`, or the most time would be
/// exceeded. That holds the first model against itself, and warming up, but not loading, which takes about as long where
/// an engine is slow to load.
///
/// # Errors
/// The first error of a part.
pub fn compare_in_parts<E>(
    measure: Measure<'_, E>,
    itself: bool,
    options: &TimingOptions,
    settled: &dyn Fn(Interval, Option<Interval>) -> bool,
    cancel: &AtomicBool,
) -> Result<InParts, E> {
    let mut going = MeasurementState {
        all: InParts { itself: itself.then(Comparison::default), ..InParts::default() },
        options,
        warm_up_ms: options.warm_up_ms,
        blocks: 0.0,
        timed_ms: 0.0,
        elapsed_ms: 0.0,
    };
    loop {
        let before = going.elapsed_ms;
        going.block(measure)?;
        let out_of_time = going.elapsed_ms + (going.elapsed_ms - before) > options.most_ms;
        if out_of_time || cancel.load(Ordering::Relaxed) || going.says_enough(settled) {
            let parts = 2.0 * going.blocks;
            let prepared = Prepared { ms: going.all.prepared.ms.map(|sum| sum / parts), ..going.all.prepared };
            return Ok(InParts { prepared, ..going.all });
        }
    }
}

/// A comparison under way; the milliseconds to prepare are sums.
struct MeasurementState<'a> {
    all: InParts,
    options: &'a TimingOptions,
    /// Still to be done, before the first part.
    warm_up_ms: f64,
    blocks: f64,
    timed_ms: f64,
    elapsed_ms: f64,
}

impl MeasurementState<'_> {
    fn block<E>(&mut self, measure: Measure<'_, E>) -> Result<(), E> {
        for swapped in [false, true] {
            let part = self.part(measure, Sides { itself: false, swapped })?;
            self.timed_ms += part.elapsed_ms;
            self.all.found.extend(part.found);
            self.all.prepared = self.all.prepared.and(part.prepared);
            if self.all.itself.is_some() {
                let part = self.part(measure, Sides { itself: true, swapped })?;
                self.all.itself.get_or_insert_default().extend(part.found);
            }
        }
        self.blocks += 1.0;
        Ok(())
    }

    fn part<E>(&mut self, measure: Measure<'_, E>, sides: Sides) -> Result<Part, E> {
        let options = self.options;
        let warm_up_ms = std::mem::take(&mut self.warm_up_ms);
        let share = if sides.itself { NOISE_SHARE } else { 1.0 };
        let part = measure(sides, &|loading_ms| {
            // Loading is not to take more of the time than timing.
            let ms = share * (options.least_ms / PARTS).max(loading_ms.min(options.most_ms / PARTS));
            TimingOptions { least_ms: ms, most_ms: ms, least_pairs: LEAST_PAIRS, warm_up_ms, ..*options }
        })?;
        self.elapsed_ms += part.elapsed_ms - warm_up_ms;
        Ok(part)
    }

    fn says_enough(&self, settled: &dyn Fn(Interval, Option<Interval>) -> bool) -> bool {
        let seed = self.options.seed;
        if self.timed_ms < self.options.least_ms || self.all.found.before_ms.len() < self.options.least_pairs {
            return false;
        }
        let narrow = |own: &Interval| own.high - own.low <= self.options.width * own.median;
        let ratio = self.all.found.ratio(seed);
        let itself = self.all.itself.as_ref().map(|itself| itself.ratio(seed));
        narrow(&ratio) && itself.as_ref().is_none_or(narrow) && settled(ratio, itself)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steady models; the session that is made first is slower by a percent.
    fn steady(slower: f64, loading_ms: f64) -> impl FnMut(Sides, &dyn Fn(f64) -> TimingOptions) -> Result<Part, ()> {
        move |sides, options| {
            let (first, second) = if sides.itself { (1.0, 1.0) } else { (1.0, slower) };
            let (before, after) = if sides.swapped { (first, 1.01 * second) } else { (1.01 * first, second) };
            let found = Comparison { parts: vec![6], before_ms: vec![before; 6], after_ms: vec![after; 6] };
            let prepared = Prepared { ms: [10.0, 20.0], memory_bytes: None };
            Ok(Part { found, prepared, elapsed_ms: options(loading_ms).least_ms })
        }
    }

    fn compare(slower: f64, loading_ms: f64, settled: bool) -> InParts {
        let options = TimingOptions { least_ms: 1e3, most_ms: 10e3, ..TimingOptions::default() };
        let cancel = AtomicBool::new(false);
        compare_in_parts(&mut steady(slower, loading_ms), true, &options, &|_, _| settled, &cancel).unwrap()
    }

    #[test]
    fn the_order_of_loading_is_no_difference() {
        let all = compare(1.2, 0.0, true);
        assert_eq!(all.found.parts, [6; 4]);
        assert!((all.found.ratio(0).median - 1.2).abs() < 1e-12);
        assert!((all.itself.unwrap().ratio(0).median - 1.0).abs() < 1e-12);
        assert!((all.prepared.ms[0] - 10.0).abs() < 1e-12 && (all.prepared.ms[1] - 20.0).abs() < 1e-12);
    }

    #[test]
    fn what_is_not_settled_takes_the_time_there_is() {
        // A block takes 2 · (250 + 125) ms: 13 of them fit in 10 s.
        assert_eq!(compare(1.2, 0.0, false).found.parts.len(), 26);
    }

    #[test]
    fn a_slow_engine_still_compares_in_both_orders() {
        assert_eq!(compare(1.2, 60e3, true).found.parts.len(), 2);
        // Half a second each: twice as long as usual, and the least time is over after a block.
        assert_eq!(compare(1.2, 500.0, true).found.parts.len(), 2);
    }
}
