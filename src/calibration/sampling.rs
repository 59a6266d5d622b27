//! Which images are used.

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::Dataset;

/// Chooses `count` images (all where `None` or more than there are), balanced over the classes.
///
/// The order is interleaved: round after round takes one image of each class that has any left, classes and images
/// in an order drawn from `seed` (`ChaCha8`). Any prefix is therefore balanced to within one image while no class is
/// used up, and a smaller sample of the same seed is a prefix of a larger one. Unlabelled images are one class.
pub fn sample(dataset: &Dataset, count: Option<usize>, seed: u64) -> Vec<u32> {
    let mut classes: BTreeMap<Option<usize>, Vec<u32>> = BTreeMap::new();
    for item in dataset.numbers() {
        classes.entry(dataset.label(item as usize)).or_default().push(item);
    }
    interleave(classes.into_values().collect(), count.unwrap_or(usize::MAX), seed)
}

fn interleave(mut classes: Vec<Vec<u32>>, count: usize, seed: u64) -> Vec<u32> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    for class in &mut classes {
        class.shuffle(&mut random);
    }
    let mut chosen = Vec::with_capacity(count.min(classes.iter().map(Vec::len).sum()));
    while !classes.is_empty() && chosen.len() < count {
        classes.shuffle(&mut random);
        chosen.extend(classes.iter_mut().filter_map(Vec::pop));
        classes.retain(|class| !class.is_empty());
    }
    chosen.truncate(count);
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(lengths: &[u32]) -> Vec<Vec<u32>> {
        let mut next = 0;
        let mut class = |length: u32| {
            next += length;
            (next - length..next).collect()
        };
        lengths.iter().map(|&length| class(length)).collect()
    }

    #[test]
    fn balanced_to_within_one() {
        for count in 0..40 {
            let chosen = interleave(classes(&[10, 10, 10, 10]), count, 7);
            assert_eq!(chosen.len(), count);
            let mut per_class = [0; 4];
            for i in chosen {
                per_class[i as usize / 10] += 1;
            }
            assert!(per_class.iter().max().unwrap() - per_class.iter().min().unwrap() <= 1, "{count}: {per_class:?}");
        }
    }

    #[test]
    fn small_classes_are_used_up_and_others_fill() {
        let mut chosen = interleave(classes(&[2, 50]), 30, 1);
        chosen.sort_unstable();
        assert_eq!(&chosen[..2], [0, 1]);
        assert_eq!(chosen.len(), 30);
        chosen.dedup();
        assert_eq!(chosen.len(), 30);
    }

    #[test]
    fn same_seed_same_sample_and_prefixes() {
        let all = interleave(classes(&[5, 9, 3]), usize::MAX, 3);
        assert_eq!(all.len(), 17);
        assert_eq!(interleave(classes(&[5, 9, 3]), 6, 3), all[..6]);
        assert_ne!(interleave(classes(&[5, 9, 3]), usize::MAX, 4), all);
    }

    /// Pinned, so that a plan made with one version can be repeated with the next.
    #[test]
    fn the_sequence_is_stable() {
        assert_eq!(interleave(classes(&[3, 3]), 6, 42), [5, 0, 1, 4, 3, 2]);
    }
}
