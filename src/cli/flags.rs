//! The flags, grouped as `--help` shows them.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::agent::Agent;
use super::budget_flags::BudgetFlags;
use super::calibrate::Calibrate;
use super::check_flags::Check;
use super::criterion_flags::CriterionFlags;
use super::device_flags::DeviceFlags;
use super::engine_flags::EngineFlags;
use super::evaluate::{Evaluate, Merge};
use super::generated::{Completions, Man, Schema};
use super::jobs::Sweep;
use super::metric_flags::MetricFlags;
use super::operators::Operators;
use super::other_flags::{Apply, Bench, Inspect, Score, Setup, Verify};
use super::output_flags::OutputFlags;
use super::parse;
use super::preprocess_flags::PreprocessFlags;
use super::quantize_flags::{IntegerFlags, PrecisionFlag, Quantize};
use crate::calibration::PreprocessOptions;
use crate::error::Error;
use crate::pipeline::{Criteria, DataOptions, Deployed, Depth, Effort, ModelOptions, PlanFile, PruneOptions, RoundTo};
use crate::plan::Allocation;
use crate::repair::Compensation;

const EXAMPLES: &str = "\
Examples:
  Halve the multiply-accumulates, judged on class folders of images:
    onnx-prune model.onnx --data calib/

  Keep 70 %, measure accuracy on held-out images, keep the report:
    onnx-prune model.onnx --data calib/ --eval val/ --target-macs 0.7 \\
      --report report.json

  Without images:
    onnx-prune model.onnx --criterion l2 --ratio 0.3

  What can be cut, and who protects the rest:
    onnx-prune inspect model.onnx

Exit codes: 0 done, 1 a check failed, 2 bad input or usage, 130 interrupted";

/// Remove whole channels from a trained ONNX model, repair the rest without training, prove and report what happened.
#[derive(Debug, Parser)]
#[command(name = "onnx-prune", version, after_help = EXAMPLES, max_term_width = 100)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true, args_override_self = true)]
pub(super) struct Cli {
    /// Settings: values of flags in a table for each command; the command line wins [default:
    /// onnx-prune.toml of the current folder; none ignores it]
    #[arg(long, value_name = "FILE|none", global = true, help_heading = "Input")]
    pub(super) config: Option<PathBuf>,
    #[command(subcommand)]
    pub(super) command: Option<Command>,
    #[command(flatten)]
    pub(super) prune: Prune,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show which channels go together, which can be cut, and who protects the others
    Inspect(Inspect),
    /// Score every channel and write the scores, without pruning
    Score(Box<Score>),
    /// Apply a plan to the model it was made for; the same plan gives the same bytes
    Apply(Apply),
    /// Compare the outputs of two models on random inputs
    Verify(Verify),
    /// Compare a new model with a base, and fail if a bound on time, size or accuracy is exceeded
    Check(Box<Check>),
    /// Time a model, or two in turn
    Bench(Bench),
    /// Gather statistics of calibration data, or of a part of them for one of many machines, to prune with later
    Calibrate(Box<Calibrate>),
    /// Run models on labelled images, or on a part of them for one of many machines
    Evaluate(Box<Evaluate>),
    /// Put parts together: those of statistics, or those of an evaluation
    Merge(Merge),
    /// Write the commands of many runs for a scheduler, and collect their results
    Sweep(Box<Sweep>),
    /// Write a model in 8-bit integers, without pruning
    Quantize(Box<Quantize>),
    /// Show what is done with which operator: dependencies, cost, repair, derivatives
    Operators(Operators),
    /// Time models for a program on another machine, which starts this command there
    Agent(Agent),
    /// Show which engines and providers work, and how to install what is missing
    Setup(Setup),
    /// Print a completion script for a shell
    Completions(Completions),
    /// Print a manual page
    Man(Man),
    /// Print the JSON schema of a report or of the settings file
    Schema(Schema),
}

