//! Which class every calibration image belongs to, as the class-wise criteria see it.

use std::collections::BTreeMap;

use ndarray::{Array2, ArrayD};

use super::{EvaluateError, FirstOutputs};
use crate::calibration::Dataset;
use crate::channels::Channels;
use crate::engine::readable_outputs;
use crate::model::Model;
use crate::proto::onnx::ValueInfoProto;
use crate::score::relatedness::Relatedness;
use crate::score::responses::{LEAST_IMAGES, MOST_CLASSES, argmax, super_classes};

/// Classes of the calibration images, decided before the pass that gathers statistics.
#[derive(Debug, Clone, Default)]
pub struct Classes {
    /// Outputs of the model that each class stands for; several where classes were joined (`docs/method.md` 2.6).
    pub members: Vec<Vec<usize>>,
    /// Class of every image, by its number in the data set.
    pub of: BTreeMap<usize, usize>,
    /// Label of every image, given or decided by the model.
    pub labels: BTreeMap<usize, usize>,
    /// Weight of every image, where the user weighs the classes.
    pub image_weights: Option<BTreeMap<usize, f64>>,
    /// What a person should know.
    pub notes: Vec<String>,
}

impl Classes {
    /// Classes from labels: each occurring one alone, or joined to super-classes by `related`.
    ///
    /// # Errors
    /// If there are no labels to join.
    pub fn new(labels: BTreeMap<usize, usize>, related: Option<&Relatedness>) -> Result<Self, EvaluateError> {
        let all: Vec<usize> = labels.values().copied().collect();
        let mut occurring = all.clone();
        occurring.sort_unstable();
        occurring.dedup();
        let members = match related {
            None => occurring.iter().map(|&label| vec![label]).collect(),
            Some(related) => super_classes(&all, related)?,
        };
        let class_of: BTreeMap<usize, usize> =
            members.iter().enumerate().flat_map(|(class, own)| own.iter().map(move |&label| (label, class))).collect();
        let of = labels.iter().filter_map(|(&item, label)| Some((item, *class_of.get(label)?))).collect();
        let mut notes = Vec::new();
        if members.len() < occurring.len() {
            notes.push(joined(&all, occurring.len(), members.len()));
        }
        Ok(Self { members, of, labels, image_weights: None, notes })
    }

    /// All images are one class.
    pub fn single(items: &[usize]) -> Self {
        let of: BTreeMap<usize, usize> = items.iter().map(|&item| (item, 0)).collect();
        Self { members: vec![vec![0]], labels: of.clone(), of, ..Self::default() }
    }

    /// Decides without a run of the model which class every image belongs to: by the labels where they suffice. `None`
    /// where the dense model's outputs have to tell. `scores`: class scores of the model, if it has them; `followed`:
    /// whether a criterion looks at classes; `weighted`: whether the user weighs them.
    ///
    /// # Errors
    /// If the labels cannot be used.
    pub fn without_run(
        dataset: &Dataset,
        indices: &[usize],
        scores: Option<usize>,
        followed: bool,
        weighted: bool,
    ) -> Result<Option<Self>, EvaluateError> {
        let Some(scores) = scores else {
            let mut classes = Self::single(indices);
            if followed {
                let why = "the model's first output is not a row of class scores: all images count as one class";
                classes.notes.push(why.into());
            }
            return Ok(Some(classes));
        };
        if !(followed || weighted) {
            return Ok(Some(Self::single(indices)));
        }
        let given = given_labels(dataset, indices);
        let suffice = |labels: &BTreeMap<usize, usize>| usable(labels) && labels.values().all(|&label| label < scores);
        given.filter(suffice).map(|labels| Self::new(labels, None)).transpose()
    }

