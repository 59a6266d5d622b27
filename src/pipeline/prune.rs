//! The command `onnx-prune MODEL`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::dense::{self, Observed, Source, Wanted};
use super::explain::{analyse_options, describe, reasons};
use super::measure::{class_count, count_params, near_chance, time};
use super::options::{PruneOptions, RoundTo};
use super::rollback::Broken;
use super::{Progress, scoring, writing};
use crate::channels::{Channels, CostModel, Cut, Measure, analyse};
use crate::compensate::{Compensation, Moments, Products, refit};
use crate::engine::{CompileOptions, Engine, channel_block, open};
use crate::error::Error;
use crate::model::{Model, SaveOptions};
use crate::plan::{Allocator, Budget, PLAN_SCHEMA_VERSION, Plan, PlanError, PlannedGroup, Rounding, choose};
use crate::report::{
    AccuracyChange, Calibrated, Change, FileInfo, GroupChange, Inspection, LatencyChange, ProtectedChannels,
    REPORT_SCHEMA_VERSION, Summary, Verified, count, peak_memory_bytes,
};
use crate::rewrite;
use crate::score::{Criterion, by_name};
use crate::verify::{compare, input_specs, random_inputs};

/// Runs of random inputs that the masked and the sliced model are compared on.
const COMPARED_RUNS: u64 = 2;

/// Prunes a model and writes it with its plan.
///
/// Groups whose cut the engine does not confirm are left alone and named in the warnings; the rest is planned anew.
///
/// # Errors
/// If something given is unusable ([`crate::ErrorKind::Input`]), or the pruned model is not what it should be
/// ([`crate::ErrorKind::Check`]); nothing is written then.
pub fn prune(options: &PruneOptions, progress: &dyn Progress, cancel: &AtomicBool) -> Result<Summary, Error> {
    check_files(options)?;
    progress.phase("load", None);
    let begin = Instant::now();
    let model = writing::load(&options.model)?;
    let loaded = begin.elapsed().as_secs_f64();
    let mut broken: Vec<Broken> = Vec::new();
    loop {
        let run = Run::start(options, (model.clone(), loaded), &broken, progress, cancel)?;
        match attempt(run)? {
            Attempt::Done(summary) => return Ok(*summary),
            Attempt::Broken(found) => {
                for group in &found {
                    progress.say(&format!("`{}` is left alone and the rest planned anew: {}", group.name, group.why));
                }
                broken.extend(found);
            }
        }
    }
}

enum Attempt {
    Done(Box<Summary>),
    Broken(Vec<Broken>),
}

/// Fails before anything that takes time if a file cannot be read or written.
fn check_files(options: &PruneOptions) -> Result<(), Error> {
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
        std::fs::metadata(path).map_err(|error| crate::calibration::CalibrationError::read(path, error))?;
    }
    Ok(())
}

fn attempt(mut run: Run<'_>) -> Result<Attempt, Error> {
    let options = run.options;
    let source = run.source(options.data.data.as_deref())?;
    let criterion = run.criterion(source.is_some())?;
    let observed = run.observe(source.as_ref(), criterion.as_ref())?;
    let plan = run.plan(criterion.as_ref(), observed.as_ref())?;
    let cut = plan.cut(&run.channels)?;
    let (mut pruned, verification) = match run.rewrite(&cut) {
        Err(error) => return Ok(Attempt::Broken(run.broken(&plan, error)?)),
        Ok(done) => done,
    };
    let compensation = run.compensate(&mut pruned, &cut, observed.as_ref())?;
    let (accuracy, agreement) = run.accuracy(source.as_ref(), observed.as_ref(), &pruned)?;
    run.interrupted()?;
    let bytes = run.save(&pruned, &plan)?;
    let latency_ms = run.latency(&pruned)?;
    let after = count_params(&pruned);
    Ok(Attempt::Done(Box::new(Summary {
        schema_version: REPORT_SCHEMA_VERSION,
        tool_version: env!("CARGO_PKG_VERSION").into(),
        model: FileInfo { path: options.model.path.clone(), sha256: run.file.1.clone() },
        output: FileInfo { path: run.output.clone(), sha256: bytes.1 },
        engine: run.engine.info().clone(),
        macs: Change { before: run.channels.macs(None), after: run.channels.macs(Some(&cut)) },
        params: Change { before: count_params(&run.model), after },
        bytes: Change { before: run.file.0, after: bytes.0 },
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
        warnings: run.warnings,
        notes: run.notes,
        seed: options.seed,
        timings_s: run.timings,
        peak_memory_bytes: peak_memory_bytes(),
    })))
}

