//! Block coordinate descent over rows (`docs/method.md` 5.2), extrapolated.

use nalgebra::{DMatrix, DVector};

use super::problem::{Problem, Solution, StopRule};

/// Sweeps between two extrapolations.
const EXTRAPOLATE_EVERY: usize = 8;

/// Minimises over one row after the other, from `start` (`K x c`): exactly where all responses share one matrix, by a
/// proximal step with the row's largest curvature where each has its own (`docs/method.md` 4.7).
///
/// Full sweeps over all rows alternate with sweeps over the non-zero rows; it stops when a full sweep changes nothing by
/// more than the tolerance. After every few sweeps over the non-zero rows the point that the sweeps are heading for is
/// tried (Anderson extrapolation; Bertrand and Massias, AISTATS 2021) and taken if the objective falls.
pub fn bcd(problem: &Problem<'_>, lambda: f64, start: DMatrix<f64>, stop: StopRule) -> Solution {
    let memory = problem.penalty.memory();
    let mut state = State {
        gradient: problem.gradient(&start).transpose(),
        coefficients: start,
        memory: DMatrix::zeros(memory, problem.rows()),
        row: vec![0.0; problem.linear.nrows()],
        change: vec![0.0; problem.linear.nrows()],
    };
    let curvatures: Vec<f64> = (0..problem.rows()).map(|row| problem.quadratic.curvature(row)).collect();
    let all: Vec<usize> = (0..problem.rows()).collect();
    let mut done = 0;
    while done < stop.most {
        let largest = state.sweep(problem, lambda, &curvatures, &all);
        done += 1;
        state.gradient = problem.gradient(&state.coefficients).transpose();
        if largest <= stop.tolerance {
            return Solution { coefficients: state.coefficients, iterations: done, converged: true };
        }
        let live = |row: &usize| state.coefficients.column(*row).iter().any(|value| *value != 0.0);
        let active: Vec<usize> = all.iter().copied().filter(live).collect();
        let mut history = vec![state.coefficients.clone()];
        while done < stop.most {
            done += 1;
            if state.sweep(problem, lambda, &curvatures, &active) <= 0.3 * stop.tolerance {
                break;
            }
            history.push(state.coefficients.clone());
            if history.len() > EXTRAPOLATE_EVERY {
                state.extrapolate(problem, lambda, &history);
                history = vec![state.coefficients.clone()];
            }
        }
    }
    Solution { coefficients: state.coefficients, iterations: done, converged: false }
}

struct State {
    /// `K x c`.
    coefficients: DMatrix<f64>,
    /// `R - Q B`, kept up to date; `c x K`.
    gradient: DMatrix<f64>,
    /// Dual points of the prox, a column per row.
    memory: DMatrix<f64>,
    row: Vec<f64>,
    change: Vec<f64>,
}

impl State {
    /// One pass over `rows`; the largest change, times the row's curvature.
    fn sweep(&mut self, problem: &Problem<'_>, lambda: f64, curvatures: &[f64], rows: &[usize]) -> f64 {
        let mut largest = 0.0_f64;
        for &j in rows {
            let curvature = curvatures[j];
            let old = self.coefficients.column(j);
            for (target, (old, gradient)) in self.row.iter_mut().zip(old.iter().zip(self.gradient.row(j).iter())) {
                *target = old + gradient / curvature;
            }
            let mut memory = self.memory.column_mut(j);
            problem.penalty.prox(&mut self.row, lambda * problem.omega[j] / curvature, memory.as_mut_slice());
            let mut moved = 0.0_f64;
            for (k, change) in self.change.iter_mut().enumerate() {
                *change = self.row[k] - self.coefficients[(k, j)];
                moved = moved.max(change.abs());
            }
            if moved > 0.0 {
                self.coefficients.column_mut(j).copy_from_slice(&self.row);
                problem.quadratic.subtract_row(j, &self.change, &mut self.gradient);
                largest = largest.max(moved * curvature);
            }
        }
        largest
    }

    /// Tries the affine combination of the last points whose steps cancel best.
    fn extrapolate(&mut self, problem: &Problem<'_>, lambda: f64, history: &[DMatrix<f64>]) {
        let steps: Vec<DMatrix<f64>> = history.windows(2).map(|pair| &pair[1] - &pair[0]).collect();
        let products = DMatrix::from_fn(steps.len(), steps.len(), |a, b| steps[a].dot(&steps[b]));
        let ridge = 1e-10 * products.trace();
        let regular = products + DMatrix::identity(steps.len(), steps.len()) * ridge;
        let Some(factor) = regular.cholesky() else { return };
        let weights = factor.solve(&DVector::from_element(steps.len(), 1.0));
        let total = weights.sum();
        let mut point = DMatrix::zeros(self.coefficients.nrows(), self.coefficients.ncols());
        for (weight, own) in weights.iter().zip(&history[1..]) {
            point += own * (weight / total);
        }
        for (mut row, own) in point.column_iter_mut().zip(self.coefficients.column_iter()) {
            if own.iter().all(|value| *value == 0.0) {
                row.fill(0.0);
            }
            problem.penalty.project(row.as_mut_slice());
        }
        if point.iter().any(|value| !value.is_finite()) {
            return;
        }
        let gradient = problem.gradient(&point);
        let before = problem.objective_with(&self.coefficients, &self.gradient.transpose(), lambda);
        if problem.objective_with(&point, &gradient, lambda) < before {
            self.coefficients = point;
            self.gradient = gradient.transpose();
        }
    }
}