    /// Decides by the dense model's outputs on the images: they join labels to super-classes, and stand for labels
    /// where there are none.
    ///
    /// # Errors
    /// If the outputs give no classes.
    pub fn by_outputs(dataset: &Dataset, indices: &[usize], outputs: &FirstOutputs) -> Result<Self, EvaluateError> {
        let given = given_labels(dataset, indices);
        let Some(rows) = &outputs.rows else { return Ok(Self::single(indices)) };
        let unlabelled = given.is_none();
        let items = &outputs.items;
        let labels = match given {
            Some(labels) => items.iter().filter_map(|item| Some((*item, *labels.get(item)?))).collect(),
            None => items.iter().copied().zip(argmax(rows.view())?).collect(),
        };
        let mut classes = Self::new(labels, Some(&Relatedness::from_outputs(rows.view())))?;
        if unlabelled {
            classes.notes.push("the images have no labels: the dense model's answers stand for them".into());
        }
        Ok(classes)
    }

    /// Number of classes.
    pub fn count(&self) -> usize {
        self.members.len()
    }

    /// Images by class, each class in the order given: statistics are cheapest where a batch holds few classes.
    pub fn sorted(&self, indices: &[usize]) -> Vec<usize> {
        let mut sorted = indices.to_vec();
        sorted.sort_by_key(|item| self.of.get(item).copied().unwrap_or(usize::MAX));
        sorted
    }

    /// Mean weight of the images of each class; empty where nobody weighs them.
    pub fn weights(&self) -> Vec<f64> {
        let Some(weights) = &self.image_weights else { return Vec::new() };
        let mut sums = vec![(0.0, 0.0); self.count()];
        for (item, &class) in &self.of {
            let sum = &mut sums[class];
            *sum = (sum.0 + weights.get(item).copied().unwrap_or(1.0), sum.1 + 1.0);
        }
        sums.into_iter().map(|(sum, images)| if images > 0.0 { sum / images } else { 1.0 }).collect()
    }

    /// Name of a class for people.
    pub fn name(&self, class: usize, names: &[String]) -> String {
        let one = |&output: &usize| match names.get(output) {
            Some(name) if !name.is_empty() => name.clone(),
            _ => output.to_string(),
        };
        match &self.members[class][..] {
            [] => class.to_string(),
            [only] => one(only),
            [first, rest @ ..] => format!("{} and {} more", one(first), rest.len()),
        }
    }
}

/// Label of every image; `None` where some have none.
fn given_labels(dataset: &Dataset, indices: &[usize]) -> Option<BTreeMap<usize, usize>> {
    indices.iter().map(|&item| Some((item, dataset.label(item)?))).collect()
}

fn joined(labels: &[usize], occurring: usize, classes: usize) -> String {
    let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
    for &label in labels {
        *counts.entry(label).or_default() += 1;
    }
    let fewest = counts.values().copied().min().unwrap_or(0);
    format!(
        "{occurring} classes ({fewest} images in the smallest) were joined to {classes} by the dense model's outputs: class \
         by class at most {MOST_CLASSES} are followed, of at least {LEAST_IMAGES} images each"
    )
}

/// Whether labels alone make usable classes: few enough, and large enough.
fn usable(labels: &BTreeMap<usize, usize>) -> bool {
    let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
    for &label in labels.values() {
        *counts.entry(label).or_default() += 1;
    }
    counts.len() <= MOST_CLASSES && counts.values().all(|&images| images >= LEAST_IMAGES)
}

/// Number of class scores per image, if the model's first output is a row of them.
pub fn class_scores(model: &Model, channels: &Channels) -> Option<usize> {
    let readable = readable_outputs(model);
    let outputs: Vec<&ValueInfoProto> =
        model.graph().output.iter().filter(|own| readable.iter().any(|name| name == own.name())).collect();
    let (&first, others) = outputs.split_first()?;
    let probabilities = |output: &ValueInfoProto| made_by(model, output.name(), &["Softmax", "LogSoftmax"]);
    // Beside an output that is made of class scores, one that is not is boxes, landmarks or the like.
    if !probabilities(first) && others.iter().any(|&own| probabilities(own)) {
        return None;
    }
    match channels.shape(first.name())? {
        &[_, scores] if scores > 1 => Some(scores),
        _ => None,
    }
}

