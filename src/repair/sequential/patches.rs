//! What an output of a layer reads: for every output position and kernel position an input position, or the padding.

use rand::seq::index::sample;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::ops::window::Window;

/// Reads nothing: padding.
const NOTHING: u32 = u32::MAX;

/// The table of what is read, for one size of the input.
#[derive(Debug, Clone)]
pub(super) struct Reads {
    pub(super) kernel_size: usize,
    pub(super) positions: usize,
    /// Input positions of one channel.
    pub(super) area: usize,
    table: Vec<u32>,
}

impl Reads {
    /// One position reads itself.
    pub(super) fn plain(positions: usize) -> Self {
        #[allow(clippy::cast_possible_truncation, reason = "positions of one image")]
        let table = (0..positions as u32).collect();
        Self { kernel_size: 1, positions, area: positions, table }
    }

    /// For spatial sizes of the input and the output.
    #[allow(clippy::cast_possible_truncation, reason = "positions of one image")]
    pub(super) fn of(window: &Window, input: &[usize], output: &[usize]) -> Option<Self> {
        let placed = window.place(input, output)?;
        let (kernel_size, positions) = (placed.kernel_size(), placed.positions());
        let read = |index: usize| placed.reads(index / kernel_size, index % kernel_size);
        let table = (0..positions * kernel_size).map(|index| read(index).map_or(NOTHING, |at| at as u32)).collect();
        Some(Self { kernel_size, positions, area: placed.area(), table })
    }

    /// Writes the patch `[C * kernel_size]` of a position of an image `[C, area]`; padding is zero.
    pub(super) fn patch(&self, image: &[f32], position: usize, to: &mut [f32]) {
        let reads = &self.table[position * self.kernel_size..][..self.kernel_size];
        for (map, own) in image.chunks_exact(self.area).zip(to.chunks_exact_mut(self.kernel_size)) {
            for (cell, &at) in own.iter_mut().zip(reads) {
                *cell = if at == NOTHING { 0.0 } else { map[at as usize] };
            }
        }
    }
}

/// Positions of an image that are looked at, ascending; the draw depends on the image's number alone.
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
