//! `onnx-prune check`: a new model against a base.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use super::prune::outputs_want_data;
use crate::bench;
use crate::bench::latency::{Device, Here, Interval, Pairing, Timed, Timing};
use crate::bench::profile::profile;
use crate::channels::{AnalyseOptions, Channels};
use crate::check::{
    Bounds, Checked, Counted, Gate, Outcome, Regression, comparable, confirmed, read_baseline, size_regressions,
};
use crate::device::DeviceOptions;
use crate::engine::{EngineOptions, Feed, open};
use crate::error::Error;
use crate::evaluate::{
    DataOptions, DetectionFigures, Measured, Metric, MetricChange, NamedOutputs, Pass, Source, analyse_with,
    class_scores, input_specs, random_inputs,
};
use crate::model::Model;
use crate::pipeline::reading::{load, same_inputs};
use crate::pipeline::session::connected;
use crate::pipeline::sizes::{KnownSizes, known_sizes};
use crate::pipeline::{ModelOptions, Progress};
use crate::report::{AccuracyChange, FileInfo};

/// A check.
#[derive(Debug, Clone, Default)]
pub struct CheckOptions {
    /// The model that is compared with.
    pub base: ModelOptions,
    /// The model that is checked.
    pub new: ModelOptions,
    /// Labelled images as `data`, for the accuracy.
    pub data: DataOptions,
    /// Engine.
    pub engine: EngineOptions,
    /// Where models are timed, if not here.
    pub device: Option<DeviceOptions>,
    /// Outputs with boxes and scores, for figures of detections; recognised by their numbers by default.
    pub outputs: Option<NamedOutputs>,
    /// What a model is worth, by a command of the user's own; the bound on the loss is then on this metric.
    pub metric: Option<Metric>,
    /// Bounds.
    pub bounds: Bounds,
    /// Timing.
    pub timing: Timing,
    /// The report of an earlier check, to compare with.
    pub baseline: Option<PathBuf>,
    /// How much worse than the baseline the new model may be, as a share.
    pub regression: f64,
    /// Whether a baseline of another machine counts.
    pub other_machine: bool,
    /// Whether what is inconclusive fails.
    pub strict: bool,
    /// How often a bound on time that would fail is measured again.
    pub retries: usize,
    /// Seed of random inputs and of the draw of images.
    pub seed: u64,
}

/// Measures both models and compares them with the bounds.
///
/// # Errors
/// If a file, an option or the engine is unusable; a bound that is exceeded is no error but in [`Checked::outcome`].
pub fn check(options: &CheckOptions, progress: &dyn Progress, cancel: &AtomicBool) -> Result<Checked, Error> {
    let begin = Instant::now();
    let bounds = &options.bounds;
    bounds.measurable(options.data.data.is_some(), options.metric.is_some(), !options.timing.skip)?;
    let baseline = options.baseline.as_deref().map(read_baseline).transpose()?;
    options.timing.keep_to_cores(options.device.is_none())?;
    let connected = options.device.as_ref().map(|own| connected(own, progress, cancel)).transpose()?;
    let pair = Pair::open(options, progress, cancel)?;
    let device = connected.as_deref().unwrap_or(&pair.here);
    let (counted, engine) = (pair.counted.clone(), device.engine());
    let mut checked = Checked::new(counted, engine.info().clone(), engine.machine());
    checked.device = device.name().map(ToOwned::to_owned);
    checked.warnings.clone_from(&pair.notes);
    let mut gates = bounds.sizes(&checked);
    if let Some(then) = &baseline {
        comparable(&checked, then, options.regression())?;
        gates.extend(size_regressions(&checked, then, options.regression()));
    }
    if let Some(metric) = pair.metric()? {
        gates.extend(bounds.metric(&metric));
        checked.metric = Some(metric);
    }
    let OnImages { answers, detections } = pair.on_images()?;
    checked.detections = detections;
    if let Some(Answers { accuracy, agreement }) = answers {
        gates.extend(bounds.answers(accuracy.as_ref(), agreement, options.metric.is_some())?);
        (checked.accuracy, checked.agreement) = (accuracy, Some(agreement));
    }
    if !options.timing.skip {
        progress.phase("time", None);
        let Times { timed, noise, gates: on_time } = pair.times(device, baseline.as_ref())?;
        gates.splice(0..0, on_time);
        let ms = [timed.change.before, timed.change.after];
        let [base, new] = &pair.models;
        checked.profile = profile(engine, [base, new], &pair.feed, &pair.sizes, ms)?;
        let (macs, operators) = (checked.macs.ratio(), new.graph().node.len());
        let cut = bench::TimedCut { change: &timed.change, macs, operators, profile: checked.profile.as_ref() };
        checked.warnings.extend(bench::binding(cut, engine.info()));
        checked.noise = Some(noise);
        checked.latency_ms = Some(timed.change);
        checked.prepare_ms = timed.prepared.map(|own| own.ms);
        checked.session_bytes = timed.prepared.and_then(|own| own.memory_bytes);
        checked.samples = Some(timed.samples);
        checked.warnings.extend(timed.remarks);
    }
    checked.outcome = Checked::verdict(&gates, options.strict);
    checked.gates = gates;
    checked.seconds = begin.elapsed().as_secs_f64();
    Ok(checked)
}

