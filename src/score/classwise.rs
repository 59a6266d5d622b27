//! The class-conditional lasso: what a consumer receives on the images of each class, regressed on what every pruning
//! unit contributes (`docs/method.md` 4.7).

use nalgebra::DMatrix;

use super::criterion::{GroupInput, GroupScores};
use super::options::LassoOptions;
use super::solver::{Penalty, PerResponse, Problem, path};
use super::{ScoreError, lasso};
use crate::statistics::{ClassGram, Normalisation};

/// An pruning unit whose contribution has at most this share of the largest one's energy is dead.
const DEAD: f64 = 1e-12;
/// Ridge relative to the mean diagonal of each class; makes the solution unique.
const RIDGE: f64 = 1e-6;

/// The statistics of a group, added over its consumers.
pub(super) struct Classwise {
    /// `c x c` for each class, divided by the variance of the consumer's outputs.
    quadratic: Vec<DMatrix<f64>>,
    /// Pruning units that contribute anything.
    rows: Vec<usize>,
    /// Factor of every living pruning unit (1 but for `frobenius`).
    scales: Vec<f64>,
}

impl Classwise {
    /// Statistics from all consumers, each counting the same. `pooled`: of all classes together.
    pub(super) fn new(input: &GroupInput<'_>, pooled: bool, normalisation: Normalisation) -> Option<Self> {
        let classes = input.contributions.first()?.classes();
        let weights = match input.class_weights {
            [] => vec![1.0; classes],
            given => given.to_vec(),
        };
        let share = 1.0 / input.contributions.len() as f64;
        let mut quadratic: Option<Vec<DMatrix<f64>>> = None;
        for consumer in input.contributions {
            let (all, ones);
            let (own, weights): (&ClassGram, &[f64]) = if pooled {
                (all, ones) = (consumer.pooled(&weights), vec![1.0]);
                (&all, &ones)
            } else {
                (consumer, &weights)
            };
            let scaled = own.quadratic.iter().zip(&own.energy).zip(weights);
            let scaled = scaled.map(|((matrix, energy), weight)| matrix * (weight * share / energy));
            quadratic = Some(match quadratic {
                None => scaled.collect(),
                Some(sum) => sum.into_iter().zip(scaled).map(|(sum, more)| sum + more).collect(),
            });
        }
        let quadratic = quadratic?;
        let energy = |row: usize| quadratic.iter().map(|matrix| matrix[(row, row)]).sum::<f64>();
        let energies: Vec<f64> = (0..input.width).map(energy).collect();
        let largest = energies.iter().copied().fold(1e-300, f64::max);
        let rows: Vec<usize> = (0..input.width).filter(|&row| energies[row] > DEAD * largest).collect();
        let scale = |&row: &usize| match normalisation {
            Normalisation::Frobenius => (energies[row] / quadratic.len() as f64).sqrt().recip(),
            _ => 1.0,
        };
        let scales = rows.iter().map(scale).collect();
        Some(Self { quadratic, rows, scales })
    }

    /// The lasso problem of the living pruning units. What they are to explain is all that they contribute together: without a
    /// penalty every coefficient is 1.
    fn problem<'a>(&self, penalty: &'a dyn Penalty) -> Problem<'a> {
        let (rows, scales, classes) = (&self.rows, &self.scales, self.quadratic.len());
        let entry = |a: usize, b: usize, k: usize| self.quadratic[k][(rows[a], rows[b])] * scales[a] * scales[b];
        let ridge: Vec<f64> = (0..classes)
            .map(|k| RIDGE * (0..rows.len()).map(|a| entry(a, a, k)).sum::<f64>() / rows.len().max(1) as f64)
            .collect();
        let linear = DMatrix::from_fn(rows.len(), classes, |a, k| {
            rows.iter().map(|&other| self.quadratic[k][(rows[a], other)]).sum::<f64>() * scales[a]
        });
        let constant = (0..classes).map(|k| (0..rows.len()).map(|a| linear[(a, k)] / scales[a]).sum::<f64>()).sum();
        let ridged = |a: usize, b: usize, k: usize| entry(a, b, k) + if a == b { ridge[k] } else { 0.0 };
        Problem::new(PerResponse::from_fn(rows.len(), classes, ridged), &linear, constant, penalty)
    }
}

