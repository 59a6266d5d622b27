//! Answers of a model, counted: what adds up over parts of a data set.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::accuracy::{Accuracy, ClassAccuracy};
use super::{EvaluateError, Paired, wilson};

/// Images by class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClassCount {
    /// Of the class.
    pub images: usize,
    /// Of the class and answered so.
    pub correct: usize,
    /// Labelled and answered so, of whatever class they are.
    pub named: usize,
}

/// Counts over some images.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tally {
    /// Images that were answered.
    pub images: usize,
    /// Images answered as the first model answers them.
    pub agreeing: usize,
    /// Labelled images that the first model answers right and this one wrong.
    pub lost: usize,
    /// Labelled images that the first model answers wrong and this one right.
    pub gained: usize,
    /// By the output of the class.
    pub classes: BTreeMap<usize, ClassCount>,
}

impl Tally {
    /// Counts one image. `first`: the first model's answer.
    pub fn add(&mut self, answer: usize, first: usize, label: Option<usize>) {
        self.images += 1;
        self.agreeing += usize::from(answer == first);
        let Some(label) = label else { return };
        self.lost += usize::from(first == label && answer != label);
        self.gained += usize::from(first != label && answer == label);
        let own = self.classes.entry(label).or_default();
        own.images += 1;
        own.correct += usize::from(answer == label);
        self.classes.entry(answer).or_default().named += 1;
    }

    /// Adds the counts of other images.
    pub fn merge(&mut self, other: &Self) {
        self.images += other.images;
        self.agreeing += other.agreeing;
        self.lost += other.lost;
        self.gained += other.gained;
        for (&class, own) in &other.classes {
            let sum = self.classes.entry(class).or_default();
            sum.images += own.images;
            sum.correct += own.correct;
            sum.named += own.named;
        }
    }

    /// Labelled images.
    fn labelled(&self) -> usize {
        self.classes.values().map(|own| own.images).sum()
    }

    /// Top-1, if any image had a label.
    pub fn accuracy(&self) -> Option<Accuracy> {
        let images = self.labelled();
        (images > 0).then(|| Accuracy::new(self.classes.values().map(|own| own.correct).sum(), images))
    }

    /// Refuses labels that a model of `classes` outputs answers no better than by guessing.
    ///
    /// # Errors
    /// [`EvaluateError::NearChance`].
    pub fn refuse_near_chance(&self, classes: usize) -> Result<(), EvaluateError> {
        match self.accuracy() {
            Some(accuracy) if accuracy.near_chance(classes) => {
                let Accuracy { percent, images, .. } = accuracy;
                Err(EvaluateError::NearChance { percent, images, classes })
            }
            _ => Ok(()),
        }
    }

    /// Recall and precision of every class that has labelled images, by the class's output.
    pub fn by_class(&self) -> BTreeMap<usize, ClassAccuracy> {
        let percent = |part: usize, whole: usize| 100.0 * part as f64 / whole as f64;
        let of = |own: &ClassCount| ClassAccuracy {
            images: own.images,
            recall: percent(own.correct, own.images),
            precision: (own.named > 0).then(|| percent(own.correct, own.named)),
        };
        self.classes.iter().filter(|own| own.1.images > 0).map(|(&class, own)| (class, of(own))).collect()
    }

    /// Share of the images that are answered as the first model does, with its 95 % Wilson interval, in percent.
    pub fn agreement(&self) -> [f64; 3] {
        let (low, high) = wilson(self.agreeing, self.images);
        [self.agreeing as f64 / self.images.max(1) as f64, low, high].map(|share| 100.0 * share)
    }

    /// Labelled images on which this model and the first differ in being right.
    pub fn paired(&self) -> Paired {
        Paired { images: self.labelled(), lost: self.lost, gained: self.gained }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_add_up_to_the_whole() {
        let answers = [(0, 0, Some(0)), (1, 0, Some(0)), (1, 1, Some(1)), (0, 1, Some(0)), (2, 2, None)];
        let of = |part: &[(usize, usize, Option<usize>)]| {
            let mut tally = Tally::default();
            for &(answer, first, label) in part {
                tally.add(answer, first, label);
            }
            tally
        };
        let whole = of(&answers);
        for at in 0..=answers.len() {
            let mut sum = of(&answers[..at]);
            sum.merge(&of(&answers[at..]));
            assert_eq!(sum, whole);
        }
        assert_eq!(whole.paired(), Paired { images: 4, lost: 1, gained: 1 });
        assert_eq!(whole.accuracy().unwrap().correct, 3);
        assert!((whole.agreement()[0] - 60.0).abs() < 1e-9);
        assert_eq!(whole.by_class()[&0], ClassAccuracy { images: 3, recall: 200.0 / 3.0, precision: Some(100.0) });
        assert_eq!(whole.by_class()[&1].precision, Some(50.0));
    }
}
