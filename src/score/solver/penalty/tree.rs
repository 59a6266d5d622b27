//! The tree norm of sTLP-IB.

use super::{Penalty, Sign};
use crate::score::relatedness::TreeGroup;

/// `P(b) = sum_v w_v ||b_v||_2` over nodes that are nested or apart. Its prox is exact: the prox of each node in turn,
/// from the leaves to the root (Jenatton et al., JMLR 2011).
#[derive(Debug, Clone)]
pub struct Tree {
    groups: Vec<TreeGroup>,
    sign: Sign,
}

impl Tree {
    /// `groups`: every node after those below it; the weights above every class add up to 1 (`docs/method.md` 3.3).
    pub fn new(groups: Vec<TreeGroup>, sign: Sign) -> Self {
        Self { groups, sign }
    }
}

impl Penalty for Tree {
    fn value(&self, row: &[f64]) -> f64 {
        self.groups.iter().map(|group| group.weight * norm(row, &group.leaves)).sum()
    }

    fn project(&self, row: &mut [f64]) {
        self.sign.project(row);
    }

    fn prox(&self, row: &mut [f64], step: f64, _memory: &mut [f64]) {
        if self.sign == Sign::NonNegative {
            for value in row.iter_mut() {
                *value = value.max(0.0);
            }
        }
        for group in &self.groups {
            let norm = norm(row, &group.leaves);
            let factor = if norm > step * group.weight { 1.0 - step * group.weight / norm } else { 0.0 };
            group.leaves.iter().for_each(|&leaf| row[leaf] *= factor);
        }
    }

    /// Between the largest entry and the Euclidean norm (`docs/method.md` 4.5): 60 bisections where the lower bound
    /// does not hold.
    fn dual(&self, gradient: &[f64]) -> f64 {
        let magnitudes: Vec<f64> = gradient.iter().map(|&value| self.sign.magnitude(value)).collect();
        let mut low = magnitudes.iter().copied().fold(0.0, f64::max);
        if self.inside(&magnitudes, low) {
            return low;
        }
        let mut high = magnitudes.iter().map(|value| value * value).sum::<f64>().sqrt();
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            if self.inside(&magnitudes, middle) {
                high = middle;
            } else {
                low = middle;
            }
        }
        high
    }

    fn inside(&self, gradient: &[f64], level: f64) -> bool {
        let mut row = gradient.to_vec();
        self.prox(&mut row, level, &mut []);
        row.iter().all(|value| *value == 0.0)
    }
}

fn norm(row: &[f64], leaves: &[usize]) -> f64 {
    if let [leaf] = leaves {
        return row[*leaf].abs();
    }
    leaves.iter().map(|&leaf| row[leaf] * row[leaf]).sum::<f64>().sqrt()
}
