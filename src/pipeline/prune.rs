//! The command `onnx-prune MODEL`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::dense::{self, Observed, Source, Wanted};
use super::options::{PruneOptions, RoundTo};
use super::{Progress, scoring, writing};
use crate::channels::{AnalyseOptions, Channels, CostModel, Cut, Measure, analyse};
use crate::compensate::{Compensation, Moments, Products, refit};
use crate::engine::{CompileOptions, Engine, Tensor, channel_block, open};
use crate::error::Error;
use crate::latency::{TimingOptions, time_sessions};
use crate::model::{Model, SaveOptions};
use crate::plan::{Allocator, Budget, PLAN_SCHEMA_VERSION, Plan, PlanError, PlannedGroup, Rounding, Target, choose};
use crate::report::{
    AccuracyChange, Calibrated, Change, FileInfo, GroupChange, LatencyChange, ProtectedChannels, REPORT_SCHEMA_VERSION,
    Summary, Verified, count, peak_memory_bytes,
};
use crate::rewrite;
use crate::score::{Criterion, by_name};
use crate::verify::{Accuracy, VerifyError, compare, input_specs, random_inputs};

/// Runs of random inputs that the masked and the sliced model are compared on.
const COMPARED_RUNS: u64 = 2;

/// Prunes a model and writes it with its plan.
///
/// # Errors
/// If something given is unusable ([`crate::ErrorKind::Input`]), or the pruned model is not what it should be
/// ([`crate::ErrorKind::Check`]); nothing is written then.
pub fn prune(options: &PruneOptions, progress: &dyn Progress, cancel: &AtomicBool) -> Result<Summary, Error> {
    let mut run = Run::start(options, progress, cancel)?;
    let source = run.source(options.data.data.as_deref())?;
    let criterion = run.criterion(source.is_some())?;
    let observed = run.observe(source.as_ref(), criterion.as_ref())?;
    let plan = run.plan(criterion.as_ref(), observed.as_ref())?;
    let cut = plan.cut(&run.channels)?;
    let (mut pruned, verification) = run.rewrite(&cut)?;
    let compensation = run.compensate(&mut pruned, &cut, observed.as_ref())?;
    let (accuracy, agreement) = run.accuracy(source.as_ref(), observed.as_ref(), &pruned)?;
    run.interrupted()?;
    let bytes = run.save(&pruned, &plan)?;
    let latency_ms = run.latency(&pruned)?;
    let after = count_params(&pruned);
    Ok(Summary {
        schema_version: REPORT_SCHEMA_VERSION,
        tool_version: env!("CARGO_PKG_VERSION").into(),
        model: FileInfo { path: options.model.path.clone(), sha256: run.model.sha256().to_owned() },
        output: FileInfo { path: run.output.clone(), sha256: bytes.1 },
        engine: run.engine.info().clone(),
        macs: Change { before: run.channels.macs(None), after: run.channels.macs(Some(&cut)) },
        params: Change { before: count_params(&run.model), after },
        bytes: Change { before: run.model.size_bytes(), after: bytes.0 },
        latency_ms,
        accuracy,
        agreement,
        criterion: plan.criterion.clone(),
        budget: describe(&plan.budget),
        rounding: plan.rounding,
        groups: run.groups(&plan),
        protected: run.channels.protected.iter().map(ProtectedChannels::from).collect(),
        calibration: run.calibrated(source.as_ref(), observed.as_ref()),
        verification,
        compensation,
        notes: run.notes,
        seed: options.seed,
        timings_s: run.timings,
        peak_memory_bytes: peak_memory_bytes(),
    })
}

/// State of a run.
struct Run<'a> {
    options: &'a PruneOptions,
    progress: &'a dyn Progress,
    cancel: &'a AtomicBool,
    model: Model,
    channels: Channels,
    cost: CostModel,
    engine: Box<dyn Engine>,
    output: std::path::PathBuf,
    notes: Vec<String>,
    timings: BTreeMap<String, f64>,
}

