//! Errors of a check.

use crate::explain::Explain;

/// Why a check cannot give a verdict.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// The baseline cannot be read.
    #[error("cannot read the baseline `{path}`: {why}")]
    Baseline {
        /// The path as given.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// The baseline is of another base model.
    #[error("the baseline was made with another base model: SHA-256 {then}, this one is {now}")]
    OtherBase {
        /// Of the baseline's base model.
        then: String,
        /// Of this one.
        now: String,
    },
    /// The baseline was measured elsewhere.
    #[error("the baseline was measured on another machine: {differs}")]
    OtherMachine {
        /// What differs.
        differs: String,
    },
    /// A bound on the loss of accuracy that is none.
    #[error("the bound of {value} points is out of range")]
    Points {
        /// As given.
        value: f64,
    },
    /// A bound on answers, and no images.
    #[error("a bound on the accuracy or the agreement needs images")]
    NoImages,
    /// A bound on time, and nothing is timed.
    #[error("a bound on the latency cannot be judged without timing")]
    NoTiming,
    /// A bound on the loss of accuracy, and images without labels.
    #[error("a bound on the loss of accuracy needs labels")]
    NoLabels,
}

impl Explain for CheckError {
    fn help(&self) -> Option<String> {
        let help = match self {
            Self::Baseline { .. } => "give the file that `onnx-prune check --report FILE` wrote",
            Self::OtherBase { .. } => "give that model, or make a new baseline with `--report`",
            Self::OtherMachine { .. } => {
                "make a baseline here with `--report`, or compare all the same with `--other-machine`"
            }
            Self::Points { .. } => "points of accuracy from 0 to 100 are wanted; with `--metric` any number from 0",
            Self::NoImages => {
                "give labelled images with `--data DIR`; a loss may also be that of a metric of your own (`--metric`)"
            }
            Self::NoTiming => "leave out `--no-timing`, or the bound",
            Self::NoLabels => "give class folders, or bound the agreement instead (`--min-agreement`)",
        };
        Some(help.into())
    }
}
