//! `onnx-prune check`: a new model against a base.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use super::classes::class_scores;
use super::dense::{self, Source};
use super::measure::{accuracy_change, count_params};
use super::options::{DataOptions, ModelOptions};
use super::profiling::profiled;
use super::timing::{self, Pairing};
use super::{Progress, class_weights, writing};
use crate::bench::latency::{Interval, TimingOptions, pin};
use crate::bench::profile::Profile;
use crate::channels::{AnalyseOptions, Channels, analyse};
use crate::check::{
    CHECK_SCHEMA_VERSION, Checked, Gate, Machine, Outcome, Quantity, Regression, comparable, confirmed,
    latency_regression, noise_share, size_regressions,
};
use crate::engine::{Engine, EngineOptions, Tensor, open};
use crate::error::Error;
use crate::evaluate::{input_specs, random_inputs};
use crate::model::Model;
use crate::report::{AccuracyChange, Change, FileInfo, LatencyChange};

/// What may change at most, new to base.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Bounds {
    /// Time of a run, as a ratio.
    pub latency_ratio: Option<f64>,
    /// Multiply-accumulates, as a ratio.
    pub macs_ratio: Option<f64>,
    /// Parameters, as a ratio.
    pub params_ratio: Option<f64>,
    /// Bytes of the file, as a ratio.
    pub size_ratio: Option<f64>,
    /// Points of top-1 that may be lost.
    pub drop: Option<f64>,
    /// Percent of the images on which both must answer alike.
    pub agreement: Option<f64>,
}

/// How to time.
#[derive(Debug, Clone, Default)]
pub struct Timing {
    /// Images per run where the model leaves it open.
    pub batch: usize,
    /// Cores to keep to; empty: all.
    pub cores: Vec<usize>,
    /// Length and precision.
    pub options: TimingOptions,
    /// Whether nothing is timed.
    pub skip: bool,
}

impl Timing {
    /// Keeps this thread, and those that it starts from now on, to the cores.
    ///
    /// # Errors
    /// If the system refuses.
    pub(super) fn keep_to_cores(&self) -> Result<(), Error> {
        if self.cores.is_empty() {
            return Ok(());
        }
        pin(&self.cores).map_err(|why| Error::Usage {
            what: format!("cannot keep to the cores that `--cpus` names: {why}"),
            help: "leave it out, or name cores that `nproc` counts, from 0".into(),
        })
    }
}

