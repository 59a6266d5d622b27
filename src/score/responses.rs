//! What the features of a group should explain: class responses (`docs/method.md` section 2).

#![allow(clippy::needless_pass_by_value, reason = "array views are passed by value, as ndarray itself does")]

use std::collections::BTreeMap;

use nalgebra::DMatrix;
use ndarray::ArrayView2;

use super::ScoreError;
use super::relatedness::Relatedness;

/// Above this many classes, classes are joined to super-classes (`docs/method.md` 2.6).
pub const MOST_CLASSES: usize = 20;
/// A class with fewer images than this is joined with others (`docs/method.md` 2.6).
pub const LEAST_IMAGES: usize = 10;

/// Response kernels `L_k = U_k U_k^T` over `n` images as their centred factors `U_k` (`n x r_k`).
#[derive(Debug, Clone, PartialEq)]
pub struct Responses {
    classes: Vec<DMatrix<f64>>,
    whole: DMatrix<f64>,
    weights: Vec<f64>,
    labels: Vec<usize>,
    members: Vec<Vec<usize>>,
}

/// How much each class response counts (`docs/method.md` 2.5).
#[derive(Debug, Clone, PartialEq)]
pub enum ClassWeights {
    /// Every class the same.
    Balanced,
    /// A class counts by its share of the images.
    Frequency,
    /// One weight per class response, none negative.
    Table(Vec<f64>),
}

impl Responses {
    /// One-vs-rest responses and response 0 from labels below `classes` (`docs/method.md` 2.1, 2.2).
    ///
    /// # Errors
    /// [`ScoreError::Responses`] without images or with a label out of range.
    pub fn from_labels(labels: &[usize], classes: usize) -> Result<Self, ScoreError> {
        Self::from_clusters(labels, &(0..classes).map(|class| vec![class]).collect::<Vec<_>>())
    }

    /// Like [`from_labels`](Self::from_labels), with one response per cluster of classes (`docs/method.md` 2.6).
    /// Response 0 is that of the clusters too.
    ///
    /// # Errors
    /// [`ScoreError::Responses`] without images, or with a label that is in no cluster.
    pub fn from_clusters(labels: &[usize], clusters: &[Vec<usize>]) -> Result<Self, ScoreError> {
        if labels.is_empty() {
            return Err(ScoreError::Responses { what: "labels", why: "there are no images".into() });
        }
        let largest = clusters.iter().flatten().copied().max().map_or(0, |class| class + 1);
        let mut cluster_of = vec![None; largest];
        for (cluster, members) in clusters.iter().enumerate() {
            for &class in members {
                cluster_of[class] = Some(cluster);
            }
        }
        let mut own = Vec::with_capacity(labels.len());
        for (image, &label) in labels.iter().enumerate() {
            let cluster = cluster_of.get(label).copied().flatten();
            let why = || format!("label {label} of image {image} is not below the number of classes {largest}");
            own.push(cluster.ok_or_else(|| ScoreError::Responses { what: "labels", why: why() })?);
        }
        let indicators =
            DMatrix::from_fn(own.len(), clusters.len(), |image, cluster| if own[image] == cluster { 1.0 } else { 0.0 });
        let whole = whole_factor(&indicators);
        let classes = (0..clusters.len()).map(|k| centred(indicators.columns(k, 1).into_owned())).collect();
        Ok(Self { classes, whole, weights: vec![1.0; clusters.len()], labels: own, members: clusters.to_vec() })
    }

    /// Class probabilities of the dense model, one response per cluster of classes (`docs/method.md` 2.3). `logits`:
    /// `[n, K]`; labels as in [`from_clusters`](Self::from_clusters).
    ///
    /// # Errors
    /// [`ScoreError::Responses`] without images or classes, where a logit is not finite, or where a label or a cluster
    /// has no column.
    pub fn soft(logits: ArrayView2<'_, f32>, labels: &[usize], clusters: &[Vec<usize>]) -> Result<Self, ScoreError> {
        argmax(logits)?;
        let hard = Self::from_clusters(labels, clusters)?;
        let (found, images) = (logits.ncols(), logits.nrows());
        if images != labels.len() || clusters.iter().flatten().any(|&class| class >= found) {
            let why = format!("{images} rows of {found} class scores for {} images", labels.len());
            return Err(ScoreError::Responses { what: "outputs", why });
        }
        let probabilities = softmax(logits);
        let factor = |members: &Vec<usize>| {
            let mut sum = DMatrix::zeros(images, 1);
            for &class in members {
                sum += probabilities.columns(class, 1);
            }
            centred(sum)
        };
        Ok(Self { classes: clusters.iter().map(factor).collect(), ..hard })
    }

