#![allow(clippy::float_cmp, reason = "exact by construction")]

use ndarray::{Array2, Array3};

use super::*;
use crate::score::{Criterion, Mixture, NAMES, SglpIb, StlpIb, by_name};
use crate::statistics::InputFeatures;

const IMAGES: usize = 60;
const CLASSES: usize = 3;

/// Noise in [-1, 1) from an integer, the same on every platform.
fn noise(index: usize) -> f32 {
    let mixed = (index as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    ((mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 40) as f32 / (1 << 23) as f32 - 1.0
}

/// Pruning units 0, 1, 2 tell one class each, 3 is constant, the rest is noise.
fn consumer_input(width: usize) -> InputFeatures {
    let features = Array3::from_shape_fn((IMAGES, width, 4), |(i, j, a)| match j {
        3 => 0.5,
        _ if j < 3 && i % CLASSES == j => 2.0 + 0.3 * noise(i * 977 + j * 31 + a),
        _ => noise(i * 977 + j * 31 + a),
    });
    InputFeatures { features }
}

fn outputs() -> Array2<f32> {
    Array2::from_shape_fn((IMAGES, CLASSES), |(i, k)| {
        f32::from(u8::from(i % CLASSES == k)) * 3.0
            + f32::from(u8::from(i % CLASSES != 2 && k != 2))
            + 0.3 * noise(i * 7 + k)
    })
}

fn responses() -> (Responses, Relatedness) {
    let labels = crate::score::responses::argmax(outputs().view()).unwrap();
    (Responses::from_labels(&labels, CLASSES).unwrap(), Relatedness::from_outputs(outputs().view()))
}

fn run(criterion: &dyn Criterion, consumer_inputs: &[InputFeatures], consumer: &Array2<f32>) -> GroupScores {
    let (responses, related) = responses();
    let input = GroupInput {
        name: "group",
        width: consumer.nrows(),
        producer_weights: vec![consumer.view()],
        consumer_weights: vec![consumer.view()],
        consumer_inputs,
        responses: Some(&responses),
        relatedness: Some(&related),
        ..GroupInput::default()
    };
    criterion.score(&input).unwrap()
}

#[test]
fn channels_that_tell_a_class_come_first_and_dead_ones_last() {
    let (consumer_inputs, consumer) = ([consumer_input(12)], Array2::from_elem((12, 3), 1.0));
    for literal in [false, true] {
        let options = if literal { LassoOptions::literal() } else { LassoOptions::default() };
        for criterion in [&SglpIb { options } as &dyn Criterion, &StlpIb { options }, &crate::score::Apib { options }] {
            let result = run(criterion, &consumer_inputs, &consumer);
            let noise = result.scores[4..].iter().copied().fold(0.0, f64::max);
            assert!(result.scores[..3].iter().all(|&score| score > noise), "{} {:?}", criterion.name(), result.scores);
            assert_eq!(result.scores[3], 0.0);
            assert_eq!(result.scores.iter().copied().fold(0.0, f64::max), 1.0);
            let path = result.path.unwrap();
            assert!(path.converged && path.residual < 1e-6 && path.dead == [3], "{path:?}");
        }
    }
}

#[test]
fn energy_counts_what_the_consumers_read() {
    let mut consumer = Array2::from_elem((12, 3), 1.0);
    consumer.row_mut(1).fill(0.0);
    let result = run(&StlpIb::default(), &[consumer_input(12)], &consumer);
    assert_eq!(result.scores[1], 0.0);
    assert!(result.path.unwrap().dead.contains(&1));
}

#[test]
fn all_atoms_dead_scores_zero() {
    let consumer_inputs = [InputFeatures { features: Array3::from_elem((IMAGES, 2, 4), 1.0) }];
    let result = run(&StlpIb::default(), &consumer_inputs, &Array2::from_elem((2, 1), 1.0));
    assert_eq!(result.scores, [0.0, 0.0]);
}

#[test]
fn threads_do_not_change_any_bit() {
    let (consumer_inputs, consumer) =
        ([consumer_input(40), consumer_input(40)], Array2::from_shape_fn((40, 3), |(j, k)| 1.0 + noise(j * 3 + k)));
    let options = LassoOptions::literal();
    for criterion in [&StlpIb { options } as &dyn Criterion, &SglpIb::default(), &StlpIb::default()] {
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| run(criterion, &consumer_inputs, &consumer))
        };
        assert_eq!(with(1), with(2));
    }
}

#[test]
fn what_is_missing_is_named() {
    let weights = Array2::from_elem((2, 1), 1.0);
    let bare = crate::score::tests::weights_only(2, &[&weights]);
    for name in NAMES {
        let criterion = by_name(name, LassoOptions::default(), Mixture::default()).unwrap();
        if criterion.needs().outputs {
            assert!(matches!(criterion.score(&bare), Err(ScoreError::Missing { .. })), "{name}");
        }
    }
}

#[test]
fn blocks_are_used_when_all_pairs_cost_too_much() {
    let (responses, _) = responses();
    let options = LassoOptions::literal();
    assert_eq!(blocks(&options, &responses, 60, 100), Blocks::All);
    assert_ne!(blocks(&options, &responses, 2000, 2048), Blocks::All);
    assert_eq!(blocks(&LassoOptions::default(), &responses, 2000, 2048), Blocks::All);
    let forced = blocks(&LassoOptions { pairs: Pairs::Blocks(20), ..options }, &responses, 60, 10);
    assert!(matches!(forced, Blocks::Inside(blocks) if blocks.len() == 3));
}
