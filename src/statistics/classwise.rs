//! What channels contribute to the outputs of the weight that reads them, class by class (`docs/method.md` 1.11).

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};
use nalgebra::DMatrix;
use rayon::prelude::*;

use crate::number::whole_number;

/// About what the contributions of a class are centred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Centring {
    /// The mean of the class: what varies inside the class counts.
    #[default]
    Class,
    /// The mean over all images: what tells the class from the others counts too.
    Global,
}

/// Sums over the sampled rows (image, position) of one consumer, for every class. The contribution of a channel is the
/// vector that it adds to the consumer's outputs.
#[derive(Debug, Clone, PartialEq)]
pub struct Contributions {
    channels: usize,
    columns: usize,
    classes: Vec<ClassSums>,
}

#[derive(Debug, Clone, PartialEq)]
struct ClassSums {
    rows: usize,
    /// Inner products of the contributions of two channels, lower triangle row by row.
    products: Vec<f64>,
    /// Sum of every column that the consumer reads.
    columns: Vec<f64>,
}

impl Contributions {
    /// Nothing seen yet. `columns`: a fixed number for each channel.
    pub fn new(classes: usize, channels: usize, columns: usize) -> Self {
        let empty =
            ClassSums { rows: 0, products: vec![0.0; channels * (channels + 1) / 2], columns: vec![0.0; columns] };
        Self { channels, columns, classes: vec![empty; classes] }
    }

    /// Number of classes `K`.
    pub fn classes(&self) -> usize {
        self.classes.len()
    }

    /// Adds rows of one class. `gram`: sums of products of two columns (lower triangle); `weights`: `W W^T` of the
    /// consumer's weights `[columns, outputs]` (lower triangle); `sums`: sums of the columns.
    pub fn add(&mut self, class: usize, rows: usize, gram: MatRef<'_, f64>, weights: MatRef<'_, f32>, sums: &[f64]) {
        let per_channel = (self.columns / self.channels.max(1)).max(1);
        let own = &mut self.classes[class];
        own.rows += rows;
        for (sum, more) in own.columns.iter_mut().zip(sums) {
            *sum += more;
        }
        for column in 0..self.columns {
            let right = column / per_channel;
            let (gram, weights) = (gram.col(column), weights.col(column));
            let products = |row: usize| gram[row] * f64::from(weights[row]);
            // Pairs of two columns of one channel stand for both orders.
            let end = (right + 1) * per_channel;
            let inside: f64 = (column + 1..end).map(products).sum();
            own.products[triangle(right, right)] += products(column) + 2.0 * inside;
            for left in right + 1..self.channels {
                let start = left * per_channel;
                own.products[triangle(left, right)] += (start..start + per_channel).map(products).sum::<f64>();
            }
        }
    }

    /// All sums in one list, class by class: rows, sums of the columns, products. They add up over parts of the images.
    pub fn stored(&self) -> Vec<f64> {
        let mut all = Vec::with_capacity(self.stored_length());
        for class in &self.classes {
            all.push(class.rows as f64);
            all.extend(&class.columns);
            all.extend(&class.products);
        }
        all
    }

    fn stored_length(&self) -> usize {
        self.classes.len() * (1 + self.columns + self.channels * (self.channels + 1) / 2)
    }

    /// Takes sums as [`Self::stored`] gave them; `None` if their number is that of something else.
    pub fn fill(&mut self, values: &[f64]) -> Option<()> {
        if values.len() != self.stored_length() {
            return None;
        }
        let length = values.len() / self.classes.len().max(1);
        for (class, own) in self.classes.iter_mut().zip(values.chunks(length.max(1))) {
            let (rows, sums) = own.split_first()?;
            let (columns, products) = sums.split_at(self.columns);
            class.rows = whole_number(*rows);
            class.columns = columns.to_vec();
            class.products = products.to_vec();
        }
        Some(())
    }

