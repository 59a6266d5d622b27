//! What a run is asked to do. Plain data: no types of the command line.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::writing::Files;
use crate::device::DeviceOptions;
use crate::engine::EngineOptions;
use crate::error::Error;
use crate::evaluate::{DataOptions, Metric, NamedOutputs, TrialEffort};
use crate::plan::{Allocation, Budget, Goals, RoundTo, Target};
use crate::quantize::{Activations, Precision, RangeMethod};
use crate::repair::Compensation;
use crate::repair::global::RefineOptions;
use crate::score::{Criterion, LassoOptions, Mixture, NAMES, by_name};

/// Bytes for values of images where whoever asks gives the refinement more time than it takes of its own accord: more images judge
/// its rounds, and larger networks keep what derivatives need.
const MUCH_MEMORY: usize = 1 << 31;

/// The model and how to read it.
#[derive(Debug, Clone, Default)]
pub struct ModelOptions {
    /// File, or `-` for standard input.
    pub path: PathBuf,
    /// Accept fields that `onnx.proto` does not have.
    pub allow_unknown_fields: bool,
    /// Sizes of symbolic dims, by name or `INPUT:AXIS`.
    pub sizes: BTreeMap<String, usize>,
    /// Nodes whose channels stay: names or glob patterns.
    pub ignore: Vec<String>,
}

/// How channels are chosen.
#[derive(Debug, Clone)]
pub struct Criteria {
    /// Name of the criterion; `None`: the best that the data allow.
    pub criterion: Option<String>,
    /// What bounds the plan.
    pub budget: Budget,
    /// How widths are shared out; `None`: by sensitivity where there are images and time, else equal shares.
    pub allocation: Option<Allocation>,
    /// Steps of widths.
    pub round_to: RoundTo,
    /// Whether residual streams may be cut.
    pub residual_streams: bool,
    /// Power to which the losses of curves are raised before widths are shared out: 1 leaves them as they were measured.
    pub loss_power: f64,
    /// Whether widths are raised to the end of their step of the engine's cost: what is free in time stays.
    pub whole_steps: bool,
    /// Least share of a group that stays.
    pub floor: f64,
    /// Settings of the lasso criteria.
    pub lasso: LassoOptions,
    /// How class-wise and second-order selection are put together.
    pub mixture: Mixture,
    /// Weights of classes in the selection, by the class's name or the number of its output; `*`: of all others.
    pub class_weights: Vec<(String, f64)>,
}

impl Default for Criteria {
    fn default() -> Self {
        Self {
            criterion: None,
            budget: Budget::Macs(Target::Share(0.5)),
            allocation: None,
            round_to: RoundTo::Auto,
            residual_streams: true,
            loss_power: 1.0,
            whole_steps: false,
            floor: 0.125,
            lasso: LassoOptions::default(),
            mixture: Mixture::default(),
            class_weights: Vec::new(),
        }
    }
}

impl Criteria {
    /// The criterion that is asked for by name; [`Criteria::DEFAULT`] without one.
    ///
    /// # Errors
    /// If there is no criterion of that name.
    pub fn build(&self) -> Result<Box<dyn Criterion>, Error> {
        let name = self.criterion.as_deref().unwrap_or(Self::DEFAULT);
        by_name(name, self.lasso, self.mixture).ok_or_else(|| Error::Usage {
            what: format!("unknown criterion `{name}`"),
            help: format!("one of {}", NAMES.join(", ")),
        })
    }

    /// Criterion where there are images.
    pub const DEFAULT: &'static str = "stlp-obs";
    /// Criterion where there are none.
    pub const DEFAULT_WITHOUT_IMAGES: &'static str = "l2";
}

/// How much time may go into a better model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Effort {
    /// Equal shares, every consumer refitted alone; in integers the least and largest values, weights to the nearest.
    Fast,
    /// Widths by sensitivity, layer after layer refitted, the outputs refined for a short while; in integers what loses least.
    #[default]
    Default,
    /// The same with more images and rounds.
    Max,
}

