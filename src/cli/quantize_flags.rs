//! The flags of `onnx-prune quantize`, and those of integers.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::device_flags::DeviceFlags;
use super::engine_flags::EngineFlags;
use super::flags::{DataFlags, EffortFlag, ModelFlags};
use super::parse;
use super::preprocess_flags::PreprocessFlags;
use crate::calibration::PreprocessOptions;
use crate::error::Error;
use crate::pipeline::{DataOptions, PruneOptions, QuantizeOptions};
use crate::quantize::{Activations, Precision, RangeMethod};

/// How a model is written in integers.
#[derive(Debug, Args)]
pub(super) struct IntegerFlags {
    /// Integers of activations: u8 for x86, s8 for TensorRT and ARM [default: as the engine wants them]
    #[arg(long, value_enum, help_heading = "Integers")]
    activations: Option<ActivationsFlag>,
    /// Ranges of activations: minmax, mse, percentile:99.99 [default: what loses least on held-out images]
    #[arg(long, value_name = "METHOD", value_parser = parse::range_method, help_heading = "Integers")]
    ranges: Option<RangeMethod>,
    /// auto: layers that lose most stay in real numbers; none: no layer does; NODES: these do, a name or a pattern with * and ?
    #[arg(long, value_name = "auto|none|NODES", value_delimiter = ',', help_heading = "Integers")]
    keep_float: Vec<String>,
}

/// What a model is written in.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum PrecisionFlag {
    Int8,
    Fp16,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ActivationsFlag {
    U8,
    S8,
}

impl IntegerFlags {
    pub(super) fn options(&self, precision: PrecisionFlag) -> QuantizeOptions {
        QuantizeOptions {
            precision: match precision {
                PrecisionFlag::Int8 => Precision::Int8,
                PrecisionFlag::Fp16 => Precision::Fp16,
            },
            activations: self.activations.map(|own| match own {
                ActivationsFlag::U8 => Activations::U8,
                ActivationsFlag::S8 => Activations::S8,
            }),
            ranges: self.ranges,
            // What is asked for aloud is what is done anyway.
            keep_float: self.keep_float.iter().filter(|own| *own != "auto").cloned().collect(),
        }
    }
}

/// `onnx-prune quantize`.
#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub(super) struct Quantize {
    /// The trained model, or - for standard input
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    #[command(flatten)]
    data: DataFlags,
    /// Labelled images held out from calibration, for the accuracy in the report
    #[arg(long, value_name = "DIR", help_heading = "Input")]
    eval: Option<PathBuf>,
    /// Held-out images to use [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Input")]
    eval_samples: Option<u32>,
    #[command(flatten)]
    flags: ModelFlags,
    /// What the model is written in
    #[arg(long, value_enum, default_value = "int8", help_heading = "Integers")]
    precision: PrecisionFlag,
    #[command(flatten)]
    integers: IntegerFlags,
    /// Time that may go into a better model. fast: the least and largest values, weights to the nearest; default: ranges, weights
    /// and biases that lose least, as long as integers lose something; max: fitted on several times as many images
    #[arg(long, value_enum, default_value = "default", help_heading = "Integers")]
    effort: EffortFlag,
    /// Memory that the run may take, about, such as 2G [default: aim at 4G, refuse nothing]
    #[arg(long, value_name = "SIZE", value_parser = parse::memory, help_heading = "Integers")]
    memory: Option<u64>,
    /// Seed of every random choice
    #[arg(long, value_name = "S", default_value_t = 0, help_heading = "Integers")]
    seed: u64,
    #[command(flatten)]
    pub(super) preprocess: PreprocessFlags,
    #[command(flatten)]
    engine: EngineFlags,
    #[command(flatten)]
    device: DeviceFlags,
    /// The model in integers or half precision [default: MODEL.int8.onnx, MODEL.fp16.onnx]
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    output: Option<PathBuf>,
    /// Write the report as JSON
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(super) report: Option<PathBuf>,
    /// Write the report as one HTML page
    #[arg(long, value_name = "FILE.html", help_heading = "Output")]
    pub(super) html: Option<PathBuf>,
    /// Write the report as Markdown, for a comment on a merge request
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(super) markdown: Option<PathBuf>,
    /// Print the report as JSON
    #[arg(long, help_heading = "Output")]
    pub(super) json: bool,
    /// Print nothing but errors
    #[arg(short, long, conflicts_with = "json", help_heading = "Output")]
    pub(super) quiet: bool,
    /// Replace existing files
    #[arg(long, help_heading = "Output")]
    pub(super) force: bool,
    /// Do not time the models
    #[arg(long, help_heading = "Output")]
    no_timing: bool,
}

impl Quantize {
    /// The options of a run; `file` is what `--preprocess` held.
    pub(super) fn options(&self, file: PreprocessOptions) -> Result<PruneOptions, Error> {
        let (engine, device) = self.device.one(&self.engine)?;
        Ok(PruneOptions {
            model: self.flags.options(&self.model),
            data: DataOptions {
                eval: self.eval.clone(),
                eval_samples: self.eval_samples.and_then(|count| usize::try_from(count).ok()),
                ..self.data.options(self.preprocess.options().or(file))
            },
            engine,
            devices: device.into_iter().collect(),
            quantize: Some(self.integers.options(self.precision)),
            effort: self.effort.into(),
            memory: self.memory,
            output: self.output.clone(),
            force: self.force,
            skip_timing: self.no_timing,
            seed: self.seed,
            ..PruneOptions::default()
        })
    }
}
