//! Penalties of one row of coefficients: value, proximal operator and dual norm (`docs/method.md` 4.2, 4.4, 4.5).

mod graph;
mod l1;
mod tree;

pub use graph::Graph;
pub use l1::L1Norm;
pub use tree::Tree;

/// Which coefficients are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sign {
    /// None below 0.
    #[default]
    NonNegative,
    /// All.
    Free,
}

impl Sign {
    /// Moves coefficients to the nearest that are allowed.
    pub(super) fn project(self, row: &mut [f64]) {
        if self == Self::NonNegative {
            for value in row.iter_mut() {
                *value = value.max(0.0);
            }
        }
    }

    /// The part of a gradient entry that can lift a coefficient off 0.
    pub(super) fn magnitude(self, value: f64) -> f64 {
        match self {
            Self::NonNegative => value.max(0.0),
            Self::Free => value.abs(),
        }
    }
}

/// A norm of a row of `K` coefficients, with or without the constraint that they are not negative.
pub trait Penalty: Send + Sync {
    /// `P(b)`.
    fn value(&self, row: &[f64]) -> f64;

    /// Replaces `row` by `argmin_x 1/2 ||x - row||^2 + step P(x)`. `memory` has [`memory`](Self::memory) entries, is kept
    /// from call to call for one row to start from where the last call ended, and does not change the result beyond
    /// rounding.
    fn prox(&self, row: &mut [f64], step: f64, memory: &mut [f64]);

    /// Moves a row to the nearest one that is allowed.
    fn project(&self, row: &mut [f64]);

    /// Length of the memory of [`prox`](Self::prox).
    fn memory(&self) -> usize {
        0
    }

    /// Dual norm `P°(g)`: the smallest `t` with `prox_t(g) = 0`.
    fn dual(&self, gradient: &[f64]) -> f64;

    /// Whether `P°(gradient) <= level`, up to rounding.
    fn inside(&self, gradient: &[f64], level: f64) -> bool {
        self.dual(gradient) <= level
    }
}