    /// The statistics of pruning units. `weights`: the consumer's weights `[columns, outputs]`; `units`: the channels of each.
    /// `None` if a class, or the model's output on it, has nothing to show.
    pub fn finish(&self, weights: MatRef<'_, f64>, units: &[Vec<usize>], centring: Centring) -> Option<ClassGram> {
        let total: usize = self.classes.iter().map(|class| class.rows).sum();
        let mut mean = vec![0.0; self.columns];
        for class in &self.classes {
            mean.iter_mut().zip(&class.columns).for_each(|(mean, sum)| *mean += sum / total.max(1) as f64);
        }
        let global = self.contributed(weights, &mean);
        let all: Vec<Vec<usize>> = (0..self.channels).map(|channel| vec![channel]).collect();
        let of_class = |class: &ClassSums| {
            let rows = class.rows.max(1) as f64;
            let own: Vec<f64> = class.columns.iter().map(|sum| sum / rows).collect();
            let mut centre = self.contributed(weights, &own);
            let mut offset = centre.clone();
            offset -= &global;
            let [spread, shift] = [&mut centre, &mut offset].map(|matrix| {
                let mut product = Mat::zeros(self.channels, self.channels);
                let matrix = matrix.as_ref();
                matmul(product.as_mut(), Accum::Replace, matrix, matrix.transpose(), 1.0, Par::Seq);
                product
            });
            let entry = |a: usize, b: usize| {
                let raw = class.products[triangle(a.max(b), a.min(b))] / rows - spread[(a, b)];
                if centring == Centring::Global { raw + shift[(a, b)] } else { raw }
            };
            let sum = |left: &[usize], right: &[usize]| {
                left.iter().flat_map(|&a| right.iter().map(move |&b| (a, b))).map(|(a, b)| entry(a, b)).sum::<f64>()
            };
            let energy = all.iter().map(|own| all.iter().map(|other| sum(own, other)).sum::<f64>()).sum::<f64>();
            let quadratic = DMatrix::from_fn(units.len(), units.len(), |a, b| sum(&units[a], &units[b]));
            (quadratic, energy)
        };
        let parts: Vec<(DMatrix<f64>, f64)> = self.classes.par_iter().map(of_class).collect();
        let (quadratic, energy): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        let share = self.classes.iter().map(|class| class.rows as f64 / total.max(1) as f64).collect();
        let usable = |value: &f64| value.is_finite() && *value > 0.0;
        energy.iter().all(usable).then_some(ClassGram { quadratic, energy, share })
    }

    /// `[channels, outputs]`: what every channel adds to the outputs where the columns have the given values.
    fn contributed(&self, weights: MatRef<'_, f64>, columns: &[f64]) -> Mat<f64> {
        let per_channel = (self.columns / self.channels.max(1)).max(1);
        Mat::from_fn(self.channels, weights.ncols(), |channel, output| {
            let own = channel * per_channel..(channel + 1) * per_channel;
            own.map(|column| columns[column] * weights[(column, output)]).sum()
        })
    }
}

/// Inner products of the contributions of pruning units to the outputs of one consumer, for every class: the mean over the rows
/// of the class, centred.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassGram {
    /// `Q_k` before any scaling, a `c x c` matrix for each class.
    pub quadratic: Vec<DMatrix<f64>>,
    /// Variance of the consumer's outputs about the same centre, for each class, above 0.
    pub energy: Vec<f64>,
    /// Share of the rows that each class has.
    pub share: Vec<f64>,
}

impl ClassGram {
    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.energy.len()
    }

    /// One matrix for all images: the mean over the classes by their shares times `weights` (what `apib` sees).
    #[must_use]
    pub fn pooled(&self, weights: &[f64]) -> Self {
        let total: f64 = self.share.iter().zip(weights).map(|(share, weight)| share * weight).sum();
        let parts = || self.share.iter().zip(weights).map(|(share, weight)| share * weight / total);
        let size = self.quadratic.first().map_or(0, DMatrix::nrows);
        let mut quadratic = DMatrix::zeros(size, size);
        for (own, part) in self.quadratic.iter().zip(parts()) {
            quadratic += own * part;
        }
        let energy = self.energy.iter().zip(parts()).map(|(energy, part)| energy * part).sum();
        Self { quadratic: vec![quadratic], energy: vec![energy], share: vec![1.0] }
    }

    /// Share of what the consumer receives for a class that is lost if the pruning units `gone` go and nothing is repaired.
    pub fn lost(&self, class: usize, gone: &[usize]) -> f64 {
        let quadratic = &self.quadratic[class];
        // An empty sum is -0.
        0.0 + gone.iter().map(|&a| gone.iter().map(|&b| quadratic[(a, b)]).sum::<f64>()).sum::<f64>()
            / self.energy[class]
    }
}

