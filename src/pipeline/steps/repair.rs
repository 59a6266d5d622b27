//! Repair of a pruned model: consumers alone, then layer after layer, then all weights at once.

use std::collections::BTreeMap;

use super::Calibration;
use super::accept::Trial;
use crate::channels::Cut;
use crate::error::Error;
use crate::evaluate::images_within;
use crate::model::Model;
use crate::pipeline::options::Effort;
use crate::pipeline::record::Told;
use crate::pipeline::session::Session;
use crate::repair::global::{RefineOptions, Refined, Teacher, refine as refine_weights};
use crate::repair::{Compensation, Reconstruction, Refit, RepairError, passed_on, refit as refit_consumers};
use crate::report::{RepairStage, StageError};

/// Multiply-accumulates of the dense model on the images of the sequential reconstruction, about.
const RECONSTRUCTED_MACS: f64 = 1.5e12;

/// With `--effort max`, and the share of the memory for activations that mirror images may take then. ResNet-50 at x0.58, 1,000
/// images: output error on other images 0.107, with all of them 0.106, with their mirror images too 0.097.
const MOST_RECONSTRUCTED_MACS: f64 = 1.2e13;
const MIRRORED: u64 = 4;

/// A model after a part of the repair, and what that did.
pub(crate) struct Repaired<T> {
    pub(crate) model: Model,
    pub(crate) report: T,
    /// Errors of the outputs, stage by stage.
    pub(crate) stages: Vec<StageError>,
}

/// Refits the consumers of what was cut: each alone, then layer after layer.
pub(crate) fn refit(
    session: &Session<'_>,
    model: Model,
    cut: &Cut,
    calibration: Option<&Calibration>,
    compensation: Compensation,
) -> Result<Told<Repaired<Refit>>, Error> {
    let calibration = calibration.filter(|_| compensation != Compensation::None);
    let Some((calibration, moments)) = calibration.and_then(|own| Some((own, own.observed.moments.as_ref()?))) else {
        return Ok(Told::quiet(Repaired { model, report: Refit::default(), stages: Vec::new() }));
    };
    session.progress.phase("compensate", None);
    session.step("compensate", |record| {
        let mut trial = Trial::new(session, calibration.reference.as_ref(), model, Vec::new())?;
        let mut model = trial.model.clone();
        let mut report = refit_consumers(&session.model, &mut model, &session.channels, cut, moments, compensation)?;
        trial.take(RepairStage::Local, model)?;
        if compensation == Compensation::Sequential {
            let mut model = trial.model.clone();
            record.notes.extend(reconstruct(session, &mut model, cut, calibration, &mut report)?);
            trial.take(RepairStage::Sequential, model)?;
        }
        let Trial { model, stages, .. } = trial;
        Ok(Repaired { model, report, stages })
    })
}

/// Layer after layer; what to say of layers that were left.
fn reconstruct(
    session: &Session<'_>,
    pruned: &mut Model,
    cut: &Cut,
    calibration: &Calibration,
    report: &mut Refit,
) -> Result<Option<String>, Error> {
    let Session { model, channels, options, cancel, progress, .. } = session;
    let observed = &calibration.observed;
    if observed.batches.is_empty() {
        return Ok(None);
    }
    let (macs, mirrored) = match options.effort {
        Effort::Max => (MOST_RECONSTRUCTED_MACS, calibration.shares.activations / MIRRORED),
        Effort::Default | Effort::Fast => (RECONSTRUCTED_MACS, 0),
    };
    let most_images = images_within(macs, channels.macs(None) as f64);
    let batches = observed.mirrored(calibration.source.inputs.columns(), mirrored);
    let reconstruction = Reconstruction {
        dense: model,
        channels,
        cut,
        engine: session.engine.as_ref(),
        batches: &batches,
        mirrored: batches.len() - observed.batches.len(),
        memory: calibration.shares.activations,
        images: most_images,
        rows: calibration.shares.rows,
        around: None,
        quick: false,
        seed: options.seed,
        cancel,
    };
    let done = reconstruction.refit(pruned, &mut |layers| match layers {
        0 => progress.advance(1),
        count => progress.phase("compensate", Some(count as u64)),
    })?;
    report.layers = done.layers;
    Ok(done.left.first().map(|(name, why)| {
        let others = done.left.len() - 1;
        format!("`{name}` and {others} other layers were not refitted on the pruned model's activations: {why}")
    }))
}

/// Adjusts all weights at once towards the dense model's values, where there are options for it. `stages`: those before.
pub(crate) fn refine(
    session: &Session<'_>,
    model: Model,
    cut: &Cut,
    (calibration, options): (Option<&Calibration>, Option<RefineOptions>),
    stages: Vec<StageError>,
) -> Result<Told<Repaired<Option<Refined>>>, Error> {
    let calibration = calibration.filter(|own| own.observed.moments.is_some());
    let Some(calibration) = calibration else {
        return Ok(Told::quiet(Repaired { model, report: None, stages }));
    };
    let observed = &calibration.observed;
    session.step("refine", |record| {
        let Some(options) = options.filter(|_| !observed.batches.is_empty()) else {
            return Ok(Repaired { model, report: None, stages });
        };
        let memory = usize::try_from(calibration.shares.activations / 2).unwrap_or(usize::MAX);
        let options = RefineOptions { memory: memory.min(options.memory), ..options };
        session.progress.phase("refine", None);
        let mut trial = Trial::new(session, calibration.reference.as_ref(), model, stages)?;
        let images = observed.floats();
        let teacher = Teacher {
            model: &session.model,
            kept: left(session, cut),
            passed_on: passed_on(&session.model, &trial.model),
        };
        let mut model = trial.model.clone();
        let report =
            match refine_weights(&teacher, &mut model, session.engine.as_ref(), &images, &options, session.cancel) {
                Ok(refined) => Some(refined),
                Err(RepairError::Engine(why)) => {
                    record.notes.push(format!("the weights were not refined: {why}"));
                    None
                }
                Err(error) => return Err(error.into()),
            };
        if report.is_some() {
            let share = trial.take(RepairStage::Global, model)?;
            if let Some(share) = share.filter(|&share| share < 1.0) {
                let percent = 100.0 * share;
                record.notes.push(format!(
                    "all at once: {percent:.0} % of the change of the weights, which held-out inputs prefer"
                ));
            }
        }
        let Trial { model, stages, .. } = trial;
        Ok(Repaired { model, report, stages })
    })
}

/// Values that lose channels along one axis, and what is left of them.
fn left(session: &Session<'_>, cut: &Cut) -> BTreeMap<String, (usize, Vec<usize>)> {
    let names = session.model.graph().node.iter().flat_map(|node| &node.output);
    let left = |name: &String| {
        let ids = session.channels.value_ids(name)?;
        let kept = |axis: usize| session.channels.kept(cut, ids, axis);
        let mut shorter = (0..ids.rank()).filter(|&axis| kept(axis).len() < ids.shape[axis]);
        let axis = shorter.next().filter(|_| shorter.next().is_none())?;
        Some((name.clone(), (axis, kept(axis))))
    };
    names.filter_map(left).collect()
}
