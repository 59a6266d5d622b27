//! How the classes are related (`docs/method.md` section 3): correlation, graph edges, tree.

#![allow(clippy::needless_pass_by_value, reason = "array views are passed by value, as ndarray itself does")]

use nalgebra::DMatrix;
use ndarray::ArrayView2;

/// Correlation of the classes, `K x K`, symmetric, ones on the diagonal.
#[derive(Debug, Clone, PartialEq)]
pub struct Relatedness {
    correlation: DMatrix<f64>,
}

/// An edge of the class graph: the penalty is `weight |b_first - sign b_second|`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Edge {
    /// The smaller class.
    pub first: usize,
    /// The larger class.
    pub second: usize,
    /// Sign of the correlation, 1 or -1.
    pub sign: f64,
    /// Weight; the largest weighted degree of a graph is 1.
    pub weight: f64,
}

/// Which pairs of classes become edges (`docs/method.md` 3.2).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GraphOptions {
    /// Least absolute correlation of an edge.
    pub threshold: f64,
    /// An edge is kept if it is among this many strongest of either end.
    pub max_degree: usize,
    /// Whether negative correlations make edges (useless with coefficients that cannot be negative).
    pub negative: bool,
    /// Exponent of the absolute correlation in the weight: 1 or 2.
    pub power: i32,
}

impl Default for GraphOptions {
    fn default() -> Self {
        Self { threshold: 0.2, max_degree: 8, negative: false, power: 1 }
    }
}

/// Two nodes of the tree become one. Leaves are `0..K`, merge `t` makes node `K + t`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Merge {
    /// The node that holds the smaller leaf.
    pub first: usize,
    /// The other node.
    pub second: usize,
    /// Distance of the two, divided by that of the root; in `[0, 1]` up to rounding.
    pub height: f64,
}

/// A node of the tree with its weight in the tree norm.
#[derive(Debug, Clone, PartialEq)]
pub struct TreeGroup {
    /// Classes below the node, rising.
    pub leaves: Vec<usize>,
    /// Weight of the node's Euclidean norm, above 0.
    pub weight: f64,
}

impl Relatedness {
    /// Takes a correlation matrix as it is; `None` if it is not square or not finite.
    pub fn from_correlation(correlation: DMatrix<f64>) -> Option<Self> {
        (correlation.is_square() && correlation.iter().all(|value| value.is_finite())).then_some(Self { correlation })
    }

    /// How two classes are related; `None` if there is no such class.
    pub fn between(&self, first: usize, second: usize) -> Option<f64> {
        self.correlation.get((first, second)).copied()
    }

    /// A single class.
    pub fn single() -> Self {
        Self { correlation: DMatrix::identity(1, 1) }
    }

    /// Pearson correlation of the model's output columns over the images (`docs/method.md` 3.1, the default).
    /// `outputs`: `[n, K]`. A constant column is related to nothing.
    pub fn from_outputs(outputs: ArrayView2<'_, f32>) -> Self {
        let (images, classes) = outputs.dim();
        let mut columns = DMatrix::from_fn(images, classes, |image, class| f64::from(outputs[(image, class)]));
        for mut column in columns.column_iter_mut() {
            let mean = column.mean();
            column.add_scalar_mut(-mean);
        }
        Self::cosines(columns)
    }

    /// Cosines of the class means of standardised features (`docs/method.md` 3.1). `features`: `[n, p]`, `labels`: `n`
    /// numbers below `classes`. Constant features are left out; a class without images is related to nothing.
    pub fn from_class_means(features: ArrayView2<'_, f32>, labels: &[usize], classes: usize) -> Self {
        let (images, width) = features.dim();
        let mut values = DMatrix::from_fn(images, width, |image, feature| f64::from(features[(image, feature)]));
        let mut deviations = Vec::with_capacity(width);
        for mut column in values.column_iter_mut() {
            let mean = column.mean();
            column.add_scalar_mut(-mean);
            deviations.push(column.norm() / (images.max(1) as f64).sqrt());
        }
        let largest = deviations.iter().copied().fold(0.0, f64::max);
        let mut means = DMatrix::zeros(width, classes);
        for class in 0..classes {
            let members: Vec<usize> = (0..images).filter(|&image| labels.get(image) == Some(&class)).collect();
            for feature in 0..width {
                if deviations[feature] > 1e-12 * largest && !members.is_empty() {
                    let sum: f64 = members.iter().map(|&image| values[(image, feature)]).sum();
                    means[(feature, class)] = sum / members.len() as f64 / deviations[feature];
                }
            }
        }
        for mut row in means.row_iter_mut() {
            let mean = row.mean();
            row.add_scalar_mut(-mean);
        }
        Self::cosines(means)
    }

