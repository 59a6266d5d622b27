//! What an output of a layer reads: for every output position and kernel position an input position, or the padding.

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
