//! At which widths convolutions cost no more than the ones below, measured: for engines that do not show how they run them, and
//! for kernels on integers, which none shows.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use super::BenchError;
use super::latency::{Device, Pairing, TimingOptions};
use crate::engine::{ChannelBlock, cached_block, grouped_convolution, one_convolution};
use crate::evaluate::{input_specs, random_inputs};
use crate::model::Model;
use crate::quantize::{QuantizeForm, Quantizer};

/// Widths that are timed, each beside the widest.
const WIDTHS: [usize; 8] = [36, 40, 44, 48, 52, 56, 60, 64];

/// Steps that are told apart; the last for engines whose cost does not follow the width at all.
const STEPS: [usize; 4] = [4, 8, 16, 32];

/// The widest step of kernels on integers. Two threads that share steps of 16 look like steps of 32, in which plans lose too much.
const WIDEST_KERNEL: usize = 16;

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
    let convolution = |width: usize| one_convolution(width, SIZE);
    cached_block(device.engine(), "measured", || Ok(block(&ratios(device, &convolution, cancel)?)))
}

/// The same for kernels on integers: the wider step of dense and of depthwise convolutions, in which widths are to go, up to
/// `WIDEST_KERNEL`. `usual`: the step that is taken unless the times of dense convolutions are explained better by another.
///
/// # Errors
/// As [`staircase`].
pub fn integer_staircase(
    device: &dyn Device,
    form: &QuantizeForm,
    usual: usize,
    cancel: &AtomicBool,
) -> Result<ChannelBlock, BenchError> {
    let written = |width: usize, groups: usize| {
        let model = grouped_convolution(width, SIZE, groups);
        let on_integers = Quantizer::new(model.clone(), &|_| None).and_then(|own| own.write(&BTreeMap::new(), form));
        on_integers.map_or(model, |own| own.model)
    };
    let threads = device.engine().info().threads;
    let name = format!("integers-{}-{}-{threads}", form.activations.name(), form.largest);
    cached_block(device.engine(), &name, || {
        let dense = ratios(device, &|width| written(width, 1), cancel)?;
        let depthwise = ratios(device, &|width| written(width, width), cancel)?;
        let step = likeliest(&dense, usual).max(slower_beside(&depthwise)).min(WIDEST_KERNEL.max(usual));
        Ok(ChannelBlock { block: step, multiple: step })
    })
}

/// Times of the widths as shares of the widest's.
fn ratios(
    device: &dyn Device,
    convolution: &dyn Fn(usize) -> Model,
    cancel: &AtomicBool,
) -> Result<Vec<(usize, f64)>, BenchError> {
    let options = TimingOptions { least_ms: 120.0, most_ms: 600.0, width: 0.02, ..TimingOptions::default() };
    let widest = convolution(WIDTHS[WIDTHS.len() - 1]);
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
        let own = least(&convolution(width))?;
        found.push((width, own / least(&widest)?));
    }
    Ok(found)
}

/// The widest step beside whose multiples convolutions take longer than on the next multiple; 1 where there is none.
fn slower_beside(ratios: &[(usize, f64)]) -> usize {
    let time = |width: usize| ratios.iter().find(|own| own.0 == width).map(|own| own.1);
    let slower = |step: &&usize| {
        let beside = ratios.iter().filter(|(width, _)| width % **step == **step / 2);
        let mut pairs =
            beside.filter_map(|&(width, own)| Some(own >= time(width.next_multiple_of(**step))?)).peekable();
        pairs.peek().is_some() && pairs.all(|slower| slower)
    };
    STEPS.iter().rev().find(slower).copied().unwrap_or(1)
}

/// The step that explains the times.
fn block(ratios: &[(usize, f64)]) -> ChannelBlock {
    if ratios.first().is_none_or(|own| own.1 > FLAT_FROM) {
        return FLAT;
    }
    let step = likeliest(ratios, STEPS[0]);
    ChannelBlock { block: step, multiple: step.min(4) }
}

/// The step that explains the times much better than `usual` and those before it, else that.
fn likeliest(ratios: &[(usize, f64)], usual: usize) -> usize {
    let mut best = (usual, misfit(ratios, usual));
    for step in STEPS {
        let error = misfit(ratios, step);
        if error < BETTER * best.1 {
            best = (step, error);
        }
    }
    best.0
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
    fn depthwise_kernels_are_slow_beside_their_step() {
        // ONNX Runtime 1.32 with AVX-512, 56 x 56.
        let measured = [2.12, 1.64, 2.49, 0.8, 2.64, 2.12, 3.03, 1.0];
        let ratios: Vec<(usize, f64)> = WIDTHS.into_iter().zip(measured).collect();
        assert_eq!(slower_beside(&ratios), 16);
        let line: Vec<(usize, f64)> = WIDTHS.iter().map(|&width| (width, width as f64 / 64.0)).collect();
        assert_eq!(slower_beside(&line), 1);
    }

    #[test]
    fn steps_are_told_apart() {
        for step in STEPS.iter().take(3) {
            assert_eq!(block(&stairs(*step)).block, *step);
        }
        assert_eq!(likeliest(&stairs(8), 16), 8);
        let line: Vec<(usize, f64)> = WIDTHS.iter().map(|&width| (width, width as f64 / 64.0)).collect();
        assert_eq!(likeliest(&line, 16), 4);
        // Times that no step explains leave what is usual.
        assert_eq!(likeliest(&[(36, 1.0), (40, 0.9), (44, 1.0), (48, 0.9), (64, 1.0)], 16), 16);
        let flat: Vec<(usize, f64)> = WIDTHS.iter().map(|&width| (width, 1.0)).collect();
        assert_eq!(block(&flat), FLAT);
    }
}
