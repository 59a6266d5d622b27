//! Ridge least squares with intercept, its strength chosen on held-out rows, blind to errors that an activation hides
//! (`docs/method.md` 9.5, 9.7).

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};
use rayon::prelude::*;

use super::rounding;
use super::sums::{BLOCK, Moments, add_columns, numbers};
use super::system::{System, by_rows, strengthen};

/// Strengths that are tried, relative to the mean variance of the columns.
const RIDGES: [f64; 7] = [1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0];

/// Where the search begins.
const MIDDLE: usize = 3;

/// Rounds of majorise-minimise against an activation, and where weights stay near what they are: those are a beginning.
const ROUNDS: usize = 4;
const QUICK_ROUNDS: usize = 2;

/// Rows of a problem. Columns of the matrices are rows of the problem: their values lie side by side.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    /// What the layer reads, `[d, n]`.
    pub(super) x: MatRef<'a, f32>,
    /// What its outputs are to be, the shortcut included, `[O, n]`.
    pub(super) target: MatRef<'a, f32>,
    /// The shortcut, `[O, n]`.
    pub(super) shortcut: Option<MatRef<'a, f32>>,
}

/// A layer, or one group of it.
pub(super) struct Problem<'a> {
    /// Rows that weights are fitted on while the ridge is chosen.
    pub(super) fit: Rows<'a>,
    /// Rows that the ridge is chosen on.
    pub(super) hold: Rows<'a>,
    /// Weights so far, `[d, O]`: what the ridge draws to.
    pub(super) weights: Mat<f64>,
    /// Constants so far, `[O]`.
    pub(super) bias: Vec<f64>,
    /// Whether the constants can be changed.
    pub(super) intercept: bool,
    /// Steps of the outputs' weights and the largest integer, where they are stored in integers.
    pub(super) grid: Option<(&'a [f64], f64)>,
    /// Range outside which errors do not count.
    pub(super) bounds: Option<(f32, f32)>,
    /// Whether one strength of the ridge is tried alone.
    pub(super) quick: bool,
}

/// New weights.
#[derive(Debug, Clone)]
pub(super) struct Solution {
    pub(super) weights: Mat<f64>,
    pub(super) bias: Vec<f64>,
    /// Strength of the ridge; `None` where the old weights with a new constant were better on the held-out rows.
    pub(super) ridge: Option<f64>,
    /// Squared error and squared spread of the target on the held-out rows, summed over rows and outputs: before, with
    /// new constants alone, after.
    pub(super) errors: [f64; 3],
}

/// `W^T x + b`, `[O, n]`.
#[allow(clippy::cast_possible_truncation, reason = "predictions are in single precision, as the engine's are")]
pub(super) fn predict(x: MatRef<'_, f32>, weights: &Mat<f64>, bias: &[f64]) -> Mat<f32> {
    let single = Mat::from_fn(weights.nrows(), weights.ncols(), |i, j| weights[(i, j)] as f32);
    let bias: Vec<f32> = bias.iter().map(|value| *value as f32).collect();
    let mut out = Mat::<f32>::zeros(bias.len(), x.ncols());
    out.par_col_chunks_mut(BLOCK).zip(x.par_col_chunks(BLOCK)).for_each(|(mut out, rows)| {
        matmul(out.as_mut(), Accum::Replace, single.transpose(), rows, 1.0, Par::Seq);
        for column in out.col_iter_mut().filter_map(faer::ColMut::try_as_col_major_mut) {
            column.as_slice_mut().iter_mut().zip(&bias).for_each(|(value, bias)| *value += bias);
        }
    });
    out
}