    /// One response, the linear kernel of outputs that are not class scores (`docs/method.md` 2.4). `outputs`:
    /// `[n, p]`, pooled.
    ///
    /// # Errors
    /// [`ScoreError::Responses`] without images, or where an output is not finite.
    pub fn from_embeddings(outputs: ArrayView2<'_, f32>) -> Result<Self, ScoreError> {
        argmax(outputs)?;
        let (images, width) = outputs.dim();
        let factor = centred(DMatrix::from_fn(images, width, |image, column| f64::from(outputs[(image, column)])));
        let (classes, labels) = (vec![factor.clone()], vec![0; images]);
        Ok(Self { classes, whole: factor, weights: vec![1.0], labels, members: vec![vec![0]] })
    }

    /// The same responses with other weights.
    ///
    /// # Errors
    /// [`ScoreError::Responses`] for a table of another length, or with a negative or infinite weight.
    pub fn with_weights(mut self, weights: &ClassWeights) -> Result<Self, ScoreError> {
        let count = self.count();
        self.weights = match weights {
            ClassWeights::Balanced => vec![1.0; count],
            ClassWeights::Frequency => {
                let share = |k| self.labels.iter().filter(|&&label| label == k).count() as f64;
                (0..count).map(|k| count as f64 * share(k) / self.images() as f64).collect()
            }
            ClassWeights::Table(table) => {
                if table.len() != count || table.iter().any(|weight| !weight.is_finite() || *weight < 0.0) {
                    let why = format!("expected {count} weights, finite and not negative");
                    return Err(ScoreError::Responses { what: "class weights", why });
                }
                table.clone()
            }
        };
        Ok(self)
    }

    /// Number of class responses `K`.
    pub fn count(&self) -> usize {
        self.classes.len()
    }

    /// Number of images `n`.
    pub fn images(&self) -> usize {
        self.labels.len()
    }

    /// Centred factors of the class responses, each `n x r_k`.
    pub fn classes(&self) -> &[DMatrix<f64>] {
        &self.classes
    }

    /// Centred factor of response 0: the label kernel that is `1 / n_y` where labels agree (`docs/method.md` 2.2).
    pub fn whole(&self) -> &DMatrix<f64> {
        &self.whole
    }

    /// Weight of each class response.
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// Class response that each image belongs to.
    pub fn labels(&self) -> &[usize] {
        &self.labels
    }

    /// The classes of the model that each response stands for.
    pub fn members(&self) -> &[Vec<usize>] {
        &self.members
    }
}

/// Clusters of classes: every class that occurs alone if there are at most [`MOST_CLASSES`] with [`LEAST_IMAGES`]
/// images each, otherwise the finest cut of their tree that satisfies both; one cluster of all where none does
/// (`docs/method.md` 2.6). `labels`: images of each label. Each cluster rises, and so do the clusters by their smallest class.
///
/// # Errors
/// [`ScoreError::Responses`] where a label has no row in `relatedness`.
pub fn super_classes(
    labels: &BTreeMap<usize, usize>,
    relatedness: &Relatedness,
) -> Result<Vec<Vec<usize>>, ScoreError> {
    let mut images = vec![0; relatedness.classes()];
    for (&label, &count) in labels {
        let why = || format!("label {label}, but the model has {} classes", relatedness.classes());
        *images.get_mut(label).ok_or_else(|| ScoreError::Responses { what: "labels", why: why() })? = count;
    }
    let occurring: Vec<Vec<usize>> =
        (0..images.len()).filter(|&class| images[class] > 0).map(|class| vec![class]).collect();
    let enough = |clusters: &[Option<Vec<usize>>]| {
        let mut live = clusters.iter().flatten();
        clusters.iter().flatten().count() <= MOST_CLASSES
            && live.all(|members| members.iter().map(|&class| images[class]).sum::<usize>() >= LEAST_IMAGES)
    };
    let merges = relatedness.merged(&occurring).merges();
    let mut nodes: Vec<Option<Vec<usize>>> = occurring.into_iter().map(Some).collect();
    for merge in merges {
        if enough(&nodes) {
            break;
        }
        let mut both =
            [nodes[merge.first].take(), nodes[merge.second].take()].into_iter().flatten().flatten().collect::<Vec<_>>();
        both.sort_unstable();
        nodes.push(Some(both));
    }
    let mut clusters: Vec<Vec<usize>> = nodes.into_iter().flatten().collect();
    clusters.sort();
    Ok(clusters)
}

