//! Layouts of outputs: which are recognised, and which must not be.

use ndarray::{Array3, ArrayD, Axis};

use super::layout::Layout;
use super::*;

/// Two objects of 64 boxes in an image of 100 by 100, as corners; the rest small and everywhere.
fn corners() -> Vec<[f32; 4]> {
    let small = |at: usize| {
        let (x, y) = ((at * 37 % 90) as f32, (at * 53 % 90) as f32);
        [x, y, x + 4.5, y + 6.5]
    };
    (0..64)
        .map(|at| [[10.0, 20.0, 50.0, 60.0], [60.0, 30.0, 90.0, 95.0]].get(at).copied().unwrap_or_else(|| small(at)))
        .collect()
}

fn centres(scale: f32) -> Vec<[f32; 4]> {
    let one = |[a, b, c, d]: [f32; 4]| [f32::midpoint(a, c), f32::midpoint(b, d), c - a, d - b].map(|own| own / scale);
    corners().into_iter().map(one).collect()
}

/// Object 0 is of class 1, object 1 of class 0.
fn scores(classes: usize) -> Vec<Vec<f32>> {
    (0..64)
        .map(|at| {
            let mut row: Vec<f32> = (0..classes).map(|class| 0.01 + 0.001 * ((at + class) % 7) as f32).collect();
            match at {
                0 => row[1 % classes] = 0.875,
                1 => row[0] = 0.75,
                _ => {}
            }
            row
        })
        .collect()
}

fn array<T: AsRef<[f32]>>(rows: &[T]) -> ArrayD<f32> {
    let width = rows[0].as_ref().len();
    let values: Vec<f32> = rows.iter().flat_map(|row| row.as_ref().iter().copied()).collect();
    Array3::from_shape_vec((1, rows.len(), width), values).unwrap().into_dyn()
}

/// Classes, scores and corners of the one sample.
fn found(run: &[ArrayD<f32>]) -> Option<Vec<(usize, f32, [f32; 4])>> {
    let layout = Layout::recognised(&[run.to_vec()])?;
    read(&layout, run)
}

fn read(layout: &Layout, run: &[ArrayD<f32>]) -> Option<Vec<(usize, f32, [f32; 4])>> {
    let all = layout.read(run, THRESHOLD)?;
    assert_eq!(all.len(), 1);
    Some(all[0].iter().map(|own| (own.class, own.score, own.corners.map(f32::round))).collect())
}

fn joined(parts: &[Vec<Vec<f32>>]) -> ArrayD<f32> {
    let rows: Vec<Vec<f32>> =
        (0..parts[0].len()).map(|at| parts.iter().flat_map(|own| own[at].clone()).collect()).collect();
    array(&rows)
}

fn rows(boxes: &[[f32; 4]]) -> Vec<Vec<f32>> {
    boxes.iter().map(|own| own.to_vec()).collect()
}

const OBJECTS: [(usize, f32, [f32; 4]); 2] =
    [(1, 0.875, [10.0, 20.0, 50.0, 60.0]), (0, 0.75, [60.0, 30.0, 90.0, 95.0])];

#[test]
fn boxes_beside_scores_are_recognised() {
    assert_eq!(found(&[array(&corners()), array(&scores(3))]).unwrap(), OBJECTS);
    assert_eq!(found(&[array(&scores(3)), array(&centres(1.0))]).unwrap(), OBJECTS);
    // One class, with and without an axis of its own; relative coordinates.
    let one = array(&scores(1));
    let flat = one.clone().remove_axis_of_one();
    for scores in [one, flat] {
        let classes: Vec<usize> = found(&[scores, array(&corners())]).unwrap().iter().map(|own| own.0).collect();
        assert_eq!(classes, [0, 0]);
    }
    assert_eq!(found(&[array(&centres(100.0)), array(&scores(3))]).unwrap().len(), 2);
    // Logits, and classes in an output of their own.
    let logits: Vec<Vec<f32>> =
        scores(3).iter().map(|row| row.iter().map(|p| (p / (1.0 - p)).ln()).collect()).collect();
    let by_logits = found(&[array(&corners()), array(&logits)]).unwrap();
    assert!(by_logits.iter().zip(OBJECTS).all(|(a, b)| a.0 == b.0 && (a.1 - b.1).abs() < 1e-5));
    let classes: Vec<Vec<f32>> = (0..64).map(|at| vec![(at % 5) as f32]).collect();
    let found = found(&[array(&corners()), array(&scores(1)), array(&classes)]).unwrap();
    assert_eq!(found.iter().map(|own| own.0).collect::<Vec<_>>(), [0, 1]);
}