/// A check.
#[derive(Debug, Clone, Default)]
pub struct CheckOptions {
    /// The model that is compared with.
    pub base: ModelOptions,
    /// The model that is judged.
    pub new: ModelOptions,
    /// Labelled images as `data`, for the accuracy.
    pub data: DataOptions,
    /// Engine.
    pub engine: EngineOptions,
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
    options.refuse_blind_bounds()?;
    let baseline = options.baseline.as_deref().map(read_baseline).transpose()?;
    options.timing.keep_to_cores()?;
    let pair = Pair::open(options, progress)?;
    let mut checked = pair.weighed();
    let mut gates = pair.sizes(&checked);
    if let Some(then) = &baseline {
        comparable(&checked, then, options.regression())?;
        gates.extend(size_regressions(&checked, then, options.regression()));
    }
    if let Some((accuracy, agreement)) = pair.judged(progress, cancel)? {
        gates.extend(judged_gates(&options.bounds, accuracy.as_ref(), agreement)?);
        (checked.accuracy, checked.agreement) = (accuracy, Some(agreement));
    }
    if !options.timing.skip {
        progress.phase("time", None);
        let timed = pair.timed(baseline.as_ref(), cancel)?;
        gates.splice(0..0, timed.gates);
        checked.profile = pair.profile(&timed.found.change)?;
        checked.noise = Some(timed.noise);
        checked.latency_ms = Some(timed.found.change);
        checked.prepare_ms = Some(timed.found.prepare_ms);
        checked.samples = Some(timed.found.samples);
        checked.warnings.extend(timed.found.remarks);
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

    /// Refuses bounds on what nothing is measured of.
    fn refuse_blind_bounds(&self) -> Result<(), Error> {
        let Bounds { drop, agreement, latency_ratio, .. } = self.bounds;
        if (drop.is_some() || agreement.is_some()) && self.data.data.is_none() {
            return Err(Error::Usage {
                what: "a bound on the accuracy or the agreement needs images".into(),
                help: "give labelled images with `--data DIR`".into(),
            });
        }
        if latency_ratio.is_some() && self.timing.skip {
            return Err(Error::Usage {
                what: "a bound on the latency cannot be judged without timing".into(),
                help: "leave out `--no-timing`, or the bound".into(),
            });
        }
        Ok(())
    }
}

fn read_baseline(path: &std::path::Path) -> Result<Checked, Error> {
    let bad = |why: String| Error::Usage {
        what: format!("cannot read the baseline `{}`: {why}", path.display()),
        help: "give the file that `onnx-prune check --report FILE` wrote".into(),
    };
    let text = std::fs::read_to_string(path).map_err(|error| bad(error.to_string()))?;
    let read: Checked = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
    if read.schema_version == CHECK_SCHEMA_VERSION {
        Ok(read)
    } else {
        Err(bad(format!("its form is version {}, this program reads {CHECK_SCHEMA_VERSION}", read.schema_version)))
    }
}

fn judged_gates(bounds: &Bounds, accuracy: Option<&AccuracyChange>, agreement: f64) -> Result<Vec<Gate>, Error> {
    let mut gates = Vec::new();
    if let Some(limit) = bounds.drop {
        let Some(accuracy) = accuracy else {
            return Err(Error::Usage {
                what: "a bound on the loss of accuracy needs labels".into(),
                help: "give class folders, or bound the agreement instead (`--min-agreement`)".into(),
            });
        };
        gates.push(Gate::exact(Quantity::Drop, accuracy.before - accuracy.after, limit));
    }
    gates.extend(bounds.agreement.map(|limit| Gate::exact(Quantity::Agreement, 100.0 * agreement, limit)));
    Ok(gates)
}

/// What timing found.
struct Timed {
    found: timing::Timed,
    noise: Interval,
    gates: Vec<Gate>,
}

/// Both models, ready to run.
struct Pair<'a> {
    options: &'a CheckOptions,
    engine: Box<dyn Engine>,
    models: [Model; 2],
    files: [(u64, FileInfo); 2],
    channels: [Channels; 2],
    feed: Vec<(String, Tensor)>,
    notes: Vec<String>,
}

impl<'a> Pair<'a> {
    fn open(options: &'a CheckOptions, progress: &dyn Progress) -> Result<Self, Error> {
        progress.phase("load", None);
        let models = [writing::load(&options.base)?, writing::load(&options.new)?];
        let file = |at: usize, own: &ModelOptions| {
            let sha256 = models[at].sha256().to_owned();
            (models[at].size_bytes(), FileInfo { path: own.path.clone(), sha256 })
        };
        let files = [file(0, &options.base), file(1, &options.new)];
        let analysed = |model: &Model, own: &ModelOptions| {
            analyse(model, &AnalyseOptions { sizes: own.sizes.clone(), ..AnalyseOptions::default() })
        };
        let channels = [analysed(&models[0], &options.base), analysed(&models[1], &options.new)];
        let opened = open(&options.engine)?;
        let specs = [input_specs(&models[0]), input_specs(&models[1])];
        let names = |at: usize| specs[at].iter().map(|own| own.name.as_str()).collect::<Vec<_>>().join(", ");
        if names(0) != names(1) {
            return Err(Error::Usage {
                what: format!("the models do not take the same inputs: {} and {}", names(0), names(1)),
                help: "compare two versions of one model".into(),
            });
        }
        let feed = random_inputs(&specs[0], &options.base.sizes, options.timing.batch.max(1), options.seed);
        Ok(Self { options, engine: opened.engine, models, files, channels, feed, notes: opened.notes })
    }

    /// A report with what needs no run.
    fn weighed(&self) -> Checked {
        let change = |of: &dyn Fn(usize) -> u64| Change { before: of(0), after: of(1) };
        Checked {
            schema_version: CHECK_SCHEMA_VERSION,
            tool_version: env!("CARGO_PKG_VERSION").into(),
            outcome: Outcome::Passed,
            gates: Vec::new(),
            base: self.files[0].1.clone(),
            new: self.files[1].1.clone(),
            machine: Machine::here(),
            engine: self.engine.info().clone(),
            macs: change(&|at| self.channels[at].macs(None)),
            params: change(&|at| count_params(&self.models[at])),
            bytes: change(&|at| self.files[at].0),
            latency_ms: None,
            noise: None,
            prepare_ms: None,
            samples: None,
            profile: None,
            accuracy: None,
            agreement: None,
            warnings: self.notes.clone(),
            seconds: 0.0,
            command: Vec::new(),
        }
    }

