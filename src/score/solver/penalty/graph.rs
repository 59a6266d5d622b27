//! The graph-guided fused norm of sGLP-IB.

use super::l1::soft_threshold;
use super::{Penalty, Sign};
use crate::score::relatedness::Edge;

/// Sweeps after which the fusion prox stops in any case.
const MOST_SWEEPS: usize = 100_000;
/// Bisections of the dual norm.
const BISECTIONS: usize = 44;

/// `P(b) = ||b||_1 + theta sum_e a_e |b_m - s_e b_l|`. Its prox is the fusion prox followed by the soft threshold; the
/// fusion prox is solved by coordinate descent on one dual variable per edge (`docs/method.md` 4.4).
#[derive(Debug, Clone)]
pub struct Graph {
    edges: Vec<Edge>,
    theta: f64,
    sign: Sign,
    /// Largest weighted degree.
    degree: f64,
}

impl Graph {
    /// Edges with their weights; `theta` is the weight of the fusion term.
    ///
    /// With [`Sign::NonNegative`] edges of negative sign are left out: `|b_m + b_l|` would only add to the l1 term
    /// (`docs/method.md` 3.2), and the two-step prox is not exact with them.
    pub fn new(mut edges: Vec<Edge>, theta: f64, sign: Sign) -> Self {
        edges.retain(|edge| sign == Sign::Free || edge.sign > 0.0);
        let classes = edges.iter().map(|edge| edge.second + 1).max().unwrap_or(0);
        let mut degrees = vec![0.0_f64; classes];
        for edge in &edges {
            degrees[edge.first] += edge.weight;
            degrees[edge.second] += edge.weight;
        }
        let degree = degrees.into_iter().fold(0.0, f64::max);
        Self { edges, theta, sign, degree }
    }

    /// `argmin_x 1/2 ||x - row||^2 + step theta sum_e a_e |x_m - s_e x_l|`, starting from the dual point `duals`.
    fn fuse(&self, row: &mut [f64], step: f64, duals: &mut [f64]) {
        let step = step * self.theta;
        let scale = row.iter().map(|value| value.abs()).fold(1e-300, f64::max);
        for (edge, dual) in self.edges.iter().zip(duals.iter_mut()) {
            let bound = step * edge.weight;
            *dual = dual.clamp(-bound, bound);
            row[edge.first] -= *dual;
            row[edge.second] += edge.sign * *dual;
        }
        for _ in 0..MOST_SWEEPS {
            let mut worst = 0.0_f64;
            for (edge, dual) in self.edges.iter().zip(duals.iter_mut()) {
                let bound = step * edge.weight;
                let new = (*dual + 0.5 * (row[edge.first] - edge.sign * row[edge.second])).clamp(-bound, bound);
                let change = new - *dual;
                row[edge.first] -= change;
                row[edge.second] += edge.sign * change;
                *dual = new;
                worst = worst.max(change.abs());
            }
            if worst <= 1e-14 * scale {
                break;
            }
        }
    }
}

impl Penalty for Graph {
    fn value(&self, row: &[f64]) -> f64 {
        let fusion = |edge: &Edge| edge.weight * (row[edge.first] - edge.sign * row[edge.second]).abs();
        row.iter().map(|value| value.abs()).sum::<f64>() + self.theta * self.edges.iter().map(fusion).sum::<f64>()
    }

    fn project(&self, row: &mut [f64]) {
        self.sign.project(row);
    }

    fn prox(&self, row: &mut [f64], step: f64, memory: &mut [f64]) {
        self.fuse(row, step, memory);
        soft_threshold(row, step, self.sign);
    }

    fn memory(&self) -> usize {
        self.edges.len()
    }

    fn dual(&self, gradient: &[f64]) -> f64 {
        let mut high = gradient.iter().map(|&value| self.sign.magnitude(value)).fold(0.0, f64::max);
        if self.edges.is_empty() || high <= 0.0 {
            return high;
        }
        let mut low = high / (1.0 + self.theta * self.degree);
        for _ in 0..BISECTIONS {
            let middle = 0.5 * (low + high);
            if self.inside(gradient, middle) {
                high = middle;
            } else {
                low = middle;
            }
        }
        high
    }

    fn inside(&self, gradient: &[f64], level: f64) -> bool {
        let largest = gradient.iter().map(|&value| self.sign.magnitude(value)).fold(0.0, f64::max);
        if largest <= level {
            return true;
        }
        if largest > level * (1.0 + self.theta * self.degree) {
            return false;
        }
        let mut row = gradient.to_vec();
        self.fuse(&mut row, level, &mut vec![0.0; self.edges.len()]);
        row.iter().all(|&value| self.sign.magnitude(value) <= level * (1.0 + 1e-13))
    }
}
