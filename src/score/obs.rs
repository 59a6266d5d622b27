//! Second-order selection: what each removal costs after the consumers were refitted (`docs/method.md` 7.1).

use faer::linalg::matmul::matmul;
use faer::linalg::solvers::Solve as _;
use faer::{Accum, Mat, MatRef, Par, Side};
use rayon::prelude::*;

use super::{Criterion, GroupInput, GroupScores, Needs, Regression, ScoreError};

/// Block optimal brain surgeon (Hassibi and Stork 1993; blocks of columns as in Frantar and Alistarh 2022): channels are
/// removed one by one, each time the one whose removal raises the squared error of the consumers' refitted outputs
/// least. The score of an pruning unit is the error, as a share of the outputs' variance, when it and all that went before are
/// gone. Needs images, no labels.
#[derive(Debug, Clone, Copy, Default)]
pub struct Obs;

impl Criterion for Obs {
    fn name(&self) -> &'static str {
        "obs"
    }

    fn needs(&self) -> Needs {
        Needs { moments: true, ..Needs::default() }
    }

    fn score(&self, input: &GroupInput<'_>) -> Result<GroupScores, ScoreError> {
        Self::with_factors(input, None)
    }
}

impl Obs {
    /// Scores with the cost of every removal multiplied by a factor of the pruning unit.
    pub(super) fn with_factors(input: &GroupInput<'_>, factors: Option<&[f64]>) -> Result<GroupScores, ScoreError> {
        input.check()?;
        let mut states = input.regressions.iter().map(|own| State::new(input, own)).collect::<Result<Vec<_>, _>>()?;
        if states.is_empty() {
            // Nobody reads these channels through a weight that can be refitted.
            return super::L2.score(input);
        }
        let mut alive: Vec<usize> = (0..input.width).collect();
        let (mut scores, mut error) = (vec![0.0; input.width], 0.0);
        while alive.len() > 1 {
            let factor = |unit: usize| factors.map_or(1.0, |factors| factors[unit]);
            let cost = |&unit: &usize| factor(unit) * states.iter().map(|state| state.cost(unit)).sum::<f64>();
            let mut costs: Vec<(f64, usize)> = alive.par_iter().map(|unit| (cost(unit), *unit)).collect();
            costs.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            let gone: Vec<usize> = costs[..(alive.len() / AT_ONCE).max(1)]
                .iter()
                .map(|&(cost, unit)| {
                    // Rounding may turn a cost of nothing negative; the order must stay visible in the scores.
                    error += cost.max(f64::EPSILON);
                    scores[unit] = error;
                    unit
                })
                .collect();
            alive.retain(|unit| !gone.contains(unit));
            states.par_iter_mut().for_each(|state| state.remove(&gone));
        }
        for unit in alive {
            scores[unit] = error * 2.0 + f64::EPSILON;
        }
        if scores.iter().any(|score| !score.is_finite()) {
            return Err(ScoreError::NotFinite { group: input.name.into(), what: "scores" });
        }
        let explanation = format!(
            "share of the variance of {} consumers' outputs that is lost when the unit and all cheaper ones are gone",
            input.regressions.len()
        );
        Ok(GroupScores { scores, unit: None, explanation, path: None })
    }
}

/// Wide groups lose one of so many pruning units at a time: one by one, the rank-one updates would take most of a run.
const AT_ONCE: usize = 256;

/// The matrices of a consumer are made smaller once this share of their columns is gone.
const SHRINK: f64 = 0.25;

/// One consumer during the removal.
struct State {
    /// Columns of every pruning unit; none of those that are gone.
    columns: Vec<Vec<usize>>,
    /// Columns that are gone since the matrices were made.
    gone: Vec<bool>,
    /// `(C + rho I)^-1` of the columns that are left.
    inverse: Mat<f64>,
    /// The refitted weights `[columns, outputs]`.
    weights: Mat<f64>,
    /// Variance of the consumer's output.
    variance: f64,
}

impl State {
    fn new(input: &GroupInput<'_>, own: &Regression) -> Result<Self, ScoreError> {
        let (ridged, size) = (own.ridged(), own.covariance.nrows());
        let bad = |_| ScoreError::NotFinite { group: input.name.into(), what: "moments of its consumers" };
        let inverse = ridged.llt(Side::Lower).map_err(bad)?.solve(Mat::<f64>::identity(size, size));
        let (columns, weights) = (own.columns.clone(), own.weights.clone());
        Ok(Self { columns, gone: vec![false; size], inverse, weights, variance: own.target().1 })
    }

    /// `[(Hi)_qq]^-1 W_q` for some columns `q`, and `W_q`.
    fn solved(&self, q: &[usize]) -> Option<(Mat<f64>, Mat<f64>)> {
        let block = Mat::from_fn(q.len(), q.len(), |i, j| self.inverse[(q[i], q[j])]);
        let rows = Mat::from_fn(q.len(), self.weights.ncols(), |i, j| self.weights[(q[i], j)]);
        let solved = block.llt(Side::Lower).ok()?.solve(&rows);
        Some((solved, rows))
    }

    /// What the removal adds to the squared error, as a share of the output's variance.
    fn cost(&self, unit: usize) -> f64 {
        let Some((solved, rows)) = self.solved(&self.columns[unit]) else { return 0.0 };
        let added: f64 = (0..rows.ncols())
            .map(|output| (0..rows.nrows()).map(|at| rows[(at, output)] * solved[(at, output)]).sum::<f64>())
            .sum();
        added / self.variance
    }

