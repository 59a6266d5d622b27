//! Block coordinate descent over rows (`method.md` 5.2).

use nalgebra::DMatrix;

use super::problem::{Problem, Solution, StopRule};

/// Minimises over one row after the other, from `start` (`K x c`): exactly where all responses share one matrix, by a
/// proximal step with the row's largest curvature where each has its own (`classwise.md` C2).
///
/// Full sweeps over all rows alternate with sweeps over the non-zero rows; it stops when a full sweep changes nothing by
/// more than the tolerance.
pub fn bcd(problem: &Problem<'_>, lambda: f64, start: DMatrix<f64>, stop: StopRule) -> Solution {
    let memory = problem.penalty.memory();
    let mut state = State {
        gradient: problem.gradient(&start),
        coefficients: start,
        memory: DMatrix::zeros(memory, problem.rows()),
        row: vec![0.0; problem.linear.nrows()],
        change: vec![0.0; problem.linear.nrows()],
    };
    let all: Vec<usize> = (0..problem.rows()).collect();
    let mut done = 0;
    while done < stop.most {
        let largest = state.sweep(problem, lambda, &all);
        done += 1;
        state.gradient = problem.gradient(&state.coefficients);
        if largest <= stop.tolerance {
            return Solution { coefficients: state.coefficients, iterations: done, converged: true };
        }
        let live = |row: &usize| state.coefficients.column(*row).iter().any(|value| *value != 0.0);
        let active: Vec<usize> = all.iter().copied().filter(live).collect();
        while done < stop.most {
            done += 1;
            if state.sweep(problem, lambda, &active) <= 0.3 * stop.tolerance {
                break;
            }
        }
    }
    Solution { coefficients: state.coefficients, iterations: done, converged: false }
}

struct State {
    coefficients: DMatrix<f64>,
    /// `R - Q B`, kept up to date.
    gradient: DMatrix<f64>,
    /// Dual points of the prox, a column per row.
    memory: DMatrix<f64>,
    row: Vec<f64>,
    change: Vec<f64>,
}

impl State {
    /// One pass over `rows`; the largest change, times the row's curvature.
    fn sweep(&mut self, problem: &Problem<'_>, lambda: f64, rows: &[usize]) -> f64 {
        let mut largest = 0.0_f64;
        for &j in rows {
            let curvature = problem.quadratic.curvature(j);
            let old = self.coefficients.column(j);
            for (target, (old, gradient)) in self.row.iter_mut().zip(old.iter().zip(self.gradient.column(j).iter())) {
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
}
