//! How far a covariance of few rows is to be drawn to a multiple of the identity.

/// Strength that solutions need to be stable, however many rows there are.
const LEAST: f64 = 1e-3;

/// Largest part of the estimate that is identity: rows say something even where they say little.
const MOST_SHARE: f64 = 0.9;

/// What a covariance was estimated from.
#[derive(Debug, Clone, Copy)]
pub struct Estimate {
    /// Rows; those of one image count as if they were independent.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
    /// Trace of the covariance.
    pub trace: f64,
    /// Sum of the squares of all its entries.
    pub squares: f64,
}

impl Estimate {
    /// Strength of the ridge, relative to the mean variance of the columns, under which `covariance + ridge` estimates
    /// the covariance of new rows best, up to a factor: `s / (1 - s)` with the oracle approximating shrinkage `s` (Chen,
    /// Wiesel, Eldar and Hero 2010, arXiv:0907.4698, equation 23). With fewer rows than columns, as for the classifier
    /// behind a pooling, a regression without it fits noise (`docs/method.md` 9.3).
    pub fn ridge(&self) -> f64 {
        let (rows, columns) = (self.rows as f64, self.columns.max(1) as f64);
        let square = self.trace * self.trace;
        let between = (1.0 - 2.0 / columns) * self.squares + square;
        let apart = (rows + 1.0 - 2.0 / columns) * (self.squares - square / columns);
        if !(between > 0.0 && apart > 0.0) {
            return LEAST;
        }
        let share = (between / apart).min(MOST_SHARE);
        (share / (1.0 - share)).max(LEAST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of independent columns, so that the covariance is known: `variance(column)`.
    fn estimate(rows: usize, columns: usize, variance: impl Fn(usize) -> f64) -> (Estimate, Vec<Vec<f64>>) {
        let noise = |row: usize, column: usize| {
            // A sum of four uniform numbers is near enough to normal.
            let uniform = |k: usize| {
                let x = ((row * 4 + k) as f64 * 12.989_8 + column as f64 * 78.233).sin() * 43_758.545_3;
                x - x.floor() - 0.5
            };
            (0..4).map(uniform).sum::<f64>() * 3.0_f64.sqrt()
        };
        let data: Vec<Vec<f64>> = (0..columns)
            .map(|column| (0..rows).map(|row| noise(row, column) * variance(column).sqrt()).collect())
            .collect();
        let entry = |a: usize, b: usize| (0..rows).map(|row| data[a][row] * data[b][row]).sum::<f64>() / rows as f64;
        let covariance: Vec<Vec<f64>> = (0..columns).map(|a| (0..columns).map(|b| entry(a, b)).collect()).collect();
        let trace = (0..columns).map(|at| covariance[at][at]).sum();
        let squares = covariance.iter().flatten().map(|value| value * value).sum();
        (Estimate { rows, columns, trace, squares }, covariance)
    }

    #[test]
    fn many_rows_need_no_more_than_the_least() {
        let (own, _) = estimate(20_000, 8, |column| 1.0 + column as f64);
        assert!(own.ridge() < 5e-3, "{}", own.ridge());
        let none = Estimate { rows: 0, columns: 0, trace: 0.0, squares: 0.0 };
        assert!((none.ridge() - LEAST).abs() < 1e-15);
    }

    #[test]
    fn the_ridge_is_near_the_best_for_the_true_covariance() {
        // Fewer rows than columns.
        let variance = |column: usize| 4.0 / (1.0 + column as f64 * 0.2);
        let (own, covariance) = estimate(40, 60, variance);
        let mean = own.trace / 60.0;
        let error = |ridge: f64| {
            let share = ridge / (1.0 + ridge);
            let entry = |a: usize, b: usize| {
                let shrunk = (1.0 - share) * covariance[a][b] + if a == b { share * mean } else { 0.0 };
                (shrunk - if a == b { variance(a) } else { 0.0 }).powi(2)
            };
            (0..60).flat_map(|a| (0..60).map(move |b| (a, b))).map(|(a, b)| entry(a, b)).sum::<f64>()
        };
        let best = (-30..20).map(|step| error(1.3_f64.powi(step))).fold(f64::INFINITY, f64::min);
        assert!(error(own.ridge()) < 1.1 * best, "{} against {best}", error(own.ridge()));
        assert!(error(1e-3) > 2.0 * best);
    }
}
