//! Kernels of distances, tile by tile (`docs/method.md` 1.5): tiles of images by images, for all channels at once.

use std::ops::Range;

use faer::linalg::matmul::{matmul, triangular};
use faer::mat::{MatMut, MatRef};
use faer::{Accum, Par};
use nalgebra::DMatrix;
use rayon::prelude::*;

use super::Kernel;
use super::gram::Part;

/// Images on a side of a tile.
const TILE: usize = 64;
/// Shares of the tiles, each summed alone and then added in order. Fixed, so that sums do not depend on the threads.
const SHARES: usize = 4;

/// `Q` (`c x c`) and `R` (`c x K`) of a block of images, for kernels of distances.
///
/// Tiles and sums are f64: the centring subtracts sums of about the size of the result's hundredfold.
pub(super) fn statistics<T: Copy + Into<f64> + Send + Sync>(
    part: &Part<'_, T>,
    kernel: Kernel,
) -> (DMatrix<f64>, DMatrix<f64>) {
    let gammas = kernel.gammas(part.features, part.images, part.scale);
    let tiles = tiles(part.images.len());
    let shares: Vec<Share> = (0..SHARES)
        .into_par_iter()
        .map(|share| {
            let mut sums = Share::new(part);
            for tile in tiles.iter().skip(share).step_by(SHARES) {
                sums.add(part, kernel, &gammas, tile);
            }
            sums
        })
        .collect();
    let mut total = Share::new(part);
    for share in shares {
        total.quadratic += share.quadratic;
        total.linear += share.linear;
        total.rows += share.rows;
    }
    total.finish(part.images.len() as f64)
}

struct Tile {
    rows: Range<usize>,
    columns: Range<usize>,
}

impl Tile {
    fn on_diagonal(&self) -> bool {
        self.rows.start == self.columns.start
    }
}

fn tiles(images: usize) -> Vec<Tile> {
    let ranges: Vec<Range<usize>> = (0..images).step_by(TILE).map(|start| start..images.min(start + TILE)).collect();
    let pairs = |first: usize| ranges[first..].iter().map(move |columns| (first, columns.clone()));
    (0..ranges.len()).flat_map(pairs).map(|(first, columns)| Tile { rows: ranges[first].clone(), columns }).collect()
}

/// Sums over some of the tiles.
struct Share {
    /// Lower triangle of the uncentred `Q`.
    quadratic: DMatrix<f64>,
    /// `R` transposed: `K x c`.
    linear: DMatrix<f64>,
    /// Row sums of the kernels: `n x c`.
    rows: DMatrix<f64>,
    /// Kernel blocks, a column per channel; the response kernels' blocks, a column per response.
    block: Vec<f64>,
    responses: Vec<f64>,
}

impl Share {
    fn new<T>(part: &Part<'_, T>) -> Self {
        let channels = part.features.dim().1;
        Self {
            quadratic: DMatrix::zeros(channels, channels),
            linear: DMatrix::zeros(part.factors.len(), channels),
            rows: DMatrix::zeros(part.images.len(), channels),
            block: Vec::new(),
            responses: Vec::new(),
        }
    }

    fn add<T: Copy + Into<f64>>(&mut self, part: &Part<'_, T>, kernel: Kernel, gammas: &[f64], tile: &Tile) {
        let entries = tile.rows.len() * tile.columns.len();
        let (channels, responses) = (gammas.len(), part.factors.len());
        self.block.resize(entries * channels, 0.0);
        self.responses.resize(entries * responses, 0.0);
        let mut distances = Distances::new(part.features.dim().2);
        for (channel, block) in self.block.chunks_exact_mut(entries).enumerate() {
            if gammas[channel] > 0.0 {
                distances.fill(part, channel, tile, block);
                for value in block.iter_mut() {
                    *value = kernel.at(gammas[channel], *value);
                }
            } else {
                // A constant kernel; centring makes it 0, so 0 serves as well and without rounding.
                block.fill(0.0);
            }
            add_row_sums(self.rows.column_mut(channel).as_mut_slice(), block, tile);
        }
        for (factor, block) in part.factors.iter().zip(self.responses.chunks_exact_mut(entries)) {
            response_block(factor, tile, block);
        }
        let weight = if tile.on_diagonal() { 1.0 } else { 2.0 };
        let block = MatRef::from_column_major_slice(&self.block, entries, channels);
        let quadratic = MatMut::from_column_major_slice_mut(self.quadratic.as_mut_slice(), channels, channels);
        let (lower, full) = (triangular::BlockStructure::TriangularLower, triangular::BlockStructure::Rectangular);
        triangular::matmul(quadratic, lower, Accum::Add, block.transpose(), full, block, full, weight, Par::Seq);
        let factors = MatRef::from_column_major_slice(&self.responses, entries, responses);
        let linear = MatMut::from_column_major_slice_mut(self.linear.as_mut_slice(), responses, channels);
        matmul(linear, Accum::Add, factors.transpose(), block, weight, Par::Seq);
    }

