//! Which class every calibration image belongs to, as the class-wise criteria see it.

use std::collections::BTreeMap;

use ndarray::{Array2, ArrayD};

use super::class_weights::LabelWeights;
use super::roll::{Chosen, Entry, Roll};
use super::{Answers, EvaluateError};
use crate::calibration::Dataset;
use crate::channels::Channels;
use crate::engine::readable_outputs;
use crate::model::Model;
use crate::proto::onnx::ValueInfoProto;
use crate::score::relatedness::Relatedness;
use crate::score::responses::{LEAST_IMAGES, MOST_CLASSES, argmax, super_classes};

/// Images that say how classes are related, at most: the first in the seeded order, the same on every machine.
pub const RELATING: usize = 2000;

/// Classes of the calibration images, decided before the pass that gathers statistics.
#[derive(Debug, Clone, Default)]
pub struct Classes {
    /// Outputs of the model that each class stands for; several where classes were joined (`docs/method.md` 2.6).
    pub members: Vec<Vec<usize>>,
    /// The images that are looked at here.
    pub roll: Roll,
    /// Images by label, as far as it is known without a look at all of them.
    pub labels: BTreeMap<usize, usize>,
    /// Weights of labels, where the user weighs the classes.
    pub weights: Option<LabelWeights>,
    /// What a person should know.
    pub notes: Vec<String>,
}

impl Classes {
    /// All images are one class.
    pub fn single(images: &Chosen) -> Self {
        let roll = Roll::new(images.placed().map(|(item, place)| (item, place, 0, 0)));
        Self { members: vec![vec![0]], labels: [(0, images.all.len())].into(), roll, ..Self::default() }
    }

    /// Decides without a run of the model which class every image belongs to: by the labels where they suffice. `None`
    /// where the dense model's outputs have to tell. `scores`: class scores of the model, if it has them; `followed`:
    /// whether a criterion looks at classes; `weighted`: whether the user weighs them.
    pub fn without_run(
        dataset: &Dataset,
        images: &Chosen,
        scores: Option<usize>,
        followed: bool,
        weighted: bool,
    ) -> Option<Self> {
        let Some(scores) = scores else {
            let mut classes = Self::single(images);
            if followed {
                let why = "the model's first output is not a row of class scores: all images count as one class";
                classes.notes.push(why.into());
            }
            return Some(classes);
        };
        if !(followed || weighted) {
            return Some(Self::single(images));
        }
        let labels = counted(dataset, &images.all)?;
        let members: Vec<Vec<usize>> = labels.keys().map(|&label| vec![label]).collect();
        (usable(&labels) && labels.keys().all(|&label| label < scores))
            .then(|| Self::of(members, labels, None, images, |item| dataset.label(item)))
    }

    /// Decides by the dense model's outputs: they join labels to super-classes, and stand for labels where there are none.
    ///
    /// # Errors
    /// If the outputs give no classes.
    pub fn by_outputs(dataset: &Dataset, images: &Chosen, found: &Answers) -> Result<Self, EvaluateError> {
        let Some(rows) = &found.rows else { return Ok(Self::single(images)) };
        let related = Relatedness::from_outputs(rows.view());
        let given = counted(dataset, &images.all);
        let unlabelled = given.is_none();
        let labels = match given {
            Some(labels) => labels,
            None => counts(argmax(rows.view())?.into_iter()),
        };
        let members = super_classes(&labels, &related)?;
        let label = |item: usize| if unlabelled { found.answer(item) } else { dataset.label(item) };
        let mut classes = Self::of(members, labels, Some(&related), images, label);
        if unlabelled {
            classes.notes.push("the images have no labels: the dense model's answers stand for them".into());
        }
        Ok(classes)
    }

