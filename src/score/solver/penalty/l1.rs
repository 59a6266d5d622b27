//! Sum of absolute values.

use super::{Penalty, Sign};

/// `P(b) = ||b||_1`: class-wise l1, and APIB with `K = 1`.
#[derive(Debug, Clone, Copy, Default)]
pub struct L1Norm(pub Sign);

impl Penalty for L1Norm {
    fn value(&self, row: &[f64]) -> f64 {
        row.iter().map(|value| value.abs()).sum()
    }

    fn project(&self, row: &mut [f64]) {
        self.0.project(row);
    }

    fn prox(&self, row: &mut [f64], step: f64, _memory: &mut [f64]) {
        soft_threshold(row, step, self.0);
    }

    fn dual(&self, gradient: &[f64]) -> f64 {
        gradient.iter().map(|&value| self.0.magnitude(value)).fold(0.0, f64::max)
    }
}

pub(super) fn soft_threshold(row: &mut [f64], step: f64, sign: Sign) {
    for value in row {
        let shrunk = (sign.magnitude(*value) - step).max(0.0);
        *value = if *value < 0.0 { -shrunk } else { shrunk };
    }
}