impl Rows<'_> {
    /// The shortcut of one row; empty without one.
    fn shortcut(&self, row: usize) -> &[f32] {
        self.shortcut.as_ref().map(|shortcut| numbers(shortcut.col(row))).unwrap_or_default()
    }

    /// Target without the shortcut.
    fn own(&self) -> Mat<f32> {
        let own = self.target.to_owned();
        match self.shortcut {
            Some(shortcut) => own - shortcut,
            None => own,
        }
    }

    /// The target without the shortcut, moved to the prediction wherever an activation hides the difference.
    fn majorised(&self, mut predicted: Mat<f32>, [low, high]: [f32; 2]) -> Mat<f32> {
        predicted.par_col_iter_mut().enumerate().for_each(|(row, column)| {
            let Some(column) = column.try_as_col_major_mut() else { return };
            let shortcut = self.shortcut(row);
            let both = column.as_slice_mut().iter_mut().zip(numbers(self.target.col(row)));
            for (at, (value, &wanted)) in both.enumerate() {
                let by = shortcut.get(at).copied().unwrap_or(0.0);
                let found = *value + by;
                let aim = if wanted <= low {
                    found.min(low)
                } else if wanted >= high {
                    found.max(high)
                } else {
                    wanted
                };
                *value = aim - by;
            }
        });
        predicted
    }

    /// Squared error behind the activation, summed over rows and outputs.
    fn error(&self, weights: &Mat<f64>, bias: &[f64], bounds: Option<(f32, f32)>) -> f64 {
        let predicted = predict(self.x, weights, bias);
        let (low, high) = bounds.unwrap_or((f32::NEG_INFINITY, f32::INFINITY));
        let of_row = |row: usize| {
            let shortcut = self.shortcut(row);
            let both = numbers(predicted.col(row)).iter().zip(numbers(self.target.col(row)));
            let error = |(at, (found, wanted)): (usize, (&f32, &f32))| {
                let found = found + shortcut.get(at).copied().unwrap_or(0.0);
                f64::from(found.max(low).min(high) - wanted.max(low).min(high)).powi(2)
            };
            both.enumerate().map(error).sum::<f64>()
        };
        (0..self.target.ncols()).map(of_row).sum()
    }
}

