//! Errors of scoring.

use crate::explain::Explain;

/// Why a group cannot be scored.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ScoreError {
    /// The criterion needs something that was not measured.
    #[error("criterion `{criterion}` needs {what} to score group `{group}`")]
    Missing {
        /// The criterion.
        criterion: &'static str,
        /// The group.
        group: String,
        /// What is missing.
        what: &'static str,
    },
    /// Two arrays disagree about a size.
    #[error("{what} of group `{group}` have the wrong size")]
    Shape {
        /// The group.
        group: String,
        /// The array.
        what: &'static str,
        /// Size that the rest of the input has.
        expected: usize,
        /// Size of the array.
        found: usize,
    },
    /// A weight, feature or statistic is infinite or not a number.
    #[error("{what} of group `{group}` are not finite")]
    NotFinite {
        /// The group.
        group: String,
        /// The array.
        what: &'static str,
    },
    /// Labels or outputs cannot be turned into responses.
    #[error("no class responses from {what}")]
    Responses {
        /// What was given.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The statistics cannot be computed.
    #[error(transparent)]
    Statistics(#[from] crate::statistics::StatisticsError),
}

impl Explain for ScoreError {
    fn location(&self) -> Option<String> {
        match self {
            Self::Missing { group, .. } | Self::Shape { group, .. } | Self::NotFinite { group, .. } => {
                Some(format!("group `{group}`"))
            }
            Self::Responses { .. } => None,
            Self::Statistics(error) => error.location(),
        }
    }

    fn why(&self) -> Option<String> {
        match self {
            Self::Shape { expected, found, .. } => Some(format!("expected {expected}, found {found}")),
            Self::Responses { why, .. } => Some(why.clone()),
            Self::Statistics(error) => error.why(),
            Self::Missing { .. } => None,
            Self::NotFinite { .. } => Some("the model or its activations contain infinities or NaN".into()),
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            Self::Missing { .. } => Some("pass calibration images with `--data`, or use `--criterion l2`".into()),
            Self::NotFinite { .. } => Some("check the model's outputs on the calibration images".into()),
            Self::Statistics(error) => error.help(),
            Self::Shape { .. } | Self::Responses { .. } => None,
        }
    }
}