fn triangle(row: usize, column: usize) -> usize {
    row * (row + 1) / 2 + column
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(row: usize, column: usize) -> f64 {
        ((row * 31 + column * 17) % 23) as f64 / 7.0 - 1.0
    }

    /// Two columns per channel, three channels, two outputs, by the definition row by row.
    fn by_definition(centring: Centring) -> Vec<DMatrix<f64>> {
        let weights = weights();
        let contribution = |row: usize, channel: usize, output: usize| -> f64 {
            (2 * channel..2 * channel + 2).map(|column| value(row, column) * weights[(column, output)]).sum()
        };
        let mean = |rows: &[usize], channel: usize, output: usize| -> f64 {
            rows.iter().map(|&row| contribution(row, channel, output)).sum::<f64>() / rows.len() as f64
        };
        let all: Vec<usize> = (0..20).collect();
        [(0..12).collect::<Vec<usize>>(), (12..20).collect()]
            .iter()
            .map(|rows| {
                let centre = if centring == Centring::Global { &all } else { rows };
                DMatrix::from_fn(3, 3, |a, b| {
                    let product = |row: usize, o: usize| {
                        (contribution(row, a, o) - mean(centre, a, o)) * (contribution(row, b, o) - mean(centre, b, o))
                    };
                    let total: f64 =
                        rows.iter().flat_map(|&row| (0..2).map(move |o| (row, o))).map(|(r, o)| product(r, o)).sum();
                    total / rows.len() as f64
                })
            })
            .collect()
    }

    fn weights() -> Mat<f64> {
        Mat::from_fn(6, 2, |column, output| value(column + 40, output))
    }

    fn gathered() -> Contributions {
        let mut sums = Contributions::new(2, 3, 6);
        let square = weights();
        let square = &square * square.transpose();
        #[allow(clippy::cast_possible_truncation, reason = "as the observer stores them")]
        let single = Mat::from_fn(6, 6, |a, b| square[(a, b)] as f32);
        for (class, rows) in [(0, 0..5), (1, 12..20), (0, 5..12)] {
            let part = Mat::from_fn(rows.len(), 6, |row, column| value(rows.start + row, column));
            let totals: Vec<f64> = (0..6).map(|column| part.col(column).iter().sum()).collect();
            sums.add(class, rows.len(), (part.transpose() * &part).as_ref(), single.as_ref(), &totals);
        }
        sums
    }

    #[test]
    fn statistics_are_those_of_the_definition() {
        let single: Vec<Vec<usize>> = (0..3).map(|channel| vec![channel]).collect();
        for centring in [Centring::Global, Centring::Class] {
            let found = gathered().finish(weights().as_ref(), &single, centring).unwrap();
            for ((found, expected), energy) in found.quadratic.iter().zip(by_definition(centring)).zip(&found.energy) {
                assert!((found - &expected).amax() < 1e-5, "{found} {expected}");
                assert!((energy - expected.sum()).abs() < 1e-5);
            }
            assert_eq!(found.share, [0.6, 0.4]);
        }
    }

    #[test]
    fn atoms_add_up_their_channels_and_losing_all_loses_everything() {
        let found = gathered().finish(weights().as_ref(), &[vec![0, 2], vec![1]], Centring::Global).unwrap();
        let expected = &by_definition(Centring::Global)[1];
        let joined = expected[(0, 0)] + expected[(2, 2)] + 2.0 * expected[(0, 2)];
        assert!((found.quadratic[1][(0, 0)] - joined).abs() < 1e-5);
        assert!((found.lost(0, &[0, 1]) - 1.0).abs() < 1e-9 && found.lost(0, &[]) == 0.0);
        let pooled = found.pooled(&[1.0, 1.0]);
        assert!((pooled.energy[0] - 0.6 * found.energy[0] - 0.4 * found.energy[1]).abs() < 1e-12);
    }

    #[test]
    fn a_class_without_rows_has_nothing_to_show() {
        let mut sums = gathered();
        sums.classes.push(ClassSums { rows: 0, products: vec![0.0; 6], columns: vec![0.0; 6] });
        assert!(sums.finish(weights().as_ref(), &[vec![0]], Centring::Class).is_none());
    }
}
