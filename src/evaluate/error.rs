//! Errors of evaluation.

use super::Measured;
use crate::calibration::CalibrationError;
use crate::engine::EngineError;
use crate::explain::Explain;
use crate::model::ModelError;
use crate::number::significant;
use crate::repair::RepairError;
use crate::rewrite::RewriteError;
use crate::score::ScoreError;
use crate::statistics::StatisticsError;

/// Why a model cannot be evaluated, or why a pruned model is not to be trusted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvaluateError {
    /// The engine refuses the pruned model.
    #[error("the pruned model does not run")]
    Pruned(#[source] EngineError),
    /// The engine refuses the model as it was before any cut.
    #[error("this engine does not run the model, pruned or not")]
    Dense(#[source] EngineError),
    /// The outputs differ.
    #[error("the pruned model does not compute what the masked original computes")]
    Differs {
        /// Name of the output.
        output: String,
        /// Largest difference, relative to the output's scale.
        error: f64,
        /// What is allowed.
        tolerance: f64,
    },
    /// Two models that need not be one cut of the other differ.
    #[error("the models do not compute the same")]
    Disagree {
        /// Name of the output.
        output: String,
        /// Largest difference, relative to the output's scale.
        error: f64,
        /// What is allowed.
        tolerance: f64,
    },
    /// The dense model is no better than guessing.
    #[error("the dense model's accuracy on the labelled images is near chance")]
    NearChance {
        /// Top-1 in percent.
        percent: f64,
        /// Images.
        images: usize,
        /// Outputs of the model.
        classes: usize,
    },
    /// Even the mildest cut may lose more accuracy than allowed.
    #[error("no cut keeps the loss of accuracy within {allowed} points")]
    Loss {
        /// What is allowed, in points.
        allowed: f64,
        /// Loss of the mildest cut in points.
        loss: f64,
        /// Its upper bound in points.
        upper: f64,
        /// Held-out images.
        images: usize,
    },
    /// Even the mildest cut makes the user's own metric worse than allowed.
    #[error("no cut keeps the loss of the metric within {}", significant(*allowed))]
    MetricLoss {
        /// What is allowed, in units of the metric.
        allowed: f64,
        /// Metric of the dense model.
        dense: f64,
        /// Metric of the mildest cut.
        mildest: f64,
    },
    /// The user's own metric gives no number.
    #[error("`--metric` on the {} model: `{command}` {what}", model.word())]
    Metric {
        /// The command as given.
        command: String,
        /// Which model it was given.
        model: Measured,
        /// What it did, for a sentence that begins with the command.
        what: String,
        /// The last line of its standard error.
        said: Option<String>,
    },
    /// A part of an evaluation, or of statistics, cannot be used.
    #[error("`{path}` cannot be used")]
    Part {
        /// Its file.
        path: String,
        /// Why.
        why: String,
    },
    /// The engine failed on images of a data set.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Images are unusable.
    #[error(transparent)]
    Calibration(#[from] CalibrationError),
    /// A stored tensor cannot be read.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Statistics of the activations cannot be formed.
    #[error(transparent)]
    Statistics(#[from] StatisticsError),
    /// Outputs give no classes.
    #[error(transparent)]
    Score(#[from] ScoreError),
    /// A cut that is to be measured cannot be made.
    #[error(transparent)]
    Rewrite(#[from] RewriteError),
    /// Options do not suit the data.
    #[error("{what}")]
    Usage {
        /// What is wrong.
        what: String,
        /// What to give.
        help: String,
    },
    /// The run was interrupted.
    #[error("interrupted")]
    Interrupted,
}

impl EvaluateError {
    /// The error of a lower module that this one passes on.
    fn passed_on(&self) -> Option<&dyn Explain> {
        match self {
            Self::Engine(error) => Some(error),
            Self::Calibration(error) => Some(error),
            Self::Model(error) => Some(error),
            Self::Statistics(error) => Some(error),
            Self::Score(error) => Some(error),
            Self::Rewrite(error) => Some(error),
            _ => None,
        }
    }
}

impl From<RepairError> for EvaluateError {
    fn from(error: RepairError) -> Self {
        match error {
            RepairError::Model(error) => error.into(),
            RepairError::Engine(error) => error.into(),
            RepairError::Interrupted => Self::Interrupted,
        }
    }
}

impl Explain for EvaluateError {
    fn location(&self) -> Option<String> {
        self.passed_on().and_then(Explain::location)
    }

    fn why(&self) -> Option<String> {
        match self {
            Self::Pruned(error) | Self::Dense(error) => Some(format!("{error}: {}", error.why().unwrap_or_default())),
            Self::Differs { output, error, tolerance } | Self::Disagree { output, error, tolerance } => {
                Some(format!("output `{output}` differs by {error:.2e} of its scale; {tolerance:.0e} is allowed"))
            }
            Self::NearChance { percent, images, classes } => {
                Some(format!("{percent:.1} % of {images} images with {classes} outputs"))
            }
            Self::Loss { loss, upper, images, .. } => Some(format!(
                "the mildest cut loses {loss:.2} points on {images} held-out images, at most {upper:.2} on as many others with {:.0} % confidence",
                100.0 * super::CONFIDENCE
            )),
            Self::MetricLoss { dense, mildest, .. } => Some(format!(
                "it is {} of the dense model and {} after the mildest cut",
                significant(*dense),
                significant(*mildest)
            )),
            Self::Part { why, .. } => Some(why.clone()),
            Self::Metric { said, .. } => said.as_ref().map(|said| format!("it said: {said}")),
            other => other.passed_on().and_then(Explain::why),
        }
    }

    fn help(&self) -> Option<String> {
        let help = match self {
            Self::NearChance { .. } => {
                "the preprocessing or the class order is probably wrong: see `--mean --std --scale --color --size` and `--classes`"
            }
            Self::Dense(EngineError::Compile { engine, .. } | EngineError::Run { engine, .. }) if engine == "tract" => {
                "ONNX Runtime may: `pip install onnxruntime` in the active Python environment, or `--onnxruntime FILE`; other sizes may suit the model: `--dim NAME=SIZE`; `--no-verify` prunes without the proof"
            }
            Self::Dense(_) => {
                "other sizes of the inputs may suit the model: `--dim NAME=SIZE`; `--no-verify` prunes without the proof"
            }
            Self::Disagree { .. } => {
                "a pruned and repaired model differs from the one it was made of: `onnx-prune check` tells by how much; `apply --masked` writes what a cut alone must equal"
            }
            Self::Loss { .. } => {
                "a larger `--max-drop` allows more; more held-out images narrow the bound; `--round-to 1` makes finer cuts"
            }
            Self::MetricLoss { .. } => {
                "a larger `--max-drop` allows more, in units of the metric; `--round-to 1` makes finer cuts"
            }
            Self::Metric { .. } => {
                "run the command by hand: given the path of an ONNX file (in place of `{model}`, else as its last argument) it must end with status 0 and print a number as a line of its own, or a JSON object with the key `metric`, at the end of its standard output"
            }
            Self::Part { .. } => "make it again, with the same models, images and flags as the others",
            Self::Pruned(_) => "the file may be damaged, or the engine too old for its operators",
            Self::Differs { .. } => {
                "a pruned model that differs from its masked original is a bug: please report it with `onnx-prune inspect`"
            }
            Self::Usage { help, .. } => help,
            other => return other.passed_on().and_then(Explain::help),
        };
        Some(help.into())
    }
}