impl<'a> Run<'a> {
    fn start(options: &'a PruneOptions, progress: &'a dyn Progress, cancel: &'a AtomicBool) -> Result<Self, Error> {
        progress.phase("load", None);
        let output = options.output_path();
        writing::check(&options.model.path, &output, options.force)?;
        if let Some(plan) = options.plan_path() {
            if plan == output {
                let why = "the plan and the model cannot share a file".into();
                return Err(crate::model::ModelError::Write { path: plan.display().to_string(), why }.into());
            }
            writing::check(&options.model.path, &plan, options.force)?;
        }
        for path in [&options.data.data, &options.data.eval, &options.data.classes].into_iter().flatten() {
            // Before anything that takes time; the reader's own message would come after the engine's.
            std::fs::metadata(path).map_err(|error| crate::calibration::CalibrationError::read(path, error))?;
        }
        let begin = Instant::now();
        let model = writing::load(&options.model)?;
        let loaded = begin.elapsed().as_secs_f64();
        let begin = Instant::now();
        let channels = analyse(&model, &analyse_options(&options.model)?);
        let analysed = begin.elapsed().as_secs_f64();
        if channels.groups.is_empty() {
            return Err(PlanError::Nothing { why: reasons(&channels) }.into());
        }
        let opened = open(&options.engine)?;
        let info = opened.engine.info();
        progress.say(&format!("engine: {} {} on {}, {} threads", info.name, info.version, info.provider, info.threads));
        let cost = channels.cost_model();
        let timings = BTreeMap::from([("load".into(), loaded), ("analyse".into(), analysed)]);
        let (engine, notes) = (opened.engine, opened.notes);
        Ok(Self { options, progress, cancel, model, channels, cost, engine, output, notes, timings })
    }

    fn timed<T>(&mut self, phase: &str, f: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        self.interrupted()?;
        let begin = Instant::now();
        let result = f(self);
        *self.timings.entry(phase.to_owned()).or_insert(0.0) += begin.elapsed().as_secs_f64();
        result
    }

    fn interrupted(&self) -> Result<(), Error> {
        if self.cancel.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { Ok(()) }
    }

    fn source(&mut self, path: Option<&Path>) -> Result<Option<Source>, Error> {
        let Some(path) = path else { return Ok(None) };
        let source = Source::open(&self.model, path, &self.options.data)?;
        self.progress.say(&format!("preprocessing: {}", source.preprocess.describe()));
        self.notes.extend(source.dataset.notes().iter().cloned());
        Ok(Some(source))
    }

    /// The criterion that was asked for; by default class-wise where there are images, the norm where there are none.
    fn criterion(&self, data: bool) -> Result<Box<dyn Criterion>, Error> {
        let name = self.options.criteria.criterion.as_deref().unwrap_or(if data { "stlp-ib" } else { "l2" });
        let criterion = by_name(name).ok_or_else(|| Error::Usage {
            what: format!("unknown criterion `{name}`"),
            help: format!("one of {}", crate::score::NAMES.join(", ")),
        })?;
        if !data && (criterion.needs().features || criterion.needs().outputs) {
            return Err(Error::Usage {
                what: format!("the criterion `{name}` needs images"),
                help: "give them with `--data DIR`, or use `--criterion l2`".into(),
            });
        }
        Ok(criterion)
    }

    fn observe(&mut self, source: Option<&Source>, criterion: &dyn Criterion) -> Result<Option<Observed>, Error> {
        let Some(source) = source else { return Ok(None) };
        self.timed("calibrate", |run| {
            let indices = dense::chosen(source, &run.options.data, run.options.seed);
            let needs = criterion.needs();
            let products = match run.options.compensation {
                Compensation::None => None,
                Compensation::Bias => Some(Products::Means),
                Compensation::Auto => Some(Products::Pairs),
            };
            let moments = products
                .map(|products| Moments::new(&run.model, &run.channels, indices.len(), run.options.seed, products));
            let wanted = Wanted { pool: needs.features.then_some(needs.pool), moments };
            let observed = dense::observe(
                &run.model,
                &run.channels,
                run.engine.as_ref(),
                source,
                (&indices, &run.options.data),
                wanted,
                (run.progress, run.cancel),
            )?;
            near_chance(&observed)?;
            if !observed.skipped.names.is_empty() {
                let names = crate::error::Names(&observed.skipped.names, 3);
                run.notes.push(format!("{} images could not be read: {names}", observed.skipped.names.len()));
            }
            Ok(Some(observed))
        })
    }