/// Whether a value comes from one of these operators, through nothing but such as move values.
fn made_by(model: &Model, value: &str, operators: &[&str]) -> bool {
    const MOVING: [&str; 6] = ["Identity", "Reshape", "Flatten", "Squeeze", "Transpose", "Cast"];
    let nodes = &model.graph().node;
    let mut value = value;
    for _ in 0..nodes.len() {
        let Some(node) = nodes.iter().find(|node| node.output.iter().any(|own| own == value)) else { return false };
        if operators.contains(&node.op_type()) {
            return true;
        }
        let Some(from) = node.input.first().filter(|_| MOVING.contains(&node.op_type())) else { return false };
        value = from;
    }
    false
}

/// Infinite values in rows of `length` as the largest and smallest finite ones there: the logarithm of no probability
/// ends no comparison.
fn finite(values: &[f32], length: usize) -> Vec<f32> {
    let mut values = values.to_vec();
    for row in values.chunks_mut(length.max(1)).filter(|row| row.iter().any(|value| value.is_infinite())) {
        let kept = row.iter().copied().filter(|value| value.is_finite());
        let (low, high) = kept.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        let (low, high) = if low <= high { (low, high) } else { (0.0, 0.0) };
        for value in row.iter_mut().filter(|value| value.is_infinite()) {
            *value = if *value > 0.0 { high } else { low };
        }
    }
    values
}

/// A batch of outputs as rows `[N, K]`: positions are averaged, so that every image has one row.
pub(super) fn rows(output: &ArrayD<f32>) -> Option<Array2<f32>> {
    const MOST: usize = 4096;
    let &[images, width, ..] = output.shape() else { return None };
    if width > MOST || images == 0 {
        return None;
    }
    let inner = output.len() / (images * width).max(1);
    let values = output.as_standard_layout();
    let values = finite(values.as_slice()?, output.len() / images);
    let mean = |start: usize| values[start..start + inner].iter().sum::<f32>() / inner.max(1) as f32;
    Some(Array2::from_shape_fn((images, width), |(image, column)| mean((image * width + column) * inner)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_images_a_class_are_joined_and_said() {
        let labels: BTreeMap<usize, usize> = (0..20).map(|item| (item, item % 4)).collect();
        assert!(!usable(&labels) && usable(&(0..20).map(|item| (item, item % 2)).collect()));
        let outputs = Array2::from_shape_fn((20, 4), |(i, k)| {
            f32::from(u8::from(i % 4 == k)) + f32::from(u8::from(i % 2 == k % 2)) * 0.8
        });
        let related = Relatedness::from_outputs(outputs.view());
        let classes = Classes::new(labels, Some(&related)).unwrap();
        assert_eq!(classes.members, [vec![0, 2], vec![1, 3]]);
        assert!(classes.notes[0].starts_with("4 classes (5 images"), "{:?}", classes.notes);
        assert_eq!(classes.sorted(&[1, 0, 3, 2]), [0, 2, 1, 3]);
        assert_eq!(classes.name(0, &["cat".into()]), "cat and 1 more");
    }

    #[test]
    fn infinite_values_do_not_end_it() {
        let found = finite(&[1.0, f32::NEG_INFINITY, 3.0, f32::INFINITY, f32::NEG_INFINITY, f32::NEG_INFINITY], 3);
        assert_eq!(found, [1.0, 1.0, 3.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn positions_are_averaged() {
        let maps = ArrayD::from_shape_vec(vec![1, 2, 1, 2], vec![1.0, 3.0, 5.0, 5.0]).unwrap();
        assert_eq!(rows(&maps).unwrap(), ndarray::array![[2.0, 5.0]]);
        assert!(rows(&ArrayD::zeros(vec![1, 5000])).is_none());
    }
}
