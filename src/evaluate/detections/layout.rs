//! Where boxes, scores and classes stand in a model's outputs. What is not named is recognised by shapes, and only where
//! the dense model's numbers confirm it: a wrong figure is worse than none.

use ndarray::{ArrayD, ArrayView3, Axis, Ix3};

use super::boxes::{BoxForm, Detection};
use super::scores::ScoreForm;

/// Outputs of one run.
pub(super) type Outputs = Vec<ArrayD<f32>>;

/// Boxes with their scores, and with their classes where those stand in an output of their own. Numbers of outputs.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pair {
    boxes: usize,
    scores: usize,
    classes: Option<usize>,
}

/// Where things stand.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// Boxes `[N, B, 4]` beside scores `[N, B]`, `[N, B, 1]` or `[N, B, K]`.
    Pairs(Vec<Pair>),
    /// `[N, B, 6]`: four numbers, score, class.
    Final(usize),
    /// `[N, B, 5 + K]`: four numbers, that there is an object, classes.
    Rows(usize),
    /// `[N, 4 + K, B]`: four numbers, classes.
    Columns(usize),
}

/// How detections are read.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Layout {
    place: Place,
    pub(super) form: BoxForm,
    /// Whether the form was named rather than told by the numbers.
    pub(super) named: bool,
    scores: ScoreForm,
}

/// Share of boxes for which something has to hold to count as a rule.
const NEARLY_ALL: f64 = 0.95;

/// Share of boxes by centre and size that lie within the image, or nearly, where they are boxes.
const MOST: f64 = 0.8;

/// Boxes of all runs, four numbers each, from places `at .. at + 4` of the last axis.
fn quads(planes: &[ArrayView3<'_, f32>], at: usize) -> Vec<[f32; 4]> {
    let rows = planes.iter().flat_map(|plane| plane.rows());
    rows.map(|row| [row[at], row[at + 1], row[at + 2], row[at + 3]]).collect()
}

/// All other numbers of every box, from place `at` on.
fn rest(planes: &[ArrayView3<'_, f32>], at: usize) -> Vec<Vec<f32>> {
    planes.iter().flat_map(|plane| plane.rows()).map(|row| row.iter().skip(at).copied().collect()).collect()
}

fn share<T>(all: &[T], holds: impl Fn(&T) -> bool) -> f64 {
    all.iter().filter(|own| holds(own)).count() as f64 / all.len().max(1) as f64
}

/// Whether a score is none: a whole number for every box is a class or a count.
fn whole(rows: &[Vec<f32>]) -> bool {
    rows.iter().flatten().all(|value| value.fract() == 0.0 && *value >= 0.0)
}

/// The form of boxes, where numbers tell that they are boxes.
fn form_of(boxes: &[[f32; 4]]) -> Option<BoxForm> {
    if boxes.is_empty() || boxes.iter().flatten().any(|value| !value.is_finite()) {
        return None;
    }
    if share(boxes, |own| own[2] >= own[0] && own[3] >= own[1]) >= NEARLY_ALL {
        return Some(BoxForm::Xyxy).filter(|_| share(boxes, |own| own[2] > own[0] && own[3] > own[1]) > 0.0);
    }
    let largest = boxes.iter().flat_map(|own| [own[0], own[1]]).fold(0.0, f32::max);
    let extent = if largest <= 1.5 { 1.0 } else { largest };
    let sized = share(boxes, |own| own[2] >= 0.0 && own[3] >= 0.0) >= NEARLY_ALL;
    let inside = |low: f32, high: f32| low >= -0.15 * extent && high <= 1.15 * extent;
    let placed = share(boxes, |own| {
        let [x1, y1, x2, y2] = BoxForm::Cxcywh.corners(*own);
        inside(x1, x2) && inside(y1, y2)
    });
    let distribution = share(boxes, |own| (own.iter().sum::<f32>() - 1.0).abs() < 0.01) >= NEARLY_ALL;
    (sized && placed >= MOST && !distribution).then_some(BoxForm::Cxcywh)
}

/// One output of all runs as `[N, B, C]`; `None` where it has another rank. `flat`: the runs have no axis of samples.
fn planes(runs: &[Outputs], at: usize, flat: bool) -> Option<Vec<ArrayView3<'_, f32>>> {
    runs.iter().map(|run| plane(&run[at], flat)).collect()
}

fn plane(array: &ArrayD<f32>, flat: bool) -> Option<ArrayView3<'_, f32>> {
    let view = array.view();
    let view = if flat { view.insert_axis(Axis(0)) } else { view };
    let view = if view.ndim() == 2 { view.insert_axis(Axis(2)) } else { view };
    view.into_dimensionality::<Ix3>().ok()
}