    fn sizes(&self, checked: &Checked) -> Vec<Gate> {
        let bounds = &self.options.bounds;
        [
            (Quantity::MacsRatio, &checked.macs, bounds.macs_ratio),
            (Quantity::ParamsRatio, &checked.params, bounds.params_ratio),
            (Quantity::SizeRatio, &checked.bytes, bounds.size_ratio),
        ]
        .into_iter()
        .filter_map(|(quantity, change, limit)| Some(Gate::exact(quantity, change.ratio(), limit?)))
        .collect()
    }

    /// Top-1 of both, where there are labels, and the share of images on which they answer alike.
    fn judged(
        &self,
        progress: &dyn Progress,
        cancel: &AtomicBool,
    ) -> Result<Option<(Option<AccuracyChange>, f64)>, Error> {
        let data = &self.options.data;
        let Some(path) = data.data.as_deref() else { return Ok(None) };
        if class_scores(&self.models[0], &self.channels[0]).is_none() {
            return Err(Error::Usage {
                what: "images tell the accuracy of classifiers only: the first output is not a row of class scores"
                    .into(),
                help: "leave `--data` out".into(),
            });
        }
        let source = Source::open(&self.models[0], path, data)?;
        progress.say(&format!("preprocessing: {}", source.preprocess.describe()));
        let indices = dense::held_out(&source, data, self.options.seed);
        progress.phase("evaluate", Some(2 * indices.len() as u64));
        let judge = |model| source.judge(self.engine.as_ref(), model, &indices, data, progress, cancel);
        let (before, after) = (judge(&self.models[0])?, judge(&self.models[1])?);
        let classes = class_weights::changes(&before, &after, source.dataset.class_names(), &[])?;
        let agreement = before.agreement(&after).unwrap_or(0.0);
        Ok(Some((accuracy_change((&before, &after), false, classes), agreement)))
    }

    /// Both models, and the base against itself meanwhile; again while a bound would fail.
    fn timed(&self, baseline: Option<&Checked>, cancel: &AtomicBool) -> Result<Timed, Error> {
        let options = self.options.timing.options;
        let [before, after] = &self.models;
        let pairing = Pairing { engine: self.engine.as_ref(), before, after, feed: &self.feed, cancel };
        let measure = || {
            let all = pairing.compare_with_noise(&options, &|ratio, itself| {
                self.time_gates(ratio, itself, baseline).iter().all(Gate::settled)
            })?;
            let noise = all.itself.clone().unwrap_or_default().ratio(options.seed);
            let gates = self.time_gates(all.found.ratio(options.seed), noise, baseline);
            Ok::<_, Error>((all, noise, gates))
        };
        let would_fail = |gates: &[Gate]| gates.iter().any(|gate| gate.outcome == Outcome::Failed);
        let ((all, noise, gates), tries) = confirmed(self.options.retries, measure, |own| would_fail(&own.2))?;
        let gates = gates.into_iter().map(|gate| Gate { tries, ..gate }).collect();
        Ok(Timed { found: timing::told(&pairing, all, &options), noise, gates })
    }

    /// Bounds on time, given the ratio of both models and that of the base to itself.
    fn time_gates(&self, ratio: Interval, itself: Interval, baseline: Option<&Checked>) -> Vec<Gate> {
        let noise = noise_share(Some(itself));
        let own = self.options.bounds.latency_ratio;
        let own = own.map(|limit| Gate::measured(Quantity::LatencyRatio, ratio, limit, noise));
        let then = baseline.and_then(|then| latency_regression(ratio, noise, then, self.options.regression()));
        own.into_iter().chain(then).collect()
    }

    fn profile(&self, latency: &LatencyChange) -> Result<Option<Profile>, Error> {
        let [base, new] = &self.models;
        let ms = [latency.before, latency.after];
        profiled(self.engine.as_ref(), [base, new], &self.feed, &self.options.base.sizes, ms)
    }
}
