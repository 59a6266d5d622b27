//! The flags of `check`.

use std::path::PathBuf;

use clap::Args;

use super::device_flags::DeviceFlags;
use super::engine_flags::EngineFlags;
use super::flags::ModelFlags;
use super::metric_flags::MetricFlags;
use super::parse;
use super::preprocess_flags::PreprocessFlags;
use super::timing_flags::TimingFlags;
use crate::calibration::PreprocessOptions;
use crate::error::Error;
use crate::pipeline::{Bounds, CheckOptions, DataOptions};

const EXAMPLES: &str = "\
Examples:
  The pruned model must be faster, smaller and nearly as good:
    onnx-prune check model.onnx model.pruned.onnx --max-latency-ratio 0.7 \\
      --max-size-ratio 0.6 --max-drop 0.5 --data val/ --junit check.xml

  Not slower than last week:
    onnx-prune check base.onnx new.onnx --report today.json
    onnx-prune check base.onnx new.onnx --baseline lastweek.json

Exit codes: 0 passed or inconclusive, 1 a bound is exceeded, 2 bad input or usage, 130 interrupted";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[allow(clippy::struct_excessive_bools, reason = "one per switch")]
pub(super) struct Check {
    /// The model to compare with
    #[arg(value_name = "BASE")]
    pub(super) base: PathBuf,
    /// The model to check
    #[arg(value_name = "NEW")]
    pub(super) new: PathBuf,
    /// Time of a run, new to base, at most
    #[arg(long, value_name = "X", value_parser = parse::ratio, help_heading = "Bounds")]
    max_latency_ratio: Option<f64>,
    /// Points of top-1 accuracy that may be lost on the images of --data; with --metric, what that may lose
    #[arg(long, value_name = "POINTS", value_parser = parse::drop, help_heading = "Bounds")]
    max_drop: Option<f64>,
    /// Percent of the images of --data on which both must answer alike
    #[arg(long, value_name = "PERCENT", value_parser = parse::points, help_heading = "Bounds")]
    min_agreement: Option<f64>,
    /// Multiply-accumulates, new to base, at most
    #[arg(long, value_name = "X", value_parser = parse::ratio, help_heading = "Bounds")]
    max_macs_ratio: Option<f64>,
    /// Parameters, new to base, at most
    #[arg(long, value_name = "X", value_parser = parse::ratio, help_heading = "Bounds")]
    max_params_ratio: Option<f64>,
    /// Bytes of the file, new to base, at most
    #[arg(long, value_name = "X", value_parser = parse::ratio, help_heading = "Bounds")]
    max_size_ratio: Option<f64>,
    /// Report of an earlier check (--report) of the same base: the new model may not be worse than the one of then
    #[arg(long, value_name = "FILE", help_heading = "Bounds")]
    pub(super) baseline: Option<PathBuf>,
    /// Percent by which latency ratio, MACs and size may exceed the baseline's
    #[arg(long, value_name = "PERCENT", default_value = "5", value_parser = parse::seconds, help_heading = "Bounds")]
    max_regression: f64,
    /// Compare with a baseline of another machine or engine
    #[arg(long, help_heading = "Bounds")]
    other_machine: bool,
    /// Fail where a bound on time is neither met nor exceeded for certain
    #[arg(long, help_heading = "Bounds")]
    strict: bool,
    /// How often a bound on time that would fail is measured again before it fails
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(..=8), help_heading = "Bounds")]
    retries: u8,
    /// Labelled images: class folders, .npz, or CIFAR-10 .bin
    #[arg(long, value_name = "DIR", help_heading = "Input")]
    data: Option<PathBuf>,
    /// Map of class folders to outputs: json, csv, or a list whose line i names output i
    #[arg(long, value_name = "FILE", help_heading = "Input")]
    classes: Option<PathBuf>,
    /// Images to use [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Input")]
    samples: Option<u32>,
    #[command(flatten)]
    model_flags: ModelFlags,
    #[command(flatten)]
    metric: MetricFlags,
    #[command(flatten)]
    timing: TimingFlags,
    /// Do not time the models
    #[arg(long, help_heading = "Timing")]
    no_timing: bool,
    /// Seed of random inputs and of the draw of images
    #[arg(long, value_name = "S", default_value_t = 0, help_heading = "Timing")]
    seed: u64,
    #[command(flatten)]
    pub(super) preprocess: PreprocessFlags,
    #[command(flatten)]
    engine: EngineFlags,
    #[command(flatten)]
    device: DeviceFlags,
    /// Write everything as JSON; also what a later --baseline reads
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(super) report: Option<PathBuf>,
    /// Write an XML report in the form of `JUnit`
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(super) junit: Option<PathBuf>,
    /// Write Markdown, for a comment on a merge request
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(super) markdown: Option<PathBuf>,
    /// Write one HTML page
    #[arg(long, value_name = "FILE.html", help_heading = "Output")]
    pub(super) html: Option<PathBuf>,
    /// Write the time of every run of both models as CSV
    #[arg(long, value_name = "FILE.csv", conflicts_with = "no_timing", help_heading = "Output")]
    pub(super) times: Option<PathBuf>,
    /// Write Bencher Metric Format
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(super) bencher: Option<PathBuf>,
    /// Write GitLab's code quality report
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(super) gitlab_codequality: Option<PathBuf>,
    /// Write GitLab's metrics report, `OpenMetrics`
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(super) gitlab_metrics: Option<PathBuf>,
    /// Print annotations for GitHub Actions and add to the step summary
    #[arg(long, help_heading = "Output")]
    pub(super) github: bool,
    /// Replace existing files
    #[arg(long, help_heading = "Output")]
    pub(super) force: bool,
    /// Print JSON
    #[arg(long, conflicts_with = "github", help_heading = "Output")]
    pub(super) json: bool,
    /// Print nothing but errors
    #[arg(short, long, conflicts_with_all = ["json", "github"], help_heading = "Output")]
    pub(super) quiet: bool,
}

impl Check {
    /// The options of a check; `file` is what `--preprocess` held.
    pub(super) fn options(&self, file: PreprocessOptions) -> Result<CheckOptions, Error> {
        let (engine, device) = self.device.one(&self.engine)?;
        Ok(CheckOptions {
            base: self.model_flags.options(&self.base),
            new: self.model_flags.options(&self.new),
            data: DataOptions {
                data: self.data.clone(),
                classes: self.classes.clone(),
                preprocess: self.preprocess.options().or(file),
                eval_samples: self.samples.and_then(|count| usize::try_from(count).ok()),
                ..DataOptions::default()
            },
            engine,
            device,
            outputs: self.metric.outputs.clone(),
            metric: self.metric.options(),
            bounds: Bounds {
                latency_ratio: self.max_latency_ratio,
                macs_ratio: self.max_macs_ratio,
                params_ratio: self.max_params_ratio,
                size_ratio: self.max_size_ratio,
                drop: self.max_drop,
                agreement: self.min_agreement,
            },
            timing: self.timing.options(self.no_timing, self.seed),
            baseline: self.baseline.clone(),
            regression: self.max_regression / 100.0,
            other_machine: self.other_machine,
            strict: self.strict,
            retries: usize::from(self.retries),
            seed: self.seed,
        })
    }
}
