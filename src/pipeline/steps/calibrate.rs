//! One pass of the dense model over the calibration images for everything that is needed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::evaluate::{
    Chosen, Classes, DenseDetections, LabelWeights, MOST_SAMPLED, Observed, Parted, RELATING, Reference, Shares,
    Source, StatisticsFile, StatisticsHead, Wanted, class_scores,
};
use crate::explain::Names;
use crate::number::plural;
use crate::pipeline::record::{Record, Told};
use crate::pipeline::session::Session;
use crate::plan::Allocation;
use crate::repair::{Compensation, MomentOptions, Moments, Products};
use crate::report::{Calibrated, bytes};
use crate::score::Needs;

/// Multiply-accumulates of the run that looks for inputs to leave out, at most.
const OUTLIERS_MACS: f64 = 1e12;

/// What the calibration images say.
pub(crate) struct Calibration {
    pub(crate) source: Source,
    pub(crate) observed: Observed,
    /// Images of `source` that accuracy is counted on where there are no others.
    pub(crate) images: Vec<u32>,
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
    /// What the images are.
    pub(crate) about: About,
}

/// What calibration images are, for the report.
pub(crate) struct About {
    /// Kind of source.
    kind: String,
    path: PathBuf,
    /// Distinct labels.
    classes: usize,
    preprocessing: String,
}

impl Calibration {
    /// For the report.
    pub(crate) fn describe(&self) -> Calibrated {
        let About { kind, path, classes, preprocessing } = &self.about;
        Calibrated {
            path: path.clone(),
            source: kind.clone(),
            images: self.observed.images() + self.held_out,
            classes: *classes,
            skipped: self.skipped.clone(),
            preprocessing: preprocessing.clone(),
        }
    }
}

/// What a run knows of the calibration images.
pub(crate) enum Data {
    /// The images themselves.
    Images(Source),
    /// What was gathered from them before.
    Statistics(Box<StatisticsFile>),
}

/// Opens the calibration images or statistics of the options, if there are some.
pub(crate) fn open_data(session: &Session<'_>) -> Result<Told<Option<Data>>, Error> {
    let options = &session.options.data;
    let mut record = Record::default();
    let Some(path) = &options.statistics else {
        let source = open_source(session, options.data.as_deref())?.merge_into(&mut record);
        return Ok(Told::new(source.map(Data::Images), record));
    };
    let statistics = StatisticsFile::open(path)?;
    let StatisticsHead { data, shards, notes, .. } = &statistics.head;
    session.progress.say(&format!("preprocessing: {}", data.preprocessing));
    record.notes.extend(notes.iter().cloned());
    let missing = shards.missing();
    if !missing.is_empty() {
        record.warnings.push(format!("the statistics lack {} of {} shards", missing.len(), shards.count));
    }
    Ok(Told::new(Some(Data::Statistics(Box::new(statistics))), record))
}

/// Opens a data set, and says how its images become inputs.
pub(crate) fn open_source(session: &Session<'_>, path: Option<&Path>) -> Result<Told<Option<Source>>, Error> {
    let Some(path) = path else { return Ok(Told::quiet(None)) };
    let mut source = session.source(path)?;
    session.progress.say(&format!("preprocessing: {}", source.describe()));
    let mut record = Record { notes: source.dataset.notes().to_vec(), ..Record::default() };
    let images = session.calibration_images(&source);
    if !source.settle(session.engine.as_ref(), &session.model, &images.fitted.all, session.cancel)? {
        record.notes.push("the model runs with one sample at a time only".into());
    }
    Ok(Told::new(Some(source), record))
}

/// What the dense model shows of the calibration images, or what was gathered of it before; nothing without either.
pub(crate) fn calibrate(
    session: &Session<'_>,
    data: Option<Data>,
    needs: Needs,
) -> Result<Told<Option<Calibration>>, Error> {
    let Some(data) = data else { return Ok(Told::quiet(None)) };
    session.step("calibrate", |record| {
        let calibration = match data {
            Data::Images(source) => of_images(session, source, needs)?.merge_into(record),
            Data::Statistics(statistics) => of_statistics(session, &statistics, needs)?,
        };
        if !calibration.skipped.is_empty() {
            let names = Names(&calibration.skipped, 3);
            record.notes.push(format!("{} images could not be read: {names}", calibration.skipped.len()));
        }
        Ok(Some(calibration))
    })
}

