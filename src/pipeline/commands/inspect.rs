//! `onnx-prune inspect`.

use std::sync::atomic::AtomicBool;

use crate::bench::block_times;
use crate::bench::latency::{Pairing, TimingOptions};
use crate::channels::Channels;
use crate::device::DeviceOptions;
use crate::engine::{EngineOptions, open};
use crate::error::Error;
use crate::evaluate::{analyse_with, input_specs, random_inputs};
use crate::model::Model;
use crate::pipeline::ModelOptions;
use crate::pipeline::reading::{analyse_options, analysed, check_ignored, load};
use crate::pipeline::session::device_or_here;
use crate::report::Inspection;

/// Milliseconds for which a model without a block is timed beside the whole one: at least, at most.
const TIMED_MS: [f64; 2] = [400.0, 2e3];

/// Width of the interval of a ratio of times at which that ends earlier.
const TIMED_WIDTH: f64 = 0.02;

/// Analyses a model.
///
/// # Errors
/// If the model cannot be loaded.
pub fn inspect(options: &ModelOptions) -> Result<Inspection, Error> {
    let (model, channels, sha256) = read(options)?;
    Ok(Inspection { model_sha256: sha256, ..Inspection::new(&model, &channels) })
}

/// As [`inspect`], with the share of the time of a run that each block takes.
///
/// # Errors
/// As [`inspect`], if the engine does not run the model, or on interruption.
pub fn inspect_timed(
    options: &ModelOptions,
    engine: &EngineOptions,
    device: Option<&DeviceOptions>,
    cancel: &AtomicBool,
) -> Result<Inspection, Error> {
    let (model, channels, sha256) = read(options)?;
    let device = device_or_here(device, engine, cancel)?.device;
    let device = device.as_ref();
    let feed = random_inputs(&input_specs(&model), &options.sizes, 1, 0);
    let [least_ms, most_ms] = TIMED_MS;
    let timing = TimingOptions { least_ms, most_ms, width: TIMED_WIDTH, ..TimingOptions::default() };
    let times = block_times(&model, &channels, |without| {
        let pairing = Pairing { device, before: &model, after: without, feed: &feed, cancel };
        Ok::<_, Error>(pairing.compare(&timing)?.found.ratio(0).median)
    })?;
    let mut inspection = Inspection { model_sha256: sha256, ..Inspection::new(&model, &channels) };
    for (block, time) in inspection.blocks.iter_mut().zip(times) {
        block.time_share = Some(time);
    }
    Ok(inspection)
}

/// The model, its analysis, and the SHA-256 of its file.
fn read(options: &ModelOptions) -> Result<(Model, Channels, String), Error> {
    let mut model = load(options)?;
    let sha256 = model.sha256().to_owned();
    let analysis = analyse_options(&options.sizes, &options.ignore)?;
    let mut channels = analysed(&mut model, &analysis, None).channels;
    if !channels.unknown_shapes().is_empty() {
        // Where no engine is found, the inspection says what is not known.
        if let Ok(opened) = open(&EngineOptions::default()) {
            channels = analyse_with(opened.engine.as_ref(), &model, &analysis).channels;
        }
    }
    check_ignored(&model, &options.ignore)?;
    Ok((model, channels, sha256))
}
