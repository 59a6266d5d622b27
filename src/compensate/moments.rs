//! Moments of what consumers read, streamed over the calibration images (`compensation.md` 7.1, 7.3, 7.4).

use std::collections::BTreeMap;

use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::{Accum, Mat, MatRef, Par};
use ndarray::{ArrayD, Axis};
use rand::seq::index::sample;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rayon::prelude::*;

use super::geometry::Window;
use crate::channels::{Channels, Tap};
use crate::model::Model;

/// Rows (image, position) that enter one problem at most.
const MOST_ROWS: usize = 40_000;

/// Positions per image at least, where there are so many.
const LEAST_POSITIONS: usize = 8;

/// Columns (channel, kernel position) above which only channels are regressed on channels: 42 MB of products.
const MOST_COLUMNS: usize = 2304;

/// Channels above which no products are gathered; bias correction remains.
const MOST_CHANNELS: usize = 4096;

/// What [`Moments`] gathers beside means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Products {
    /// Means only: enough for bias correction.
    Means,
    /// Products of all pairs of columns.
    Pairs,
}

/// Second moments of the columns that a consumer reads, at sampled positions.
#[derive(Debug, Clone)]
pub(super) struct Pairs {
    /// Columns per channel: 1, or one per kernel position.
    pub(super) per_channel: usize,
    /// Rows seen.
    pub(super) rows: usize,
    /// Sum of every column.
    pub(super) sum: Vec<f64>,
    /// Sum of products, lower triangle.
    pub(super) gram: Mat<f64>,
}

/// What one consumer reads.
#[derive(Debug, Clone)]
pub(super) struct Consumer {
    value: String,
    axis: usize,
    window: Option<Window>,
    /// Kernel positions of the weight.
    pub(super) taps: usize,
    /// Sum over all positions of what every (channel, kernel position) reads.
    pub(super) sums: Vec<f64>,
    /// Number of those positions.
    pub(super) count: usize,
    pub(super) pairs: Option<Pairs>,
}

/// An observer of all values that consumers read.
#[derive(Debug)]
pub struct Moments {
    images: usize,
    seed: u64,
    seen: usize,
    pub(super) consumers: BTreeMap<usize, Consumer>,
}

impl Moments {
    /// For every consumer of every group. `images` is the number that will be seen.
    pub fn new(model: &Model, channels: &Channels, images: usize, seed: u64, products: Products) -> Self {
        let mut consumers = BTreeMap::new();
        for tap in channels.groups.iter().flat_map(|group| &group.taps) {
            consumers.entry(tap.node).or_insert_with(|| Consumer::new(model, channels, tap, images, products));
        }
        Self { images, seed, seen: 0, consumers }
    }

    /// Names of the values that [`Moments::observe`] wants.
    pub fn wants(&self) -> Vec<String> {
        let mut names: Vec<String> = self.consumers.values().map(|consumer| consumer.value.clone()).collect();
        names.sort();
        names.dedup();
        names
    }

    /// Folds one batch in. `values` are looked up by name; `[N, ...]` each.
    pub fn observe(&mut self, values: &BTreeMap<String, ArrayD<f32>>) {
        let batch = self.consumers.values().find_map(|consumer| values.get(&consumer.value));
        let batch = batch.map_or(0, |value| value.len_of(Axis(0)));
        let (images, seed, seen) = (self.images, self.seed, self.seen);
        // Consumers are independent and each adds in the order of the batches: any number of threads gives one result.
        self.consumers.par_iter_mut().for_each(|(_, consumer)| {
            if let Some(value) = values.get(&consumer.value) {
                consumer.add(value, images, seed, seen);
            }
        });
        self.seen += batch;
    }
}

impl Consumer {
    fn new(model: &Model, channels: &Channels, tap: &Tap, images: usize, products: Products) -> Self {
        let node = &model.graph().node[tap.node];
        let weight = channels.use_ids(tap.node, tap.weight.0).map(|ids| ids.shape.clone()).unwrap_or_default();
        let output = node.output.first().and_then(|name| channels.shape(name)).unwrap_or_default();
        let window = Window::of(node, &weight, output);
        let taps = window.as_ref().map_or(1, Window::taps);
        let shape = channels.shape(&tap.value).unwrap_or_default();
        let inside = shape.iter().product::<usize>() / tap.size.max(1);
        let positions = window.as_ref().map_or(inside, Window::positions);
        let rows = images * wanted_positions(images, positions);
        let columns = tap.size * taps;
        // Fewer rows than twice the columns would fit noise.
        let per_channel = if columns <= MOST_COLUMNS && rows >= 2 * columns { taps } else { 1 };
        let pairs = (products == Products::Pairs && tap.size <= MOST_CHANNELS).then(|| Pairs {
            per_channel,
            rows: 0,
            sum: vec![0.0; tap.size * per_channel],
            gram: Mat::zeros(tap.size * per_channel, tap.size * per_channel),
        });
        Self {
            value: tap.value.clone(),
            axis: tap.axis,
            window,
            taps,
            sums: vec![0.0; tap.size * taps],
            count: 0,
            pairs,
        }
    }