/// State of a run.
pub(super) struct Run<'a> {
    pub(super) options: &'a PruneOptions,
    pub(super) progress: &'a dyn Progress,
    pub(super) cancel: &'a AtomicBool,
    pub(super) model: Model,
    /// Size in bytes and SHA-256 of the file: writing functions out changes the model.
    pub(super) file: (u64, String),
    pub(super) channels: Channels,
    pub(super) cost: CostModel,
    pub(super) engine: Box<dyn Engine>,
    pub(super) output: std::path::PathBuf,
    /// Nodes whose channels stay: as asked for, and those of broken groups.
    pub(super) ignore: Vec<String>,
    /// What a person should know first.
    pub(super) warnings: Vec<String>,
    pub(super) notes: Vec<String>,
    pub(super) timings: BTreeMap<String, f64>,
}

impl<'a> Run<'a> {
    fn start(
        options: &'a PruneOptions,
        (mut model, loaded): (Model, f64),
        broken: &[Broken],
        progress: &'a dyn Progress,
        cancel: &'a AtomicBool,
    ) -> Result<Self, Error> {
        let begin = Instant::now();
        let mut ignore = options.model.ignore.clone();
        ignore.extend(broken.iter().flat_map(|group| &group.producers).map(|name| glob::Pattern::escape(name)));
        let analysis = analyse_options(&options.model.sizes, &ignore)?;
        let as_read = model.clone();
        let work = || {
            let written_out = writing::write_out(&mut model, &analysis);
            (written_out, analyse(&model, &analysis))
        };
        // Hashing a large file takes as long as analysing it.
        let (file, ((functions, branches), channels)) =
            rayon::join(|| (as_read.size_bytes(), as_read.sha256().to_owned()), work);
        if functions + branches == 0 {
            // The same model, with its hash.
            model = as_read;
        }
        let analysed = begin.elapsed().as_secs_f64();
        if channels.groups.is_empty() {
            return Err(PlanError::Nothing { why: reasons(&channels) }.into());
        }
        let mut warnings: Vec<String> = broken
            .iter()
            .map(|Broken { name, why, .. }| format!("`{name}` was left alone, since its cut did not hold: {why}"))
            .collect();
        let inspection = Inspection::new(&model, &channels);
        let obstacles = inspection.obstacles();
        if !obstacles.is_empty() {
            let share = 100.0 * inspection.prunable_macs_share;
            warnings.push(format!("only {share:.0} % of the MACs can be pruned; {}", obstacles.join("; ")));
        }
        let opened = open(&options.engine)?;
        let info = opened.engine.info();
        progress.say(&format!("engine: {} {} on {}, {} threads", info.name, info.version, info.provider, info.threads));
        let cost = channels.cost_model();
        let timings = BTreeMap::from([("load".into(), loaded), ("analyse".into(), analysed)]);
        let (engine, mut notes, output) = (opened.engine, opened.notes, options.output_path());
        if functions + branches > 0 {
            notes.push(format!(
                "written out: {functions} calls of functions, {branches} branches that are always taken"
            ));
        }
        Ok(Self {
            options,
            progress,
            cancel,
            model,
            file,
            channels,
            cost,
            engine,
            output,
            ignore,
            warnings,
            notes,
            timings,
        })
    }

    fn timed<T>(&mut self, phase: &str, f: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        self.interrupted()?;
        let begin = Instant::now();
        let result = f(self);
        *self.timings.entry(phase.to_owned()).or_insert(0.0) += begin.elapsed().as_secs_f64();
        result
    }

    pub(super) fn interrupted(&self) -> Result<(), Error> {
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
        let needs = criterion.needs();
        if !data && (needs.features || needs.outputs || needs.moments) {
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
                _ if needs.moments => Some(Products::Pairs),
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
                model_sha256: run.file.1.clone(),
                criterion: criterion.name().into(),
                budget: criteria.budget,
                rounding,
                seed: run.options.seed,
                ignore: run.ignore.clone(),
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
            self.warnings.push(format!(
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
        let verified = self.timed("verify", |run| run.compare(&pruned, cut))?;
        Ok((pruned, Some(verified)))
    }

    pub(super) fn cut_and_compare(&self, cut: &Cut) -> Result<Verified, Error> {
        self.compare(&rewrite::slice(&self.model, &self.channels, cut)?, cut)
    }

    fn compare(&self, pruned: &Model, cut: &Cut) -> Result<Verified, Error> {
        let masked = rewrite::mask(&self.model, &self.channels, cut)?;
        let specs = input_specs(&self.model);
        let sizes = &self.options.model.sizes;
        let feeds: Vec<_> = (0..COMPARED_RUNS)
            .map(|number| random_inputs(&specs, sizes, 1 + usize::from(number > 0), self.options.seed + number))
            .collect();
        let agreement = compare(self.engine.as_ref(), &masked, pruned, &feeds)?;
        Ok(Verified { agreement, runs: feeds.len() })
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
