//! Preconditioned conjugate gradients.

use super::factors::Factors;
use super::linear::Linear;

/// Relative residual at which the solution is good enough.
const ENOUGH: f64 = 1e-3;

/// Solves `(G + damping D) x = right`, `G` the Gauss-Newton matrix and `D` the mean curvature of every block, from `guess`
/// (empty: zero) in at most `most` products. `go_on` is asked before every product.
#[allow(clippy::cast_possible_truncation, reason = "vectors are single precision")]
pub(super) fn solve(
    linear: &Linear<'_>,
    factors: &Factors,
    right: &[f32],
    guess: &[f32],
    damping: f32,
    most: usize,
    go_on: &dyn Fn() -> bool,
) -> Vec<f32> {
    let blocks = &linear.program.blocks;
    let damped = |direction: &[f32]| {
        let mut image = linear.product(direction);
        for (block, curvature) in blocks.iter().zip(&factors.curvature) {
            let pairs = image[block.range.clone()].iter_mut().zip(&direction[block.range.clone()]);
            pairs.for_each(|(image, value)| *image += damping * curvature * value);
        }
        image
    };
    let mut solution = vec![0.0f32; right.len()];
    let mut residual = right.to_vec();
    if guess.len() == right.len() {
        solution.copy_from_slice(guess);
        residual.iter_mut().zip(damped(guess)).for_each(|(r, g)| *r -= g);
    }
    let mut better = factors.apply(blocks, &residual);
    let mut direction = better.clone();
    let mut energy = dot(&residual, &better);
    let first = energy;
    for _ in 0..most {
        if !(energy > first * ENOUGH * ENOUGH) || !go_on() {
            break;
        }
        let image = damped(&direction);
        let bend = dot(&direction, &image);
        if !(bend > 0.0) || !bend.is_finite() {
            break;
        }
        let length = (energy / bend) as f32;
        solution.iter_mut().zip(&direction).for_each(|(x, d)| *x += length * d);
        residual.iter_mut().zip(&image).for_each(|(r, d)| *r -= length * d);
        better = factors.apply(blocks, &residual);
        let new = dot(&residual, &better);
        let share = (new / energy) as f32;
        direction.iter_mut().zip(&better).for_each(|(d, z)| *d = z + share * *d);
        energy = new;
    }
    solution
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}
