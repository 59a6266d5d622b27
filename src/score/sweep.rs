//! Exchanging pruning units while the error of the refitted consumers falls (`docs/method.md` 7.3).

use faer::linalg::matmul::matmul;
use faer::linalg::solvers::Solve as _;
use faer::{Accum, Mat, Par, Side};
use rayon::prelude::*;

use super::{GroupInput, Regression, ScoreError};

/// Exchanges after which the search ends in any case.
const MOST_EXCHANGES: usize = 200;

/// Adds the pruning unit whose return lowers the error most and drops the one whose removal raises it least, until they are the
/// same. Errors are those of the consumers' refitted outputs, each as a share of its variance. Returns the kept pruning units
/// (ascending) and the number of exchanges.
pub(super) fn exchange(input: &GroupInput<'_>, kept: &[usize]) -> Result<(Vec<usize>, usize), ScoreError> {
    let mut states =
        input.regressions.par_iter().map(|own| Sweep::new(input, own, kept)).collect::<Result<Vec<_>, _>>()?;
    let mut inside = vec![false; input.width];
    for &unit in kept {
        inside[unit] = true;
    }
    let mut exchanges = 0;
    while !states.is_empty() && exchanges < MOST_EXCHANGES {
        let value = |states: &[Sweep<'_>], unit: usize| states.iter().map(|state| state.value(unit)).sum::<f64>();
        let best = |states: &[Sweep<'_>], wanted: bool, inside: &[bool]| {
            let units: Vec<usize> = (0..inside.len()).filter(|&unit| inside[unit] == wanted).collect();
            let values: Vec<f64> = units.par_iter().map(|&unit| value(states, unit)).collect();
            let pick = |a: &usize, b: &usize| {
                let order = values[*a].total_cmp(&values[*b]);
                if wanted { order } else { order.reverse() }
            };
            (0..units.len()).min_by(pick).map(|at| units[at])
        };
        let Some(added) = best(&states, false, &inside) else { break };
        states.par_iter_mut().for_each(|state| state.sweep(added));
        inside[added] = true;
        let Some(dropped) = best(&states, true, &inside) else { break };
        states.par_iter_mut().for_each(|state| state.sweep(dropped));
        inside[dropped] = false;
        if dropped == added {
            break;
        }
        exchanges += 1;
    }
    Ok(((0..input.width).filter(|&unit| inside[unit]).collect(), exchanges))
}

/// A consumer's normal equations under the symmetric sweep operator (Goodnight 1979, in blocks). For the columns that
/// are in, the matrix holds minus the inverse and the target the refitted weights; for the others the Schur complement
/// and the correlation with what is not explained yet.
struct Sweep<'a> {
    own: &'a Regression,
    matrix: Mat<f64>,
    target: Mat<f64>,
    /// Variance of the consumer's outputs.
    variance: f64,
}

impl<'a> Sweep<'a> {
    fn new(input: &GroupInput<'_>, own: &'a Regression, kept: &[usize]) -> Result<Self, ScoreError> {
        let (matrix, (target, variance)) = (own.ridged(), own.target());
        let size = matrix.nrows();
        if (0..size).any(|at| !matrix[(at, at)].is_finite()) {
            return Err(ScoreError::NotFinite { group: input.name.into(), what: "moments of its consumers" });
        }
        let mut state = Self { own, matrix, target, variance };
        // Columns of other groups are always in.
        let mut others = vec![true; size];
        own.columns.iter().flatten().for_each(|&column| others[column] = false);
        let others: Vec<usize> = (0..size).filter(|&column| others[column]).collect();
        state.sweep_columns(&others);
        for &unit in kept {
            state.sweep(unit);
        }
        Ok(state)
    }

    /// What the error rises by if an pruning unit that is in goes, or falls by if one that is out comes in.
    fn value(&self, unit: usize) -> f64 {
        let q = &self.own.columns[unit];
        let rows = Mat::from_fn(q.len(), self.target.ncols(), |i, j| self.target[(q[i], j)]);
        let (_, block) = self.block(q);
        let Ok(factor) = block.llt(Side::Lower) else { return 0.0 };
        let solved = factor.solve(&rows);
        let value = rows.col_iter().zip(solved.col_iter()).map(|(r, s)| r.transpose() * s).sum::<f64>();
        value / self.variance
    }

    /// Sign of the block of some columns, all in (-1) or all out (1), and the block times its sign: positive definite.
    fn block(&self, q: &[usize]) -> (f64, Mat<f64>) {
        let sign = if q.first().is_some_and(|&at| self.matrix[(at, at)] < 0.0) { -1.0 } else { 1.0 };
        (sign, Mat::from_fn(q.len(), q.len(), |i, j| sign * self.matrix[(q[i], q[j])]))
    }

    /// Takes an pruning unit in, or out if it is in.
    fn sweep(&mut self, unit: usize) {
        let own = self.own;
        self.sweep_columns(&own.columns[unit]);
    }