/// Columns as rows: `[N, C, B]` as `[N, B, C]`.
fn turned<'a>(plane: &ArrayView3<'a, f32>) -> ArrayView3<'a, f32> {
    (*plane).permuted_axes([0, 2, 1])
}

impl Layout {
    /// The outputs that were named: `boxes` and `scores` by their numbers.
    ///
    /// # Errors
    /// Why they cannot be read, for the end of a sentence.
    pub(super) fn named(
        runs: &[Outputs],
        (boxes, scores): (usize, usize),
        form: Option<BoxForm>,
    ) -> Result<Self, String> {
        if boxes == scores {
            let one = Self::combined(runs, boxes, true).ok_or("the output is none of [N, B, 6] (box, score, class), [N, B, 5 + K] and [N, 4 + K, B] with scores in [0, 1]")?;
            return Ok(one.with_form(form));
        }
        let flat = runs.iter().all(|run| run[boxes].ndim() == 2);
        let shape = |at: usize| runs.first().map_or_else(Vec::new, |run| run[at].shape().to_vec());
        let read = |at: usize| planes(runs, at, flat).ok_or_else(|| format!("one has the shape {:?}", shape(at)));
        let (quadruples, beside) = (read(boxes)?, read(scores)?);
        let fits = |(a, b): (&ArrayView3<'_, f32>, &ArrayView3<'_, f32>)| {
            a.dim().2 == 4 && (a.dim().0, a.dim().1) == (b.dim().0, b.dim().1)
        };
        if !quadruples.iter().zip(&beside).all(fits) {
            let (a, b) = (shape(boxes), shape(scores));
            return Err(format!("their shapes are {a:?} and {b:?}; [N, B, 4] and [N, B], [N, B, 1] or [N, B, K] fit"));
        }
        let found = ScoreForm::of(&rest(&beside, 0))
            .ok_or("it cannot be told from the scores which class is the background")?;
        let usual = if corners_first(&quads(&quadruples, 0)) { BoxForm::Xyxy } else { BoxForm::Cxcywh };
        let place = Place::Pairs(vec![Pair { boxes, scores, classes: None }]);
        Ok(Self { place, form: usual, named: false, scores: found }.with_form(form))
    }

    fn with_form(self, form: Option<BoxForm>) -> Self {
        Self { form: form.unwrap_or(self.form), named: form.is_some(), ..self }
    }

    /// What shapes and numbers of the dense model's outputs confirm.
    pub(super) fn recognised(runs: &[Outputs]) -> Option<Self> {
        let count = runs.first()?.len();
        let all: Vec<Self> = (0..count).filter_map(|at| Self::combined(runs, at, false)).collect();
        match &all[..] {
            [one] => Some(one.clone()),
            [] => Self::paired(runs, count),
            _ => None,
        }
    }

