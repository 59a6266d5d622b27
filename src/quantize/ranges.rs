//! Which real numbers the integers of an activation reach, from what it was on calibration inputs.
//!
//! Sources: minimum and maximum, percentile, least squared error (Wu et al., "Integer Quantization for Deep Learning
//! Inference", arXiv:2004.09602, section 3; Banner et al., arXiv:1810.05723).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Bins of a histogram, as many below zero as above.
const BINS: usize = 4096;

/// Numbers of one array that are counted, about; the least and the largest are those of all.
const MOST_COUNTED: usize = 1 << 16;

/// Shares of a side that least squares tries, in steps of this.
const STEP: f64 = 0.02;

/// How ranges are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RangeMethod {
    /// The least and the largest value.
    MinMax,
    /// So many percent of the values lie within, split between both sides.
    Percentile(f64),
    /// The least squared error of rounding and cutting off.
    Mse,
}

impl RangeMethod {
    /// For people.
    pub fn name(self) -> String {
        match self {
            Self::MinMax => "minmax".into(),
            Self::Percentile(share) => format!("percentile {share}"),
            Self::Mse => "mse".into(),
        }
    }
}

/// Least and largest real number; zero lies between.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Range {
    /// Least.
    pub low: f32,
    /// Largest.
    pub high: f32,
}

impl Range {
    /// Of what lies between two numbers, zero included. Of nothing: zero to one.
    pub(crate) fn of(low: f32, high: f32) -> Self {
        let (low, high) = (low.min(0.0), high.max(0.0));
        let usable = low.is_finite() && high.is_finite() && high - low > f32::MIN_POSITIVE;
        if usable { Self { low, high } } else { Self { low: 0.0, high: 1.0 } }
    }

    /// What is left within bounds.
    pub(crate) fn within(self, (low, high): (f32, f32)) -> Self {
        Self::of(self.low.max(low), self.high.min(high))
    }

    /// Both.
    pub(crate) fn and(self, other: Self) -> Self {
        Self::of(self.low.min(other.low), self.high.max(other.high))
    }
}

/// The least and the largest of the finite numbers.
fn ends(values: &[f32]) -> (f32, f32) {
    const LANES: usize = 16;
    let (mut low, mut high) = ([f32::INFINITY; LANES], [f32::NEG_INFINITY; LANES]);
    for chunk in values.chunks(LANES) {
        for ((low, high), &value) in low.iter_mut().zip(&mut high).zip(chunk) {
            let finite = value.abs() <= f32::MAX;
            *low = if finite && value < *low { value } else { *low };
            *high = if finite && value > *high { value } else { *high };
        }
    }
    (low.into_iter().fold(f32::INFINITY, f32::min), high.into_iter().fold(f32::NEG_INFINITY, f32::max))
}

/// How often a value had which number.
#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    /// Equal bins from minus `limit` to `limit`.
    bins: Vec<u64>,
    limit: f32,
    low: f32,
    high: f32,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { bins: vec![0; BINS], limit: 0.0, low: f32::INFINITY, high: f32::NEG_INFINITY }
    }
}

impl Histogram {
    /// Counts numbers, evenly some of many; what is not finite is left out.
    pub(crate) fn add(&mut self, values: &[f32]) {
        let (low, high) = ends(values);
        let (low, high) = (self.low.min(low), self.high.max(high));
        (self.low, self.high) = (low, high);
        let most = low.abs().max(high.abs());
        if !most.is_finite() || most == 0.0 {
            return;
        }
        if self.limit == 0.0 {
            // A little more than the first numbers need.
            self.limit = most * 1.25;
        }
        while self.limit < most {
            self.widen();
        }
        let scale = BINS as f32 / (2.0 * self.limit);
        // An odd step meets all channels, however many lie side by side.
        let step = (values.len() / MOST_COUNTED).max(1) | 1;
        for value in values.iter().step_by(step).filter(|value| value.is_finite()) {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the bins")]
            let at = ((value + self.limit) * scale) as usize;
            self.bins[at.min(BINS - 1)] += 1;
        }
    }

    /// Doubles the limit: two bins become one.
    fn widen(&mut self) {
        let mut wide = vec![0; BINS];
        for (at, count) in self.bins.iter().enumerate() {
            wide[BINS / 4 + at / 2] += count;
        }
        self.bins = wide;
        self.limit *= 2.0;
    }

