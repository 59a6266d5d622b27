//! Solvers of the structured lasso (`docs/method.md` sections 4 and 5):
//! `min over B (c x K): 1/2 yy + 1/2 <B, Q B> - <B, R> + lambda sum_j omega_j P(B_j)`, where `Q` is one matrix for all
//! responses or one for each (`docs/method.md` 4.7).
//!
//! Coefficients, `R` and gradients are held transposed (`K x c`), so that a row of the problem is contiguous.

mod bcd;
mod fista;
mod path;
mod penalty;
mod problem;
mod quadratic;

pub use bcd::bcd;
pub use fista::fista;
pub use path::{Path, PathOptions, path};
pub use penalty::{Graph, L1Norm, Penalty, Sign, Tree};
pub use problem::{Problem, Solution, StopRule};
pub use quadratic::{PerResponse, Quadratic};

#[cfg(test)]
mod tests;