impl Problem<'_> {
    /// `None` where there is nothing to learn from, the numbers are not finite, or what is there already is better on the
    /// held-out rows.
    pub(super) fn solve(&self) -> Option<Solution> {
        if self.fit.x.ncols() < 2 || self.hold.x.ncols() < 1 || self.fit.x.nrows() == 0 {
            return None;
        }
        let products = !by_rows(self.fit.x.nrows(), self.fit.x.ncols() + self.hold.x.ncols(), self.grid.is_some());
        let mut moments = Moments::of(self.fit.x, products);
        let before = self.hold.error(&self.weights, &self.bias, self.bounds);
        let (ridge, [shifted, best]) = self.choose(&moments)?;
        if before < best {
            return None;
        }
        moments.add(&Moments::of(self.hold.x, products));
        let all = [&self.fit, &self.hold];
        let (weights, bias) = match ridge {
            Some(ridge) => {
                let system = self.system(&all, &moments);
                let rounds = if self.quick { QUICK_ROUNDS } else { ROUNDS };
                self.on_grid(self.fitted(&all, &system, ridge, rounds)?, &system, ridge)
            }
            None => (self.weights.clone(), self.constants(&all, &moments)),
        };
        let finite = bias.iter().all(|v| v.is_finite()) && weights.col_iter().all(|c| c.iter().all(|v| v.is_finite()));
        finite.then_some(Solution { weights, bias, ridge, errors: [before, shifted, best] })
    }

    /// The problem of some rows, whose moments are given.
    fn system<'a>(&'a self, rows: &[&Rows<'a>], moments: &Moments) -> System<'a> {
        System::new(rows.iter().map(|own| own.x).collect(), &self.weights, moments, self.intercept)
    }

    /// The strength that is best on the held-out rows, and the errors there: with new constants alone, and with it.
    /// `moments`: those of the rows to fit on.
    fn choose(&self, moments: &Moments) -> Option<(Option<f64>, [f64; 2])> {
        let system = self.system(&[&self.fit], moments);
        let shifted = self.hold.error(&self.weights, &self.constants(&[&self.fit], moments), self.bounds);
        let mut best = (None, shifted);
        let at = |ridge: f64| {
            let found = self.fitted(&[&self.fit], &system, ridge, 1);
            found.map_or(f64::INFINITY, |(weights, bias)| self.hold.error(&weights, &bias, self.bounds))
        };
        // The error has one valley: from the middle, on to the side on which it falls.
        if self.quick {
            let error = at(RIDGES[MIDDLE]);
            if error < best.1 {
                best = (Some(RIDGES[MIDDLE]), error);
            }
            return best.1.is_finite().then_some((best.0, [shifted, best.1]));
        }
        let errors: [f64; 2] = [at(RIDGES[MIDDLE]), at(RIDGES[MIDDLE + 1])];
        let (mut ridge, mut last, step) =
            if errors[1] < errors[0] { (MIDDLE + 1, errors[1], 1) } else { (MIDDLE, errors[0], -1) };
        while let Some(next) = ridge.checked_add_signed(step).filter(|&next| next < RIDGES.len()) {
            let error = at(RIDGES[next]);
            if error >= last {
                break;
            }
            (ridge, last) = (next, error);
        }
        if last < best.1 {
            best = (Some(RIDGES[ridge]), last);
        }
        best.1.is_finite().then_some((best.0, [shifted, best.1]))
    }

    /// The solution for some rows after so many rounds against the activation.
    fn fitted(
        &self,
        rows: &[&Rows<'_>],
        system: &System<'_>,
        ridge: f64,
        rounds: usize,
    ) -> Option<(Mat<f64>, Vec<f64>)> {
        let factor = system.factor(ridge)?;
        let solved = |aim: &dyn Fn(&Rows<'_>) -> Mat<f32>| {
            let aims: Vec<Mat<f32>> = rows.iter().map(|rows| aim(rows)).collect();
            let (weights, averages) = system.solve(&factor, &aims);
            let bias = self.centred(&weights, &system.means, &averages);
            (weights, bias)
        };
        let Some((low, high)) = self.bounds else { return Some(solved(&|rows| rows.own())) };
        let mut found = if self.quick { (self.weights.clone(), self.bias.clone()) } else { solved(&|rows| rows.own()) };
        for _ in 0..rounds {
            found = solved(&|rows| rows.majorised(predict(rows.x, &found.0, &found.1), [low, high]));
        }
        Some(found)
    }

    /// Weights as integers give them, constants moved by what that does to the means.
    fn on_grid(&self, (weights, bias): (Mat<f64>, Vec<f64>), system: &System<'_>, ridge: f64) -> (Mat<f64>, Vec<f64>) {
        let Some((steps, most)) = self.grid else { return (weights, bias) };
        let covariance = system.covariance().map(|own| {
            let mut covariance = own.clone();
            strengthen(&mut covariance, ridge, own.nrows());
            covariance
        });
        let rounded = rounding::in_order(covariance.as_ref(), &weights, steps, most);
        let means = &system.means;
        let lost = |o: usize| (0..means.len()).map(|i| (weights[(i, o)] - rounded[(i, o)]) * means[i]).sum::<f64>();
        let bias = bias.iter().enumerate().map(|(o, own)| if self.intercept { own + lost(o) } else { *own }).collect();
        (rounded, bias)
    }

    /// Constants that make the means right.
    fn centred(&self, weights: &Mat<f64>, means: &[f64], averages: &[f64]) -> Vec<f64> {
        if !self.intercept {
            return self.bias.clone();
        }
        let mean = |o: usize| (0..means.len()).map(|i| weights[(i, o)] * means[i]).sum::<f64>();
        averages.iter().enumerate().map(|(o, average)| average - mean(o)).collect()
    }

    /// Constants for the weights so far (`docs/method.md` 9.2), on the rows that the moments are of.
    fn constants(&self, rows: &[&Rows<'_>], moments: &Moments) -> Vec<f64> {
        let mut sums = vec![0.0; self.bias.len()];
        for own in rows.iter().map(|rows| rows.own()) {
            add_columns(&mut sums, own.as_ref());
        }
        let averages: Vec<f64> = sums.iter().map(|sum| sum / moments.n.max(1.0)).collect();
        self.centred(&self.weights, &moments.means(self.intercept), &averages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values about 0 that no two (row, column) share.
    fn noise(row: usize, column: usize) -> f32 {
        let x = (row as f32 * 12.989 + column as f32 * 78.233).sin() * 43_758.547;
        x - x.floor() - 0.5
    }

    struct Data {
        x: Mat<f32>,
        target: Mat<f32>,
    }

    /// `target = f(W^T x + b)` for known weights.
    fn data(rows: std::ops::Range<usize>, f: impl Fn(f32, usize) -> f32) -> Data {
        let x = Mat::from_fn(6, rows.len(), |i, row| noise(rows.start + row, i));
        let own = |o: usize, row: usize| (0..6).map(|i| weight(i, o) * x[(i, row)]).sum::<f32>() + 0.25 * o as f32;
        let target = Mat::from_fn(3, rows.len(), |o, row| f(own(o, row), row));
        Data { x, target }
    }

    fn weight(i: usize, o: usize) -> f32 {
        (i as f32 - 2.5) * 0.5 + o as f32
    }

    fn attempt(fit: &Data, hold: &Data, bounds: Option<(f32, f32)>) -> Option<Solution> {
        let [fit, hold] =
            [fit, hold].map(|own| Rows { x: own.x.as_ref(), target: own.target.as_ref(), shortcut: None });
        Problem {
            fit,
            hold,
            weights: Mat::zeros(6, 3),
            bias: vec![0.0; 3],
            intercept: true,
            grid: None,
            bounds,
            quick: false,
        }
        .solve()
    }

    fn solve(fit: &Data, hold: &Data, bounds: Option<(f32, f32)>) -> Solution {
        attempt(fit, hold, bounds).unwrap()
    }

    fn far(found: &Solution) -> f64 {
        let off = |i: usize, o: usize| (found.weights[(i, o)] - f64::from(weight(i, o))).abs();
        (0..6).flat_map(|i| (0..3).map(move |o| (i, o))).map(|(i, o)| off(i, o)).fold(0.0, f64::max)
    }

    #[test]
    fn known_weights_are_found() {
        let found = solve(&data(0..500, |y, _| y), &data(500..600, |y, _| y), None);
        assert!(far(&found) < 1e-3, "{}", far(&found));
        assert!((found.bias[2] - 0.5).abs() < 1e-3);
        assert!(found.errors[2] < 1e-6 * found.errors[0]);
    }

    #[test]
    fn what_an_activation_hides_does_not_count() {
        // Below zero the targets are off by anything at all.
        let hidden = |y: f32, row: usize| if y > 0.0 { y } else { 5.0 * y - noise(row, 99).abs() };
        let (fit, hold) = (data(0..2000, hidden), data(2000..2400, hidden));
        let (blind, seeing) = (solve(&fit, &hold, Some((0.0, f32::INFINITY))), solve(&fit, &hold, None));
        let error = |found: &Solution| {
            let rows = Rows { x: hold.x.as_ref(), target: hold.target.as_ref(), shortcut: None };
            rows.error(&found.weights, &found.bias, Some((0.0, f32::INFINITY)))
        };
        assert!(error(&blind) < 0.2 * error(&seeing), "{} {}", error(&blind), error(&seeing));
    }

    #[test]
    fn noise_leaves_the_weights_alone() {
        let pure = |_: f32, row: usize| noise(row, 77) * 3.0;
        // Twelve rows for six columns: nothing, only the constant, or a strong ridge can be justified.
        if let Some(found) = attempt(&data(0..12, pure), &data(300..420, pure), None) {
            assert!(found.ridge.is_none_or(|ridge| ridge >= 1e-1), "{:?}", found.ridge);
            let other = data(1000..3000, pure);
            let rows = Rows { x: other.x.as_ref(), target: other.target.as_ref(), shortcut: None };
            let [old, new] = [(Mat::zeros(6, 3), vec![0.0; 3]), (found.weights, found.bias)]
                .map(|(weights, bias)| rows.error(&weights, &bias, None));
            assert!(new <= 1.05 * old, "{old} -> {new}");
        }
    }

    /// Found by layers judged on other images: the means of inputs and of targets were over different rows.
    #[test]
    fn new_constants_are_right_on_all_rows() {
        let noisy = |y: f32, row: usize| y + 1.0 + noise(row, 77);
        let (fit, hold) = (data(0..8, noisy), data(300..420, noisy));
        let rows = [&fit, &hold].map(|own| Rows { x: own.x.as_ref(), target: own.target.as_ref(), shortcut: None });
        let weights = Mat::from_fn(6, 3, |i, o| f64::from(weight(i, o)));
        let problem = Problem {
            fit: rows[0],
            hold: rows[1],
            weights,
            bias: vec![0.0; 3],
            intercept: true,
            grid: None,
            bounds: None,
            quick: false,
        };
        let found = problem.solve().unwrap();
        assert!(found.ridge.is_none(), "{:?}", found.ridge);
        let drawn = (0..8).chain(0..120).map(|row| f64::from(noise(row, 77)));
        let expected = 1.0 + drawn.sum::<f64>() / 128.0;
        for (o, bias) in found.bias.iter().enumerate() {
            assert!((bias - 0.25 * o as f64 - expected).abs() < 1e-3, "{bias}, {expected}");
        }
    }

    /// Found by a random graph: with few rows even new constants may be worse than the old ones.
    #[test]
    fn what_is_right_already_stays() {
        let (fit, hold) = (data(0..4, |y, _| y + 3.0), data(300..420, |y, _| y));
        let [fit, hold] =
            [&fit, &hold].map(|own| Rows { x: own.x.as_ref(), target: own.target.as_ref(), shortcut: None });
        let weights = Mat::from_fn(6, 3, |i, o| f64::from(weight(i, o)));
        let bias = vec![0.0, 0.25, 0.5];
        assert!(
            Problem { fit, hold, weights, bias, intercept: true, grid: None, bounds: None, quick: false }
                .solve()
                .is_none()
        );
    }
}
