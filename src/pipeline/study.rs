//! Many criteria and budgets after one calibration: what each keeps of the accuracy, before and after compensation.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use super::classes::Classes;
use super::dense::{Observed, Source};
use super::options::{Criteria, PruneOptions};
use super::run::Run;
use super::{Progress, writing};
use crate::error::Error;
use crate::evaluate::Predictions;
use crate::plan::{Budget, Plan, Target};
use crate::repair::Compensation;
use crate::rewrite;
use crate::score::{Criterion, Needs};

/// One criterion of a study, with a name for the table.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// For the table.
    pub name: String,
    /// Criterion, its settings and how widths are shared out; the budget is the study's.
    pub criteria: Criteria,
}

/// What one pruned model is worth.
#[derive(Debug, Clone, PartialEq)]
pub struct StudyRow {
    /// [`Candidate::name`].
    pub name: String,
    /// Share of the MACs that was to be kept.
    pub target: f64,
    /// Share that is kept.
    pub macs: f64,
    /// How the consumers were repaired.
    pub compensation: Compensation,
    /// Top-1 on the held-out images, in percent.
    pub accuracy: f64,
    /// Smallest recall of a class, in percent.
    pub worst_class: f64,
    /// Share of images on which the pruned model answers as the dense one.
    pub agreement: f64,
    /// Seconds of scoring, and of planning and rewriting.
    pub seconds: (f64, f64),
}

/// Prunes by every candidate to every share of the MACs, uncompensated and compensated, and judges the results on the
/// held-out images of `options`. The images are run through the dense model once. Returns the row of the dense model
/// and the seconds of every phase.
///
/// # Errors
/// If something given is unusable, or there are no held-out labelled images.
pub fn study(
    options: &PruneOptions,
    candidates: &[Candidate],
    targets: &[f64],
    each: &mut dyn FnMut(StudyRow),
    (progress, cancel): (&dyn Progress, &AtomicBool),
) -> Result<(StudyRow, BTreeMap<String, f64>), Error> {
    let begin = Instant::now();
    let model = writing::load(&options.model)?;
    let mut run = Run::start(options, (model, begin.elapsed().as_secs_f64()), &[], progress, cancel)?;
    let source = run.source(options.data.data.as_deref())?;
    let held_out = run.source(options.data.eval.as_deref())?.ok_or_else(|| Error::Usage {
        what: "a study needs held-out labelled images".into(),
        help: "give them as `DataOptions::eval`".into(),
    })?;
    let criteria = candidates.iter().map(|candidate| candidate.criteria.build()).collect::<Result<Vec<_>, _>>()?;
    let needs = criteria.iter().fold(Needs::default(), |all, one| all.and(one.needs()));
    let found = run.observe(source.as_ref(), needs)?;
    let judged = Evaluated::new(&run, &held_out)?;
    for (candidate, criterion) in candidates.iter().zip(&criteria) {
        run.candidate(candidate, criterion.as_ref(), found.as_ref(), (targets, &judged), each)?;
    }
    Ok((judged.row("dense", (1.0, 1.0), Compensation::None, &judged.dense, (0.0, 0.0)), run.timings))
}

/// Held-out images and the dense model's answers.
struct Evaluated<'a> {
    source: &'a Source,
    indices: Vec<usize>,
    dense: Predictions,
}

impl<'a> Evaluated<'a> {
    fn new(run: &Run<'_>, source: &'a Source) -> Result<Self, Error> {
        let indices = crate::calibration::sample(&source.dataset, run.options.data.eval_samples, 0);
        let mut judged = Self { source, indices, dense: Predictions::default() };
        judged.dense = judged.judge(run, &run.model)?;
        Ok(judged)
    }

    fn judge(&self, run: &Run<'_>, model: &crate::model::Model) -> Result<Predictions, Error> {
        let engine = run.engine.as_ref();
        self.source.judge(engine, model, &self.indices, &run.options.data, run.progress, run.cancel)
    }

    fn row(
        &self,
        name: &str,
        (target, macs): (f64, f64),
        compensation: Compensation,
        judge: &Predictions,
        seconds: (f64, f64),
    ) -> StudyRow {
        let worst = judge.by_class().values().map(|own| own.recall).fold(100.0, f64::min);
        StudyRow {
            name: name.into(),
            target,
            macs,
            compensation,
            accuracy: judge.accuracy().map_or(0.0, |own| own.percent),
            worst_class: worst,
            agreement: self.dense.agreement(judge).unwrap_or(0.0),
            seconds,
        }
    }
}

impl Run<'_> {
    fn candidate(
        &mut self,
        candidate: &Candidate,
        criterion: &dyn Criterion,
        found: Option<&(Observed, Classes)>,
        (targets, judged): (&[f64], &Evaluated<'_>),
        each: &mut dyn FnMut(StudyRow),
    ) -> Result<(), Error> {
        let observed = found.map(|(observed, _)| observed);
        let known = self.known(found, criterion, candidate.criteria.lasso.response)?;
        let begin = Instant::now();
        let scores = self.scorer(criterion, observed, known.as_ref()).scores()?;
        let scoring = begin.elapsed().as_secs_f64();
        for &target in targets {
            let criteria = Criteria { budget: Budget::Macs(Target::Share(target)), ..candidate.criteria.clone() };
            let begin = Instant::now();
            let plan = self.plan_from(criterion, (observed, known.as_ref()), &criteria, &scores)?;
            let planning = begin.elapsed().as_secs_f64();
            for compensation in [Compensation::None, self.options.compensation] {
                self.interrupted()?;
                let row = self.outcome(candidate, &plan, observed, (target, compensation), judged)?;
                each(StudyRow { seconds: (scoring, planning), ..row });
            }
        }
        Ok(())
    }

    fn outcome(
        &mut self,
        candidate: &Candidate,
        plan: &Plan,
        observed: Option<&Observed>,
        (target, compensation): (f64, Compensation),
        judged: &Evaluated<'_>,
    ) -> Result<StudyRow, Error> {
        let cut = plan.cut(&self.channels)?;
        let mut pruned = rewrite::slice(&self.model, &self.channels, &cut)?;
        self.compensate(&mut pruned, &cut, observed, compensation)?;
        let judge = judged.judge(self, &pruned)?;
        let macs = self.channels.macs(Some(&cut)) as f64 / self.channels.macs(None).max(1) as f64;
        Ok(judged.row(&candidate.name, (target, macs), compensation, &judge, (0.0, 0.0)))
    }
}
