//! The command `onnx-prune MODEL`.

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use rayon::prelude::*;

use super::classes::{Classes, class_scores};
use super::dense::{self, Observed, Source};
use super::explain::describe;
use super::measure::{accuracy_change, class_count, count_params};
use super::options::{Criteria, PruneOptions, RoundTo};
use super::profiling::profiled;
use super::rollback::Broken;
use super::run::Run;
use super::scoring::{ClassContext, Scorer};
use super::search::{CandidateError, Made, Proposal, Scored, set_aside, slower};
use super::timing::{Pairing, Timed, time};
use super::{Progress, class_weights, writing};
use crate::bench::latency::TimingOptions;
use crate::bench::profile::Profile;
use crate::channels::{Cut, Group, Measure};
use crate::engine::{CompileOptions, channel_block};
use crate::error::Error;
use crate::evaluate::{compare, input_specs, random_inputs};
use crate::model::{Model, SaveOptions};
use crate::plan::{
    Allocation, Allocator, Budget, Curve, PLAN_SCHEMA_VERSION, Plan, PlanError, PlannedGroup, Rounding, choose,
};
use crate::report::{
    AccuracyChange, Calibrated, Change, FileInfo, GroupChange, ProtectedChannels, REPORT_SCHEMA_VERSION, Searched,
    Summary, Verified, count, peak_memory_bytes,
};
use crate::rewrite;
use crate::score::{Criterion, GroupScores, Response};

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
    let parted = set_aside(options)?;
    let options = parted.as_ref().map_or(options, |(parted, _)| parted);
    repeat(options, parted.as_ref().map(|(_, note)| note.as_str()), (progress, cancel), attempt)
}

/// What came of planning and making what was asked for.
pub(super) enum Attempt<T> {
    Done(Box<T>),
    /// Cuts of these groups do not hold.
    Broken(Vec<Broken>),
}