    fn cosines(mut columns: DMatrix<f64>) -> Self {
        for mut column in columns.column_iter_mut() {
            let norm = column.norm();
            if norm > 0.0 {
                column /= norm;
            }
        }
        let mut correlation = (columns.transpose() * &columns).map(|value| value.clamp(-1.0, 1.0));
        correlation.fill_diagonal(1.0);
        let correlation = (&correlation + correlation.transpose()) * 0.5;
        Self { correlation }
    }

    /// The `K x K` matrix.
    pub fn correlation(&self) -> &DMatrix<f64> {
        &self.correlation
    }

    /// Number of classes `K`.
    pub fn classes(&self) -> usize {
        self.correlation.nrows()
    }

    /// Average of the correlation over the pairs of every two clusters of classes (`docs/method.md` 2.6).
    #[must_use]
    pub fn merged(&self, clusters: &[Vec<usize>]) -> Self {
        let average = |first: usize, second: usize| {
            if first == second {
                return 1.0;
            }
            let pairs = clusters[first].iter().flat_map(|&a| clusters[second].iter().map(move |&b| (a, b)));
            let sum: f64 = pairs.map(|pair| self.correlation[pair]).sum();
            sum / (clusters[first].len() * clusters[second].len()).max(1) as f64
        };
        Self { correlation: DMatrix::from_fn(clusters.len(), clusters.len(), average) }
    }

    /// The edges of the class graph, by rising `(first, second)` (`docs/method.md` 3.2).
    pub fn edges(&self, options: GraphOptions) -> Vec<Edge> {
        let classes = self.classes();
        let strength = |pair: &(usize, usize)| self.correlation[*pair].abs();
        let pairs: Vec<(usize, usize)> = (0..classes)
            .flat_map(|first| (first + 1..classes).map(move |second| (first, second)))
            .filter(|pair| strength(pair) >= options.threshold && (options.negative || self.correlation[*pair] >= 0.0))
            .collect();
        let mut near = vec![false; pairs.len()];
        for class in 0..classes {
            let mut own: Vec<usize> =
                (0..pairs.len()).filter(|&edge| pairs[edge].0 == class || pairs[edge].1 == class).collect();
            // Stable: among equals the smaller pair stays first.
            own.sort_by(|&a, &b| strength(&pairs[b]).total_cmp(&strength(&pairs[a])));
            own.iter().take(options.max_degree).for_each(|&edge| near[edge] = true);
        }
        let kept: Vec<(usize, usize)> =
            pairs.into_iter().zip(near).filter_map(|(pair, near)| near.then_some(pair)).collect();
        let mut degrees = vec![0.0; classes];
        for pair in &kept {
            let weight = strength(pair).powi(options.power);
            degrees[pair.0] += weight;
            degrees[pair.1] += weight;
        }
        let largest = degrees.into_iter().fold(0.0, f64::max);
        kept.into_iter()
            .map(|pair| Edge {
                first: pair.0,
                second: pair.1,
                sign: if self.correlation[pair] > 0.0 { 1.0 } else { -1.0 },
                weight: if largest > 0.0 { strength(&pair).powi(options.power) / largest } else { 0.0 },
            })
            .collect()
    }

    /// Average linkage (UPGMA) on `1 - C`, `K - 1` merges (`docs/method.md` 3.3). Ties go to the smallest pair of
    /// smallest leaves.
    pub fn merges(&self) -> Vec<Merge> {
        let classes = self.classes();
        let mut distance = self.correlation.map(|value| 1.0 - value);
        // A slot is the smallest leaf of its cluster.
        let mut node: Vec<usize> = (0..classes).collect();
        let mut size = vec![1.0; classes];
        let mut live: Vec<usize> = (0..classes).collect();
        let mut merges: Vec<Merge> = Vec::new();
        while live.len() > 1 {
            let mut best = (live[0], live[1]);
            for (rank, &first) in live.iter().enumerate() {
                for &second in &live[rank + 1..] {
                    if distance[(first, second)] < distance[best] {
                        best = (first, second);
                    }
                }
            }
            let (first, second) = best;
            merges.push(Merge { first: node[first], second: node[second], height: distance[best] });
            for &other in live.iter().filter(|&&other| other != first && other != second) {
                let near = (first.min(other), first.max(other));
                let far = (second.min(other), second.max(other));
                distance[near] =
                    (size[first] * distance[near] + size[second] * distance[far]) / (size[first] + size[second]);
            }
            size[first] += size[second];
            node[first] = classes + merges.len() - 1;
            live.retain(|&slot| slot != second);
        }
        let root = merges.last().map_or(0.0, |merge| merge.height);
        for merge in &mut merges {
            merge.height = if root > 0.0 { merge.height / root } else { 0.0 };
        }
        merges
    }