fn of_images(session: &Session<'_>, source: Source, needs: Needs) -> Result<Told<Calibration>, Error> {
    let mut record = Record::default();
    check_labels(session, &source)?;
    let Parted { fitted, judging, held_out } = session.calibration_images(&source);
    let judging = judging.items();
    let reference = session.pass(&source, &judging, |pass| Reference::gather(&pass, &session.model))?;
    let fitted = without_outliers(session, &source, fitted, &reference)?.merge_into(&mut record);
    let images = fitted.all.iter().take(MOST_SAMPLED).copied().collect();
    let Observation { observed, classes, shares } = observe(session, &source, fitted, needs)?.merge_into(&mut record);
    let skipped = skipped(&observed, &reference);
    let held_out = if held_out > 0 { reference.len() } else { 0 };
    let reference = Some(reference).filter(|own| !own.is_empty());
    let detections = reference.as_ref().map(|own| detections(session, own)).transpose()?.flatten();
    let (kind, path) = (source.dataset.source().to_owned(), session.options.data.data.clone().unwrap_or_default());
    let about = About { kind, path, classes: source.class_count(), preprocessing: source.describe() };
    Ok(Told::new(
        Calibration { source, observed, images, held_out, skipped, reference, detections, classes, shares, about },
        record,
    ))
}

/// The images without those that the model answers to far beyond all others. A classifier's scores are near to each other, and who has many
/// images of a large model has time for no run more.
fn without_outliers(
    session: &Session<'_>,
    source: &Source,
    mut images: Chosen,
    reference: &Reference,
) -> Result<Told<Chosen>, Error> {
    let mut record = Record::default();
    let macs = session.channels.macs(None) as f64 * images.own.len() as f64;
    if class_scores(&session.model, &session.channels).is_some() || macs > OUTLIERS_MACS {
        return Ok(Told::new(images, record));
    }
    session.progress.phase("calibrate", Some(images.own.len() as u64));
    let items = images.items();
    let found = session.pass(source, &items, |pass| reference.outliers(&pass, &session.model))?;
    if !found.is_empty() {
        images = Chosen::whole(items.into_iter().filter(|item| found.binary_search(item).is_err()).collect());
        let names: Vec<String> = found.iter().map(|&item| source.dataset.name(item as usize)).collect();
        let (what, names) = (plural(found.len(), "input"), Names(&names, 3));
        record.notes.push(format!(
            "left out of the calibration: {what} to which the model answers far beyond all others ({names})"
        ));
    }
    Ok(Told::new(images, record))
}

/// Statistics in place of images.
fn of_statistics(session: &Session<'_>, file: &StatisticsFile, needs: Needs) -> Result<Calibration, Error> {
    let Session { model, channels, options, .. } = session;
    let StatisticsHead { settings, data, answers, .. } = &file.head;
    suits(session, file, needs)?;
    let kept = file.kept()?;
    let source = Source::kept(&file.head, kept.clone());
    let shares = Shares::new(model, channels, session.file.bytes, &source, options.memory)?;
    let mut classes = file.classes();
    classes.weights = LabelWeights::new(&options.criteria.class_weights, &classes, &data.classes)?;
    let observed = file.observed(model, channels, kept)?;
    refuse_near_chance(session, &observed)?;
    let judging = file.judging()?;
    let reference = Reference::of(session.engine.as_ref(), model, judging.into_iter(), session.cancel)?;
    let held_out = if settings.held_out { reference.len() } else { 0 };
    let reference = Some(reference).filter(|own| !own.is_empty());
    let detections = reference.as_ref().map(|own| detections(session, own)).transpose()?.flatten();
    let about = About {
        kind: data.source.clone(),
        path: file.path().to_owned(),
        classes: answers.classes.values().filter(|own| own.images > 0).count(),
        preprocessing: data.preprocessing.clone(),
    };
    let (images, skipped) = (source.dataset.numbers().collect(), observed.skipped.names.clone());
    Ok(Calibration { source, observed, images, held_out, skipped, reference, detections, classes, shares, about })
}

/// Refuses statistics of another model, or such as lack something.
fn suits(session: &Session<'_>, file: &StatisticsFile, needs: Needs) -> Result<(), Error> {
    let StatisticsHead { settings, model_sha256, .. } = &file.head;
    let fail = |what: String, help: &str| Err(Error::Usage { what, help: help.into() });
    let path = file.path().display();
    if *model_sha256 != session.file.sha256 {
        return fail(
            format!("the statistics `{path}` are of another model (SHA-256 {model_sha256})"),
            "gather them of this model: `onnx-prune calibrate MODEL --data DIR -o FILE`",
        );
    }
    if !settings.needs.cover(needs) {
        return fail(
            format!("the statistics `{path}` lack what the criterion needs"),
            "gather them with the same `--criterion`",
        );
    }
    if settings.class_weights != session.options.criteria.class_weights {
        return fail(
            format!("the statistics `{path}` were gathered with other `--class-weights`"),
            "give the same weights to `calibrate` and here",
        );
    }
    Ok(())
}

