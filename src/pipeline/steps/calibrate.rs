//! One pass of the dense model over the calibration images for everything that is needed.

use std::path::Path;

use crate::error::Error;
use crate::evaluate::{
    Classes, DataOptions, DenseDetections, Observed, Parted, Reference, Shares, Source, Wanted, class_scores,
    weights_of_images,
};
use crate::pipeline::record::{Record, Told};
use crate::pipeline::session::Session;
use crate::plan::Allocation;
use crate::repair::{Compensation, MomentOptions, Moments, Products};
use crate::report::{Calibrated, bytes};
use crate::score::Needs;

/// What the calibration images say.
pub(crate) struct Calibration {
    pub(crate) source: Source,
    pub(crate) observed: Observed,
    /// Images that were observed.
    pub(crate) images: Vec<usize>,
    /// Calibration images among those that judge the repair and that nothing is fitted on.
    pub(crate) held_out: usize,
    /// Images that could not be read.
    pub(crate) skipped: Vec<String>,
    /// What the repair is judged by.
    pub(crate) reference: Option<Reference>,
    /// The dense model's detections on the same inputs, if it has boxes and scores.
    pub(crate) detections: Option<DenseDetections>,
    pub(crate) classes: Classes,
    /// What each part of the run may hold.
    pub(crate) shares: Shares,
}

impl Calibration {
    /// For the report.
    pub(crate) fn describe(&self, options: &DataOptions) -> Calibrated {
        Calibrated {
            path: options.data.clone().unwrap_or_default(),
            source: self.source.dataset.source().to_owned(),
            images: self.observed.images + self.held_out,
            classes: self.source.class_count(),
            skipped: self.skipped.clone(),
            preprocessing: self.source.describe(),
        }
    }
}

/// Opens a data set, and says how its images become inputs.
pub(crate) fn open_source(session: &Session<'_>, path: Option<&Path>) -> Result<Told<Option<Source>>, Error> {
    let Some(path) = path else { return Ok(Told::quiet(None)) };
    let mut source = session.source(path)?;
    session.progress.say(&format!("preprocessing: {}", source.describe()));
    let mut record = Record { notes: source.dataset.notes().to_vec(), ..Record::default() };
    let indices = session.options.data.calibration_images(&source.dataset, session.options.seed);
    if !source.settle(session.engine.as_ref(), &session.model, &indices.fitted, session.cancel)? {
        record.notes.push("the model runs with one sample at a time only".into());
    }
    Ok(Told::new(Some(source), record))
}

/// Runs the dense model over the calibration images, if there are some.
pub(crate) fn calibrate(
    session: &Session<'_>,
    source: Option<Source>,
    needs: Needs,
) -> Result<Told<Option<Calibration>>, Error> {
    let Some(source) = source else { return Ok(Told::quiet(None)) };
    let Session { model, channels, options, .. } = session;
    let shares = Shares::new(model, channels, session.file.bytes, &source, options.memory)?;
    session.step("calibrate", |record| {
        let Parted { fitted: indices, judging, held_out } =
            options.data.calibration_images(&source.dataset, options.seed);
        check_labels(session, &source)?;
        let mut classes = classes(session, &source, &indices, needs)?;
        let weights = &options.criteria.class_weights;
        classes.image_weights = weights_of_images(weights, &classes, source.dataset.class_names())?;
        let wanted = wanted(session, needs, indices.len(), &classes, shares);
        record.notes.extend(narrowed(wanted.moments.as_ref(), shares));
        let sorted = classes.sorted(&indices);
        session.progress.phase("calibrate", Some(sorted.len() as u64));
        let observed = session.pass(&source, &sorted, |pass| pass.observe(model, channels, &classes, wanted))?;
        if let Some(scores) = class_scores(model, channels) {
            observed.predictions.refuse_near_chance(scores)?;
        }
        let reference = session.pass(&source, &judging, |pass| Reference::gather(&pass, model))?;
        let skipped = skipped(&observed, &reference);
        if !skipped.is_empty() {
            let names = crate::explain::Names(&skipped, 3);
            record.notes.push(format!("{} images could not be read: {names}", skipped.len()));
        }
        record.notes.extend(classes.notes.iter().cloned());
        let held_out = if held_out > 0 { reference.len() } else { 0 };
        let reference = Some(reference).filter(|own| !own.is_empty());
        let detections = reference.as_ref().map(|own| detections(session, own)).transpose()?.flatten();
        Ok(Some(Calibration {
            source,
            observed,
            images: indices,
            held_out,
            skipped,
            reference,
            detections,
            classes,
            shares,
        }))
    })
}

