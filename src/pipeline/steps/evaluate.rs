//! Accuracy of the pruned model, and how often it answers as the dense one.

use super::Calibration;
use crate::error::Error;
use crate::evaluate::{DetectionFigures, OutputFigures, Predictions, class_scores};
use crate::model::Model;
use crate::pipeline::record::Told;
use crate::pipeline::session::Session;
use crate::report::AccuracyChange;

/// Accuracy and agreement; nothing without images or class scores.
#[derive(Default)]
pub(crate) struct Evaluated {
    pub(crate) accuracy: Option<AccuracyChange>,
    pub(crate) agreement: Option<f64>,
    /// The dense model's predictions on the held-out images, for the next pruned model.
    pub(crate) dense: Option<Predictions>,
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

/// Evaluates on held-out images, else on the calibration images. `dense`: the dense model's predictions on the held-out
/// images, where they are known.
pub(crate) fn evaluate(
    session: &Session<'_>,
    calibration: Option<&Calibration>,
    pruned: &Model,
    dense: Option<Predictions>,
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
        progress.phase("evaluate", Some(passes * indices.len() as u64));
        let predictions = |model: &Model| session.pass(source, &indices, |pass| pass.predictions(model));
        let before = match (calibration, dense) {
            (Some(calibration), _) if seen && calibration.observed.predictions.images() > 0 => {
                calibration.observed.predictions.clone()
            }
            (_, Some(dense)) => dense,
            (_, None) => predictions(&session.model)?,
        };
        let after = predictions(pruned)?;
        let names = source.dataset.class_names();
        let change = AccuracyChange::between(&before, &after, names, &options.criteria.class_weights)?;
        let accuracy = change.map(|change| AccuracyChange { seen_in_calibration: seen, ..change });
        Ok(Evaluated { accuracy, agreement: before.agreement(&after), dense: (!seen).then_some(before) })
    })
}