    fn plan(&mut self, criterion: &dyn Criterion, observed: Option<&Observed>) -> Result<Plan, Error> {
        self.progress.phase("score", None);
        let scores = self
            .timed("score", |run| scoring::scores(&run.model, &run.channels, criterion, observed, run.options.seed))?;
        self.timed("plan", |run| {
            let criteria = &run.options.criteria;
            let rounding = run.rounding();
            let allocator = Allocator {
                groups: &run.channels.groups,
                cost: &run.cost,
                scores: &scores,
                allocation: criteria.allocation,
                rounding,
                streams: criteria.streams,
                floor: criteria.floor,
            };
            let widths = allocator.widths(&criteria.budget)?;
            if widths == run.cost.full() && !matches!(criteria.budget, Budget::Ratio(ratio) if ratio <= 0.0) {
                let why = "the budget leaves every channel, or rounding does".to_owned();
                return Err(PlanError::Nothing { why }.into());
            }
            run.note_budget(&widths);
            let groups = run
                .channels
                .groups
                .iter()
                .zip(&scores)
                .zip(&widths)
                .map(|((group, scores), &width)| PlannedGroup::new(group, choose(scores, &group.covers, width)))
                .collect();
            Ok(Plan {
                schema_version: PLAN_SCHEMA_VERSION,
                tool_version: env!("CARGO_PKG_VERSION").into(),
                model_sha256: run.model.sha256().to_owned(),
                criterion: criterion.name().into(),
                budget: criteria.budget,
                rounding,
                seed: run.options.seed,
                ignore: run.options.model.ignore.clone(),
                groups,
            })
        })
    }

    fn rounding(&self) -> Rounding {
        match self.options.criteria.round_to {
            RoundTo::Multiple(step) => Rounding { block: step.max(1), multiple: step.max(1) },
            RoundTo::Auto => {
                let found = channel_block(self.engine.as_ref());
                Rounding { block: found.block, multiple: found.multiple }
            }
        }
    }

    /// Says so when protection or floors keep the plan from its budget.
    fn note_budget(&mut self, widths: &[usize]) {
        let Ok(Some((measure, limit))) = self.options.criteria.budget.limit(&self.cost) else { return };
        let reached = self.cost.at(measure, widths);
        if reached > limit * 1.000_001 {
            let unit = if measure == Measure::Macs { "MACs" } else { "parameters" };
            self.notes.push(format!(
                "the budget of {} {unit} cannot be reached: {} remain in protected channels and floors",
                count(limit),
                count(reached)
            ));
        }
    }

    /// Slices, and proves that the result is the masked original.
    fn rewrite(&mut self, cut: &Cut) -> Result<(Model, Option<Verified>), Error> {
        self.progress.phase("rewrite", None);
        let pruned = self.timed("rewrite", |run| Ok(rewrite::slice(&run.model, &run.channels, cut)?))?;
        if self.options.skip_verification {
            self.notes.push("the pruned model was not compared with the masked original".into());
            return Ok((pruned, None));
        }
        self.progress.phase("verify", None);
        let verified = self.timed("verify", |run| {
            let masked = rewrite::mask(&run.model, &run.channels, cut)?;
            let specs = input_specs(&run.model);
            let sizes = &run.options.model.sizes;
            let feeds: Vec<_> = (0..COMPARED_RUNS)
                .map(|number| random_inputs(&specs, sizes, 1 + usize::from(number > 0), run.options.seed + number))
                .collect();
            let agreement = compare(run.engine.as_ref(), &masked, &pruned, &feeds)?;
            Ok(Verified { agreement, runs: feeds.len() })
        })?;
        Ok((pruned, Some(verified)))
    }

