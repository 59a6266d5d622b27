//! The problem, its optimality measures and what a solver returns.

use nalgebra::DMatrix;

use super::penalty::Penalty;
use super::quadratic::Quadratic;

/// `Q`, `R`, `yy`, `omega` and the penalty. Borrowing would tie the path's working sets to one layout, so the matrices are
/// owned.
pub struct Problem<'a> {
    /// One `c x c` matrix, or one for each response.
    pub quadratic: Quadratic,
    /// `R` transposed: `K x c`.
    pub linear: DMatrix<f64>,
    /// `sum_k ||L_k||^2` (normalised), the constant of the objective.
    pub constant: f64,
    /// Weight of every row's penalty, above 0.
    pub omega: Vec<f64>,
    /// The penalty of a row.
    pub penalty: &'a dyn Penalty,
}

/// When a solver stops.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StopRule {
    /// Changes or residuals up to this are taken for converged, in units of the gradient (`tol lambda_max` of
    /// `docs/method.md` 5.2, 5.4).
    pub tolerance: f64,
    /// Sweeps (BCD) or iterations (FISTA) after which the solver gives up.
    pub most: usize,
}

/// Coefficients and how they were reached.
#[derive(Debug, Clone)]
pub struct Solution {
    /// `B` transposed: `K x c`.
    pub coefficients: DMatrix<f64>,
    /// Sweeps or iterations done.
    pub iterations: usize,
    /// Whether the stop rule was met.
    pub converged: bool,
}

impl<'a> Problem<'a> {
    /// A problem from `Q` (`c x c`, or one for each response), `R` (`c x K`) and a penalty; every `omega` is 1.
    pub fn new(
        quadratic: impl Into<Quadratic>,
        linear: &DMatrix<f64>,
        constant: f64,
        penalty: &'a dyn Penalty,
    ) -> Self {
        let quadratic = quadratic.into();
        let omega = vec![1.0; quadratic.rows()];
        Self { quadratic, linear: linear.transpose(), constant, omega, penalty }
    }

    /// Number of rows `c`.
    pub fn rows(&self) -> usize {
        self.quadratic.rows()
    }

    /// The problem of the given rows alone, the others fixed at zero.
    #[must_use]
    pub fn restricted(&self, rows: &[usize]) -> Self {
        Self {
            quadratic: self.quadratic.restricted(rows),
            linear: self.linear.select_columns(rows),
            constant: self.constant,
            omega: rows.iter().map(|&row| self.omega[row]).collect(),
            penalty: self.penalty,
        }
    }

    /// `(R - Q B)` transposed.
    pub fn gradient(&self, coefficients: &DMatrix<f64>) -> DMatrix<f64> {
        let mut gradient = self.linear.clone();
        self.quadratic.subtract_product(coefficients, &mut gradient);
        gradient
    }

    /// `P°(g_j) / omega_j` of every row of a gradient (`K x c`).
    pub fn levels(&self, gradient: &DMatrix<f64>) -> Vec<f64> {
        let rows = gradient.column_iter().zip(&self.omega);
        rows.map(|(row, omega)| self.penalty.dual(row.as_slice()) / omega).collect()
    }

    /// The smallest lambda at which all coefficients are zero (`docs/method.md` 4.5).
    pub fn lambda_max(&self) -> f64 {
        self.levels(&self.linear).into_iter().fold(0.0, f64::max)
    }

    /// The objective of `docs/method.md` 4.1.
    pub fn objective(&self, coefficients: &DMatrix<f64>, lambda: f64) -> f64 {
        self.objective_with(coefficients, &self.gradient(coefficients), lambda)
    }

    /// The objective where the gradient (`K x c`) is known.
    pub(super) fn objective_with(&self, coefficients: &DMatrix<f64>, gradient: &DMatrix<f64>, lambda: f64) -> f64 {
        let (linear, quadratic) = self.forms(coefficients, gradient);
        let rows = coefficients.column_iter().zip(&self.omega);
        let penalty: f64 = rows.map(|(row, omega)| omega * self.penalty.value(row.as_slice())).sum();
        0.5 * self.constant + 0.5 * quadratic - linear + lambda * penalty
    }

    /// `(<B, R>, <B, Q B>)`.
    fn forms(&self, coefficients: &DMatrix<f64>, gradient: &DMatrix<f64>) -> (f64, f64) {
        let linear = coefficients.dot(&self.linear);
        (linear, linear - coefficients.dot(gradient))
    }

    /// Natural KKT residual in units of the gradient (`docs/method.md` 5.4).
    pub fn residual(&self, coefficients: &DMatrix<f64>, lambda: f64) -> f64 {
        self.residual_with(coefficients, &self.gradient(coefficients), lambda)
    }

    /// The residual where the gradient is known.
    pub(super) fn residual_with(&self, coefficients: &DMatrix<f64>, gradient: &DMatrix<f64>, lambda: f64) -> f64 {
        let curvatures = (0..self.rows()).map(|row| self.quadratic.curvature(row));
        let Some(largest) = curvatures.reduce(f64::max) else { return 0.0 };
        let step = 1.0 / largest.max(1e-300);
        let mut moved = coefficients + gradient * step;
        for (mut row, omega) in moved.column_iter_mut().zip(&self.omega) {
            let mut memory = vec![0.0; self.penalty.memory()];
            self.penalty.prox(row.as_mut_slice(), step * lambda * omega, &mut memory);
        }
        (coefficients - moved).amax() / step
    }

    /// Duality gap (`docs/method.md` 5.5): bounds the objective minus its minimum.
    pub fn gap(&self, coefficients: &DMatrix<f64>, lambda: f64) -> f64 {
        let gradient = self.gradient(coefficients);
        let level = self.levels(&gradient).into_iter().fold(0.0, f64::max);
        self.gap_with(coefficients, &gradient, lambda, level)
    }

    /// The gap where the gradient and the largest of its levels are known.
    pub(super) fn gap_with(
        &self,
        coefficients: &DMatrix<f64>,
        gradient: &DMatrix<f64>,
        lambda: f64,
        level: f64,
    ) -> f64 {
        let scale = if level > 0.0 { (lambda / level).min(1.0) } else { 1.0 };
        let (linear, quadratic) = self.forms(coefficients, gradient);
        let squared = self.constant - 2.0 * linear + quadratic;
        let objective = self.objective_with(coefficients, gradient, lambda);
        objective - (scale * (self.constant - linear) - 0.5 * scale * scale * squared)
    }
}
