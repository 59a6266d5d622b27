//! `onnx-prune bench`.

use std::sync::atomic::AtomicBool;

use crate::bench::latency::{Comparison, LatencyChange, Pairing, Prepared, TimedOn, Timing};
use crate::device::{Connected, DeviceOptions};
use crate::engine::{EngineInfo, EngineOptions};
use crate::error::Error;
use crate::evaluate::{input_specs, random_inputs};
use crate::pipeline::ModelOptions;
use crate::pipeline::reading::load;
use crate::pipeline::session::device_or_here;

/// `onnx-prune bench`.
#[derive(Debug, Clone, Default)]
pub struct BenchOptions {
    /// First model.
    pub a: ModelOptions,
    /// Second model; the first against itself if not given, which shows the noise.
    pub b: Option<ModelOptions>,
    /// Engine.
    pub engine: EngineOptions,
    /// Where models are timed, if not here.
    pub device: Option<DeviceOptions>,
    /// How to time.
    pub timing: Timing,
    /// Requests at a time whose throughput is measured too; 0: none.
    pub concurrency: usize,
    /// Seed of the inputs.
    pub seed: u64,
}

/// What timing two models found.
#[derive(Debug, Clone)]
pub struct Benched {
    /// What ran.
    pub engine: EngineInfo,
    /// Where it ran, if not here.
    pub device: Option<TimedOn>,
    /// Time of a run.
    pub latency: LatencyChange,
    /// Runs a second with several requests at a time, of each model.
    pub throughput: Option<[f64; 2]>,
    /// What each model took until its first result.
    pub prepared: Option<Prepared>,
    /// Single times.
    pub samples: Comparison,
    /// What the engine fell back to, what disturbed the measurement, and what the times leave out.
    pub remarks: Vec<String>,
}

/// Times two models in turn.
///
/// # Errors
/// If a model does not run.
pub fn bench(options: &BenchOptions, cancel: &AtomicBool) -> Result<Benched, Error> {
    options.timing.keep_to_cores(options.device.is_none())?;
    let a = load(&options.a)?;
    let b = options.b.as_ref().map(load).transpose()?;
    if options.concurrency > 0 && options.device.is_some() {
        return Err(Error::Usage {
            what: "`--streams` counts runs of this program, not of another device".into(),
            help: "run `onnx-prune bench --streams N` on the device itself".into(),
        });
    }
    let Connected { device, notes } = device_or_here(options.device.as_ref(), &options.engine, cancel)?;
    let device = device.as_ref();
    let feed = random_inputs(&input_specs(&a), &options.a.sizes, options.timing.batch.max(1), options.seed);
    let pairing = Pairing { device, before: &a, after: b.as_ref().unwrap_or(&a), feed: &feed, cancel };
    let own = &options.timing.options;
    let timed = pairing.summarise(pairing.compare(own)?, own);
    let throughput = match options.concurrency {
        0 => None,
        requests => Some(pairing.throughput(requests, own.most_ms)?),
    };
    Ok(Benched {
        engine: device.engine().info().clone(),
        device: TimedOn::new(device),
        latency: timed.change,
        throughput,
        prepared: timed.prepared,
        samples: timed.samples,
        remarks: notes.into_iter().chain(timed.remarks).collect(),
    })
}