    /// One output with boxes and scores. `named`: the user says that it is.
    fn combined(runs: &[Outputs], at: usize, named: bool) -> Option<Self> {
        if runs.iter().any(|run| run[at].ndim() != 3) {
            return None;
        }
        let planes = planes(runs, at, false)?;
        let (_, rows, columns) = planes.first()?.dim();
        let layout = |place, form| Some(Self { place, form, named: false, scores: ScoreForm::Probabilities });
        let scored = |rows: &[Vec<f32>]| rows.iter().flatten().all(|own| (-1e-3..=1.001).contains(own));
        if columns == 6 {
            let (scores, classes): (Vec<_>, Vec<_>) =
                rest(&planes, 4).into_iter().map(|row| (vec![row[0]], vec![row[1]])).unzip();
            if whole(&classes) && scored(&scores) && !whole(&scores) && corners_first(&quads(&planes, 0)) {
                return layout(Place::Final(at), form_of(&quads(&planes, 0))?);
            }
        }
        let (place, planes): (_, Vec<_>) = match () {
            () if columns >= 6 && rows > columns => (Place::Rows(at), planes),
            () if rows >= 5 && columns > rows => (Place::Columns(at), planes.iter().map(turned).collect()),
            () => return None,
        };
        let (boxes, others) = (quads(&planes, 0), rest(&planes, 4));
        // Coordinates are pixels: what lies in [0, 1] altogether may be anything.
        let pixels = named || boxes.iter().flatten().any(|own| *own > 2.0);
        let fits = pixels && scored(&others) && !whole(&others);
        layout(place, form_of(&boxes).filter(|_| fits)?)
    }

    /// Outputs of boxes, each beside the one output of scores that fits.
    fn paired(runs: &[Outputs], count: usize) -> Option<Self> {
        let read: Vec<Option<Vec<ArrayView3<'_, f32>>>> = (0..count).map(|at| planes(runs, at, false)).collect();
        let read = &read;
        let candidates = |wanted: fn(usize) -> bool| {
            read.iter().enumerate().filter_map(move |(at, own)| {
                let own =
                    own.as_ref().filter(|own| own.iter().all(|plane| wanted(plane.dim().2) && plane.dim().1 > 1))?;
                Some((at, own))
            })
        };
        let is_boxes = |at: usize, runs: &[Outputs]| runs.iter().all(|run| run[at].ndim() == 3);
        let (mut pairs, mut boxes, mut rows) = (Vec::new(), Vec::new(), Vec::new());
        for (at, own) in candidates(|width| width == 4).filter(|(at, _)| is_boxes(*at, runs)) {
            let size = |planes: &[ArrayView3<'_, f32>]| -> Vec<(usize, usize)> {
                planes.iter().map(|plane| (plane.dim().0, plane.dim().1)).collect()
            };
            let beside: Vec<_> = candidates(|_| true)
                .filter(|(other, planes)| *other != at && size(planes) == size(own))
                .map(|(other, planes)| (other, rest(planes, 0)))
                .collect();
            let (classes, scores): (Vec<_>, Vec<_>) =
                beside.into_iter().partition(|(_, rows)| whole(rows) && rows.iter().all(|row| row.len() == 1));
            // Other outputs of boxes of the same number (of deeper layers), landmarks and the like: which belong
            // together cannot be told.
            let ([(number, own_rows)], true) = (&scores[..], classes.len() < 2) else { continue };
            boxes.extend(quads(own, 0));
            rows.push(own_rows.clone());
            pairs.push(Pair { boxes: at, scores: *number, classes: classes.first().map(|own| own.0) });
        }
        let width = rows.first()?.first()?.len();
        if rows.iter().any(|own| own.first().is_none_or(|row| row.len() != width)) {
            return None;
        }
        let scores = ScoreForm::of(&rows.concat())?;
        Some(Self { form: form_of(&boxes)?, place: Place::Pairs(pairs), named: false, scores })
    }

    /// Whether the model has chosen already: each object has one box.
    pub(super) fn is_final(&self) -> bool {
        match &self.place {
            Place::Final(_) => true,
            Place::Pairs(pairs) => pairs.iter().all(|pair| pair.classes.is_some()),
            Place::Rows(_) | Place::Columns(_) => false,
        }
    }

    /// Numbers of the outputs that are read, boxes before scores.
    pub(super) fn outputs(&self) -> Vec<usize> {
        match &self.place {
            Place::Final(at) | Place::Rows(at) | Place::Columns(at) => vec![*at],
            Place::Pairs(pairs) => {
                pairs.iter().flat_map(|own| [Some(own.boxes), Some(own.scores), own.classes]).flatten().collect()
            }
        }
    }

