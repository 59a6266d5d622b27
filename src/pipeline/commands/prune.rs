//! The command `onnx-prune MODEL`.

use std::sync::atomic::AtomicBool;

use super::finish::finish;
use crate::error::Error;
use crate::evaluate::{SetAside, class_scores, set_aside};
use crate::pipeline::Progress;
use crate::pipeline::options::PruneOptions;
use crate::pipeline::record::Record;
use crate::pipeline::search::choose;
use crate::pipeline::session::{Broken, Session, Watch, connected_all, load};
use crate::pipeline::steps::{CandidateError, calibrate, criterion, open_data, score};
use crate::pipeline::writing::check_images;
use crate::report::Summary;

/// Prunes a model and writes it with its plan.
///
/// Groups whose cut the engine does not confirm are left alone and named in the warnings; the rest is planned anew.
///
/// # Errors
/// If something given is unusable ([`crate::ErrorKind::Input`]), or the pruned model is not what it should be
/// ([`crate::ErrorKind::Check`]); nothing is written then.
pub fn prune(options: &PruneOptions, progress: &dyn Progress, cancel: &AtomicBool) -> Result<Summary, Error> {
    prune_watched(options, Watch::new(progress, cancel))
}

/// As [`prune`], timed on given devices.
pub(crate) fn prune_watched(options: &PruneOptions, watch: Watch<'_>) -> Result<Summary, Error> {
    options.files().check(options)?;
    check_images(options)?;
    options.goals.in_range(options.metric.is_some())?;
    let by_accuracy = options.goals.max_drop.filter(|_| options.metric.is_none());
    let parted = by_accuracy.map(|points| set_aside(&options.data, points)).transpose()?.flatten();
    match parted {
        None => repeat(options, None, watch, attempt),
        Some(SetAside { data, note }) => repeat(&PruneOptions { data, ..options.clone() }, Some(&note), watch, attempt),
    }
}

/// One attempt: each step's output is the next one's input.
fn attempt(session: &Session<'_>, mut record: Record) -> Result<Summary, CandidateError> {
    let options = session.options;
    let measured = options.metric.is_some() || class_scores(&session.model, &session.channels).is_some();
    options.goals.suit(measured, !options.skip_timing)?;
    let data = open_data(session)?.merge_into(&mut record);
    let criterion = criterion(&options.criteria, data.is_some())?;
    let calibration = calibrate(session, data, criterion.needs())?.merge_into(&mut record);
    let response = options.criteria.lasso.response;
    let scored = score(session, criterion.as_ref(), calibration.as_ref(), response)?.merge_into(&mut record);
    let chosen = choose(session, &scored)?.merge_into(&mut record);
    Ok(finish(session, &scored, chosen, &options.files(), &mut record)?.summary)
}

/// Loads the model and attempts what was asked for, anew without the groups whose cuts do not hold.
pub(super) fn repeat<T>(
    options: &PruneOptions,
    note: Option<&str>,
    watch: Watch<'_>,
    attempt: impl Fn(&Session<'_>, Record) -> Result<T, CandidateError>,
) -> Result<T, Error> {
    watch.progress.phase("load", None);
    if options.outputs.is_some() && options.data.data.is_none() && options.data.statistics.is_none() {
        return Err(outputs_want_data());
    }
    let (model, mut loaded) = load(&options.model)?;
    if let Some(named) = &options.outputs {
        named.check(&model)?;
    }
    let connected = connected_all(options, watch.progress, watch.cancel)?;
    let watch = Watch { devices: if connected.is_empty() { watch.devices } else { &connected }, ..watch };
    let mut broken: Vec<Broken> = Vec::new();
    let mut dense = None;
    loop {
        let mut opening = Record::default();
        let mut session = Session::open(options, model.clone(), &broken, watch)?.merge_into(&mut opening);
        session.can_prune()?;
        // Before anything that takes long: a command that does not work is told at once.
        if dense.is_none() {
            dense = session.measure_dense(&model)?.merge_into(&mut loaded);
        }
        session.dense_metric = dense;
        let mut record = loaded.clone();
        record.merge(opening);
        record.notes.extend(note.map(ToOwned::to_owned));
        match attempt(&session, record) {
            Ok(done) => return Ok(done),
            Err(CandidateError::Failed(error)) => return Err(error),
            Err(CandidateError::Broken(found)) => {
                for Broken { name, why, .. } in &found {
                    watch.progress.say(&format!("`{name}` is left alone and the rest planned anew: {why}"));
                }
                broken.extend(found);
            }
        }
    }
}

/// That named outputs are compared on data alone.
pub(super) fn outputs_want_data() -> Error {
    Error::Usage {
        what: "`--outputs` says how detections are read, and there is nothing to detect them in".into(),
        help: "give images or arrays with `--data`".into(),
    }
}