impl CheckOptions {
    fn regression(&self) -> Regression {
        Regression { most: self.regression, other_machine: self.other_machine }
    }
}

/// Top-1 of both, where there are labels, and the share of images on which they answer alike.
struct Answers {
    accuracy: Option<AccuracyChange>,
    agreement: f64,
}

/// What images tell of both models.
#[derive(Default)]
struct OnImages {
    /// Of classifiers.
    answers: Option<Answers>,
    /// Of models with boxes and scores.
    detections: Option<DetectionFigures>,
}

/// What timing found: both models, the base against itself, and the verdicts.
struct Times {
    timed: Timed,
    noise: Interval,
    gates: Vec<Gate>,
}

/// Both models, ready to run.
struct Pair<'a> {
    options: &'a CheckOptions,
    progress: &'a dyn Progress,
    cancel: &'a AtomicBool,
    here: Here,
    models: [Model; 2],
    channels: [Channels; 2],
    counted: [Counted; 2],
    feed: Feed,
    sizes: BTreeMap<String, usize>,
    notes: Vec<String>,
}

impl<'a> Pair<'a> {
    fn open(options: &'a CheckOptions, progress: &'a dyn Progress, cancel: &'a AtomicBool) -> Result<Self, Error> {
        progress.phase("load", None);
        let models = [load(&options.base)?, load(&options.new)?];
        let KnownSizes { sizes, said, .. } = known_sizes(&models[0], &options.base.sizes, &options.data)?;
        for line in &said {
            progress.say(line);
        }
        let opened = open(&options.engine)?;
        let analysed = |model: &Model, own: &ModelOptions| {
            let sizes = sizes.iter().chain(&own.sizes).map(|(name, size)| (name.clone(), *size)).collect();
            let options = AnalyseOptions { sizes, ..AnalyseOptions::default() };
            analyse_with(opened.engine.as_ref(), model, &options).channels
        };
        let channels = [analysed(&models[0], &options.base), analysed(&models[1], &options.new)];
        let counted = |at: usize, own: &ModelOptions| Counted {
            file: FileInfo { path: own.path.clone(), sha256: models[at].sha256().to_owned() },
            macs: channels[at].macs(None),
            blocks: channels[at].blocks.len(),
            params: models[at].weight_count(),
            bytes: models[at].size_bytes(),
        };
        let counted = [counted(0, &options.base), counted(1, &options.new)];
        same_inputs(&models[0], &models[1])?;
        if let Some(named) = &options.outputs {
            models.iter().try_for_each(|model| named.check(model))?;
        }
        let feed = random_inputs(&input_specs(&models[0]), &sizes, options.timing.batch.max(1), options.seed);
        let (here, notes) = (Here(opened.engine.into()), opened.notes);
        Ok(Self { options, progress, cancel, here, models, channels, counted, feed, sizes, notes })
    }