    fn compensate(
        &mut self,
        pruned: &mut Model,
        cut: &Cut,
        observed: Option<&Observed>,
    ) -> Result<crate::compensate::Refit, Error> {
        let Some(moments) = observed.and_then(|observed| observed.moments.as_ref()) else {
            return Ok(crate::compensate::Refit::default());
        };
        self.progress.phase("compensate", None);
        self.timed("compensate", |run| {
            Ok(refit(&run.model, pruned, &run.channels, cut, moments, run.options.compensation)?)
        })
    }

    /// Accuracy and agreement on held-out images, else on the calibration images.
    fn accuracy(
        &mut self,
        source: Option<&Source>,
        observed: Option<&Observed>,
        pruned: &Model,
    ) -> Result<(Option<AccuracyChange>, Option<f64>), Error> {
        let options = &self.options.data;
        let held_out = options.eval.as_deref().map(|path| Source::open(&self.model, path, options)).transpose()?;
        let (Some(source), seen) = (held_out.as_ref().or(source), held_out.is_none()) else { return Ok((None, None)) };
        let indices = if seen {
            dense::chosen(source, options, self.options.seed)
        } else {
            crate::calibration::sample(&source.dataset, options.eval_samples, self.options.seed)
        };
        self.timed("evaluate", |run| {
            let passes = if seen { 1 } else { 2 };
            run.progress.phase("evaluate", Some(passes * indices.len() as u64));
            let engine = run.engine.as_ref();
            let judge = |model: &Model| source.judge(engine, model, &indices, options, run.progress, run.cancel);
            let before = match observed {
                Some(observed) if seen => observed.judge.clone(),
                _ => judge(&run.model)?,
            };
            let after = judge(pruned)?;
            let change = before.accuracy().zip(after.accuracy()).map(|(before, after)| AccuracyChange {
                before: before.percent,
                after: after.percent,
                images: before.images,
                before_interval: before,
                after_interval: after,
                seen_in_calibration: seen,
            });
            Ok((change, before.agreement(&after)))
        })
    }

    fn save(&mut self, pruned: &Model, plan: &Plan) -> Result<(u64, String), Error> {
        self.timed("save", |run| {
            if !run.options.skip_verification {
                // The engine must accept the very model that is written.
                run.engine.compile(pruned, &CompileOptions::default())?;
            }
            let save = SaveOptions { force: run.options.force, ..SaveOptions::default() };
            pruned.save(&run.output, &save)?;
            if let Some(path) = run.options.plan_path() {
                writing::text(&path, &plan.to_json()?)?;
            }
            writing::digest(&run.output)
        })
    }

    fn latency(&mut self, pruned: &Model) -> Result<Option<LatencyChange>, Error> {
        if self.options.skip_timing {
            return Ok(None);
        }
        self.progress.phase("time", None);
        self.timed("time", |run| {
            let specs = input_specs(&run.model);
            let feed = random_inputs(&specs, &run.options.model.sizes, 1, run.options.seed);
            let found = time(run.engine.as_ref(), (&run.model, pruned), &feed, run.cancel)?;
            Ok(Some(found))
        })
    }

    fn groups(&self, plan: &Plan) -> Vec<GroupChange> {
        self.channels
            .groups
            .iter()
            .zip(&plan.groups)
            .map(|(group, planned)| GroupChange {
                name: group.name.clone(),
                scope: group.scope,
                width_before: group.width(),
                width_after: planned.kept.len(),
                members: group.producers.len() + group.parameters.len() + group.consumers.len(),
            })
            .collect()
    }

    fn calibrated(&self, source: Option<&Source>, observed: Option<&Observed>) -> Option<Calibrated> {
        let (source, observed) = (source?, observed?);
        Some(Calibrated {
            path: self.options.data.data.clone().unwrap_or_default(),
            source: source.dataset.source().to_owned(),
            images: observed.images,
            classes: class_count(&source.dataset),
            skipped: observed.skipped.names.clone(),
            preprocessing: source.preprocess.describe(),
        })
    }
}

