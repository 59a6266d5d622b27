//! Direct convolution: sums over the windows of several channels, without the windows.
//!
//! Planes are copied once, as [`Polyphase`] lays them out. There every channel and kernel position reads one run of numbers for all
//! output positions, and a convolution is a product of the weight with a matrix whose rows are such runs.

use super::polyphase::{Polyphase, Tap};
use super::simd::{Panels, Runs, SLACK, products, sum};

/// Numbers of the copies of several images at most, so that they stay in the cache.
const CACHED: usize = 1 << 16;

/// A convolution of one group: `channels` planes in, `outputs` planes out. Its weight is `[outputs, channels, kernel positions]`.
///
/// Below, *read* is the side whose planes are padded and split into components, *written* the other one: input and output of a
/// convolution, output and input of a transposed one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Direct {
    window: Polyphase,
    channels: usize,
    outputs: usize,
    /// Where the runs of the written side begin in the copies of the read side, by channel and tap.
    reads: Vec<usize>,
    /// Their numbers in the weight for the first plane of the written side, and how far those of the next are from them.
    places: Vec<usize>,
    next: usize,
}

/// A weight, ready for sums towards one side.
pub(crate) struct Weights {
    towards_read: bool,
    /// One matrix; towards the read side one for every component.
    panels: Vec<Panels>,
}

/// Copies of the planes of one image.
pub(crate) struct Copies {
    from: Vec<f32>,
    sums: Vec<f32>,
}

impl Direct {
    pub(super) fn new(window: Polyphase, kernel_size: usize, channels: usize, outputs: usize) -> Self {
        let read = if window.transposed { outputs } else { channels };
        let plane = window.input_copy();
        let begin = |tap: &Tap| tap.component * window.size + tap.behind;
        let reads = (0..read).flat_map(|channel| window.taps.iter().map(move |tap| channel * plane + begin(tap)));
        let reads = reads.collect();
        // The weight by channel of the read side and by channel of the written side.
        let (outer, next) = if window.transposed {
            (channels * kernel_size, kernel_size)
        } else {
            (kernel_size, channels * kernel_size)
        };
        let place = |channel: usize| window.taps.iter().map(move |tap| channel * outer + tap.kernel_position);
        let places = (0..read).flat_map(place).collect();
        Self { window, channels, outputs, reads, places, next }
    }

    fn read(&self) -> usize {
        if self.window.transposed { self.outputs } else { self.channels }
    }

    fn written(&self) -> usize {
        if self.window.transposed { self.channels } else { self.outputs }
    }

    /// The weight for [`Direct::add`] from input to output.
    pub(crate) fn forward(&self, weight: &[f32]) -> Weights {
        self.weights(weight, self.window.transposed)
    }

    /// The weight for [`Direct::add`] from output to input: the transpose.
    pub(crate) fn backward(&self, weight: &[f32]) -> Weights {
        self.weights(weight, !self.window.transposed)
    }

    fn weights(&self, weight: &[f32], towards_read: bool) -> Weights {
        let taps = &self.window.taps;
        let panels = if towards_read {
            let component = |component: usize| {
                let own: Vec<usize> = (0..taps.len()).filter(|&tap| taps[tap].component == component).collect();
                Panels::new(self.read(), self.written() * own.len(), |read, tap| {
                    let (written, tap) = (tap / own.len(), own[tap % own.len()]);
                    weight[written * self.next + self.places[read * taps.len() + tap]]
                })
            };
            (0..self.window.components).map(component).collect()
        } else {
            let number = |written: usize, tap: usize| weight[written * self.next + self.places[tap]];
            vec![Panels::new(self.written(), self.reads.len(), number)]
        };
        Weights { towards_read, panels }
    }

    /// Memory for [`Direct::add`], used again for every image.
    pub(crate) fn copies(&self, weights: &Weights) -> Copies {
        let read = self.read() * self.window.input_copy() + SLACK;
        let (from, sums) = if weights.towards_read {
            (self.written() * self.window.output_copy() + SLACK, read)
        } else {
            (read, self.written() * self.window.span)
        };
        Copies { from: vec![0.0; from], sums: vec![0.0; sums] }
    }

