//! Boxes: their forms, intersection over union, suppression of overlapping ones, and pairs of two models.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Intersection over union from which two boxes are one object.
pub(super) const LEAST_IOU: f32 = 0.5;

/// What the four numbers of a box are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BoxForm {
    /// Two opposite corners, x first.
    Xyxy,
    /// Two opposite corners, y first.
    Yxyx,
    /// Centre, width and height.
    Cxcywh,
    /// Corner, width and height.
    Xywh,
}

impl BoxForm {
    /// By its name.
    pub fn by_name(name: &str) -> Option<Self> {
        [Self::Xyxy, Self::Yxyx, Self::Cxcywh, Self::Xywh].into_iter().find(|own| own.name() == name)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Xyxy => "xyxy",
            Self::Yxyx => "yxyx",
            Self::Cxcywh => "cxcywh",
            Self::Xywh => "xywh",
        }
    }

    /// Smallest and largest x, smallest and largest y as `[x1, y1, x2, y2]`.
    pub(super) fn corners(self, [a, b, c, d]: [f32; 4]) -> [f32; 4] {
        match self {
            Self::Xyxy => [a, b, c, d],
            Self::Yxyx => [b, a, d, c],
            Self::Cxcywh => [a - c / 2.0, b - d / 2.0, a + c / 2.0, b + d / 2.0],
            Self::Xywh => [a, b, a + c, b + d],
        }
    }
}

/// One object that a model found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Detection {
    pub(super) class: usize,
    pub(super) score: f32,
    pub(super) corners: [f32; 4],
}

/// Intersection over union of two boxes `[x1, y1, x2, y2]`.
fn iou(a: [f32; 4], b: [f32; 4]) -> f32 {
    let side = |low: f32, high: f32| (high - low).max(0.0);
    let area = |own: [f32; 4]| side(own[0], own[2]) * side(own[1], own[3]);
    let both = side(a[0].max(b[0]), a[2].min(b[2])) * side(a[1].max(b[1]), a[3].min(b[3]));
    let either = area(a) + area(b) - both;
    if either > 0.0 { both / either } else { 0.0 }
}

/// Best scores first; equal ones in the order of the model.
pub(super) fn by_score(mut found: Vec<Detection>) -> Vec<Detection> {
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    found
}

/// Non-maximum suppression class by class, of boxes with the best scores first.
pub(super) fn suppressed(found: Vec<Detection>) -> Vec<Detection> {
    let mut kept: Vec<Detection> = Vec::new();
    for own in found {
        let hidden = |best: &Detection| best.class == own.class && iou(best.corners, own.corners) > LEAST_IOU;
        if !kept.iter().any(hidden) {
            kept.push(own);
        }
    }
    kept
}

/// What became of the detections of one input.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Matched {
    /// Of the first model.
    pub(super) dense: usize,
    /// Those that the second model has too.
    pub(super) kept: usize,
    /// Those of the second model alone.
    pub(super) added: usize,
    /// Sum of the changes of the scores of those that both have.
    pub(super) change: f64,
}

/// Pairs detections of the same class one to one, best scores of the first model first, each with the box that overlaps
/// most.
pub(super) fn matched(dense: &[Detection], own: &[Detection]) -> Matched {
    let mut free = vec![true; own.len()];
    let mut found = Matched { dense: dense.len(), ..Matched::default() };
    for a in dense {
        let candidates = own.iter().enumerate().filter(|(at, b)| free[*at] && b.class == a.class);
        let overlaps = candidates.map(|(at, b)| (at, iou(a.corners, b.corners)));
        let best = overlaps.filter(|(_, iou)| *iou >= LEAST_IOU).max_by(|a, b| a.1.total_cmp(&b.1));
        if let Some((at, _)) = best {
            free[at] = false;
            found.kept += 1;
            found.change += f64::from(own[at].score) - f64::from(a.score);
        }
    }
    found.added = own.len() - found.kept;
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(class: usize, score: f32, corners: [f32; 4]) -> Detection {
        Detection { class, score, corners }
    }

    #[test]
    fn forms_of_one_box() {
        let corners = [1.0, 2.0, 5.0, 8.0];
        for (form, numbers) in [
            (BoxForm::Xyxy, corners),
            (BoxForm::Yxyx, [2.0, 1.0, 8.0, 5.0]),
            (BoxForm::Cxcywh, [3.0, 5.0, 4.0, 6.0]),
            (BoxForm::Xywh, [1.0, 2.0, 4.0, 6.0]),
        ] {
            assert!(form.corners(numbers).iter().zip(corners).all(|(a, b)| (a - b).abs() < 1e-6), "{form:?}");
            assert_eq!(BoxForm::by_name(form.name()), Some(form));
        }
        assert_eq!(BoxForm::by_name("0"), None);
    }

    #[test]
    fn overlap_by_hand() {
        assert!((iou([0.0, 0.0, 2.0, 2.0], [1.0, 0.0, 3.0, 2.0]) - 1.0 / 3.0).abs() < 1e-6);
        assert!(iou([0.0; 4], [0.0; 4]) < 1e-6 && iou([0.0, 0.0, 1.0, 1.0], [2.0, 2.0, 3.0, 3.0]) < 1e-6);
    }

    #[test]
    fn suppression_stays_within_a_class() {
        let place = [0.0, 0.0, 10.0, 10.0];
        let near = [1.0, 0.0, 11.0, 10.0];
        let found = by_score(vec![one(0, 0.5, near), one(0, 0.9, place), one(1, 0.6, near)]);
        assert_eq!(suppressed(found), [one(0, 0.9, place), one(1, 0.6, near)]);
    }

    #[test]
    fn pairs_are_one_to_one_and_of_one_class() {
        let (a, b, far) = ([0.0, 0.0, 10.0, 10.0], [1.0, 0.0, 11.0, 10.0], [50.0, 50.0, 60.0, 60.0]);
        let dense = [one(0, 0.9, a), one(0, 0.8, b), one(1, 0.7, far)];
        let own = [one(0, 0.7, a), one(2, 0.9, far), one(3, 0.4, a)];
        let found = matched(&dense, &own);
        assert_eq!((found.dense, found.kept, found.added), (3, 1, 2));
        assert!((found.change + 0.2).abs() < 1e-6);
        assert_eq!(matched(&dense, &dense).kept, 3);
    }
}
