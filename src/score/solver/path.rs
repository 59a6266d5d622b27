//! The regularisation path with the strong rule, and the lambda at which each row enters (`docs/method.md` 5.6, 6.2).

use nalgebra::DMatrix;

use super::bcd;
use super::problem::{Problem, StopRule};

/// Grid and accuracy of a path.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PathOptions {
    /// Number of lambdas, at least 2.
    pub points: usize,
    /// Last lambda divided by the first, in `(0, 1)`.
    pub ratio: f64,
    /// Accuracy of every solve, relative to the first lambda.
    pub tolerance: f64,
    /// Sweeps after which a solve gives up.
    pub most_sweeps: usize,
    /// Whether the path ends where every row has entered: entry values do not change after that.
    pub until_entered: bool,
}

impl Default for PathOptions {
    fn default() -> Self {
        Self { points: 50, ratio: 0.01, tolerance: 1e-7, most_sweeps: 20_000, until_entered: false }
    }
}

/// A solved path.
#[derive(Debug, Clone)]
pub struct Path {
    /// The lambdas, falling from [`Problem::lambda_max`].
    pub lambdas: Vec<f64>,
    /// Lambda at which every row first becomes non-zero, interpolated; below the last lambda for rows that never do.
    pub entries: Vec<f64>,
    /// Non-zero rows at each lambda.
    pub active: Vec<usize>,
    /// Objective at each lambda.
    pub objectives: Vec<f64>,
    /// Largest KKT residual over the path, divided by the first lambda.
    pub residual: f64,
    /// Largest duality gap over the path, divided by the objective without coefficients.
    pub gap: f64,
    /// Sweeps of all solves.
    pub sweeps: usize,
    /// Whether every solve met its tolerance.
    pub converged: bool,
}

/// Solves the path by warm-started [`bcd`] on the rows that the strong rule leaves; rows left out are checked after
/// each solve and taken in where the rule erred.
pub fn path(problem: &Problem<'_>, options: PathOptions) -> Path {
    let rows = problem.rows();
    let mut levels = problem.levels(&problem.linear);
    let first = levels.iter().copied().fold(0.0, f64::max);
    let steps = options.points.max(2) - 1;
    let lambdas: Vec<f64> = (0..=steps).map(|step| first * options.ratio.powf(step as f64 / steps as f64)).collect();
    let mut coefficients = DMatrix::zeros(problem.linear.nrows(), rows);
    let mut entries: Vec<Option<f64>> = vec![None; rows];
    let mut path = Path {
        entries: Vec::new(),
        active: vec![0],
        objectives: vec![problem.objective(&coefficients, first)],
        residual: 0.0,
        gap: 0.0,
        sweeps: 0,
        converged: true,
        lambdas,
    };
    if first <= 0.0 {
        path.entries = vec![0.0; rows];
        return path;
    }
    let stop = StopRule { tolerance: options.tolerance * first, most: options.most_sweeps };
    for step in 1..=steps {
        let (previous, lambda) = (path.lambdas[step - 1], path.lambdas[step]);
        let mut keep: Vec<bool> =
            (0..rows).map(|row| levels[row] >= 2.0 * lambda - previous || is_live(&coefficients, row)).collect();
        let gradient = solve(problem, lambda, &mut coefficients, &mut keep, stop, &mut path);
        let next_levels = problem.levels(&gradient);
        for row in 0..rows {
            if entries[row].is_none() && is_live(&coefficients, row) {
                let own = |k: usize| coefficients[(k, row)] * problem.quadratic.at(row, row, k);
                let without: Vec<f64> = gradient.column(row).iter().enumerate().map(|(k, g)| g + own(k)).collect();
                let level = problem.penalty.dual(&without) / problem.omega[row];
                entries[row] = Some(crossing(previous, lambda, levels[row], level));
            }
        }
        levels = next_levels;
        path.active.push((0..rows).filter(|&row| is_live(&coefficients, row)).count());
        let level = levels.iter().copied().fold(0.0, f64::max);
        let gap = problem.gap_with(&coefficients, &gradient, lambda, level);
        path.objectives.push(problem.objective_with(&coefficients, &gradient, lambda));
        path.gap = path.gap.max(gap / (0.5 * problem.constant).max(1e-300));
        path.residual = path.residual.max(problem.residual_with(&coefficients, &gradient, lambda) / first);
        if options.until_entered && entries.iter().all(Option::is_some) {
            path.lambdas.truncate(step + 1);
        }
        if step + 1 == path.lambdas.len() {
            break;
        }
    }
    let last = path.lambdas.last().copied().unwrap_or(first);
    path.entries = entries.into_iter().zip(levels).map(|(entry, level)| entry.unwrap_or(level.min(last))).collect();
    path
}

/// Solves at one lambda, widening `keep` until no row left out violates its optimality condition. Returns the gradient.
fn solve(
    problem: &Problem<'_>,
    lambda: f64,
    coefficients: &mut DMatrix<f64>,
    keep: &mut [bool],
    stop: StopRule,
    path: &mut Path,
) -> DMatrix<f64> {
    loop {
        let rows: Vec<usize> = (0..keep.len()).filter(|&row| keep[row]).collect();
        if !rows.is_empty() {
            let part = problem.restricted(&rows);
            let solution = bcd(&part, lambda, coefficients.select_columns(&rows), stop);
            path.sweeps += solution.iterations;
            path.converged &= solution.converged;
            for (column, &row) in solution.coefficients.column_iter().zip(&rows) {
                coefficients.set_column(row, &column);
            }
        }
        let gradient = problem.gradient(coefficients);
        let mut violated = false;
        for (row, keep) in keep.iter_mut().enumerate() {
            let level = lambda * problem.omega[row] * (1.0 + 1e-10);
            if !*keep && !problem.penalty.inside(gradient.column(row).as_slice(), level) {
                *keep = true;
                violated = true;
            }
        }
        if !violated {
            return gradient;
        }
    }
}

fn is_live(coefficients: &DMatrix<f64>, row: usize) -> bool {
    coefficients.column(row).iter().any(|value| *value != 0.0)
}

/// Where the level of a row, linear between two lambdas, crosses lambda (`docs/method.md` 6.2).
fn crossing(previous: f64, lambda: f64, level_before: f64, level_now: f64) -> f64 {
    let (before, now) = (previous - level_before, lambda - level_now);
    let fraction = if before - now > 0.0 { (-now / (before - now)).clamp(0.0, 1.0) } else { 1.0 };
    lambda + fraction * (previous - lambda)
}