    /// Centres: `Q - (2/n) r r^T + s s^T / n^2`; `R` needs nothing, as the responses are centred.
    fn finish(mut self, images: f64) -> (DMatrix<f64>, DMatrix<f64>) {
        self.quadratic.fill_upper_triangle_with_lower_triangle();
        let channels = self.quadratic.nrows();
        let rows = MatRef::from_column_major_slice(self.rows.as_slice(), self.rows.nrows(), channels);
        let quadratic = MatMut::from_column_major_slice_mut(self.quadratic.as_mut_slice(), channels, channels);
        matmul(quadratic, Accum::Add, rows.transpose(), rows, -2.0 / images, Par::Seq);
        let totals = self.rows.row_sum().transpose();
        self.quadratic.ger(1.0 / (images * images), &totals, &totals, 1.0);
        (self.quadratic, self.linear.transpose())
    }
}

/// Scratch for squared distances of one channel.
struct Distances {
    depth: usize,
    first: Vec<f64>,
    second: Vec<f64>,
}

impl Distances {
    fn new(depth: usize) -> Self {
        Self { depth, first: vec![0.0; TILE * depth], second: vec![0.0; TILE * depth] }
    }

    /// `|x|^2 + |x'|^2 - 2 <x, x'>`, not below 0, and exactly 0 for an image with itself.
    fn fill<T: Copy + Into<f64>>(&mut self, part: &Part<'_, T>, channel: usize, tile: &Tile, out: &mut [f64]) {
        let (height, width) = (tile.rows.len(), tile.columns.len());
        let first = &mut self.first[..height * self.depth];
        let second = &mut self.second[..width * self.depth];
        part.gather(channel, tile.rows.clone(), first);
        part.gather(channel, tile.columns.clone(), second);
        let left = MatRef::from_column_major_slice(first, self.depth, height);
        let right = MatRef::from_column_major_slice(second, self.depth, width);
        let product = MatMut::from_column_major_slice_mut(out, height, width);
        matmul(product, Accum::Replace, left.transpose(), right, -2.0, Par::Seq);
        let norms: Vec<f64> = first.chunks_exact(self.depth).map(squared).collect();
        for (index, (column, second)) in out.chunks_exact_mut(height).zip(second.chunks_exact(self.depth)).enumerate() {
            let norm = squared(second);
            for (value, first) in column.iter_mut().zip(&norms) {
                *value = (*value + first + norm).max(0.0);
            }
            if tile.on_diagonal() {
                column[index] = 0.0;
            }
        }
    }
}

fn squared(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum()
}

fn add_row_sums(sums: &mut [f64], block: &[f64], tile: &Tile) {
    for (column, values) in tile.columns.clone().zip(block.chunks_exact(tile.rows.len())) {
        for (sum, value) in sums[tile.rows.clone()].iter_mut().zip(values) {
            *sum += value;
        }
        if !tile.on_diagonal() {
            sums[column] += values.iter().sum::<f64>();
        }
    }
}

fn response_block(factor: &DMatrix<f64>, tile: &Tile, out: &mut [f64]) {
    let left = factor.rows_range(tile.rows.clone());
    let right = factor.rows_range(tile.columns.clone());
    out.copy_from_slice((left * right.transpose()).as_slice());
}