/// Column of the largest value of every row; the first among equals.
///
/// # Errors
/// [`ScoreError::Responses`] without rows or columns, or where a value is not finite.
pub fn argmax(outputs: ArrayView2<'_, f32>) -> Result<Vec<usize>, ScoreError> {
    if outputs.is_empty() {
        let why = format!("their shape is {:?}", outputs.shape());
        return Err(ScoreError::Responses { what: "outputs", why });
    }
    if outputs.iter().any(|value| !value.is_finite()) {
        return Err(ScoreError::Responses { what: "outputs", why: "some are infinite or not a number".into() });
    }
    let best =
        |row: ndarray::ArrayView1<'_, f32>| (0..row.len()).fold(0, |best, k| if row[k] > row[best] { k } else { best });
    Ok(outputs.rows().into_iter().map(best).collect())
}

fn softmax(logits: ArrayView2<'_, f32>) -> DMatrix<f64> {
    let mut out = DMatrix::from_fn(logits.nrows(), logits.ncols(), |row, column| f64::from(logits[(row, column)]));
    for mut row in out.row_iter_mut() {
        let largest = row.max();
        row.apply(|value| *value = (*value - largest).exp());
        let sum = row.sum();
        row /= sum;
    }
    out
}

fn whole_factor(indicators: &DMatrix<f64>) -> DMatrix<f64> {
    let mut factor = indicators.clone();
    for mut column in factor.column_iter_mut() {
        let images: f64 = column.sum().max(1.0);
        column /= images.sqrt();
    }
    centred(factor)
}

fn centred(mut factor: DMatrix<f64>) -> DMatrix<f64> {
    for mut column in factor.column_iter_mut() {
        let mean = column.mean();
        column.add_scalar_mut(-mean);
    }
    factor
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::*;

    #[test]
    fn class_factors_are_centred_indicators() {
        let responses = Responses::from_labels(&[0, 1, 1, 2], 3).unwrap();
        assert_eq!(responses.classes()[1].as_slice(), [-0.5, 0.5, 0.5, -0.5]);
        let whole = responses.whole();
        assert!((whole[(1, 1)] - (0.5_f64.sqrt() - 2.0 * 0.5_f64.sqrt() / 4.0)).abs() < 1e-12);
        assert!(Responses::from_labels(&[0, 3], 3).is_err());
        assert!(Responses::from_labels(&[], 3).is_err());
    }

    #[test]
    fn weights_follow_frequency_or_table() {
        let responses = Responses::from_labels(&[0, 1, 1, 1], 2).unwrap();
        assert_eq!(responses.clone().with_weights(&ClassWeights::Frequency).unwrap().weights(), [0.5, 1.5]);
        assert!(responses.clone().with_weights(&ClassWeights::Table(vec![1.0])).is_err());
        assert_eq!(responses.with_weights(&ClassWeights::Table(vec![1.0, 0.0])).unwrap().weights(), [1.0, 0.0]);
    }

    #[test]
    fn small_classes_are_joined_with_their_nearest() {
        let matrix = [[1.0, 0.0, 0.9], [0.0, 1.0, 0.1], [0.9, 0.1, 1.0]];
        let related = Relatedness::from_correlation(DMatrix::from_fn(3, 3, |a, b| matrix[a][b])).unwrap();
        assert_eq!(super_classes(&[(0, 5), (1, 10), (2, 5)].into(), &related).unwrap(), [vec![0, 2], vec![1]]);
        assert_eq!(super_classes(&[(0, 1), (1, 1), (2, 1)].into(), &related).unwrap(), [vec![0, 1, 2]]);
        assert_eq!(super_classes(&[(1, 12)].into(), &related).unwrap(), [vec![1]]);
        let merged = related.merged(&[vec![0, 2], vec![1]]);
        assert!((merged.correlation()[(0, 1)] - 0.05).abs() < 1e-12);
    }

    #[test]
    fn soft_responses_follow_the_probabilities() {
        let outputs = Array2::from_shape_fn((20, 2), |(image, class)| if image % 2 == class { 1.0 } else { 0.0 });
        let labels = argmax(outputs.view()).unwrap();
        assert_eq!(labels[..3], [0, 1, 0]);
        let soft = Responses::soft(outputs.view(), &labels, &[vec![0], vec![1]]).unwrap();
        let spread = (1.0 / (1.0 + (-1.0_f64).exp()) - 0.5).abs();
        assert!((soft.classes()[0][(0, 0)] - spread).abs() < 1e-6);
        assert!(Responses::soft(outputs.view(), &labels, &[vec![0, 1]]).unwrap().classes()[0].amax() < 1e-12);
        assert!(Responses::soft(outputs.view(), &labels[..3], &[vec![0], vec![1]]).is_err());
        assert!(argmax(array![[f32::NAN]].view()).is_err());
        assert_eq!(Responses::from_embeddings(outputs.view()).unwrap().count(), 1);
    }
}