    /// Adds to the planes `to` of one image what those of the other side give.
    pub(crate) fn add(&self, weights: &Weights, from: &[f32], to: &mut [f32], copies: &mut Copies) {
        if weights.towards_read {
            self.add_to_read(weights, from, to, copies);
        } else {
            self.add_to_written(weights, from, to, copies);
        }
    }

    fn add_to_written(&self, weights: &Weights, from: &[f32], to: &mut [f32], copies: &mut Copies) {
        let (window, span) = (&self.window, self.window.span);
        for (plane, copy) in planes(from, self.read()).zip(copies.from.chunks_exact_mut(window.input_copy())) {
            window.spread_input(plane, copy);
        }
        for panels in &weights.panels {
            sum(panels, &self.reads, &copies.from, &mut copies.sums, span, span);
        }
        for (plane, copy) in planes_mut(to, self.written()).zip(copies.sums.chunks_exact(span)) {
            window.add_to_output(copy, plane);
        }
    }

    fn add_to_read(&self, weights: &Weights, from: &[f32], to: &mut [f32], copies: &mut Copies) {
        let (window, stride, front) = (&self.window, self.window.output_copy(), self.window.front);
        for (plane, copy) in planes(from, self.written()).zip(copies.from.chunks_exact_mut(stride)) {
            window.spread_output(plane, copy);
        }
        for (component, panels) in weights.panels.iter().enumerate() {
            let own = window.taps.iter().filter(|tap| tap.component == component);
            let begins = |plane: usize| own.clone().map(move |tap| plane * stride + front - tap.behind);
            let offsets: Vec<usize> = (0..self.written()).flat_map(begins).collect();
            if !offsets.is_empty() {
                let sums = &mut copies.sums[component * window.size..];
                sum(panels, &offsets, &copies.from, sums, window.input_copy(), window.size);
            }
        }
        for (plane, copy) in planes_mut(to, self.read()).zip(copies.sums.chunks_exact(window.input_copy())) {
            window.add_to_input(copy, plane);
        }
    }

    /// Adds to every number of the weight the sum over images and output positions of output times what is read there.
    /// `images`: input and output planes of every image.
    pub(crate) fn add_gradient(&self, images: &[(&[f32], &[f32])], weight: &mut [f32]) {
        let window = &self.window;
        let (plane, row) = (window.input_copy(), window.output_copy());
        let (read, written) = (self.read() * plane, self.written() * row);
        let held = (CACHED / (read + written).max(1)).clamp(1, images.len().max(1));
        let (mut reads, mut writes) = (vec![0.0; held * read + SLACK], vec![0.0; held * written + SLACK]);
        let rows: Vec<usize> = (0..self.written()).map(|own| own * row + window.front).collect();
        for images in images.chunks(held) {
            for (&(input, output), (to_read, to_write)) in
                images.iter().zip(reads.chunks_exact_mut(read).zip(writes.chunks_exact_mut(written)))
            {
                let (from_read, from_write) = if window.transposed { (output, input) } else { (input, output) };
                for (plane, copy) in planes(from_read, self.read()).zip(to_read.chunks_exact_mut(plane)) {
                    window.spread_input(plane, copy);
                }
                for (plane, copy) in planes(from_write, self.written()).zip(to_write.chunks_exact_mut(row)) {
                    window.spread_output(plane, copy);
                }
            }
            let left = Runs { numbers: &writes, stride: written, offsets: &rows };
            let right = Runs { numbers: &reads, stride: read, offsets: &self.reads };
            let sums = products(&left, &right, images.len(), window.span);
            for (own, sums) in sums.chunks_exact(self.reads.len()).enumerate() {
                for (&place, sum) in self.places.iter().zip(sums) {
                    weight[own * self.next + place] += sum;
                }
            }
        }
    }
}

/// The planes of one image.
fn planes(all: &[f32], count: usize) -> impl Iterator<Item = &[f32]> {
    all.chunks_exact((all.len() / count.max(1)).max(1))
}

fn planes_mut(all: &mut [f32], count: usize) -> impl Iterator<Item = &mut [f32]> {
    let size = (all.len() / count.max(1)).max(1);
    all.chunks_exact_mut(size)
}
