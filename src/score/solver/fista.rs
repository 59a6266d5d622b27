//! Accelerated proximal gradient with restart (`docs/method.md` 5.3), the cross-check of the row solver.

use nalgebra::DMatrix;

use super::problem::{Problem, Solution, StopRule};

/// Iterations between two looks at the residual.
const CHECK_EVERY: usize = 20;

/// Minimises by FISTA from `start` (`K x c`); stops when the KKT residual is within the tolerance.
pub fn fista(problem: &Problem<'_>, lambda: f64, start: DMatrix<f64>, stop: StopRule) -> Solution {
    let largest = problem.quadratic.largest_eigenvalue();
    if problem.rows() == 0 || largest <= 0.0 {
        return Solution { coefficients: start, iterations: 0, converged: true };
    }
    let step = 1.0 / (largest * (1.0 + 1e-12));
    let mut memory = DMatrix::zeros(problem.penalty.memory(), problem.rows());
    let mut current = start;
    let mut ahead = current.clone();
    let mut momentum = 1.0_f64;
    for iteration in 1..=stop.most {
        let mut next = &ahead + problem.gradient(&ahead) * step;
        for (j, mut row) in next.column_iter_mut().enumerate() {
            let mut memory = memory.column_mut(j);
            problem.penalty.prox(row.as_mut_slice(), step * lambda * problem.omega[j], memory.as_mut_slice());
        }
        let moved = &next - &current;
        if (&ahead - &next).dot(&moved) > 0.0 {
            momentum = 1.0;
            ahead.copy_from(&next);
        } else {
            let larger = 0.5 * (1.0 + (1.0 + 4.0 * momentum * momentum).sqrt());
            ahead = &next + moved * ((momentum - 1.0) / larger);
            momentum = larger;
        }
        current = next;
        if iteration % CHECK_EVERY == 0 && problem.residual(&current, lambda) <= stop.tolerance {
            return Solution { coefficients: current, iterations: iteration, converged: true };
        }
    }
    Solution { coefficients: current, iterations: stop.most, converged: false }
}