/// Whether blocks go whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Depth {
    /// Where held-out inputs say that it is better than widths alone.
    #[default]
    Auto,
    /// None.
    Off,
    /// So many, whatever they lose.
    Blocks(usize),
}

/// How a model is written in integers or in half precision.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct QuantizeOptions {
    /// Which of both.
    pub precision: Precision,
    /// Integers of activations; as the engine wants them by default.
    pub activations: Option<Activations>,
    /// How ranges are chosen; by default what loses least on held-out inputs.
    pub ranges: Option<RangeMethod>,
    /// Names or patterns of nodes that stay in real numbers, or `none`; empty: those that lose most.
    pub keep_float: Vec<String>,
}

/// A pruning run.
#[derive(Debug, Clone, Default)]
pub struct PruneOptions {
    /// The dense model.
    pub model: ModelOptions,
    /// Images.
    pub data: DataOptions,
    /// Engine.
    pub engine: EngineOptions,
    /// Where models are timed, if not here alone: a model is to be fast enough on all.
    pub devices: Vec<DeviceOptions>,
    /// Choice of channels.
    pub criteria: Criteria,
    /// Repair.
    pub compensation: Compensation,
    /// Blocks that go whole.
    pub depth: Depth,
    /// Time for it.
    pub effort: Effort,
    /// Seconds after which refinement starts no new round; 0: none at all. By default as `effort` says.
    pub refine: Option<f64>,
    /// Bytes that the run may take, about: activations, moments and images are kept within it, and what needs more is
    /// refused. 4 GiB are aimed at by default.
    pub memory: Option<u64>,
    /// Where the pruned model goes; `MODEL.pruned.onnx` by default.
    pub output: Option<PathBuf>,
    /// Bounds on what has to be measured; beside the budget of `criteria`, all hold.
    pub goals: Goals,
    /// Outputs with boxes and scores, for figures of detections; recognised by their numbers by default.
    pub outputs: Option<NamedOutputs>,
    /// What a model is worth, by a command of the user's own; the loss that `goals` bound is then this metric's.
    pub metric: Option<Metric>,
    /// Where the plan goes; beside the output by default.
    pub plan: PlanFile,
    /// Replace existing files.
    pub force: bool,
    /// Write the model in integers, and plan for that.
    pub quantize: Option<QuantizeOptions>,
    /// Whether to compare the sliced with the masked model.
    pub skip_verification: bool,
    /// Whether to time both models.
    pub skip_timing: bool,
    /// Seed of every random choice.
    pub seed: u64,
}

impl PruneOptions {
    /// The file of the pruned model: the one that was asked for, else `MODEL.pruned.onnx` beside the model.
    pub fn output_path(&self) -> PathBuf {
        match &self.output {
            Some(path) => path.clone(),
            None if self.model.path.as_os_str() == "-" => PathBuf::from("model.pruned.onnx"),
            None => self.model.path.with_extension("pruned.onnx"),
        }
    }

    /// The file of the model in integers or in half precision: the one that was asked for, else `MODEL.int8.onnx` or
    /// `MODEL.fp16.onnx` beside the model.
    pub fn quantized_path(&self) -> PathBuf {
        self.output.clone().unwrap_or_else(|| self.swept_quantized_path(None))
    }

    /// How a quantised model's file ends.
    fn quantized_extension(&self) -> String {
        format!("{}.onnx", self.quantize.as_ref().map(|own| own.precision).unwrap_or_default().name())
    }

    /// The file of the model that a sweep keeps a share of the multiply-accumulates of: `STEM.x0.70.onnx`, where `STEM`
    /// is the output's or else the model's.
    pub fn swept_path(&self, share: f64) -> PathBuf {
        let text = format!("{share:.3}");
        self.swept_stem().with_extension(format!("x{}.onnx", text.strip_suffix('0').unwrap_or(&text)))
    }