    /// How the scores are read.
    pub(super) fn describe_scores(&self) -> String {
        match self.place {
            Place::Rows(_) => "scores are object times class".into(),
            _ => self.scores.describe(),
        }
    }

    /// Detections of every sample of a run, of scores above `threshold`. `None` where the outputs are not as they were.
    pub(super) fn read(&self, run: &[ArrayD<f32>], threshold: f32) -> Option<Vec<Vec<Detection>>> {
        match &self.place {
            Place::Pairs(pairs) => {
                let mut all: Vec<Vec<Detection>> = Vec::new();
                for pair in pairs {
                    let found = self.read_pair(run, pair, threshold)?;
                    all.resize_with(found.len().max(all.len()), Vec::new);
                    all.iter_mut().zip(found).for_each(|(all, own)| all.extend(own));
                }
                Some(all)
            }
            Place::Final(at) => {
                self.read_plane(&plane(&run[*at], false)?, threshold, |row| (class_number(row[5]), row[4]))
            }
            Place::Rows(at) => self.read_plane(&plane(&run[*at], false)?, threshold, |row| {
                let (class, score) = self.scores.best(row.iter().skip(5).copied().collect());
                (class, score * row[4])
            }),
            Place::Columns(at) => self.read_plane(&turned(&plane(&run[*at], false)?), threshold, |row| {
                self.scores.best(row.iter().skip(4).copied().collect())
            }),
        }
    }

    /// Boxes at the head of the last axis, with what the rest of it says.
    fn read_plane(
        &self,
        plane: &ArrayView3<'_, f32>,
        threshold: f32,
        best: impl Fn(ndarray::ArrayView1<'_, f32>) -> (usize, f32),
    ) -> Option<Vec<Vec<Detection>>> {
        if plane.dim().2 < 5 {
            return None;
        }
        let one = |row: ndarray::ArrayView1<'_, f32>| {
            let (class, score) = best(row);
            let corners = self.form.corners([row[0], row[1], row[2], row[3]]);
            (score > threshold).then_some(Detection { class, score, corners })
        };
        Some(plane.outer_iter().map(|sample| sample.rows().into_iter().filter_map(one).collect()).collect())
    }

    fn read_pair(&self, run: &[ArrayD<f32>], pair: &Pair, threshold: f32) -> Option<Vec<Vec<Detection>>> {
        let flat = run[pair.boxes].ndim() == 2;
        let (boxes, scores) = (plane(&run[pair.boxes], flat)?, plane(&run[pair.scores], flat)?);
        let classes = pair.classes.map(|at| plane(&run[at], flat));
        let alike = |other: &ArrayView3<'_, f32>| (other.dim().0, other.dim().1) == (boxes.dim().0, boxes.dim().1);
        if boxes.dim().2 != 4 || !alike(&scores) || classes.as_ref().is_some_and(|own| !own.as_ref().is_some_and(alike))
        {
            return None;
        }
        let classes = classes.flatten();
        let one = |sample: usize, at: usize| {
            let (class, score) = self.scores.best(scores.slice(ndarray::s![sample, at, ..]).to_vec());
            let class = classes.as_ref().map_or(class, |own| class_number(own[[sample, at, 0]]));
            let row = boxes.slice(ndarray::s![sample, at, ..]);
            let corners = self.form.corners([row[0], row[1], row[2], row[3]]);
            (score > threshold).then_some(Detection { class, score, corners })
        };
        let (samples, count, _) = boxes.dim();
        Some((0..samples).map(|sample| (0..count).filter_map(|at| one(sample, at)).collect()).collect())
    }
}

/// Whether nearly every box has its larger corner last.
fn corners_first(boxes: &[[f32; 4]]) -> bool {
    share(boxes, |own| own[2] >= own[0] && own[3] >= own[1]) >= NEARLY_ALL
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small whole number")]
fn class_number(value: f32) -> usize {
    value.round().max(0.0) as usize
}
