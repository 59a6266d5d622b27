//! What the numbers beside boxes are: probabilities, logits, or a distribution with a class for the background.

/// How the numbers of one box become a class and a score.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ScoreForm {
    /// Probabilities, each class for itself.
    Probabilities,
    /// Logits, each class for itself.
    Sigmoid,
    /// A distribution over the classes and the background.
    Background { class: usize, logits: bool },
}

/// How far a probability may leave [0, 1] by rounding.
const ROUNDING: f32 = 1e-3;

/// Share of rows for which something has to hold to count as a rule.
const NEARLY_ALL: f64 = 0.99;

pub(super) fn sigmoid(value: f32) -> f32 {
    1.0 / (1.0 + (-value).exp())
}

/// Number of the largest value; the first of equals.
fn largest(row: &[f32]) -> usize {
    let better = |best: (usize, f32), (at, &value): (usize, &f32)| if value > best.1 { (at, value) } else { best };
    row.iter().enumerate().fold((0, f32::NEG_INFINITY), better).0
}

impl ScoreForm {
    /// What rows of numbers are, one row for each box; `None` where that cannot be told.
    pub(super) fn of(rows: &[Vec<f32>]) -> Option<Self> {
        let width = rows.first()?.len();
        if rows.iter().flatten().any(|value| !value.is_finite()) {
            return None;
        }
        let logits = !rows.iter().flatten().all(|value| (-ROUNDING..=1.0 + ROUNDING).contains(value));
        if width == 1 {
            return Some(if logits { Self::Sigmoid } else { Self::Probabilities });
        }
        let sums_to_one = |row: &&Vec<f32>| (row.iter().sum::<f32>() - 1.0).abs() < 0.01;
        let distribution = !logits && rows.iter().filter(sums_to_one).count() as f64 >= NEARLY_ALL * rows.len() as f64;
        if !logits && !distribution {
            return Some(Self::Probabilities);
        }
        // Nearly every box of a detector holds nothing. With a class for that, it is the largest of most boxes.
        let mut counts = vec![0_usize; width];
        for row in rows {
            counts[largest(row)] += 1;
        }
        let class = (0..width).max_by_key(|&class| counts[class])?;
        let mostly = 2 * counts[class] > rows.len() && (class == 0 || class + 1 == width);
        // Beside classes of their own, nearly all logits are below zero.
        let sure = |row: &&Vec<f32>| row[class] > 0.0;
        let positive = 2 * rows.iter().filter(sure).count() > rows.len();
        match (distribution, mostly) {
            (true, true) => Some(Self::Background { class, logits: false }),
            (true, false) => None,
            (false, true) if positive => Some(Self::Background { class, logits: true }),
            (false, _) => Some(Self::Sigmoid),
        }
    }

    /// Class and score of a box. Classes are counted without the background.
    pub(super) fn best(self, mut values: Vec<f32>) -> (usize, f32) {
        match self {
            Self::Probabilities => {}
            Self::Sigmoid => values = values.into_iter().map(sigmoid).collect(),
            Self::Background { class, logits } => {
                if logits {
                    let most = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                    values = values.into_iter().map(|value| (value - most).exp()).collect();
                    let sum: f32 = values.iter().sum();
                    values = values.into_iter().map(|value| value / sum).collect();
                }
                if class < values.len() {
                    values.remove(class);
                }
            }
        }
        let at = largest(&values);
        (at, values.get(at).copied().unwrap_or(0.0))
    }

    /// In words.
    pub(super) fn describe(self) -> String {
        match self {
            Self::Probabilities => "scores as they are".into(),
            Self::Sigmoid => "scores by sigmoid".into(),
            Self::Background { class, logits } => {
                let by = if logits { "by softmax" } else { "as they are" };
                format!("scores {by}, class {class} is the background")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_tell_what_they_are() {
        let rows = |rows: &[&[f32]]| rows.iter().map(|row| row.to_vec()).collect::<Vec<_>>();
        let form = |own: &[&[f32]]| ScoreForm::of(&rows(own));
        assert_eq!(form(&[&[0.1], &[0.9]]), Some(ScoreForm::Probabilities));
        assert_eq!(form(&[&[-4.0], &[2.0]]), Some(ScoreForm::Sigmoid));
        assert_eq!(form(&[&[0.1, 0.2], &[0.9, 0.8]]), Some(ScoreForm::Probabilities));
        assert_eq!(form(&[&[-4.0, -3.0], &[2.0, -5.0], &[-6.0, -5.0]]), Some(ScoreForm::Sigmoid));
        // SSD: the background is the first class; DETR: the last, as logits.
        let ssd = form(&[&[0.9, 0.1], &[0.8, 0.2], &[0.1, 0.9]]);
        assert_eq!(ssd, Some(ScoreForm::Background { class: 0, logits: false }));
        let detr = form(&[&[-3.0, -2.0, 4.0], &[-1.0, -2.0, 3.0], &[5.0, -1.0, 0.0]]);
        assert_eq!(detr, Some(ScoreForm::Background { class: 2, logits: true }));
        // A distribution without a background, and what is no number.
        assert_eq!(form(&[&[0.1, 0.9, 0.0], &[0.2, 0.8, 0.0]]), None);
        assert_eq!(form(&[&[f32::NAN]]), None);
    }

    #[test]
    fn class_and_score_of_a_box() {
        let best = |form: ScoreForm, row: &[f32]| form.best(row.to_vec());
        assert_eq!(best(ScoreForm::Probabilities, &[0.1, 0.7]), (1, 0.7));
        assert_eq!(best(ScoreForm::Sigmoid, &[0.0, -1.0]), (0, 0.5));
        assert_eq!(best(ScoreForm::Background { class: 0, logits: false }, &[0.5, 0.1, 0.4]), (1, 0.4));
        let (class, score) = best(ScoreForm::Background { class: 2, logits: true }, &[1.0, 0.0, 1.0]);
        assert!(class == 0 && (score - 1.0 / (2.0 + (-1.0_f32).exp())).abs() < 1e-6);
    }
}