/// Loads the model and attempts what was asked for, anew without the groups whose cuts do not hold.
pub(super) fn repeat<T>(
    options: &PruneOptions,
    note: Option<&str>,
    (progress, cancel): (&dyn Progress, &AtomicBool),
    attempt: impl Fn(Run<'_>) -> Result<Attempt<T>, Error>,
) -> Result<T, Error> {
    progress.phase("load", None);
    let begin = Instant::now();
    let model = writing::load(&options.model)?;
    let loaded = begin.elapsed().as_secs_f64();
    let mut broken: Vec<Broken> = Vec::new();
    loop {
        let mut run = Run::start(options, (model.clone(), loaded), &broken, progress, cancel)?;
        run.notes.extend(note.map(ToOwned::to_owned));
        match attempt(run)? {
            Attempt::Done(done) => return Ok(*done),
            Attempt::Broken(found) => {
                for group in &found {
                    progress.say(&format!("`{}` is left alone and the rest planned anew: {}", group.name, group.why));
                }
                broken.extend(found);
            }
        }
    }
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

fn attempt(mut run: Run<'_>) -> Result<Attempt<Summary>, Error> {
    run.check_goals()?;
    let ready = run.prepare()?;
    match run.choose(&ready) {
        Err(CandidateError::Failed(error)) => Err(error),
        Err(CandidateError::Broken(found)) => Ok(Attempt::Broken(found)),
        Ok((made, searched)) => Ok(Attempt::Done(Box::new(run.finish(&ready, made, searched)?))),
    }
}

impl Run<'_> {
    /// Judges, saves and times a candidate, and says everything about it.
    pub(super) fn finish(&mut self, ready: &Scored, made: Made, searched: Option<Searched>) -> Result<Summary, Error> {
        let Made { planned: Proposal { plan, cut, mut warnings }, pruned, verification, compensation } = made;
        let (source, observed) = (ready.source.as_ref(), ready.observed());
        let (accuracy, agreement) = self.accuracy(source, observed, &pruned)?;
        let names = source.map_or(&[][..], |source| source.dataset.class_names());
        let found = ready.found.as_ref().map(|(observed, classes)| (observed, classes));
        let classwise = self.classwise(found, ready.known.as_ref(), Some(&plan), names)?;
        self.interrupted()?;
        let bytes = self.save(&pruned, &plan)?;
        let (timed, profile) = self.latency(&pruned)?;
        let latency_ms = timed.as_ref().map(|own| own.change);
        let target = self.options.goals.latency.filter(|_| warnings.is_empty() && searched.is_some());
        warnings.extend(target.zip(latency_ms).and_then(|(target, found)| slower(target, &found)));
        Ok(Summary {
            schema_version: REPORT_SCHEMA_VERSION,
            tool_version: env!("CARGO_PKG_VERSION").into(),
            model: FileInfo { path: self.options.model.path.clone(), sha256: self.file.1.clone() },
            output: FileInfo { path: self.output.clone(), sha256: bytes.1 },
            engine: self.engine.info().clone(),
            macs: Change { before: self.channels.macs(None), after: self.channels.macs(Some(&cut)) },
            params: Change { before: count_params(&self.model), after: count_params(&pruned) },
            bytes: Change { before: self.file.0, after: bytes.0 },
            latency_ms,
            prepare_ms: timed.as_ref().map(|own| own.prepare_ms),
            samples: timed.map(|own| own.samples),
            profile,
            accuracy,
            agreement,
            criterion: plan.criterion.clone(),
            budget: describe(&plan.budget),
            searched,
            allocation: plan.allocation,
            rounding: plan.rounding,
            groups: self.groups(&plan, &ready.scores),
            classwise,
            protected: self.channels.protected.iter().map(ProtectedChannels::from).collect(),
            calibration: self.calibrated(source, observed),
            verification,
            compensation,
            warnings: self.warnings.iter().cloned().chain(warnings).collect(),
            notes: self.notes.clone(),
            seed: self.options.seed,
            command: Vec::new(),
            timings_s: self.timings.clone(),
            peak_memory_bytes: peak_memory_bytes(),
        })
    }
}

impl Run<'_> {
    pub(super) fn known(
        &self,
        found: Option<&(Observed, Classes)>,
        criterion: &dyn Criterion,
        response: Response,
    ) -> Result<Option<ClassContext>, Error> {
        let wanted = criterion.needs().outputs || !self.options.criteria.class_weights.is_empty();
        found.filter(|_| wanted).map(|(observed, classes)| ClassContext::new(observed, classes, response)).transpose()
    }

    pub(super) fn scorer<'b>(
        &'b self,
        criterion: &'b dyn Criterion,
        observed: Option<&'b Observed>,
        known: Option<&'b ClassContext>,
    ) -> Scorer<'b> {
        Scorer { model: &self.model, channels: &self.channels, criterion, observed, known, seed: self.options.seed }
    }

    /// A plan from scores that were made before.
    pub(super) fn plan_from(
        &mut self,
        criterion: &dyn Criterion,
        (observed, known): (Option<&Observed>, Option<&ClassContext>),
        criteria: &Criteria,
        scores: &[GroupScores],
    ) -> Result<Plan, Error> {
        self.timed("plan", |run| {
            let rounding = run.rounding(criteria);
            let allocation = run.allocation(criteria, observed.is_some_and(|own| !own.batches.is_empty()));
            let adaptive = allocation == Allocation::Adaptive;
            if adaptive && scores.iter().all(|own| own.unit.is_none()) {
                return Err(Error::Usage {
                    what: format!("`--widths adaptive` cannot compare the scores of `{}`", criterion.name()),
                    help: "its threshold is a lambda: use it with `--criterion` apib, sglp-ib or stlp-ib".into(),
                });
            }
            let compared = |own: &GroupScores| -> Vec<f64> {
                let unit = own.unit.filter(|_| adaptive).unwrap_or(1.0);
                own.scores.iter().map(|score| score * unit).collect()
            };
            let values: Vec<Vec<f64>> = scores.iter().map(compared).collect();
            let mut allocator = Allocator {
                groups: &run.channels.groups,
                cost: &run.cost,
                scores: &values,
                allocation,
                rounding,
                streams: criteria.streams,
                floor: criteria.floor,
                curves: &[],
            };
            if allocation == Allocation::Sensitivity
                && let Some(observed) = observed
            {
                let least = allocator.wanted_curves(&criteria.budget)?;
                match run.measured(criterion, (observed, known), (&values, &least)) {
                    Ok(curves) => run.curves = Some(curves),
                    Err(Error::Engine(why)) => {
                        run.notes.push(format!(
                            "every group keeps the same share, since its effect could not be measured: {why}"
                        ));
                        allocator.allocation = Allocation::Uniform;
                    }
                    Err(error) => return Err(error),
                }
            }
            let curves: Vec<Curve> =
                run.curves.iter().flat_map(|own| &own.1).map(|own| own.raised(criteria.loss_power)).collect();
            allocator.curves = &curves;
            let allocation = allocator.allocation;
            let widths = allocator.widths(&criteria.budget)?;
            let widths = if criteria.whole_steps { allocator.step_ends(&widths) } else { widths };
            if widths == run.cost.full() && !matches!(criteria.budget, Budget::Ratio(ratio) if ratio <= 0.0) {
                let why = "the budget leaves every channel, or rounding does".to_owned();
                return Err(PlanError::Nothing { why }.into());
            }
            run.note_budget(&criteria.budget, &widths);
            let scorer = run.scorer(criterion, observed, known);
            let chosen = |index: usize| {
                let group = &run.channels.groups[index];
                let kept = scorer.refine(index, choose(&values[index], &group.keep_sets, widths[index]))?;
                Ok(PlannedGroup::new(group, kept))
            };
            let groups = (0..widths.len()).into_par_iter().map(chosen).collect::<Result<_, Error>>()?;
            Ok(Plan {
                schema_version: PLAN_SCHEMA_VERSION,
                tool_version: env!("CARGO_PKG_VERSION").into(),
                model_sha256: run.file.1.clone(),
                criterion: criterion.name().into(),
                budget: criteria.budget,
                allocation,
                rounding,
                seed: run.options.seed,
                ignore: run.ignore.clone(),
                groups,
            })
        })
    }

    fn rounding(&self, criteria: &Criteria) -> Rounding {
        match criteria.round_to {
            RoundTo::Multiple(step) => Rounding { block: step.max(1), multiple: step.max(1) },
            RoundTo::Auto => {
                let found = channel_block(self.engine.as_ref());
                Rounding { block: found.block, multiple: found.multiple }
            }
        }
    }

    /// Says so when protection or floors keep the plan from its budget.
    fn note_budget(&mut self, budget: &Budget, widths: &[usize]) {
        for part in budget.parts() {
            let Ok(Some((measure, limit))) = part.limit(&self.cost) else { continue };
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
    }

    /// Slices, and proves that the result is the masked original.
    pub(super) fn rewrite(&mut self, cut: &Cut) -> Result<(Model, Option<Verified>), Error> {
        self.progress.phase("rewrite", None);
        let pruned = self.timed("rewrite", |run| Ok(rewrite::slice(&run.model, &run.channels, cut)?))?;
        if self.options.skip_verification {
            let note = "the pruned model was not compared with the masked original";
            if !self.notes.iter().any(|told| told == note) {
                self.notes.push(note.into());
            }
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
        if class_scores(&self.model, &self.channels).is_none() {
            // Labels say nothing about a map of scores or a list of boxes.
            return Ok((None, None));
        }
        let indices = if seen {
            dense::chosen(source, options, self.options.seed)
        } else {
            dense::held_out(source, options, self.options.seed)
        };
        self.timed("evaluate", |run| {
            let passes = if seen || run.judged.is_some() { 1 } else { 2 };
            run.progress.phase("evaluate", Some(passes * indices.len() as u64));
            let engine = run.engine.as_ref();
            let judge = |model: &Model| source.judge(engine, model, &indices, options, run.progress, run.cancel);
            let before = match observed {
                Some(observed) if seen => observed.judge.clone(),
                _ => match run.judged.take() {
                    Some(known) => known,
                    None => judge(&run.model)?,
                },
            };
            run.judged = (!seen).then(|| before.clone());
            let after = judge(pruned)?;
            let names = source.dataset.class_names();
            let weights = &run.options.criteria.class_weights;
            let classes = class_weights::changes(&before, &after, names, weights)?;
            let change = accuracy_change((&before, &after), seen, classes);
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
            if let Some(path) = &run.plan_path {
                writing::text(path, &plan.to_json()?)?;
            }
            writing::digest(&run.output)
        })
    }

    fn latency(&mut self, pruned: &Model) -> Result<(Option<Timed>, Option<Profile>), Error> {
        if self.options.skip_timing {
            return Ok((None, None));
        }
        self.progress.phase("time", None);
        self.timed("time", |run| {
            let specs = input_specs(&run.model);
            let feed = random_inputs(&specs, &run.options.model.sizes, 1, run.options.seed);
            let (engine, sizes) = (run.engine.as_ref(), &run.options.model.sizes);
            let pairing = Pairing { engine, before: &run.model, after: pruned, feed: &feed, cancel: run.cancel };
            let timed = time(&pairing, &TimingOptions::default())?;
            let ms = [timed.change.before, timed.change.after];
            let profile = profiled(engine, [&run.model, pruned], &feed, sizes, ms)?;
            run.notes.extend(timed.remarks.iter().cloned());
            Ok((Some(timed), profile))
        })
    }

    fn groups(&self, plan: &Plan, scores: &[GroupScores]) -> Vec<GroupChange> {
        let change = |((group, planned), own): ((&Group, &PlannedGroup), &GroupScores)| GroupChange {
            name: group.name.clone(),
            scope: group.scope,
            width_before: group.width(),
            width_after: planned.kept.len(),
            members: group.producers.len() + group.parameters.len() + group.consumers.len(),
            scores: own.explanation.clone(),
        };
        self.channels.groups.iter().zip(&plan.groups).zip(scores).map(change).collect()
    }

    pub(super) fn calibrated(&self, source: Option<&Source>, observed: Option<&Observed>) -> Option<Calibrated> {
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