#[derive(Debug, Args)]
pub(super) struct ModelFlags {
    /// Accept fields that onnx.proto does not have; they are dropped
    #[arg(long, help_heading = "Input")]
    allow_unknown_fields: bool,
    /// Size of a symbolic dim, by its name or by INPUT:AXIS; may be repeated
    #[arg(long = "dim", value_name = "NAME=SIZE", value_parser = parse::dim, help_heading = "Input")]
    dims: Vec<(String, usize)>,
    /// Keep the channels of these nodes: a name or a pattern with * and ?; may be repeated
    #[arg(long, value_name = "NODE", help_heading = "Input")]
    ignore: Vec<String>,
}

impl ModelFlags {
    pub(super) fn options(&self, path: &std::path::Path) -> ModelOptions {
        ModelOptions {
            path: path.to_owned(),
            allow_unknown_fields: self.allow_unknown_fields,
            sizes: self.dims.iter().cloned().collect(),
            ignore: self.ignore.clone(),
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct DataFlags {
    /// Calibration data: class folders, a flat folder, tar files (`WebDataset`), Parquet (Hugging Face), @list.txt, CIFAR-10 .bin, or .npz and .npy of
    /// images or of the inputs by name
    #[arg(long, value_name = "DIR", help_heading = "Input")]
    data: Option<PathBuf>,
    /// Map of class folders to outputs: json, csv, or a list whose line i names output i
    #[arg(long, value_name = "FILE", help_heading = "Input")]
    classes: Option<PathBuf>,
    /// Calibration images to use, or all [default: 500, or all there are]
    #[arg(long, value_name = "N|all", value_parser = parse::samples, help_heading = "Input")]
    samples: Option<usize>,
    /// Stop at the first image that cannot be read
    #[arg(long, help_heading = "Input")]
    strict: bool,
}

impl DataFlags {
    pub(super) fn options(&self, preprocess: PreprocessOptions) -> DataOptions {
        DataOptions {
            data: self.data.clone(),
            statistics: None,
            eval: None,
            classes: self.classes.clone(),
            preprocess,
            samples: self.samples,
            eval_samples: None,
            eval_skip: 0,
            strict: self.strict,
        }
    }
}

#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools, reason = "one per switch")]
pub(super) struct Prune {
    /// The trained model, or - for standard input
    #[arg(value_name = "MODEL", required = true)]
    model: Option<PathBuf>,
    #[command(flatten)]
    data: DataFlags,
    /// What `onnx-prune calibrate` gathered from calibration data, in their place
    #[arg(long, value_name = "FILE", conflicts_with = "data", help_heading = "Input")]
    statistics: Option<PathBuf>,
    /// Labelled images held out from calibration, for the accuracy in the report
    #[arg(long, value_name = "DIR", help_heading = "Input")]
    eval: Option<PathBuf>,
    /// Held-out images to use [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Input")]
    eval_samples: Option<u32>,
    #[command(flatten)]
    model_flags: ModelFlags,
    #[command(flatten)]
    pub(super) budget: BudgetFlags,
    /// sensitivity: as little as possible lost by the outputs, measured group by group; uniform:
    /// the same share of every group; global: one threshold on the scores of all; adaptive: one
    /// lambda for all, as in the paper (lasso criteria) [default: sensitivity; uniform without
    /// images or with --effort fast]
    #[arg(long, value_enum, help_heading = "Budget")]
    widths: Option<WidthsFlag>,
    /// Blocks that go whole (residual blocks, the parts of a transformer): auto: where held-out inputs say that it is
    /// better than widths alone; off: none; N: the N that the outputs miss least, whatever else
    /// the budget asks for
    #[arg(long, value_name = "auto|off|N", default_value = "auto", value_parser = parse::depth, help_heading = "Budget")]
    depth: Depth,
    /// Time that may go into a better model. fast: equal shares, each consumer of a cut refitted
    /// alone; default: minutes; max: several times that
    #[arg(long, value_enum, default_value = "default", help_heading = "Budget")]
    effort: EffortFlag,
    /// Time for adjusting all weights at once towards the dense model's outputs, the last part of
    /// the repair, which is used to its end while it helps; 0 leaves it out [default: as --effort says]
    #[arg(long, value_name = "SECONDS", value_parser = parse::seconds, help_heading = "Budget")]
    refine: Option<f64>,
    /// Steps of widths: auto asks the engine for its channel block, and takes 16 with the embedded engine
    #[arg(long, value_name = "auto|N", default_value = "auto", value_parser = parse::round_to, help_heading = "Budget")]
    round_to: RoundTo,
    /// Engine that the model will run with, where it is not the one that prunes: widths in the steps of its kernels
    #[arg(long = "for", value_enum, value_name = "ENGINE", conflicts_with = "round_to", help_heading = "Budget")]
    deployed: Option<DeployedFlag>,
    /// all: residual streams may be cut where the inner channels do not suffice
    #[arg(long, value_enum, default_value = "all", help_heading = "Budget")]
    scope: ScopeFlag,
    /// Least share of a group that stays
    #[arg(long, value_name = "X", default_value = "0.125", value_parser = parse::share, help_heading = "Budget")]
    min_width: f64,
    /// Repair. local: every consumer of a cut alone, from the dense model's activations;
    /// sequential: then layer after layer on the pruned model's own; auto: as --effort says
    #[arg(long, value_enum, default_value = "auto", help_heading = "Budget")]
    compensate: CompensateFlag,
    /// Memory that the run may take, about, such as 2G: less is gathered and kept, and what needs
    /// more is refused [default: aim at 4G, refuse nothing]
    #[arg(long, value_name = "SIZE", value_parser = parse::memory, help_heading = "Budget")]
    memory: Option<u64>,
    /// Seed of every random choice
    #[arg(long, value_name = "S", default_value_t = 0, help_heading = "Budget")]
    seed: u64,
    /// Write the pruned model in 8-bit integers or in half precision, and plan and time it so
    #[arg(long, value_enum, help_heading = "Integers")]
    quantize: Option<PrecisionFlag>,
    #[command(flatten)]
    integers: IntegerFlags,
    #[command(flatten)]
    metric: MetricFlags,
    #[command(flatten)]
    criterion: CriterionFlags,
    #[command(flatten)]
    preprocess: PreprocessFlags,
    #[command(flatten)]
    engine: EngineFlags,
    #[command(flatten)]
    device: DeviceFlags,
    #[command(flatten)]
    pub(super) results: OutputFlags,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum WidthsFlag {
    Sensitivity,
    Uniform,
    Global,
    Adaptive,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ScopeFlag {
    All,
    Inner,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum DeployedFlag {
    #[value(name = "onnxruntime-cpu")]
    OnnxRuntimeCpu,
    #[value(name = "tensorrt")]
    TensorRt,
    #[value(name = "openvino")]
    OpenVino,
    Any,
}

impl From<DeployedFlag> for Deployed {
    fn from(flag: DeployedFlag) -> Self {
        match flag {
            DeployedFlag::OnnxRuntimeCpu => Self::OnnxRuntimeCpu,
            DeployedFlag::TensorRt => Self::TensorRt,
            DeployedFlag::OpenVino => Self::OpenVino,
            DeployedFlag::Any => Self::Any,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum EffortFlag {
    Fast,
    Default,
    Max,
}

impl From<EffortFlag> for Effort {
    fn from(flag: EffortFlag) -> Self {
        match flag {
            EffortFlag::Fast => Self::Fast,
            EffortFlag::Default => Self::Default,
            EffortFlag::Max => Self::Max,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum CompensateFlag {
    None,
    Bias,
    Local,
    Sequential,
    Auto,
}

impl Prune {
    /// The options of a run; `file` is what `--preprocess` held.
    pub(super) fn options(&self, file: PreprocessOptions) -> Result<PruneOptions, Error> {
        let (engine, devices) = self.device.all(&self.engine, &self.budget.target_latency)?;
        Ok(PruneOptions {
            model: self.model_flags.options(&self.model.clone().unwrap_or_default()),
            data: DataOptions {
                statistics: self.statistics.clone(),
                eval: self.eval.clone(),
                eval_samples: self.eval_samples.and_then(|count| usize::try_from(count).ok()),
                ..self.data.options(self.preprocess.options().or(file))
            },
            engine,
            devices,
            criteria: Criteria {
                budget: self.budget.planned(),
                allocation: self.widths.map(|widths| match widths {
                    WidthsFlag::Sensitivity => Allocation::Sensitivity,
                    WidthsFlag::Uniform => Allocation::Uniform,
                    WidthsFlag::Global => Allocation::Global,
                    WidthsFlag::Adaptive => Allocation::Adaptive,
                }),
                round_to: self.deployed.map_or(self.round_to, |own| RoundTo::For(own.into())),
                residual_streams: self.scope == ScopeFlag::All,
                floor: self.min_width,
                ..self.criterion.options()
            },
            depth: self.depth,
            compensation: match self.compensate {
                CompensateFlag::None => Compensation::None,
                CompensateFlag::Bias => Compensation::Bias,
                CompensateFlag::Local => Compensation::Local,
                CompensateFlag::Auto if matches!(self.effort, EffortFlag::Fast) => Compensation::Local,
                CompensateFlag::Auto | CompensateFlag::Sequential => Compensation::Sequential,
            },
            goals: self.budget.goals(),
            outputs: self.metric.outputs.clone(),
            metric: self.metric.options(),
            effort: self.effort.into(),
            refine: self.refine,
            memory: self.memory,
            quantize: self.quantize.map(|precision| self.integers.options(precision)),
            output: self.results.output.clone(),
            plan: match &self.results.plan {
                None => PlanFile::Beside,
                Some(path) if path.as_os_str() == "none" => PlanFile::None,
                Some(path) => PlanFile::At(path.clone()),
            },
            force: self.results.force,
            skip_verification: self.results.no_verify,
            skip_timing: self.results.no_timing,
            seed: self.seed,
        })
    }

    pub(super) fn preprocess_file(&self) -> Option<&PathBuf> {
        self.preprocess.file.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::plan::{Budget, Target};

    /// Help of a command as an 80-column terminal shows it; the first command is the default one.
    fn help(name: Option<&str>) -> String {
        let mut command = Cli::command().term_width(80);
        command.build();
        let command = match name {
            None => &mut command,
            Some(name) => command.find_subcommand_mut(name).unwrap(),
        };
        command.render_help().to_string()
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_of_every_command() {
        insta::assert_snapshot!("help", help(None));
        for name in [
            "inspect",
            "score",
            "apply",
            "verify",
            "check",
            "bench",
            "quantize",
            "operators",
            "agent",
            "setup",
            "completions",
            "man",
            "schema",
        ] {
            insta::assert_snapshot!(format!("help_{name}"), help(Some(name)));
        }
    }

    #[test]
    fn a_first_command_needs_no_budget() {
        let flags = |line: &str| Cli::try_parse_from(line.split_whitespace()).unwrap().prune;
        let options = flags("onnx-prune m.onnx --data d").options(PreprocessOptions::default()).unwrap();
        assert_eq!(options.criteria.budget, Budget::Macs(Target::Share(0.5)));
        let options = flags("onnx-prune m.onnx --ratio 0.3").options(PreprocessOptions::default()).unwrap();
        assert_eq!(options.criteria.budget, Budget::Ratio(0.3));
        let options = flags("onnx-prune m.onnx --mean=-1,0,0.5").options(PreprocessOptions::default()).unwrap();
        assert_eq!(options.data.preprocess.mean, Some(vec![-1.0, 0.0, 0.5]));
        assert_eq!(options.plan_path(), Some("m.pruned.plan.json".into()));
    }
}
