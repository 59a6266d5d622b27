//! Settings that the lasso criteria share.

use super::criterion::Needs;
use super::relatedness::GraphOptions;
use super::solver::{PathOptions, Sign};
use crate::statistics::{Centring, Kernel, Normalisation};

/// What the channels of a group are to explain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Response {
    /// The outputs of the consumers on the images of every class (`docs/method.md` 4.7); the labels where a group has
    /// no consumer whose outputs can be told apart by channel.
    #[default]
    Outputs,
    /// The labels: one-vs-rest indicators (`docs/method.md` 2.1).
    Labels,
    /// The dense model's class probabilities (`docs/method.md` 2.3).
    Soft,
}

/// Settings of the lasso criteria (`docs/method.md` 1.3, 1.7, 4, 5.6).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LassoOptions {
    /// What is explained.
    pub response: Response,
    /// Centre of the contributions (response `Outputs`).
    pub centring: Centring,
    /// Kernel of the channels (responses `Labels` and `Soft`).
    pub kernel: Kernel,
    /// Bins per position axis of the features (responses `Labels` and `Soft`).
    pub pool: usize,
    /// Scaling of the statistics.
    pub normalisation: Normalisation,
    /// Whether coefficients may be negative.
    pub sign: Sign,
    /// Grid of lambdas and accuracy.
    pub path: PathOptions,
    /// Edges of the class graph (`sglp-ib`).
    pub graph: GraphOptions,
    /// Weight of the fusion term of the class graph (`sglp-ib`).
    pub theta: f64,
    /// Which pairs of images are compared (responses `Labels` and `Soft`).
    pub pairs: Pairs,
}

/// Which pairs of images are compared; the linear kernel always takes all under `Auto`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pairs {
    /// All while `n(n+1)/2 c(c+1) <= 2e11`, else inside blocks of `max(50, 2 K)` images.
    #[default]
    Auto,
    /// All.
    All,
    /// Inside blocks of at least this many images.
    Blocks(usize),
}

impl Default for LassoOptions {
    /// Outputs as responses; linear kernel, `energy` normalisation, lambda ratio 0.003: clearly better than the literal
    /// form (`docs/method.md` 1.7, 4.7).
    fn default() -> Self {
        Self {
            response: Response::default(),
            centring: Centring::default(),
            kernel: Kernel::Linear,
            pool: 4,
            normalisation: Normalisation::Energy,
            sign: Sign::NonNegative,
            path: PathOptions {
                points: 30,
                ratio: 0.003,
                tolerance: 1e-5,
                until_entered: true,
                ..PathOptions::default()
            },
            graph: GraphOptions::default(),
            theta: 1.0,
            pairs: Pairs::Auto,
        }
    }
}

impl LassoOptions {
    /// The literal HSIC lasso: labels as responses, Gaussian kernels of unit Frobenius norm, lambda ratio 0.01.
    pub fn literal() -> Self {
        Self {
            response: Response::Labels,
            kernel: Kernel::Gaussian,
            normalisation: Normalisation::Frobenius,
            path: PathOptions { points: 50, ratio: 0.01, tolerance: 1e-7, ..Self::default().path },
            ..Self::default()
        }
    }

    /// Which pairs of classes become edges. With coefficients that cannot be negative, a negative edge would only add to
    /// the l1 term.
    pub fn edges(&self) -> GraphOptions {
        GraphOptions { negative: self.graph.negative && self.sign == Sign::Free, ..self.graph }
    }

    pub(super) fn needs(&self) -> Needs {
        let contributions = self.response == Response::Outputs;
        let features = Needs { pool: self.pool, outputs: true, ..Needs::default() };
        Needs { features: !contributions, fallback: contributions, contributions, ..features }
    }
}
