//! Inputs to which the dense model answers far beyond all others: one of them would decide what is fitted and cut.

use std::collections::BTreeSet;

use super::output_error::{MOST_OF_ALL, options};
use super::{EvaluateError, Pass, Reference};
use crate::model::Model;

/// Of so many inputs one may stand out; where more do, the model's answers are like that.
const EVERY: usize = 16;

/// What stands out is, in all outputs, at least so many times as far from the mean as the median input: where it is in one alone, something
/// is on the picture, and not the picture at fault.
const FAR: f64 = 8.0;

impl Reference {
    /// The inputs of a pass of which one counts for more than an eighth of an output's squared deviation from the mean of the inputs that
    /// judge, and that are far from it in all outputs; ascending, by their numbers in the data set. Outputs between 0 and 1 are
    /// probabilities, of which most are next to 0 where few inputs show something: these say nothing.
    ///
    /// # Errors
    /// As [`Pass::run`].
    pub fn outliers(&self, pass: &Pass<'_>, model: &Model) -> Result<Vec<u32>, EvaluateError> {
        let mut session = pass.engine.compile(model, &options(self.names()))?;
        let mut items: Vec<usize> = Vec::new();
        let mut deviations: Vec<Vec<f64>> = vec![Vec::new(); self.names().len()];
        let mut bounded = vec![true; self.names().len()];
        pass.run(session.as_mut(), |batch, outputs| {
            items.extend(&batch.items);
            for (at, output) in outputs.iter().enumerate() {
                deviations[at].extend(self.deviations(at, output));
                bounded[at] &= output.iter().all(|own| (0.0..=1.0).contains(own));
            }
            Ok(())
        })?;
        // Outputs whose rows are not those of the inputs say nothing of these.
        let telling = deviations.into_iter().zip(bounded).filter(|(own, bounded)| own.len() == items.len() && !bounded);
        let found = far_in_all(&telling.map(|own| own.0).collect::<Vec<_>>());
        // A run may be filled with inputs that are there already.
        let found: BTreeSet<u32> = found.into_iter().filter_map(|at| u32::try_from(items[at]).ok()).collect();
        Ok(found.into_iter().collect())
    }
}

/// Places of inputs that stand out in some output and are far from the mean in all; `deviations`: output by output, of every input.
fn far_in_all(deviations: &[Vec<f64>]) -> BTreeSet<usize> {
    let medians: Vec<f64> = deviations.iter().map(|own| median(own)).collect();
    let far = |at: &usize| deviations.iter().zip(&medians).all(|(own, median)| own[*at] >= FAR * median);
    deviations.iter().flat_map(|own| outstanding(own)).filter(far).collect()
}

fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(numbers.len() / 2).copied().unwrap_or(0.0)
}

/// Places of the largest numbers, as long as one is more than [`MOST_OF_ALL`] of itself and all smaller ones; none where that are too many.
fn outstanding(deviations: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..deviations.len()).collect();
    order.sort_by(|&a, &b| deviations[b].total_cmp(&deviations[a]));
    let mut left: f64 = deviations.iter().sum();
    let mut found = Vec::new();
    for at in order {
        if deviations[at] <= MOST_OF_ALL * left {
            break;
        }
        left -= deviations[at];
        found.push(at);
    }
    if found.len() * EVERY > deviations.len() { Vec::new() } else { found }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_numbers_stand_out_and_many_do_not() {
        let mut numbers: Vec<f64> = (0..64).map(|at| 1.0 + f64::from(at % 7)).collect();
        assert_eq!(outstanding(&numbers), [0; 0]);
        (numbers[5], numbers[9]) = (1e6, 2e3);
        assert_eq!(outstanding(&numbers), [5, 9]);
        // A few inputs with something on them, among many with nothing.
        let mut sparse = vec![0.0; 64];
        sparse[..12].fill(3.0);
        assert_eq!(outstanding(&sparse), [0; 0]);
        // In one output alone something is seen; in both the input is at fault.
        let other: Vec<f64> = (0..64).map(|at| 1.0 + f64::from(at % 5)).collect();
        assert!(far_in_all(&[numbers.clone(), other.clone()]).is_empty());
        let mut both = other;
        both[5] = 100.0;
        assert_eq!(far_in_all(&[numbers, both]), BTreeSet::from([5]));
        // Too few to tell.
        assert_eq!(outstanding(&[1.0, 1.0, 50.0]), [0; 0]);
    }
}