    /// The range by a method, for so many steps between its ends.
    pub(crate) fn range(&self, method: RangeMethod, steps: u32) -> Range {
        match method {
            RangeMethod::MinMax => Range::of(self.low, self.high),
            RangeMethod::Percentile(share) => self.percentile(share),
            RangeMethod::Mse => self.least_squares(f64::from(steps)),
        }
    }

    fn edge(&self, bin: usize) -> f32 {
        bin as f32 * (2.0 * self.limit / BINS as f32) - self.limit
    }

    fn percentile(&self, share: f64) -> Range {
        let total: u64 = self.bins.iter().sum();
        let outside = total as f64 * (1.0 - share / 100.0) / 2.0;
        let reached = |counts: &mut dyn Iterator<Item = u64>| {
            let mut sum = 0.0;
            let within = |count: u64| {
                sum += count as f64;
                sum > outside
            };
            counts.map(within).take_while(|reached| !reached).count()
        };
        let below = reached(&mut self.bins.iter().copied());
        let above = reached(&mut self.bins.iter().rev().copied());
        Range::of(self.edge(below).max(self.low), self.edge(BINS - above.min(BINS)).min(self.high))
    }

    /// One side after the other is drawn in while the error falls.
    fn least_squares(&self, steps: f64) -> Range {
        let full = Range::of(self.low, self.high);
        let mut best = (self.error(full, steps), full);
        for side in [true, false] {
            let start = best.1;
            let mut share = 1.0 - STEP;
            while share > STEP {
                #[allow(clippy::cast_possible_truncation, reason = "a share of a single")]
                let own = share as f32;
                let tried = if side {
                    Range { high: start.high * own, ..start }
                } else {
                    Range { low: start.low * own, ..start }
                };
                let error = self.error(tried, steps);
                if error < best.0 {
                    best = (error, tried);
                }
                share -= STEP;
            }
        }
        best.1
    }

    /// Squared error of rounding to `steps` steps within a range and cutting off outside, summed over the values.
    fn error(&self, range: Range, steps: f64) -> f64 {
        let step = f64::from(range.high - range.low) / steps;
        let width = f64::from(2.0 * self.limit / BINS as f32);
        let error = |(bin, count): (usize, &u64)| {
            let middle = f64::from(self.edge(bin)) + width / 2.0;
            let beyond = (middle - f64::from(range.high)).max(f64::from(range.low) - middle).max(0.0);
            *count as f64 * if beyond > 0.0 { beyond * beyond } else { step * step / 12.0 }
        };
        self.bins.iter().enumerate().filter(|(_, count)| **count > 0).map(error).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(values: &[f32]) -> Histogram {
        let mut own = Histogram::default();
        own.add(values);
        own
    }

    #[test]
    fn a_range_holds_zero() {
        assert_eq!(histogram(&[2.0, 5.0]).range(RangeMethod::MinMax, 255), Range { low: 0.0, high: 5.0 });
        assert_eq!(histogram(&[-3.0, -1.0]).range(RangeMethod::MinMax, 255), Range { low: -3.0, high: 0.0 });
        assert_eq!(histogram(&[]).range(RangeMethod::MinMax, 255), Range { low: 0.0, high: 1.0 });
        assert_eq!(histogram(&[f32::NAN, 0.0]).range(RangeMethod::Mse, 255), Range { low: 0.0, high: 1.0 });
    }

    #[test]
    fn rare_numbers_are_cut_off() {
        let mut values: Vec<f32> = (0..10_000).map(|at| at as f32 / 10_000.0).collect();
        values.push(100.0);
        let own = histogram(&values);
        assert!((own.range(RangeMethod::MinMax, 255).high - 100.0).abs() < 1e-6);
        let percentile = own.range(RangeMethod::Percentile(99.9), 255).high;
        assert!((0.9..1.1).contains(&percentile), "{percentile}");
        // One number of a hundred costs 100^2; a step of 100 / 255 costs 10,000 / 12 (100 / 255)^2 = 128.
        assert!(own.range(RangeMethod::Mse, 255).high > 90.0);
        let coarse = own.range(RangeMethod::Mse, 3).high;
        assert!(coarse < 100.0, "{coarse}");
    }
}
