//! The flags of the commands beside the first.

use std::path::PathBuf;

use clap::Args;

use super::criterion_flags::CriterionFlags;
use super::device_flags::DeviceFlags;
use super::engine_flags::EngineFlags;
use super::flags::{DataFlags, ModelFlags};
use super::preprocess_flags::PreprocessFlags;
use super::timing_flags::TimingFlags;
use crate::calibration::PreprocessOptions;
use crate::pipeline::PruneOptions;
use crate::repair::Compensation;

#[derive(Debug, Args)]
pub(super) struct Score {
    /// The model, or - for standard input
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    #[command(flatten)]
    data: DataFlags,
    #[command(flatten)]
    flags: ModelFlags,
    #[command(flatten)]
    criterion: CriterionFlags,
    /// Seed of every random choice
    #[arg(long, value_name = "S", default_value_t = 0, help_heading = "Criterion")]
    seed: u64,
    #[command(flatten)]
    pub(super) preprocess: PreprocessFlags,
    #[command(flatten)]
    engine: EngineFlags,
    /// Where the scores go: .json, or .npz for NumPy [default: JSON to standard output]
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    pub(super) output: Option<PathBuf>,
    /// Draw how the classes are related and what each receives from every channel
    #[arg(long, value_name = "FILE.svg", help_heading = "Output")]
    pub(super) classes_svg: Option<PathBuf>,
    /// Replace existing files
    #[arg(long, help_heading = "Output")]
    pub(super) force: bool,
    /// Print nothing but errors
    #[arg(short, long, help_heading = "Output")]
    pub(super) quiet: bool,
}

impl Score {
    /// The options of a run; `file` is what `--preprocess` held.
    pub(super) fn options(&self, file: PreprocessOptions) -> PruneOptions {
        PruneOptions {
            model: self.flags.options(&self.model),
            data: self.data.options(self.preprocess.options().or(file)),
            engine: self.engine.options(),
            criteria: self.criterion.options(),
            compensation: Compensation::None,
            seed: self.seed,
            ..PruneOptions::default()
        }
    }
}

#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub(super) struct Inspect {
    /// The model, or - for standard input
    #[arg(value_name = "MODEL")]
    pub(super) model: PathBuf,
    #[command(flatten)]
    pub(super) flags: ModelFlags,
    /// Time what each block takes of a run
    #[arg(long, help_heading = "Engine")]
    pub(super) time: bool,
    #[command(flatten)]
    pub(super) engine: EngineFlags,
    #[command(flatten)]
    pub(super) device: DeviceFlags,
    /// Name the members of every group
    #[arg(long, help_heading = "Output")]
    pub(super) members: bool,
    /// Write the dependency graph for Graphviz
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(super) dot: Option<PathBuf>,
    /// Write the dependency graph as a picture
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(super) svg: Option<PathBuf>,
    /// Replace existing files
    #[arg(long, help_heading = "Output")]
    pub(super) force: bool,
    /// Print JSON
    #[arg(long, help_heading = "Output")]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Apply {
    /// The model that the plan was made for
    #[arg(value_name = "MODEL")]
    pub(super) model: PathBuf,
    /// The plan
    #[arg(value_name = "PLAN")]
    pub(super) plan: PathBuf,
    /// Where the result goes
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    pub(super) output: PathBuf,
    /// Write the masked original: all shapes stay, cut channels are zeroed wherever they are summed over
    #[arg(long, help_heading = "Output")]
    pub(super) masked: bool,
    /// Replace an existing file
    #[arg(long, help_heading = "Output")]
    pub(super) force: bool,
    #[command(flatten)]
    pub(super) flags: ModelFlags,
}

#[derive(Debug, Args)]
pub(super) struct Verify {
    /// First model
    #[arg(value_name = "A")]
    pub(super) a: PathBuf,
    /// Second model
    #[arg(value_name = "B")]
    pub(super) b: PathBuf,
    /// Random inputs to compare on
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(super) runs: u64,
    /// Seed of the inputs
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub(super) seed: u64,
    #[command(flatten)]
    pub(super) flags: ModelFlags,
    #[command(flatten)]
    pub(super) engine: EngineFlags,
    #[command(flatten)]
    pub(super) device: DeviceFlags,
}

#[derive(Debug, Args)]
pub(super) struct Bench {
    /// First model
    #[arg(value_name = "A")]
    pub(super) a: PathBuf,
    /// Second model; without it the first is timed against itself, which shows the noise
    #[arg(value_name = "B")]
    pub(super) b: Option<PathBuf>,
    #[command(flatten)]
    pub(super) timing: TimingFlags,
    /// Requests at a time whose throughput is measured too
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u16).range(..=256), help_heading = "Timing")]
    pub(super) streams: u16,
    /// Write the time of every run of both models as CSV
    #[arg(long, value_name = "FILE.csv", help_heading = "Output")]
    pub(super) times: Option<PathBuf>,
    /// Replace existing files
    #[arg(long, help_heading = "Output")]
    pub(super) force: bool,
    /// Seed of the inputs
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub(super) seed: u64,
    /// Print JSON
    #[arg(long, help_heading = "Output")]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) flags: ModelFlags,
    #[command(flatten)]
    pub(super) engine: EngineFlags,
    #[command(flatten)]
    pub(super) device: DeviceFlags,
}

#[derive(Debug, Args)]
pub(super) struct Setup {
    /// Print JSON
    #[arg(long, help_heading = "Output")]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) engine: EngineFlags,
    #[command(flatten)]
    pub(super) device: DeviceFlags,
}