    /// Removes pruning units and refits the rest.
    fn remove(&mut self, units: &[usize]) {
        let q: Vec<usize> = units.iter().flat_map(|&unit| std::mem::take(&mut self.columns[unit])).collect();
        let size = self.inverse.nrows();
        let across = Mat::from_fn(size, q.len(), |i, j| self.inverse[(i, q[j])]);
        if let Some((solved, _)) = self.solved(&q) {
            subtract(&mut self.weights, across.as_ref(), solved.as_ref());
        }
        let block = Mat::from_fn(q.len(), q.len(), |i, j| self.inverse[(q[i], q[j])]);
        if let Ok(factor) = block.llt(Side::Lower) {
            let solved = factor.solve(across.transpose());
            subtract(&mut self.inverse, across.as_ref(), solved.as_ref());
        }
        for column in q {
            self.gone[column] = true;
        }
        let gone = self.gone.iter().filter(|&&gone| gone).count();
        if gone as f64 > SHRINK * size as f64 {
            self.shrink();
        }
    }

    /// Leaves out the columns that are gone.
    fn shrink(&mut self) {
        let left: Vec<usize> = (0..self.gone.len()).filter(|&column| !self.gone[column]).collect();
        let mut place = vec![0; self.gone.len()];
        left.iter().enumerate().for_each(|(to, &from)| place[from] = to);
        self.columns.iter_mut().flatten().for_each(|column| *column = place[*column]);
        self.inverse = Mat::from_fn(left.len(), left.len(), |i, j| self.inverse[(left[i], left[j])]);
        self.weights = Mat::from_fn(left.len(), self.weights.ncols(), |i, j| self.weights[(left[i], j)]);
        self.gone = vec![false; left.len()];
    }
}

fn subtract(from: &mut Mat<f64>, left: MatRef<'_, f64>, right: MatRef<'_, f64>) {
    matmul(from.as_mut(), Accum::Add, left, right, -1.0, Par::Seq);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::tests::weights_only;

    /// Squared error of the best fit on the columns that are left, by the normal equations.
    fn error(own: &Regression, left: &[usize]) -> f64 {
        let size = own.covariance.nrows();
        let ridge = own.ridge * (0..size).map(|at| own.covariance[(at, at)]).sum::<f64>() / size as f64;
        let ridged = |i: usize, j: usize| own.covariance[(i, j)] + if i == j { ridge } else { 0.0 };
        let full = Mat::from_fn(size, size, ridged);
        let target = &full * &own.weights;
        let ss = Mat::from_fn(left.len(), left.len(), |i, j| ridged(left[i], left[j]));
        let st = Mat::from_fn(left.len(), target.ncols(), |i, j| target[(left[i], j)]);
        let fit = ss.llt(Side::Lower).unwrap().solve(&st);
        let whole: f64 =
            (0..target.ncols()).map(|o| (0..size).map(|at| own.weights[(at, o)] * target[(at, o)]).sum::<f64>()).sum();
        let explained: f64 =
            (0..st.ncols()).map(|o| (0..left.len()).map(|at| fit[(at, o)] * st[(at, o)]).sum::<f64>()).sum();
        whole - explained
    }

    fn problem() -> Regression {
        // Two columns per pruning unit; pruning unit 1 nearly repeats pruning unit 0, pruning unit 3 hardly varies.
        let rows = Mat::from_fn(60, 8, |i, j| {
            let base = |k: usize| (((i * 37 + k * 101) % 59) as f64 / 29.5 - 1.0) * (1.0 + k as f64 * 0.1);
            match j / 2 {
                1 => base(j % 2) + 0.05 * base(j + 20),
                3 => 0.02 * base(j),
                _ => base(j),
            }
        });
        let covariance = rows.transpose() * &rows;
        let weights = Mat::from_fn(8, 3, |i, j| ((i * 7 + j * 5) % 11) as f64 / 5.0 - 1.0);
        Regression {
            covariance,
            ridge: 1e-3,
            means: vec![0.0; 8],
            weights,
            columns: (0..4).map(|unit| vec![2 * unit, 2 * unit + 1]).collect(),
        }
    }

    #[test]
    fn removals_are_greedy_and_costs_are_those_of_a_new_fit() {
        let own = problem();
        let regressions = [own.clone()];
        let input = GroupInput { regressions: &regressions, ..weights_only(4, &[]) };
        let scores = Obs.score(&input).unwrap().scores;
        let mut order: Vec<usize> = (0..4).collect();
        order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
        assert_eq!(order[0], 3, "{scores:?}");
        // By brute force: at every step the removal after which a new fit is best.
        let columns = |units: &[usize]| units.iter().flat_map(|&unit| own.columns[unit].clone()).collect::<Vec<_>>();
        let mut left: Vec<usize> = (0..4).collect();
        let variance = error(&own, &[]);
        for &removed in &order[..3] {
            let without = |unit: usize| columns(&left.iter().copied().filter(|&a| a != unit).collect::<Vec<_>>());
            let best =
                left.iter().copied().min_by(|&a, &b| error(&own, &without(a)).total_cmp(&error(&own, &without(b))));
            assert_eq!(best, Some(removed));
            let expected = error(&own, &without(removed)) / variance;
            assert!((scores[removed] - expected).abs() < 2e-3 * (1.0 + expected), "{} {expected}", scores[removed]);
            left.retain(|&unit| unit != removed);
        }
    }

    #[test]
    fn without_readers_the_norm_decides() {
        let weights = ndarray::array![[3.0_f32], [4.0]];
        let scores = Obs.score(&weights_only(2, &[&weights])).unwrap().scores;
        assert!(scores[1] > scores[0]);
    }
}
