//! The command `onnx-prune score`: scores of every channel, and nothing pruned.

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use super::options::PruneOptions;
use super::run::Run;
use super::{Progress, writing};
use crate::error::Error;
use crate::report::{FileInfo, SCORES_SCHEMA_VERSION, Scored, ScoredGroup};

/// Scores every group by a criterion. Of the options, those of the model, the images, the engine and the criterion count.
///
/// # Errors
/// If something given is unusable.
pub fn score(options: &PruneOptions, progress: &dyn Progress, cancel: &AtomicBool) -> Result<Scored, Error> {
    progress.phase("load", None);
    let begin = Instant::now();
    let model = writing::load(&options.model)?;
    let loaded = begin.elapsed().as_secs_f64();
    let mut run = Run::start(options, (model, loaded), &[], progress, cancel)?;
    let source = run.source(options.data.data.as_deref())?;
    let criterion = run.criterion(source.is_some())?;
    let found = run.observe(source.as_ref(), criterion.needs())?;
    let known = run.known(found.as_ref(), criterion.as_ref(), options.criteria.lasso.response)?;
    let observed = found.as_ref().map(|(observed, _)| observed);
    progress.phase("score", None);
    let scores = run.timed("score", |run| run.scorer(criterion.as_ref(), observed, known.as_ref()).scores())?;
    let names = source.as_ref().map_or(&[][..], |source| source.dataset.class_names());
    let pair = found.as_ref().map(|(observed, classes)| (observed, classes));
    let classwise = run.classwise(pair, known.as_ref(), None, names)?;
    run.interrupted()?;
    // In the same order; groups that say nothing about the classes are left out.
    let mut told = classwise.iter().flat_map(|own| &own.groups).peekable();
    let groups = run.channels.groups.iter().zip(scores).map(|(group, own)| ScoredGroup {
        shares: told.next_if(|own| own.name == group.name).map(|own| own.shares.clone()).unwrap_or_default(),
        name: group.name.clone(),
        scope: group.scope,
        scores: own.scores,
        unit: own.unit,
        explanation: own.explanation,
        path: own.path,
    });
    let groups = groups.collect();
    Ok(Scored {
        schema_version: SCORES_SCHEMA_VERSION,
        tool_version: env!("CARGO_PKG_VERSION").into(),
        model: FileInfo { path: options.model.path.clone(), sha256: run.file.1.clone() },
        engine: observed.map(|_| run.engine.info().clone()),
        criterion: criterion.name().into(),
        calibration: run.calibrated(source.as_ref(), observed),
        groups,
        classwise,
        notes: run.notes,
        seed: options.seed,
        timings_s: run.timings,
    })
}