/// The dense model's detections; none of a classifier, unless its outputs are named.
fn detections(session: &Session<'_>, reference: &Reference) -> Result<Option<DenseDetections>, Error> {
    let Session { engine, model, channels, options, cancel, .. } = session;
    let named = options.outputs.as_ref();
    if named.is_none() && class_scores(model, channels).is_some() {
        return Ok(None);
    }
    Ok(DenseDetections::gather(engine.as_ref(), model, reference, named, cancel)?)
}

/// Images that could not be read, each once.
fn skipped(observed: &Observed, reference: &Reference) -> Vec<String> {
    let mut all = observed.skipped.names.clone();
    all.extend(reference.skipped.names.iter().filter(|name| !observed.skipped.names.contains(name)).cloned());
    all
}

/// Refuses labels of outputs that the model does not have.
fn check_labels(session: &Session<'_>, source: &Source) -> Result<(), Error> {
    let Some(scores) = class_scores(&session.model, &session.channels) else { return Ok(()) };
    let labels = (0..source.dataset.len()).filter_map(|item| source.dataset.label(item));
    let Some(most) = labels.max().filter(|&most| most >= scores) else { return Ok(()) };
    let name = source.dataset.class_names().get(most).filter(|name| !name.is_empty());
    let name = name.map_or_else(String::new, |name| format!(", `{name}`"));
    Err(Error::Usage {
        what: format!(
            "the data have {} classes up to number {most}{name}, the model has {scores} outputs",
            source.class_count()
        ),
        help: "`--classes FILE` says which output each class folder is; without class folders no labels are used"
            .into(),
    })
}

/// Which class every image belongs to: by the labels where they suffice, else by the dense model's outputs on the images.
fn classes(session: &Session<'_>, source: &Source, indices: &[usize], needs: Needs) -> Result<Classes, Error> {
    let scores = class_scores(&session.model, &session.channels);
    let followed = needs.contributions || needs.outputs;
    let weighted = !session.options.criteria.class_weights.is_empty();
    if let Some(classes) = Classes::without_run(&source.dataset, indices, scores, followed, weighted)? {
        return Ok(classes);
    }
    session.progress.phase("classes", Some(indices.len() as u64));
    let outputs = session.pass(source, indices, |pass| pass.first_outputs(&session.model))?;
    Ok(Classes::by_outputs(&source.dataset, indices, &outputs)?)
}

/// What the pass is to gather.
fn wanted(session: &Session<'_>, needs: Needs, images: usize, classes: &Classes, shares: Shares) -> Wanted {
    let Session { options, channels, .. } = session;
    let products = match options.compensation {
        _ if needs.moments || needs.contributions => Some(Products::Pairs),
        Compensation::None => None,
        Compensation::Bias => Some(Products::Means),
        Compensation::Local | Compensation::Sequential => Some(Products::Pairs),
    };
    let moment_options = |products| MomentOptions {
        images,
        seed: options.seed,
        products,
        classes: needs.contributions.then(|| classes.count()),
        weighted: needs.moments && classes.image_weights.is_some(),
        memory: shares.moments,
    };
    let moments = products.map(|own| Moments::new(&session.model, channels, moment_options(own)));
    let kept = options.compensation == Compensation::Sequential
        || options.quantize.is_some()
        || session.allocation(&options.criteria, true) == Allocation::Sensitivity;
    Wanted::new(channels, needs, moments, kept.then_some(shares.images))
}

/// What to say where memory did not suffice for all moments.
fn narrowed(moments: Option<&Moments>, shares: Shares) -> Option<String> {
    let (narrowed, of) = moments.map(Moments::narrowed).filter(|(narrowed, _)| *narrowed > 0)?;
    let room = bytes(shares.moments as f64);
    Some(format!(
        "moments of {narrowed} of {of} consumers were gathered in part, to stay within {room}; `--memory` allows more"
    ))
}