    /// The file of the same model in integers or half precision: `STEM.x0.70.int8.onnx`; `STEM.int8.onnx` of the dense one, for `None`.
    pub fn swept_quantized_path(&self, share: Option<f64>) -> PathBuf {
        share
            .map_or_else(|| self.swept_stem(), |share| self.swept_path(share))
            .with_extension(self.quantized_extension())
    }

    /// The files of all models of a sweep.
    pub fn swept_paths(&self, shares: &[f64]) -> Vec<PathBuf> {
        self.all_swept_files(shares).into_iter().map(|files| files.model).collect()
    }

    fn swept_stem(&self) -> PathBuf {
        match &self.output {
            Some(path) => path.clone(),
            None if self.model.path.as_os_str() == "-" => PathBuf::from("model.onnx"),
            None => self.model.path.clone(),
        }
    }

    /// The file of the plan, if one is written.
    pub fn plan_path(&self) -> Option<PathBuf> {
        match &self.plan {
            PlanFile::Beside => Some(self.output_path().with_extension("plan.json")),
            PlanFile::At(path) => Some(path.clone()),
            PlanFile::None => None,
        }
    }

    /// How to refine; `None`: not at all.
    pub(super) fn refinement(&self) -> Option<RefineOptions> {
        let own = RefineOptions { seed: self.seed, ..RefineOptions::default() };
        let own = match self.effort {
            Effort::Fast => return None,
            Effort::Default => own,
            Effort::Max => RefineOptions { rounds: own.rounds.map(|rounds| 4 * rounds), seconds: 600.0, ..own },
        };
        let seconds = self.refine.unwrap_or(own.seconds);
        let own = if self.takes_its_time() { RefineOptions { memory: MUCH_MEMORY, ..own } } else { own };
        // Who asks for it gets it, however small the draws are, and uses the time that is given.
        let own = if self.refine.is_some() { RefineOptions { least_draw: 1, rounds: None, ..own } } else { own };
        (seconds > 0.0).then_some(RefineOptions { seconds, ..own })
    }

    /// Whether whoever asks gives the repair more time than it takes of its own accord.
    pub(super) fn takes_its_time(&self) -> bool {
        self.effort == Effort::Max || self.refine.is_some_and(|seconds| seconds > RefineOptions::default().seconds)
    }

    /// What trials may take that usually take so many multiply-accumulates.
    pub(super) fn trials(&self, macs: f64) -> TrialEffort {
        if self.takes_its_time() { TrialEffort::LONG } else { TrialEffort::new(macs) }
    }

    /// The files that are written.
    pub(super) fn files(&self) -> Files {
        Files { model: self.output_path(), plan: self.plan_path() }
    }

    /// The files of every model of a sweep.
    pub(super) fn all_swept_files(&self, shares: &[f64]) -> Vec<Files> {
        let mut files: Vec<Files> = shares.iter().map(|&share| self.swept_files(share)).collect();
        if self.quantize.is_some() {
            let quantized = std::iter::once(None).chain(shares.iter().copied().map(Some));
            files.extend(quantized.map(|share| self.swept_quantized_files(share)));
        }
        files
    }

    /// The files of a model of a sweep in integers or half precision: its plan is that of the other form.
    pub(super) fn swept_quantized_files(&self, share: Option<f64>) -> Files {
        Files { model: self.swept_quantized_path(share), plan: None }
    }

    /// The files of the model that a sweep keeps a share of the multiply-accumulates of.
    pub(super) fn swept_files(&self, share: f64) -> Files {
        let model = self.swept_path(share);
        let plan = (self.plan != PlanFile::None).then(|| model.with_extension("plan.json"));
        Files { model, plan }
    }
}

/// Where the plan goes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum PlanFile {
    /// `<output stem>.plan.json`.
    #[default]
    Beside,
    /// This file.
    At(PathBuf),
    /// Nowhere.
    None,
}