    /// The user's own metric of both files, if there is one.
    fn metric(&self) -> Result<Option<MetricChange>, Error> {
        let Some(metric) = &self.options.metric else { return Ok(None) };
        self.progress.phase("metric", Some(2));
        let of = |at: usize, own: &ModelOptions, which: Measured| {
            let found = metric.of_loaded(&own.path, &self.models[at], which, self.cancel)?;
            self.progress.advance(1);
            Ok::<_, Error>(found)
        };
        let before = of(0, &self.options.base, Measured::Base)?;
        Ok(Some(metric.change(before, of(1, &self.options.new, Measured::New)?)))
    }

    /// What both say to the images, if there are some.
    fn on_images(&self) -> Result<OnImages, Error> {
        let Self { options, progress, .. } = self;
        let named = options.outputs.as_ref();
        let Some(path) = options.data.data.as_deref() else {
            return if named.is_some() { Err(outputs_want_data()) } else { Ok(OnImages::default()) };
        };
        let [base, new] = &self.models;
        let classifier = class_scores(base, &self.channels[0]).is_some();
        if !classifier && self.bounds_answers() {
            return Err(no_classes(
                "bound a metric of your own (`--metric`) instead, or leave `--max-drop` and `--min-agreement` out",
            ));
        }
        let source = &Source::open(base, path, &options.data)?;
        progress.say(&format!("preprocessing: {}", source.describe()));
        let indices = &options.data.held_out_images(&source.dataset, options.seed)[..];
        let passes = if classifier { 2 } else { 1 };
        progress.phase("evaluate", Some(passes * indices.len() as u64));
        let advance = &|images| progress.advance(images);
        let pass = Pass { engine: self.here.engine(), source, indices, advance, cancel: self.cancel };
        let mut found = OnImages::default();
        if named.is_some() || !classifier {
            found.detections = pass.detections(base, new, named)?;
        }
        if !classifier && found.detections.is_none() {
            return Err(no_classes("leave `--data` out, or name outputs with boxes and scores (`--outputs`)"));
        }
        if classifier {
            let (before, after) = (pass.predictions(base)?, pass.predictions(new)?);
            let accuracy = AccuracyChange::between(&before, &after, source.dataset.class_names(), &[])?;
            found.answers = Some(Answers { accuracy, agreement: before.agreement(&after).unwrap_or(0.0) });
        }
        Ok(found)
    }

    /// Whether what classifiers answer is bounded.
    fn bounds_answers(&self) -> bool {
        let CheckOptions { bounds, metric, .. } = self.options;
        bounds.agreement.is_some() || (bounds.drop.is_some() && metric.is_none())
    }

    /// Both models, and the base against itself meanwhile; again while a bound would fail.
    fn times(&self, device: &dyn Device, baseline: Option<&Checked>) -> Result<Times, Error> {
        let options = self.options.timing.options;
        let [before, after] = &self.models;
        let pairing = Pairing { device, before, after, feed: &self.feed, cancel: self.cancel };
        let gates = |ratio: Interval, itself: Interval| {
            self.options.bounds.times(ratio, itself, baseline, self.options.regression())
        };
        let measure = || {
            let settled = |ratio, itself| gates(ratio, itself).iter().all(Gate::settled);
            let all = pairing.compare_with_noise(&options, &settled)?;
            let noise = all.itself.clone().unwrap_or_default().ratio(options.seed);
            let gates = gates(all.found.ratio(options.seed), noise);
            Ok::<_, Error>((all, noise, gates))
        };
        let would_fail = |gates: &[Gate]| gates.iter().any(|gate| gate.outcome == Outcome::Failed);
        let ((all, noise, gates), tries) = confirmed(self.options.retries, measure, |own| would_fail(&own.2))?;
        let gates = gates.into_iter().map(|gate| Gate { tries, ..gate }).collect();
        Ok(Times { timed: pairing.summarise(all, &options), noise, gates })
    }
}

/// That the models are no classifiers.
fn no_classes(help: &str) -> Error {
    Error::Usage {
        what: "images tell the accuracy of classifiers and the detections of models with boxes and scores: the first \
               output is not a row of class scores"
            .into(),
        help: help.into(),
    }
}