trait RemoveAxis {
    fn remove_axis_of_one(self) -> Self;
}

impl RemoveAxis for ArrayD<f32> {
    fn remove_axis_of_one(self) -> Self {
        self.remove_axis(Axis(2))
    }
}

#[test]
fn outputs_that_hold_everything_are_recognised() {
    let ones = vec![vec![1.0]; 64];
    let yolo5 = joined(&[rows(&centres(1.0)), ones.clone(), scores(3)]);
    assert_eq!(found(&[yolo5]).unwrap(), OBJECTS);
    let mut yolo8 = joined(&[rows(&centres(1.0)), scores(3)]);
    yolo8.swap_axes(1, 2);
    assert_eq!(found(&[yolo8]).unwrap(), OBJECTS);
    let best: Vec<Vec<f32>> = scores(3)
        .iter()
        .map(|row| {
            let s = row.iter().copied().fold(0.0, f32::max);
            vec![s, f32::from(u8::from(row[1] >= s))]
        })
        .collect();
    assert_eq!(found(&[joined(&[rows(&corners()), best])]).unwrap(), OBJECTS);
}

/// Several scales of one detector are one set of detections.
#[test]
fn scales_are_joined() {
    let part = |array: &ArrayD<f32>, from: usize, to: usize| {
        array.slice_axis(Axis(1), ndarray::Slice::from(from..to)).to_owned()
    };
    let (boxes, scores) = (array(&corners()), array(&scores(3)));
    let run = [part(&scores, 0, 1 + 20), part(&scores, 21, 64), part(&boxes, 0, 21), part(&boxes, 21, 64)];
    assert_eq!(found(&run).unwrap(), OBJECTS);
}

#[test]
fn what_may_be_anything_else_is_not_recognised() {
    let noise = |width: usize, shift: f32| -> ArrayD<f32> {
        let value = |at: usize| ((at * 7919 % 1009) as f32 / 1009.0) - shift;
        array(&(0..64).map(|row| (0..width).map(|at| value(row * width + at)).collect()).collect::<Vec<Vec<f32>>>())
    };
    let softmax: Vec<Vec<f32>> =
        (0..64).map(|at| [0.7, 0.1, 0.1, 0.1].iter().cycle().skip(at % 4).take(4).copied().collect()).collect();
    // Offsets from anchors.
    assert_eq!(found(&[noise(4, 0.5), array(&scores(3))]), None);
    // Anchors with landmarks, as BlazeFace has them.
    assert_eq!(found(&[array(&scores(1)), noise(16, 0.5)]), None);
    // Two heads of a tagger, sequences of tokens, features.
    assert_eq!(found(&[array(&softmax), array(&scores(3))]), None);
    assert_eq!(found(&[noise(97, 0.0)]), None);
    assert_eq!(found(&[noise(20, 0.5)]), None);
    assert_eq!(found(&[noise(4, 0.0), array(&scores(3))]), None);
    // Two outputs of scores: which one belongs to the boxes?
    assert_eq!(found(&[array(&corners()), array(&scores(3)), array(&scores(2))]), None);
    // Keypoints behind the classes leave [0, 1].
    let mut pose = joined(&[rows(&centres(1.0)), scores(1), rows(&corners())]);
    pose.swap_axes(1, 2);
    assert_eq!(found(&[pose]), None);
    // No number.
    let mut broken = corners();
    broken[3][2] = f32::NAN;
    assert_eq!(found(&[array(&broken), array(&scores(3))]), None);
}

#[test]
fn named_outputs_are_read_as_named() {
    let run = [array(&corners()), array(&scores(3)), array(&scores(2))];
    let layout = Layout::named(&[run.to_vec()], (0, 1), None).unwrap();
    assert_eq!(read(&layout, &run).unwrap(), OBJECTS);
    let layout = Layout::named(&[run.to_vec()], (0, 1), Some(BoxForm::Cxcywh)).unwrap();
    assert_eq!(read(&layout, &run).unwrap()[0], (1, 0.875, [-15.0, -10.0, 35.0, 50.0]));
    let why = Layout::named(&[run.to_vec()], (1, 0), None).unwrap_err();
    assert!(why.contains("[1, 64, 3]") && why.contains("[N, B, 4]"), "{why}");
    // Without an axis of samples.
    let flat: Vec<ArrayD<f32>> = run.iter().map(|own| own.clone().remove_axis(Axis(0))).collect();
    let layout = Layout::named(std::slice::from_ref(&flat), (0, 1), None).unwrap();
    assert_eq!(read(&layout, &flat).unwrap(), OBJECTS);
}