    fn sweep_columns(&mut self, q: &[usize]) {
        if q.is_empty() {
            return;
        }
        let size = self.matrix.nrows();
        let (sign, block) = self.block(q);
        let Ok(factor) = block.llt(Side::Lower) else { return };
        let across = Mat::from_fn(q.len(), size, |i, column| self.matrix[(q[i], column)]);
        let rows = Mat::from_fn(q.len(), self.target.ncols(), |i, output| self.target[(q[i], output)]);
        // The inverse of the block itself, not of the block times its sign.
        let solve = |right: &Mat<f64>| {
            let mut solved = factor.solve(right);
            for column in solved.col_iter_mut() {
                column.iter_mut().for_each(|value| *value *= sign);
            }
            solved
        };
        let (matrix_rows, target_rows) = (solve(&across), solve(&rows));
        matmul(self.matrix.as_mut(), Accum::Add, across.transpose(), matrix_rows.as_ref(), -1.0, Par::Seq);
        matmul(self.target.as_mut(), Accum::Add, across.transpose(), target_rows.as_ref(), -1.0, Par::Seq);
        let inverse = solve(&Mat::identity(q.len(), q.len()));
        for (i, &row) in q.iter().enumerate() {
            for column in 0..size {
                self.matrix[(row, column)] = sign * matrix_rows[(i, column)];
                self.matrix[(column, row)] = sign * matrix_rows[(i, column)];
            }
            for output in 0..self.target.ncols() {
                self.target[(row, output)] = sign * target_rows[(i, output)];
            }
        }
        for (i, &row) in q.iter().enumerate() {
            for (j, &column) in q.iter().enumerate() {
                self.matrix[(row, column)] = -inverse[(i, j)];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::tests::weights_only;

    fn problem() -> Regression {
        let rows = Mat::from_fn(80, 12, |i, j| {
            let base = |k: usize| (((i * 37 + k * 101) % 59) as f64 / 29.5 - 1.0) * (1.0 + k as f64 * 0.1);
            if j / 2 == 1 { base(j % 2) + 0.3 * base(j + 20) } else { base(j) }
        });
        let covariance = rows.transpose() * &rows;
        let weights = Mat::from_fn(12, 3, |i, j| ((i * 7 + j * 5) % 11) as f64 / 5.0 - 1.0);
        let columns = (0..5).map(|unit| vec![2 * unit, 2 * unit + 1]).collect();
        Regression { covariance, ridge: 1e-3, means: vec![0.0; 12], weights, columns }
    }

    /// Squared error of the fit on some columns, by the normal equations.
    fn error(own: &Regression, columns: &[usize]) -> f64 {
        let ridge = own.ridge * (0..12).map(|at| own.covariance[(at, at)]).sum::<f64>() / 12.0;
        let target = &own.covariance * &own.weights;
        let at = |i: usize, j: usize| own.covariance[(columns[i], columns[j])] + if i == j { ridge } else { 0.0 };
        let square = Mat::from_fn(columns.len(), columns.len(), at);
        let right = Mat::from_fn(columns.len(), 3, |i, o| target[(columns[i], o)]);
        let fit = square.llt(Side::Lower).unwrap().solve(&right);
        -right.col_iter().zip(fit.col_iter()).map(|(r, f)| r.transpose() * f).sum::<f64>()
    }

    fn with(own: &Regression, units: &[usize]) -> f64 {
        let mut columns: Vec<usize> = units.iter().flat_map(|&unit| own.columns[unit].clone()).collect();
        columns.extend([10, 11]);
        error(own, &columns)
    }

    #[test]
    fn values_are_differences_of_refitted_errors() {
        let own = problem();
        let input = weights_only(5, &[]);
        let mut state = Sweep::new(&input, &own, &[0, 3]).unwrap();
        for round in 0..2 {
            let gain = with(&own, &[0, 3]) - with(&own, &[0, 2, 3]);
            let loss = with(&own, &[3]) - with(&own, &[0, 3]);
            for (unit, expected) in [(2, gain), (0, loss)] {
                let found = state.value(unit) * state.variance;
                assert!((found - expected).abs() < 1e-8 * expected.abs(), "{round}: {found} {expected}");
            }
            // There and back again changes nothing.
            state.sweep(4);
            state.sweep(4);
        }
    }

    #[test]
    fn the_search_ends_where_no_exchange_helps() {
        let regressions = [problem()];
        let input = GroupInput { regressions: &regressions, ..weights_only(5, &[]) };
        let pairs: Vec<[usize; 2]> = (0..5).flat_map(|a| (a + 1..5).map(move |b| [a, b])).collect();
        for start in &pairs {
            let (found, exchanges) = exchange(&input, start).unwrap();
            assert!(with(&regressions[0], &found) <= with(&regressions[0], start) + 1e-9);
            assert!(exchanges > 0 || found == start);
            // Nothing comes from another round.
            assert_eq!(exchange(&input, &found).unwrap(), (found.clone(), 0));
        }
    }
}
