//! Errors of planning and of plan files.

use crate::explain::Explain;

/// Why there is no plan, or why a plan does not fit a model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// No channel of the model can be cut.
    #[error("nothing can be pruned")]
    Nothing {
        /// The commonest reasons.
        why: String,
    },
    /// A budget that is not a share or a positive number.
    #[error("the budget {value} is out of range")]
    Budget {
        /// As given.
        value: f64,
        /// What is allowed.
        why: String,
    },
    /// A ratio of channels beside a bound that has to be searched for.
    #[error("a ratio of channels cannot be combined with another bound")]
    RatioAndBound,
    /// A bound on the loss of accuracy, and a model without class scores.
    #[error("`--max-drop` needs a classifier: the model's first output is not a row of class scores")]
    NoClassifier,
    /// A bound on the latency, and nothing is timed.
    #[error("a latency cannot be met without timing")]
    NoTiming,
    /// The plan file cannot be read or written.
    #[error("cannot use the plan `{path}`")]
    File {
        /// The path as given.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// The plan was made for another model.
    #[error("the plan does not fit the model")]
    Mismatch {
        /// What differs.
        why: String,
    },
}

impl Explain for PlanError {
    fn why(&self) -> Option<String> {
        match self {
            Self::Nothing { why } | Self::Budget { why, .. } | Self::File { why, .. } | Self::Mismatch { why } => {
                Some(why.clone())
            }
            Self::RatioAndBound | Self::NoClassifier | Self::NoTiming => None,
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            Self::Nothing { .. } => Some("`onnx-prune inspect MODEL` shows who protects which channels".into()),
            Self::RatioAndBound => {
                Some("use `--target-macs` or `--target-params` beside it in place of `--ratio`".into())
            }
            Self::NoClassifier => Some(
                "tell what a model is worth by a command of your own (`--metric`), or bound the multiply-accumulates, the parameters or the latency instead".into(),
            ),
            Self::NoTiming => Some("leave out `--no-timing`, or bound the multiply-accumulates instead".into()),
            Self::Mismatch { .. } => Some("apply a plan to the very file it was made from".into()),
            _ => None,
        }
    }
}