/// Entry values of all pruning units, divided by the group's largest; 0 for dead pruning units.
pub(super) fn score(
    input: &GroupInput<'_>,
    pooled: bool,
    penalty: &dyn Penalty,
    options: &LassoOptions,
) -> Result<GroupScores, ScoreError> {
    let missing = || ScoreError::Shape { group: input.name.into(), what: "contributions", expected: 1, found: 0 };
    let statistics = Classwise::new(input, pooled, options.normalisation).ok_or_else(missing)?;
    let problem = statistics.problem(penalty);
    lasso::from_path(input, &statistics.rows, statistics.quadratic.len(), path(&problem, options.path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::relatedness::Relatedness;
    use crate::score::solver::{L1Norm, Sign, Tree};
    use crate::score::tests::weights_only;

    /// Three pruning units and two classes: pruning unit 0 serves class 0, pruning unit 1 serves class 1 twice as much, pruning unit 2 repeats pruning unit 0
    /// more weakly, pruning unit 3 does nothing.
    fn gram() -> ClassGram {
        let of = |contributions: [f64; 4], noise: f64| {
            DMatrix::from_fn(4, 4, |a, b| {
                contributions[a] * contributions[b] + if a == b && a < 3 { noise } else { 0.0 }
            })
        };
        let quadratic = vec![of([1.0, 0.0, 0.5, 0.0], 0.01), of([0.0, 2.0, 0.0, 0.0], 0.01)];
        let energy = quadratic.iter().map(DMatrix::sum).collect();
        ClassGram { quadratic, energy, share: vec![0.5, 0.5] }
    }

    #[test]
    fn every_class_keeps_its_atom_and_repetition_comes_late() {
        let contributions = [gram()];
        let input = GroupInput { contributions: &contributions, ..weights_only(4, &[]) };
        let related = Relatedness::from_correlation(DMatrix::from_row_slice(2, 2, &[1.0, 0.3, 0.3, 1.0])).unwrap();
        let tree = Tree::new(related.tree_groups(), Sign::NonNegative);
        let options = LassoOptions::default();
        for penalty in [&L1Norm(Sign::NonNegative) as &dyn Penalty, &tree] {
            let found = score(&input, false, penalty, &options).unwrap();
            assert!(found.scores[0] > found.scores[2] && found.scores[1] > found.scores[2], "{:?}", found.scores);
            assert!(found.scores[3].abs() < 1e-300);
            let path = found.path.unwrap();
            assert!(path.converged && path.residual < 1e-5 && path.gap < 1e-4, "{path:?}");
        }
        let pooled = score(&input, true, &L1Norm(Sign::NonNegative), &options).unwrap();
        assert!(pooled.scores[1] > pooled.scores[0], "{:?}", pooled.scores);
    }

    #[test]
    fn a_class_that_counts_more_comes_first() {
        let contributions = [gram()];
        let weighted = |class_weights: &[f64]| {
            let input = GroupInput { contributions: &contributions, class_weights, ..weights_only(4, &[]) };
            score(&input, false, &L1Norm(Sign::NonNegative), &LassoOptions::default()).unwrap().scores
        };
        let (first, second) = (weighted(&[1.0, 0.01]), weighted(&[0.01, 1.0]));
        assert!(first[0] > first[1] && second[1] > second[0], "{first:?} {second:?}");
    }

    #[test]
    fn without_a_penalty_every_coefficient_is_one() {
        let contributions = [gram()];
        let input = GroupInput { contributions: &contributions, ..weights_only(4, &[]) };
        let penalty = L1Norm(Sign::NonNegative);
        let problem = Classwise::new(&input, false, Normalisation::Energy).unwrap().problem(&penalty);
        let gradient = problem.gradient(&DMatrix::from_element(2, 3, 1.0));
        assert!(gradient.amax() < 1e-5, "{gradient}");
        assert!(problem.objective(&DMatrix::from_element(2, 3, 1.0), 0.0).abs() < 1e-5);
    }
}