    /// Puts every image into the class of its label; one that no class stands for into the class that is nearest to it.
    fn of(
        members: Vec<Vec<usize>>,
        labels: BTreeMap<usize, usize>,
        related: Option<&Relatedness>,
        images: &Chosen,
        label: impl Fn(usize) -> Option<usize>,
    ) -> Self {
        let mut class_of: BTreeMap<usize, usize> =
            members.iter().enumerate().flat_map(|(class, own)| own.iter().map(move |&label| (label, class))).collect();
        let known = images.placed().filter_map(|(item, place)| {
            let label = label(item as usize)?;
            let class = *class_of.entry(label).or_insert_with(|| nearest(label, &members, related));
            Some((item, place, class, label))
        });
        let roll = Roll::new(known);
        let mut notes = Vec::new();
        if members.len() < labels.len() {
            notes.push(joined(&labels, members.len()));
        }
        Self { members, roll, labels, weights: None, notes }
    }

    /// What an image counts where the user weighs the classes, else 1.
    pub fn weight(&self, entry: Entry) -> f64 {
        self.weights.as_ref().map_or(1.0, |own| own.of(entry.label as usize))
    }

    /// Number of classes.
    pub fn count(&self) -> usize {
        self.members.len()
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

/// Images by label; `None` where some have none.
fn counted(dataset: &Dataset, items: &[u32]) -> Option<BTreeMap<usize, usize>> {
    let mut found = BTreeMap::new();
    for &item in items {
        *found.entry(dataset.label(item as usize)?).or_default() += 1;
    }
    Some(found)
}

fn counts(labels: impl Iterator<Item = usize>) -> BTreeMap<usize, usize> {
    let mut found = BTreeMap::new();
    labels.for_each(|label| *found.entry(label).or_default() += 1);
    found
}

/// The class whose members are most like a label that is in none.
fn nearest(label: usize, members: &[Vec<usize>], related: Option<&Relatedness>) -> usize {
    let like = |own: &Vec<usize>| {
        let sum: f64 = own.iter().filter_map(|&other| related?.between(label, other)).sum();
        sum / own.len().max(1) as f64
    };
    (0..members.len()).max_by(|&a, &b| like(&members[a]).total_cmp(&like(&members[b])).then(b.cmp(&a))).unwrap_or(0)
}

fn joined(labels: &BTreeMap<usize, usize>, classes: usize) -> String {
    let (occurring, fewest) = (labels.len(), labels.values().copied().min().unwrap_or(0));
    format!(
        "{occurring} classes ({fewest} images in the smallest) were joined to {classes} by the dense model's outputs: class \
         by class at most {MOST_CLASSES} are followed, of at least {LEAST_IMAGES} images each"
    )
}

/// Whether labels alone make usable classes: few enough, and large enough.
fn usable(labels: &BTreeMap<usize, usize>) -> bool {
    labels.len() <= MOST_CLASSES && labels.values().all(|&images| images >= LEAST_IMAGES)
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
        let labels = counts((0..20).map(|item| item % 4));
        assert!(!usable(&labels) && usable(&counts((0..20).map(|item| item % 2))));
        let outputs = Array2::from_shape_fn((20, 4), |(i, k)| {
            f32::from(u8::from(i % 4 == k)) + f32::from(u8::from(i % 2 == k % 2)) * 0.8
        });
        let related = Relatedness::from_outputs(outputs.view());
        let members = super_classes(&labels, &related).unwrap();
        assert_eq!(members, [vec![0, 2], vec![1, 3]]);
        let images = Chosen::whole(vec![1, 0, 3, 2]);
        let classes = Classes::of(members, labels, Some(&related), &images, |item| Some(item % 4));
        assert!(classes.notes[0].starts_with("4 classes (5 images"), "{:?}", classes.notes);
        assert_eq!(classes.roll.items(), [0, 2, 1, 3]);
        assert_eq!(classes.name(0, &["cat".into()]), "cat and 1 more");
        // A label that no class stands for.
        let members = vec![vec![0], vec![1, 3]];
        let classes =
            Classes::of(members, counts([0, 1, 3].into_iter()), Some(&related), &images, |item| Some(item % 4));
        assert_eq!(classes.roll.reader().entry(2), Some(Entry { place: 3, class: 0, label: 2 }));
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