/// Times two models on one feed.
pub(super) fn time(
    engine: &dyn Engine,
    (before, after): (&Model, &Model),
    feed: &[(String, Tensor)],
    cancel: &AtomicBool,
) -> Result<LatencyChange, Error> {
    let inputs: Vec<(&str, &Tensor)> = feed.iter().map(|(name, value)| (name.as_str(), value)).collect();
    let mut a = engine.compile(before, &CompileOptions::default())?;
    let mut b = engine.compile(after, &CompileOptions::default())?;
    let found = time_sessions(a.as_mut(), b.as_mut(), &inputs, &TimingOptions::default(), cancel)?;
    let [before, after] = found.summary();
    Ok(LatencyChange {
        before: before.0,
        after: after.0,
        before_p95: before.1,
        after_p95: after.1,
        ratio: found.ratio.median,
        ratio_low: found.ratio.low,
        ratio_high: found.ratio.high,
        pairs: found.before_ms.len(),
        batch: feed.first().and_then(|(_, value)| value.shape().first().copied()).unwrap_or(1),
    })
}

/// Analysis options of a model's options.
pub(super) fn analyse_options(options: &super::ModelOptions) -> Result<AnalyseOptions, Error> {
    let ignore = options
        .ignore
        .iter()
        .map(|pattern| {
            glob::Pattern::new(pattern).map_err(|error| Error::Usage {
                what: format!("`--ignore {pattern}` is not a pattern: {}", error.msg),
                help: "`*` stands for any characters, `?` for one; `[` must be written `[[]`".into(),
            })
        })
        .collect::<Result<_, _>>()?;
    Ok(AnalyseOptions { sizes: options.sizes.clone(), ignore, ..AnalyseOptions::default() })
}

/// Number of distinct labels.
fn class_count(dataset: &crate::calibration::Dataset) -> usize {
    let labels: std::collections::BTreeSet<usize> =
        (0..dataset.len()).filter_map(|index| dataset.label(index)).collect();
    labels.len()
}

/// The commonest reasons for protection, in one line.
fn reasons(channels: &Channels) -> String {
    let mut all: Vec<String> = channels
        .protected
        .iter()
        .filter_map(|found| found.reasons.first().map(|reason| format!("`{}` ({reason})", found.node)))
        .collect();
    all.dedup();
    if all.is_empty() {
        // An operator that is not understood leaves the shapes behind it unknown: it is the cause, the rest follows.
        let follows = |why: &str| why.contains("is not known") || why.contains("no node produces");
        let cause = channels.opaque.iter().find(|(_, opaque)| !follows(&opaque.why));
        return match cause.or(channels.opaque.iter().next()) {
            Some((op, opaque)) => format!("{op} `{}` is not analysed: {}", opaque.node, opaque.why),
            None => "the model has no convolution or matrix product with a stored weight".into(),
        };
    }
    format!("every channel is protected: {}", crate::error::Names(&all, 3))
}

fn near_chance(observed: &Observed) -> Result<(), Error> {
    let classes = observed.outputs.as_ref().map_or(0, ndarray::ArrayBase::ncols);
    match observed.judge.accuracy() {
        Some(accuracy) if accuracy.near_chance(classes) => {
            let Accuracy { percent, images, .. } = accuracy;
            Err(VerifyError::NearChance { percent, images, classes }.into())
        }
        _ => Ok(()),
    }
}

fn describe(budget: &Budget) -> String {
    let target = |target: &Target| match target {
        Target::Share(share) => format!("x{share}"),
        Target::Absolute(number) => count(*number),
    };
    match budget {
        Budget::Ratio(ratio) => format!("{:.0} % of the channels cut", 100.0 * ratio),
        Budget::Macs(macs) => format!("MACs {}", target(macs)),
        Budget::Params(params) => format!("parameters {}", target(params)),
    }
}

/// Elements of stored weights with at least two elements, each stored tensor once.
pub(super) fn count_params(model: &Model) -> u64 {
    model.weight_count()
}
