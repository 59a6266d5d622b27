#![allow(clippy::float_cmp, reason = "exact by construction")]

use nalgebra::DMatrix;
use proptest::prelude::*;

use super::*;
use crate::score::relatedness::{Edge, Relatedness};

const TIGHT: StopRule = StopRule { tolerance: 1e-12, most: 100_000 };

fn related(values: &[f64], classes: usize) -> Relatedness {
    let raw = DMatrix::from_fn(classes, 5, |k, a| values[(k * 5 + a) % values.len()]);
    let mut rows = raw;
    for mut row in rows.row_iter_mut() {
        let norm = row.norm().max(1e-6);
        row /= norm;
    }
    let product = &rows * rows.transpose();
    Relatedness::from_correlation(DMatrix::from_fn(classes, classes, |a, b| if a == b { 1.0 } else { product[(a, b)] }))
        .unwrap()
}

fn penalties(values: &[f64], classes: usize) -> Vec<(&'static str, Box<dyn Penalty>)> {
    let related = related(values, classes);
    let options = crate::score::relatedness::GraphOptions { threshold: 0.1, negative: true, ..Default::default() };
    let mut all: Vec<(&'static str, Box<dyn Penalty>)> = Vec::new();
    for sign in [Sign::NonNegative, Sign::Free] {
        all.push(("l1", Box::new(L1Norm(sign))));
        all.push(("tree", Box::new(Tree::new(related.tree_groups(), sign))));
        all.push(("graph", Box::new(Graph::new(related.edges(options), 0.8, sign))));
    }
    all
}

/// The tree norm's prox by its definition: block coordinate descent on the dual, one ball of radius `t w_v` per node
/// (Jenatton et al. 2011). `v - sum of duals` is the prox; slow, but it knows nothing of the order of the nodes.
fn tree_prox_reference(groups: &[crate::score::relatedness::TreeGroup], start: &[f64], step: f64) -> Vec<f64> {
    let mut duals: Vec<Vec<f64>> = groups.iter().map(|group| vec![0.0; group.leaves.len()]).collect();
    let mut rest = start.to_vec();
    // Where a ball only just fails to hold its node, descent creeps: it stops when nothing moves, not after a while.
    for _ in 0..2_000_000 {
        let before = rest.clone();
        for (group, dual) in groups.iter().zip(&mut duals).rev() {
            let free: Vec<f64> = group.leaves.iter().zip(dual.iter()).map(|(&leaf, dual)| rest[leaf] + dual).collect();
            let norm = free.iter().map(|value| value * value).sum::<f64>().sqrt();
            let shrink = (step * group.weight / norm.max(1e-300)).min(1.0);
            for ((&leaf, dual), free) in group.leaves.iter().zip(dual.iter_mut()).zip(free) {
                *dual = free * shrink;
                rest[leaf] = free - *dual;
            }
        }
        if rest.iter().zip(&before).all(|(after, before)| (after - before).abs() < 1e-13) {
            break;
        }
    }
    rest
}

/// The step is a hair below the norm of a leaf: the reference needs far more than a few thousand sweeps.
#[test]
fn tree_prox_is_exact_where_a_node_barely_survives() {
    let mut values = vec![0.0; 30];
    (values[1], values[4], values[24], values[29]) =
        (0.210_254_886_614_276_16, -1.178_774_902_026_520_1, -1.641_821_172_421_959, 1.898_404_417_841_058_4);
    let step = 1.178_545_455_102_973_3;
    let groups = related(&values, 6).tree_groups();
    let mut row = values[..6].to_vec();
    Tree::new(groups.clone(), Sign::Free).prox(&mut row, step, &mut []);
    for (fast, slow) in row.iter().zip(tree_prox_reference(&groups, &values[..6], step)) {
        assert!((fast - slow).abs() < 1e-7, "{fast} {slow}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn tree_prox_equals_the_dual_solution(values in proptest::collection::vec(-2.0f64..2.0, 30), step in 0.05f64..1.5) {
        let groups = related(&values, 6).tree_groups();
        let mut row = values[..6].to_vec();
        Tree::new(groups.clone(), Sign::Free).prox(&mut row, step, &mut []);
        for (fast, slow) in row.iter().zip(tree_prox_reference(&groups, &values[..6], step)) {
            prop_assert!((fast - slow).abs() < 1e-7, "{} {}", fast, slow);
        }
        let positive: Vec<f64> = values[..6].iter().map(|value| value.max(0.0)).collect();
        let mut row = values[..6].to_vec();
        Tree::new(groups.clone(), Sign::NonNegative).prox(&mut row, step, &mut []);
        for (fast, slow) in row.iter().zip(tree_prox_reference(&groups, &positive, step)) {
            prop_assert!((fast - slow).abs() < 1e-7);
        }
    }

    /// `x = prox(v)` iff `<v - x, y - x> <= t (P(y) - P(x))` for every feasible `y`.
    #[test]
    fn every_prox_meets_its_variational_inequality(
        values in proptest::collection::vec(-2.0f64..2.0, 30),
        others in proptest::collection::vec(-2.0f64..2.0, 60),
        step in 0.05f64..1.5,
    ) {
        for (index, (name, penalty)) in penalties(&values, 6).iter().enumerate() {
            let mut row = values[..6].to_vec();
            penalty.prox(&mut row, step, &mut vec![0.0; penalty.memory()]);
            for other in others.chunks(6) {
                let feasible: Vec<f64> = other.iter().map(|&value| if index < 3 { value.max(0.0) } else { value }).collect();
                let product: f64 = (0..6).map(|k| (values[k] - row[k]) * (feasible[k] - row[k])).sum();
                prop_assert!(product <= step * (penalty.value(&feasible) - penalty.value(&row)) + 1e-9, "{}", name);
            }
        }
    }

    #[test]
    fn the_dual_norm_is_where_the_prox_vanishes(values in proptest::collection::vec(-2.0f64..2.0, 30)) {
        for (name, penalty) in penalties(&values, 6) {
            let level = penalty.dual(&values[..6]);
            let largest = |step: f64| {
                let mut row = values[..6].to_vec();
                penalty.prox(&mut row, step, &mut vec![0.0; penalty.memory()]);
                row.iter().map(|value| value.abs()).fold(0.0, f64::max)
            };
            prop_assert!(largest(level * (1.0 + 1e-9)) < 1e-9, "{}", name);
            prop_assert!(level < 1e-9 || largest(level * (1.0 - 1e-4)) > 0.0, "{}", name);
        }
    }

    #[test]
    fn row_descent_and_fista_agree(values in proptest::collection::vec(-1.0f64..1.0, 120), share in 0.05f64..0.8) {
        let factor = DMatrix::from_fn(9, 7, |a, b| values[(a * 7 + b) % 120]);
        let quadratic = factor.transpose() * &factor + DMatrix::identity(7, 7) * 1e-2;
        let linear = DMatrix::from_fn(7, 4, |j, k| values[(63 + j * 4 + k) % 120]);
        for (name, penalty) in penalties(&values, 4) {
            let problem = Problem::new(quadratic.clone(), &linear, 4.0, &*penalty);
            let lambda = share * problem.lambda_max();
            let one = bcd(&problem, lambda, DMatrix::zeros(4, 7), TIGHT);
            let two = fista(&problem, lambda, DMatrix::zeros(4, 7), TIGHT);
            prop_assert!(one.converged && two.converged, "{}", name);
            prop_assert!((&one.coefficients - &two.coefficients).amax() < 1e-8, "{}", name);
            prop_assert!(problem.residual(&one.coefficients, lambda) < 1e-9, "{}", name);
        }
    }
}

#[test]
fn one_row_has_a_closed_form() {
    let penalty = L1Norm(Sign::NonNegative);
    let problem = Problem::new(
        DMatrix::from_row_slice(1, 1, &[2.0]),
        &DMatrix::from_row_slice(1, 2, &[3.0, -1.0]),
        1.0,
        &penalty,
    );
    assert_eq!(problem.lambda_max(), 3.0);
    let solution = bcd(&problem, 1.0, DMatrix::zeros(2, 1), TIGHT);
    assert_eq!(solution.coefficients, DMatrix::from_row_slice(2, 1, &[1.0, 0.0]));
    assert_eq!(problem.objective(&solution.coefficients, 1.0), 0.5 + 1.0 - 3.0 + 1.0);
}

#[test]
fn two_fused_classes_have_a_closed_form() {
    let edge = Edge { first: 0, second: 1, sign: 1.0, weight: 1.0 };
    let graph = Graph::new(vec![edge], 1.0, Sign::Free);
    let mut row = [3.0, 1.0];
    graph.prox(&mut row, 0.25, &mut [0.0]);
    assert!((row[0] - 2.5).abs() < 1e-14 && (row[1] - 1.0).abs() < 1e-14);
    // The best set of classes is both: (3 + 1) / 2 against 3 / (1 + 1).
    assert!((graph.dual(&[3.0, 1.0]) - 2.0).abs() < 1e-9);
}

#[test]
fn negative_edges_are_left_out_where_coefficients_cannot_be_negative() {
    let edge = Edge { first: 0, second: 1, sign: -1.0, weight: 1.0 };
    let graph = Graph::new(vec![edge], 1.0, Sign::NonNegative);
    let mut row = [1.0, -1.0];
    graph.prox(&mut row, 0.25, &mut vec![0.0; graph.memory()]);
    assert_eq!((row, graph.memory()), ([0.75, 0.0], 0));
}

#[test]
fn independent_rows_enter_at_their_own_level() {
    let penalty = L1Norm(Sign::NonNegative);
    let problem =
        Problem::new(DMatrix::identity(3, 3), &DMatrix::from_row_slice(3, 1, &[1.0, 0.4, 0.0]), 1.0, &penalty);
    let solved = path(&problem, PathOptions { points: 10, ratio: 0.1, ..PathOptions::default() });
    assert!((solved.entries[0] - 1.0).abs() < 1e-9 && (solved.entries[1] - 0.4).abs() < 1e-6, "{:?}", solved.entries);
    assert_eq!((solved.entries[2], solved.active[0], solved.active[9]), (0.0, 0, 2));
    assert!(solved.converged);
}

#[test]
fn nothing_to_explain_gives_zero_entries() {
    let penalty = L1Norm(Sign::Free);
    let solved =
        path(&Problem::new(DMatrix::identity(2, 2), &DMatrix::zeros(2, 3), 0.0, &penalty), PathOptions::default());
    assert_eq!(solved.entries, [0.0, 0.0]);
    let none = path(&Problem::new(DMatrix::zeros(0, 0), &DMatrix::zeros(0, 3), 0.0, &penalty), PathOptions::default());
    assert!(none.entries.is_empty());
}
