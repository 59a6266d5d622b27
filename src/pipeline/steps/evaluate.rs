//! Accuracy of the pruned model, and how often it answers as the dense one.

use std::ops::RangeInclusive;

use super::Calibration;
use crate::error::Error;
use crate::evaluate::{DetectionFigures, OutputFigures, Predictions, Source, class_scores, evenly, images_within};
use crate::model::Model;
use crate::pipeline::record::Told;
use crate::pipeline::session::Session;
use crate::report::AccuracyChange;

/// Multiply-accumulates of the run of the dense model on moved images, about, and images that it takes.
const MOVED_MACS: f64 = 1e12;
const MOVED_IMAGES: RangeInclusive<usize> = 64..=1000;

/// What the dense model answers on the images that pruned models are evaluated on.
#[derive(Debug, Clone, Default)]
pub(crate) struct DenseAnswers {
    pub(crate) predictions: Predictions,
    /// Share of its answers that stay when the images are moved by one pixel, once it is known.
    shift_consistency: Option<f64>,
}

impl From<Predictions> for DenseAnswers {
    fn from(predictions: Predictions) -> Self {
        Self { predictions, shift_consistency: None }
    }
}

/// Accuracy and agreement; nothing without images or class scores.
#[derive(Default)]
pub(crate) struct Evaluated {
    pub(crate) accuracy: Option<AccuracyChange>,
    pub(crate) agreement: Option<f64>,
    pub(crate) shift_consistency: Option<f64>,
    /// The dense model's answers, for the next pruned model.
    pub(crate) dense: Option<DenseAnswers>,
}

/// How near the pruned model's outputs are to the dense model's, on the inputs that the repair is judged by.
pub(crate) fn output_figures(
    session: &Session<'_>,
    calibration: Option<&Calibration>,
    pruned: &Model,
) -> Result<Told<Vec<OutputFigures>>, Error> {
    let Some(reference) = calibration.and_then(|own| own.reference.as_ref()) else {
        return Ok(Told::quiet(Vec::new()));
    };
    session.step("evaluate", |_| Ok(reference.figures(session.engine.as_ref(), pruned, session.cancel)?))
}

/// What becomes of the dense model's detections, on the inputs that the repair is judged by.
pub(crate) fn detections(
    session: &Session<'_>,
    calibration: Option<&Calibration>,
    pruned: &Model,
) -> Result<Told<Option<DetectionFigures>>, Error> {
    let both = calibration.and_then(|own| own.reference.as_ref().zip(own.detections.as_ref()));
    let Some((reference, dense)) = both else { return Ok(Told::quiet(None)) };
    session.step("evaluate", |_| Ok(Some(dense.figures(session.engine.as_ref(), pruned, reference, session.cancel)?)))
}

/// Evaluates on held-out images, else on the calibration images. `dense`: the dense model's answers on those, where they are known.
pub(crate) fn evaluate(
    session: &Session<'_>,
    calibration: Option<&Calibration>,
    pruned: &Model,
    dense: Option<DenseAnswers>,
) -> Result<Told<Evaluated>, Error> {
    let Session { options, progress, .. } = session;
    let held_out = options.data.eval.as_deref().map(|path| session.source(path)).transpose()?;
    let seen = held_out.is_none();
    let Some(source) = held_out.as_ref().or(calibration.map(|own| &own.source)) else {
        return Ok(Told::quiet(Evaluated { dense, ..Evaluated::default() }));
    };
    if class_scores(&session.model, &session.channels).is_none() {
        // Labels say nothing about a map of scores or a list of boxes.
        return Ok(Told::quiet(Evaluated { dense, ..Evaluated::default() }));
    }
    let (data, dataset, seed) = (&options.data, &source.dataset, options.seed);
    let observed = calibration.filter(|_| seen).map(|own| own.images.clone());
    let indices = observed.unwrap_or_else(|| data.held_out_images(dataset, seed));
    session.step("evaluate", |_| {
        let passes = if seen || dense.is_some() { 1 } else { 2 };
        let known = dense.as_ref().is_some_and(|own| own.shift_consistency.is_some());
        let moved = if known { Vec::new() } else { moved_images(session, source, &indices) };
        progress.phase("evaluate", Some(passes * indices.len() as u64 + moved.len() as u64));
        let predictions = |model: &Model| session.pass(source, &indices, |pass| pass.predictions(model));
        let mut dense = match (calibration, dense) {
            (_, Some(dense)) => dense,
            (Some(calibration), None) if seen && calibration.observed.predictions.images() > 0 => {
                calibration.observed.predictions.clone().into()
            }
            (_, None) => predictions(&session.model)?.into(),
        };
        if !known {
            dense.shift_consistency = shift_consistency(session, source, &moved, &dense.predictions)?;
        }
        let (before, after) = (&dense.predictions, predictions(pruned)?);
        let names = source.dataset.class_names();
        let change = AccuracyChange::between(before, &after, names, &options.criteria.class_weights)?;
        let accuracy = change.map(|change| AccuracyChange { seen_in_calibration: seen, ..change });
        let agreement = before.agreement(&after);
        Ok(Evaluated { accuracy, agreement, shift_consistency: dense.shift_consistency, dense: Some(dense) })
    })
}

/// Images that are moved; none where the samples are no pictures.
fn moved_images(session: &Session<'_>, source: &Source, indices: &[u32]) -> Vec<u32> {
    if source.inputs.columns().is_none() {
        return Vec::new();
    }
    let affordable = images_within(MOVED_MACS, session.channels.macs(None) as f64);
    let count = affordable.clamp(*MOVED_IMAGES.start(), *MOVED_IMAGES.end());
    evenly(count, indices.len()).map(|at| indices[at]).collect()
}

/// How firm the dense model's answers are: the share of them that stay when the images are moved by one pixel (the consistency of
/// Zhang, arXiv 1904.11486). `None` where the samples are no pictures.
fn shift_consistency(
    session: &Session<'_>,
    source: &Source,
    images: &[u32],
    dense: &Predictions,
) -> Result<Option<f64>, Error> {
    let Some(columns) = source.inputs.columns() else { return Ok(None) };
    let moved = session.pass(source, images, |pass| pass.moved_predictions(&session.model, columns))?;
    Ok(dense.agreement(&moved))
}