/// Refuses labels that the dense model answers no better than by guessing.
fn refuse_near_chance(session: &Session<'_>, observed: &Observed) -> Result<(), Error> {
    match class_scores(&session.model, &session.channels) {
        Some(scores) => Ok(observed.tally.refuse_near_chance(scores)?),
        None => Ok(()),
    }
}

/// What a pass over calibration images gave.
pub(crate) struct Observation {
    pub(crate) observed: Observed,
    pub(crate) classes: Classes,
    pub(crate) shares: Shares,
}

/// Runs the dense model over the calibration images that are this machine's own. The list of all images is given up before
/// the pass: it grows with the data set.
pub(crate) fn observe(
    session: &Session<'_>,
    source: &Source,
    images: Chosen,
    needs: Needs,
) -> Result<Told<Observation>, Error> {
    let Session { model, channels, options, .. } = session;
    let mut record = Record::default();
    let shares = Shares::new(model, channels, session.file.bytes, source, options.memory)?;
    let mut classes = classes(session, source, &images, needs)?;
    classes.weights = LabelWeights::new(&options.criteria.class_weights, &classes, source.dataset.class_names())?;
    let wanted = wanted(session, source, needs, images.all.len(), &classes, shares);
    drop(images);
    record.notes.extend(narrowed(wanted.moments.as_ref(), shares));
    let items = classes.roll.items();
    session.progress.phase("calibrate", Some(items.len() as u64));
    let observed = session.pass(source, items, |pass| pass.observe(model, channels, &classes, wanted))?;
    refuse_near_chance(session, &observed)?;
    record.notes.extend(classes.notes.iter().cloned());
    Ok(Told::new(Observation { observed, classes, shares }, record))
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
pub(crate) fn check_labels(session: &Session<'_>, source: &Source) -> Result<(), Error> {
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

/// Which class every image belongs to: by the labels where they suffice, else by the dense model's outputs on the first images.
fn classes(session: &Session<'_>, source: &Source, images: &Chosen, needs: Needs) -> Result<Classes, Error> {
    let scores = class_scores(&session.model, &session.channels);
    let followed = needs.contributions || needs.outputs;
    let weighted = !session.options.criteria.class_weights.is_empty();
    let dataset = &source.dataset;
    if let Some(classes) = Classes::without_run(dataset, images, scores, followed, weighted) {
        return Ok(classes);
    }
    let first: BTreeSet<u32> = images.all.iter().take(RELATING).copied().collect();
    let labelled = images.all.iter().all(|&item| dataset.label(item as usize).is_some());
    // Labels say what the other images are.
    let others = if labelled { Vec::new() } else { images.items() };
    let asked = images.all.iter().take(RELATING).copied().chain(others.into_iter().filter(|own| !first.contains(own)));
    let asked: Vec<u32> = asked.collect();
    session.progress.phase("classes", Some(asked.len() as u64));
    let answers = session.pass(source, &asked, |pass| pass.answers(&session.model, |item| first.contains(&item)))?;
    Ok(Classes::by_outputs(dataset, images, &answers)?)
}

/// What the pass is to gather.
fn wanted(
    session: &Session<'_>,
    source: &Source,
    needs: Needs,
    images: usize,
    classes: &Classes,
    shares: Shares,
) -> Wanted {
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
        weighted: needs.moments && classes.weights.is_some(),
        memory: shares.moments,
    };
    let moments = products.map(|own| Moments::new(&session.model, channels, moment_options(own)));
    let kept = options.compensation == Compensation::Sequential
        || options.quantize.is_some()
        || session.allocation(&options.criteria, true) == Allocation::Sensitivity;
    Wanted::new(channels, needs, moments, if kept { kept_images(source, images, shares) } else { 0 })
}

/// Images whose inputs are kept, of so many. All shards keep as many, since `images` counts those of all.
pub(crate) fn kept_images(source: &Source, images: usize, shares: Shares) -> usize {
    shares.kept(images, 4 * source.volume() as u64).max(source.batch.min(images))
}

/// What to say where memory did not suffice for all moments.
fn narrowed(moments: Option<&Moments>, shares: Shares) -> Option<String> {
    let (narrowed, of) = moments.map(Moments::narrowed).filter(|(narrowed, _)| *narrowed > 0)?;
    let room = bytes(shares.moments as f64);
    Some(format!(
        "moments of {narrowed} of {of} consumers were gathered in part, to stay within {room}; `--memory` allows more"
    ))
}