    fn add(&mut self, value: &ArrayD<f32>, images: usize, seed: u64, first: usize) {
        if let Some(window) = &self.window {
            self.count += window.add_sums(&value.view(), &mut self.sums);
        } else {
            // Without a window (or with one that is not followed) borders count like the rest.
            for (channel, slice) in value.axis_iter(Axis(self.axis)).enumerate() {
                self.sums[channel] += slice.iter().map(|&v| f64::from(v)).sum::<f64>();
            }
            self.count += value.len() / value.len_of(Axis(self.axis)).max(1);
        }
        let Some(pairs) = &mut self.pairs else { return };
        let draw = Draw { images, seed, first };
        let rows = match &self.window {
            Some(window) if pairs.per_channel > 1 => draw.patches(value, window),
            _ => draw.rows(value, self.axis),
        };
        pairs.add(&rows);
    }
}

impl Pairs {
    fn add(&mut self, rows: &Mat<f64>) {
        self.rows += rows.nrows();
        for (column, sum) in self.sum.iter_mut().enumerate() {
            *sum += rows.col(column).iter().sum::<f64>();
        }
        let rows: MatRef<'_, f64> = rows.as_ref();
        triangular::matmul(
            self.gram.as_mut(),
            BlockStructure::TriangularLower,
            Accum::Add,
            rows.transpose(),
            BlockStructure::Rectangular,
            rows,
            BlockStructure::Rectangular,
            1.0,
            Par::Seq,
        );
    }

    /// Covariance of two columns.
    pub(super) fn covariance(&self, a: usize, b: usize) -> f64 {
        let n = self.rows as f64;
        self.gram[(a.max(b), a.min(b))] / n - self.sum[a] / n * self.sum[b] / n
    }
}

fn wanted_positions(images: usize, positions: usize) -> usize {
    LEAST_POSITIONS.max(MOST_ROWS / images.max(1)).min(positions)
}

/// Which positions of which images are looked at. The draw depends on the image's number alone.
struct Draw {
    images: usize,
    seed: u64,
    first: usize,
}

impl Draw {
    fn positions(&self, image: usize, positions: usize) -> Vec<usize> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream((self.first + image) as u64);
        let mut picked = sample(&mut rng, positions, wanted_positions(self.images, positions)).into_vec();
        picked.sort_unstable();
        picked
    }

    /// Channel vectors `[rows, C]` at sampled positions of the value.
    fn rows(&self, value: &ArrayD<f32>, axis: usize) -> Mat<f64> {
        let (channels, n) = (value.len_of(Axis(axis)), value.len_of(Axis(0)));
        let positions = value.len() / (n * channels).max(1);
        let wanted = wanted_positions(self.images, positions);
        let mut rows = Mat::zeros(n * wanted, channels);
        let outer: usize = value.shape()[1..axis].iter().product();
        let inner: usize = value.shape()[axis + 1..].iter().product();
        let Some(values) = value.as_slice() else { return rows };
        for image in 0..n {
            for (row, position) in self.positions(image, positions).into_iter().enumerate() {
                // A position counts the axes before and after the channel axis, in row-major order.
                let start = (image * outer + position / inner) * channels * inner + position % inner;
                for channel in 0..channels {
                    rows[(image * wanted + row, channel)] = f64::from(values[start + channel * inner]);
                }
            }
        }
        rows
    }

    /// Patches `[rows, C * taps]` at sampled output positions; padding reads zero.
    fn patches(&self, value: &ArrayD<f32>, window: &Window) -> Mat<f64> {
        let (&[n, channels, height, width], Some(values)) = (value.shape(), value.as_slice()) else {
            return Mat::zeros(0, 0);
        };
        let (taps, positions) = (window.taps(), window.positions());
        let wanted = wanted_positions(self.images, positions);
        let mut rows = Mat::zeros(n * wanted, channels * taps);
        for image in 0..n {
            for (row, position) in self.positions(image, positions).into_iter().enumerate() {
                for tap in 0..taps {
                    let Some((y, x)) = window.reads(position, tap, height, width) else { continue };
                    for channel in 0..channels {
                        let at = ((image * channels + channel) * height + y) * width + x;
                        rows[(image * wanted + row, channel * taps + tap)] = f64::from(values[at]);
                    }
                }
            }
        }
        rows
    }
}
