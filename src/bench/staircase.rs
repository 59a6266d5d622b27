//! At which widths convolutions cost no more than the ones below, measured: for engines that do not show how they run them.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use super::BenchError;
use super::latency::{Device, Pairing, TimingOptions};
use crate::engine::{ChannelBlock, cached_block, one_convolution};
use crate::evaluate::{input_specs, random_inputs};
use crate::model::Model;

/// Widths that are timed, each beside the widest.
const WIDTHS: [usize; 8] = [36, 40, 44, 48, 52, 56, 60, 64];

/// Steps that are told apart; the last for engines whose cost does not follow the width at all.
const STEPS: [usize; 4] = [4, 8, 16, 32];

/// Height and width of the images.
const SIZE: usize = 28;

/// What is taken where the time does not follow the width: tiles of eight channels.
const FLAT: ChannelBlock = ChannelBlock { block: 8, multiple: 8 };

/// The time of the narrowest, as a share of the widest, above which the time does not follow the width.
const FLAT_FROM: f64 = 0.85;

/// A step is taken for a wider one only where the error of the fit falls to this share.
const BETTER: f64 = 0.6;

/// The steps of a device's convolutions, or what an earlier call found.
///
/// Convolutions of 3 x 3 from as many channels to as many are timed, and the step is taken whose widths explain the times
/// best: `a + c (w rounded up)^2`.
///
/// # Errors
/// If the device does not run them, or is lost.
pub fn staircase(device: &dyn Device, cancel: &AtomicBool) -> Result<ChannelBlock, BenchError> {
    cached_block(device.engine(), "measured", || Ok(block(&ratios(device, cancel)?)))
}

/// Times as shares of the widest's.
fn ratios(device: &dyn Device, cancel: &AtomicBool) -> Result<Vec<(usize, f64)>, BenchError> {
    let options = TimingOptions { least_ms: 120.0, most_ms: 600.0, width: 0.02, ..TimingOptions::default() };
    let widest = one_convolution(WIDTHS[WIDTHS.len() - 1], SIZE);
    let mut found = Vec::new();
    let feed = |model: &Model| random_inputs(&input_specs(model), &BTreeMap::new(), 1, 0);
    // Each has an input of its own width, so that both cannot run in one comparison: a model beside itself, and the widest
    // beside itself right after.
    let least = |model: &Model| -> Result<f64, BenchError> {
        let pairing = Pairing { device, before: model, after: model, feed: &feed(model), cancel };
        let found = pairing.compare(&options)?.found;
        Ok(found.before_ms.iter().chain(&found.after_ms).copied().fold(f64::INFINITY, f64::min))
    };
    for width in WIDTHS {
        let own = least(&one_convolution(width, SIZE))?;
        found.push((width, own / least(&widest)?));
    }
    Ok(found)
}

/// The step that explains the times.
fn block(ratios: &[(usize, f64)]) -> ChannelBlock {
    if ratios.first().is_none_or(|own| own.1 > FLAT_FROM) {
        return FLAT;
    }
    let errors = STEPS.map(|step| (step, misfit(ratios, step)));
    let mut best = errors[0];
    for own in errors {
        if own.1 < BETTER * best.1 {
            best = own;
        }
    }
    ChannelBlock { block: best.0, multiple: best.0.min(4) }
}

/// Sum of the squared errors of the best line over the squares of the widths, rounded up to a step.
fn misfit(ratios: &[(usize, f64)], step: usize) -> f64 {
    let points: Vec<(f64, f64)> =
        ratios.iter().map(|&(width, ratio)| ((width.next_multiple_of(step) as f64).powi(2), ratio)).collect();
    let count = points.len() as f64;
    let (mean_x, mean_y) =
        (points.iter().map(|own| own.0).sum::<f64>() / count, points.iter().map(|own| own.1).sum::<f64>() / count);
    let spread: f64 = points.iter().map(|own| (own.0 - mean_x).powi(2)).sum();
    let common: f64 = points.iter().map(|own| (own.0 - mean_x) * (own.1 - mean_y)).sum();
    let slope = if spread > 0.0 { common / spread } else { 0.0 };
    points.iter().map(|own| (own.1 - mean_y - slope * (own.0 - mean_x)).powi(2)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stairs(step: usize) -> Vec<(usize, f64)> {
        let time = |width: usize| 0.1 + 0.9 * (width.next_multiple_of(step) as f64 / 64.0).powi(2);
        // A percent of noise, back and forth.
        let noisy = |at: usize, width: usize| time(width) * if at.is_multiple_of(2) { 1.0 } else { 1.01 };
        WIDTHS.iter().enumerate().map(|(at, &width)| (width, noisy(at, width))).collect()
    }

    #[test]
    fn steps_are_told_apart() {
        for step in STEPS.iter().take(3) {
            assert_eq!(block(&stairs(*step)).block, *step);
        }
        let flat: Vec<(usize, f64)> = WIDTHS.iter().map(|&width| (width, 1.0)).collect();
        assert_eq!(block(&flat), FLAT);
    }
}
