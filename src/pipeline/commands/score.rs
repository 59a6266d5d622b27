//! The command `onnx-prune score`: scores of every channel, and nothing pruned.

use std::sync::atomic::AtomicBool;

use crate::error::Error;
use crate::pipeline::Progress;
use crate::pipeline::options::PruneOptions;
use crate::pipeline::record::Record;
use crate::pipeline::session::{Session, Watch};
use crate::pipeline::steps::{self, Calibration, calibrate, class_report, criterion, open_data};
use crate::report::{SCORES_SCHEMA_VERSION, Scored, ScoredGroup};

/// Scores every group by a criterion. Of the options, those of the model, the images, the engine and the criterion count.
///
/// # Errors
/// If something given is unusable.
pub fn score(options: &PruneOptions, progress: &dyn Progress, cancel: &AtomicBool) -> Result<Scored, Error> {
    let mut record = Record::default();
    progress.phase("load", None);
    let session = &Session::load(options, Watch::new(progress, cancel))?.merge_into(&mut record);
    session.can_prune()?;
    let data = open_data(session)?.merge_into(&mut record);
    let criterion = criterion(&options.criteria, data.is_some())?;
    let calibration = calibrate(session, data, criterion.needs())?.merge_into(&mut record);
    let response = options.criteria.lasso.response;
    let scored = steps::score(session, criterion.as_ref(), calibration.as_ref(), response)?.merge_into(&mut record);
    let classwise = class_report(session, &scored, None);
    session.interrupted()?;
    // In the same order; groups that say nothing about the classes are left out.
    let mut reported = classwise.iter().flat_map(|own| &own.groups).peekable();
    let groups = session.channels.groups.iter().zip(scored.scores).map(|(group, own)| ScoredGroup {
        shares: reported.next_if(|own| own.name == group.name).map(|own| own.shares.clone()).unwrap_or_default(),
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
        model: session.file_info(),
        engine: calibration.as_ref().map(|_| session.engine.info().clone()),
        criterion: criterion.name().into(),
        calibration: calibration.as_ref().map(Calibration::describe),
        groups,
        classwise,
        notes: record.notes,
        seed: options.seed,
        timings_s: record.timings,
    })
}
