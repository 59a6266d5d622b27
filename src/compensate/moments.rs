//! Moments of what consumers read, streamed over the calibration images (`compensation.md` 7.1, 7.3).

use std::collections::BTreeMap;

use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::{Accum, Mat, MatRef, Par};
use ndarray::{ArrayD, Axis};
use rand::seq::index::sample;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::geometry::Window;
use crate::channels::{Channels, Tap};
use crate::model::Model;

/// Rows (image, position) that enter one problem at most.
const MOST_ROWS: usize = 40_000;

/// Positions per image at least, where there are so many.
const LEAST_POSITIONS: usize = 8;

/// Channels above which the c x c moments are not gathered; bias correction remains.
const MOST_CHANNELS: usize = 4096;

/// Second moments of one value's channels at sampled positions.
#[derive(Debug, Clone)]
pub struct TapMoments {
    /// Rows seen.
    pub rows: usize,
    /// Sum of every channel.
    pub sum: Vec<f64>,
    /// Sum of products, lower triangle, `[C, C]`.
    pub gram: Option<Mat<f64>>,
}

/// Mean input patch of one consumer.
#[derive(Debug, Clone)]
pub(super) struct PatchSums {
    window: Option<Window>,
    /// `[C, taps]`.
    pub(super) sums: Vec<f64>,
    pub(super) taps: usize,
    pub(super) count: usize,
}

/// An observer of all values that consumers read.
#[derive(Debug)]
pub struct Moments {
    axes: BTreeMap<String, usize>,
    images: usize,
    seed: u64,
    seen: usize,
    pub(super) taps: BTreeMap<String, TapMoments>,
    pub(super) patches: BTreeMap<usize, PatchSums>,
    consumers: Vec<(usize, String)>,
}

impl Moments {
    /// For every consumer of every group. `images` is the number that will be seen.
    pub fn new(model: &Model, channels: &Channels, images: usize, seed: u64, products: Products) -> Self {
        let mut moments = Self {
            axes: BTreeMap::new(),
            images,
            seed,
            seen: 0,
            taps: BTreeMap::new(),
            patches: BTreeMap::new(),
            consumers: Vec::new(),
        };
        for tap in channels.groups.iter().flat_map(|group| &group.taps) {
            moments.add_tap(model, channels, tap, products);
        }
        moments
    }

    fn add_tap(&mut self, model: &Model, channels: &Channels, tap: &Tap, products: Products) {
        let wanted = products == Products::Pairs && tap.size <= MOST_CHANNELS;
        self.axes.insert(tap.value.clone(), tap.axis);
        self.taps.entry(tap.value.clone()).or_insert_with(|| TapMoments {
            rows: 0,
            sum: vec![0.0; tap.size],
            gram: wanted.then(|| Mat::zeros(tap.size, tap.size)),
        });
        if self.patches.contains_key(&tap.node) {
            return;
        }
        let node = &model.graph().node[tap.node];
        let weight = channels.use_ids(tap.node, tap.weight.0).map(|ids| ids.shape.clone()).unwrap_or_default();
        let output = node.output.first().and_then(|name| channels.shape(name)).unwrap_or_default();
        let window = Window::of(node, &weight, output);
        let taps = window.as_ref().map_or(1, |window| window.kernel[0] * window.kernel[1]);
        self.patches.insert(tap.node, PatchSums { window, sums: vec![0.0; tap.size * taps], taps, count: 0 });
        self.consumers.push((tap.node, tap.value.clone()));
    }

    /// Names of the values that [`Moments::observe`] wants.
    pub fn wants(&self) -> Vec<String> {
        self.axes.keys().cloned().collect()
    }

    /// Folds one batch in. `values` are looked up by name; `[N, ...]`, finite or not taken at all.
    pub fn observe(&mut self, values: &BTreeMap<String, ArrayD<f32>>) {
        let mut batch = 0;
        for (name, &axis) in &self.axes {
            let (Some(value), Some(moments)) = (values.get(name), self.taps.get_mut(name)) else { continue };
            batch = value.len_of(Axis(0));
            let rows = rows(value, axis, self.images, self.seed, self.seen);
            moments.add(&rows);
        }
        for (node, name) in &self.consumers {
            let (Some(value), Some(patch)) = (values.get(name), self.patches.get_mut(node)) else { continue };
            patch.add(value, self.axes[name]);
        }
        self.seen += batch;
    }
}

/// What [`Moments`] gathers beside means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Products {
    /// Means only: enough for bias correction.
    Means,
    /// Products of all pairs of channels.
    Pairs,
}

impl TapMoments {
    fn add(&mut self, rows: &Mat<f64>) {
        self.rows += rows.nrows();
        for (channel, sum) in self.sum.iter_mut().enumerate() {
            *sum += rows.col(channel).iter().sum::<f64>();
        }
        if let Some(gram) = &mut self.gram {
            let rows: MatRef<'_, f64> = rows.as_ref();
            triangular::matmul(
                gram.as_mut(),
                BlockStructure::TriangularLower,
                Accum::Add,
                rows.transpose(),
                BlockStructure::Rectangular,
                rows,
                BlockStructure::Rectangular,
                1.0,
                // One thread: the sums do not depend on the number of threads.
                Par::Seq,
            );
        }
    }
}

impl PatchSums {
    fn add(&mut self, value: &ArrayD<f32>, axis: usize) {
        if let Some(window) = &self.window {
            self.count += window.add_sums(&value.view(), &mut self.sums);
            return;
        }
        // Without a window (or with one that is not followed) borders count like the rest.
        for (channel, slice) in value.axis_iter(Axis(axis)).enumerate() {
            self.sums[channel] += slice.iter().map(|&v| f64::from(v)).sum::<f64>();
        }
        self.count += value.len() / value.len_of(Axis(axis)).max(1);
    }
}

/// Sampled rows `[rows, C]`: the same positions for every value of the same size, drawn per image.
fn rows(value: &ArrayD<f32>, axis: usize, images: usize, seed: u64, first: usize) -> Mat<f64> {
    let channels = value.len_of(Axis(axis));
    let n = value.len_of(Axis(0));
    let positions = value.len() / (n * channels).max(1);
    let wanted = LEAST_POSITIONS.max(MOST_ROWS / images.max(1)).min(positions);
    let mut rows = Mat::zeros(n * wanted, channels);
    let outer: usize = value.shape()[1..axis].iter().product();
    let inner: usize = value.shape()[axis + 1..].iter().product();
    let values = value.as_standard_layout();
    let Some(values) = values.as_slice() else { return rows };
    for image in 0..n {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream((first + image) as u64);
        let mut picked = sample(&mut rng, positions, wanted).into_vec();
        picked.sort_unstable();
        for (row, &position) in picked.iter().enumerate() {
            // A position counts the axes before and after the channel axis, in row-major order.
            let start = (image * outer + position / inner) * channels * inner + position % inner;
            for channel in 0..channels {
                rows[(image * wanted + row, channel)] = f64::from(values[start + channel * inner]);
            }
        }
    }
    rows
}
