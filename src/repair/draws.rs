//! Seeded draws of positions: the same for any number of threads and batches.

use rand::seq::index::sample;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// `wanted` of `of` positions of an image, ascending; all of them if there are no more. The draw depends on the seed and
/// the image's number alone.
pub(super) fn positions(seed: u64, image: usize, of: usize, wanted: usize) -> Vec<usize> {
    if wanted >= of {
        return (0..of).collect();
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(image as u64);
    let mut picked = sample(&mut rng, of, wanted).into_vec();
    picked.sort_unstable();
    picked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_depend_on_the_image_alone() {
        let picked = positions(3, 17, 100, 10);
        assert_eq!(picked, positions(3, 17, 100, 10));
        assert_ne!(picked, positions(3, 18, 100, 10));
        assert!(picked.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(positions(3, 0, 4, 10), [0, 1, 2, 3]);
    }
}