    /// Nodes of the tree norm, every node after those below it (`docs/method.md` 3.3); the weights of the nodes that
    /// hold a class add up to 1. Nodes of weight 0 are left out.
    pub fn tree_groups(&self) -> Vec<TreeGroup> {
        tree_groups(&self.merges(), self.classes())
    }
}

/// Weights `w_v` of the tree norm from heights: `s_v = h_v`, `g_v = 1 - h_v` (`docs/method.md` 3.3).
pub fn tree_groups(merges: &[Merge], classes: usize) -> Vec<TreeGroup> {
    let mut leaves: Vec<Vec<usize>> = (0..classes).map(|class| vec![class]).collect();
    for merge in merges {
        let mut both = [&leaves[merge.first][..], &leaves[merge.second][..]].concat();
        both.sort_unstable();
        leaves.push(both);
    }
    // Product of the heights over the strict ancestors.
    let mut above = vec![1.0; leaves.len()];
    let mut weights = vec![0.0; leaves.len()];
    for (step, merge) in merges.iter().enumerate().rev() {
        let (height, here) = (merge.height.clamp(0.0, 1.0), classes + step);
        weights[here] = above[here] * (1.0 - height);
        above[merge.first] = above[here] * height;
        above[merge.second] = above[here] * height;
    }
    weights[..classes].copy_from_slice(&above[..classes]);
    let groups = leaves.into_iter().zip(weights);
    groups.filter(|(_, weight)| *weight > 0.0).map(|(leaves, weight)| TreeGroup { leaves, weight }).collect()
}

#[cfg(test)]
mod tests {
    use ndarray::array;
    use proptest::prelude::*;

    use super::*;

    fn three() -> Relatedness {
        let matrix = [[1.0, 0.6, 0.2], [0.6, 1.0, 0.1], [0.2, 0.1, 1.0]];
        Relatedness::from_correlation(DMatrix::from_fn(3, 3, |row, column| matrix[row][column])).unwrap()
    }

    #[test]
    fn the_closest_pair_merges_first() {
        let merges = three().merges();
        assert_eq!((merges[0].first, merges[0].second), (0, 1));
        assert!((merges[0].height - 0.4 / 0.85).abs() < 1e-12);
        assert_eq!((merges[1].first, merges[1].second), (3, 2));
        let groups = three().tree_groups();
        assert_eq!(
            groups.iter().map(|group| group.leaves.clone()).collect::<Vec<_>>(),
            [vec![0], vec![1], vec![2], vec![0, 1]]
        );
    }

    #[test]
    fn edges_are_thresholded_and_scaled() {
        let edges = three().edges(GraphOptions::default());
        assert_eq!(edges.iter().map(|edge| (edge.first, edge.second)).collect::<Vec<_>>(), [(0, 1), (0, 2)]);
        assert!((edges[0].weight - 0.75).abs() < 1e-12 && (edges[1].weight - 0.25).abs() < 1e-12);
    }

    #[test]
    fn constant_outputs_are_related_to_nothing() {
        let related = Relatedness::from_outputs(array![[1.0, 2.0, 0.0], [2.0, 2.0, -1.0]].view());
        assert!((related.correlation()[(0, 2)] + 1.0).abs() < 1e-12);
        assert!(related.correlation()[(0, 1)].abs() < 1e-300);
        assert_eq!(Relatedness::from_outputs(array![[1.0]].view()).tree_groups().len(), 1);
    }

    proptest! {
        #[test]
        fn weights_over_every_leaf_add_up_to_one(classes in 1usize..12, seed in proptest::collection::vec(-1.0f32..1.0, 12 * 5)) {
            let outputs = ndarray::Array2::from_shape_fn((5, classes), |(row, column)| seed[row * 12 + column]);
            let mut totals = vec![0.0; classes];
            for group in Relatedness::from_outputs(outputs.view()).tree_groups() {
                group.leaves.iter().for_each(|&leaf| totals[leaf] += group.weight);
            }
            prop_assert!(totals.iter().all(|total: &f64| (total - 1.0).abs() < 1e-12), "{:?}", totals);
        }
    }
}
