//! Normalisation of the statistics and their sum over consumer inputs (`docs/method.md` 1.7, 1.9, 2.5).

use nalgebra::DMatrix;

use super::GramStatistics;

/// A channel whose kernel's squared norm is at most this share of the largest is dead.
const DEAD: f64 = 1e-12;
/// Ridge added to the diagonal, relative to its size; makes the solution unique.
const RIDGE: f64 = 1e-6;

/// How kernels are scaled against each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Normalisation {
    /// Every channel's kernel to unit Frobenius norm.
    Frobenius,
    /// One factor for the whole group (mean diagonal 1): magnitudes stay. The features are to be multiplied by the
    /// norms of the consumers' weights.
    #[default]
    Energy,
    /// No scaling.
    None,
}

/// Normalised statistics of a group.
#[derive(Debug, Clone, PartialEq)]
pub struct NormalisedGram {
    /// `c x c`, symmetric; rows and columns of dead channels are 0.
    pub quadratic: DMatrix<f64>,
    /// `c x K`, columns multiplied by the roots of the class weights.
    pub linear: DMatrix<f64>,
    /// The constant of the objective, `sum_k w_k` (of responses that are not constant).
    pub constant: f64,
    /// Whether a channel's features vary over the images.
    pub alive: Vec<bool>,
}

/// Scales the statistics of one consumer input; `weights`: one per response.
pub fn normalise(statistics: &GramStatistics, weights: &[f64], mode: Normalisation) -> NormalisedGram {
    let diagonal = statistics.quadratic.diagonal();
    let largest = diagonal.iter().copied().fold(1e-300, f64::max);
    let alive: Vec<bool> = diagonal.iter().map(|&value| value > DEAD * largest).collect();
    let live = alive.iter().filter(|&&alive| alive).count();
    let sum: f64 = diagonal.iter().zip(&alive).filter(|(_, alive)| **alive).map(|(value, _)| value).sum();
    let scale = |channel: usize| match mode {
        _ if !alive[channel] => 0.0,
        Normalisation::Frobenius => 1.0 / diagonal[channel].sqrt(),
        Normalisation::Energy => (live as f64 / sum).sqrt(),
        Normalisation::None => 1.0,
    };
    let scales: Vec<f64> = (0..alive.len()).map(scale).collect();
    let response = |norm: f64| match mode {
        Normalisation::None => 1.0,
        _ if norm > 0.0 => 1.0 / norm.sqrt(),
        _ => 0.0,
    };
    let columns: Vec<f64> =
        statistics.norms.iter().zip(weights).map(|(&norm, weight)| response(norm) * weight.sqrt()).collect();
    let raw = &statistics.quadratic;
    let mean = |row: usize, column: usize| 0.5 * (raw[(row, column)] + raw[(column, row)]);
    let size = raw.nrows();
    NormalisedGram {
        quadratic: DMatrix::from_fn(size, size, |row, column| mean(row, column) * scales[row] * scales[column]),
        linear: DMatrix::from_fn(size, columns.len(), |row, k| statistics.linear[(row, k)] * scales[row] * columns[k]),
        constant: statistics.norms.iter().zip(&columns).map(|(norm, column)| norm * column * column).sum(),
        alive,
    }
}

/// Adds the statistics of several consumer inputs of one group, each counting the same (`docs/method.md` 1.9). A
/// channel is alive if it is in any consumer input. `None` without consumer inputs.
pub fn add_inputs(consumer_inputs: Vec<NormalisedGram>) -> Option<NormalisedGram> {
    let share = 1.0 / consumer_inputs.len() as f64;
    let sum = consumer_inputs.into_iter().reduce(|mut sum, consumer_input| {
        sum.quadratic += consumer_input.quadratic;
        sum.linear += consumer_input.linear;
        sum.constant += consumer_input.constant;
        sum.alive.iter_mut().zip(consumer_input.alive).for_each(|(sum, alive)| *sum |= alive);
        sum
    })?;
    Some(NormalisedGram {
        quadratic: sum.quadratic * share,
        linear: sum.linear * share,
        constant: sum.constant * share,
        alive: sum.alive,
    })
}

impl NormalisedGram {
    /// The statistics of the living channels, with the ridge on the diagonal (`Q'` of `docs/method.md` 1.7), and their
    /// indices.
    pub fn living(&self) -> (DMatrix<f64>, DMatrix<f64>, Vec<usize>) {
        let rows: Vec<usize> = (0..self.alive.len()).filter(|&row| self.alive[row]).collect();
        let mut quadratic = self.quadratic.select_rows(&rows).select_columns(&rows);
        let ridge = RIDGE * quadratic.diagonal().mean();
        for row in 0..rows.len() {
            quadratic[(row, row)] += ridge;
        }
        (quadratic, self.linear.select_rows(&rows), rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statistics() -> GramStatistics {
        GramStatistics {
            quadratic: DMatrix::from_row_slice(3, 3, &[4.0, 2.0, 0.0, 2.0, 16.0, 0.0, 0.0, 0.0, 0.0]),
            linear: DMatrix::from_row_slice(3, 2, &[3.0, 1.0, 2.0, 0.0, 0.0, 0.0]),
            norms: vec![9.0, 0.0],
        }
    }

    #[test]
    fn frobenius_gives_cosines_and_removes_the_dead() {
        let normal = normalise(&statistics(), &[1.0, 1.0], Normalisation::Frobenius);
        assert_eq!(normal.quadratic, DMatrix::from_row_slice(3, 3, &[1.0, 0.25, 0.0, 0.25, 1.0, 0.0, 0.0, 0.0, 0.0]));
        assert_eq!((normal.linear[(0, 0)], normal.linear[(0, 1)], normal.constant), (0.5, 0.0, 1.0));
        assert_eq!(normal.alive, [true, true, false]);
        let (quadratic, linear, rows) = normal.living();
        assert_eq!((quadratic.nrows(), linear.nrows(), rows), (2, 2, vec![0, 1]));
        assert!((quadratic[(0, 0)] - 1.000_001).abs() < 1e-15);
    }

    #[test]
    fn energy_keeps_magnitudes_and_weights_scale_responses() {
        let normal = normalise(&statistics(), &[4.0, 1.0], Normalisation::Energy);
        assert!((normal.quadratic[(0, 0)] - 0.4).abs() < 1e-12 && (normal.quadratic[(1, 1)] - 1.6).abs() < 1e-12);
        assert!((normal.constant - 4.0).abs() < 1e-12);
        assert_eq!(normalise(&statistics(), &[1.0, 1.0], Normalisation::None).linear, statistics().linear);
    }

    #[test]
    fn taps_are_averaged() {
        let one = normalise(&statistics(), &[1.0, 1.0], Normalisation::Frobenius);
        assert_eq!(add_inputs(vec![one.clone(), one.clone()]), Some(one));
        assert_eq!(add_inputs(Vec::new()), None);
    }
}
