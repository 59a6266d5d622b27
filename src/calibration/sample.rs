//! Which images are used.

use std::collections::BTreeMap;

use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::Dataset;

/// Indices of `count` images (all if `None` or too many), ascending.
///
/// With labels the classes take turns, so that their counts differ by one at most as long as each has enough.
/// The same seed gives the same images on every machine.
pub fn sample(dataset: &Dataset, count: Option<usize>, seed: u64) -> Vec<usize> {
    let count = count.unwrap_or(dataset.len()).min(dataset.len());
    if count == dataset.len() {
        return (0..count).collect();
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut classes: BTreeMap<Option<usize>, Vec<usize>> = BTreeMap::new();
    for index in 0..dataset.len() {
        classes.entry(dataset.label(index)).or_default().push(index);
    }
    let mut queues: Vec<Vec<usize>> = classes.into_values().collect();
    for queue in &mut queues {
        queue.shuffle(&mut rng);
    }
    queues.shuffle(&mut rng);
    let mut chosen = Vec::with_capacity(count);
    while chosen.len() < count {
        for queue in &mut queues {
            if chosen.len() < count {
                chosen.extend(queue.pop());
            }
        }
    }
    chosen.sort_unstable();
    chosen
}
