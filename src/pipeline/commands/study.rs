//! Many criteria and budgets after one calibration: what each keeps of the accuracy, before and after compensation.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use crate::calibration::sample;
use crate::error::Error;
use crate::evaluate::{Predictions, Source};
use crate::model::Model;
use crate::pipeline::Progress;
use crate::pipeline::options::{Criteria, PruneOptions};
use crate::pipeline::record::Record;
use crate::pipeline::search::Planner;
use crate::pipeline::session::{Session, Watch};
use crate::pipeline::steps::{Calibration, Repaired, calibrate, open_data, open_source, score};
use crate::plan::{Budget, Target};
use crate::repair::Compensation;
use crate::rewrite;
use crate::score::{Criterion, Needs};

/// One criterion of a study, with a name for the table.
#[derive(Debug, Clone)]
pub struct StudyEntry {
    /// For the table.
    pub name: String,
    /// Criterion, its settings and how widths are shared out; the budget is the study's.
    pub criteria: Criteria,
}

/// What one pruned model is worth.
#[derive(Debug, Clone, PartialEq)]
pub struct StudyRow {
    /// [`StudyEntry::name`].
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

/// What a study begins with.
#[derive(Debug, Clone)]
pub struct StudyBase {
    /// The dense model's row.
    pub dense: StudyRow,
    /// Seconds of every phase.
    pub timings: BTreeMap<String, f64>,
}

/// Prunes by every entry to every share of the MACs, uncompensated and compensated, and evaluates the results on the
/// held-out images of `options`. The images are run through the dense model once.
///
/// # Errors
/// If something given is unusable, or there are no held-out labelled images.
pub fn study(
    options: &PruneOptions,
    entries: &[StudyEntry],
    targets: &[f64],
    each: &mut dyn FnMut(StudyRow),
    progress: &dyn Progress,
    cancel: &AtomicBool,
) -> Result<StudyBase, Error> {
    let mut record = Record::default();
    let session = Session::load(options, Watch::new(progress, cancel))?.merge_into(&mut record);
    let data = open_data(&session)?.merge_into(&mut record);
    let held_out = open_source(&session, options.data.eval.as_deref())?.merge_into(&mut record);
    let held_out = held_out.ok_or_else(|| Error::Usage {
        what: "a study needs held-out labelled images".into(),
        help: "give them as `DataOptions::eval`".into(),
    })?;
    let criteria = entries.iter().map(|entry| entry.criteria.build()).collect::<Result<Vec<_>, _>>()?;
    let needs = criteria.iter().fold(Needs::default(), |all, one| all.and(one.needs()));
    let calibration = calibrate(&session, data, needs)?.merge_into(&mut record);
    let study = Study::new(&session, &held_out, calibration.as_ref())?;
    for (entry, criterion) in entries.iter().zip(&criteria) {
        record.merge(study.entry(entry, criterion.as_ref(), targets, each)?);
    }
    Ok(StudyBase { dense: study.row("dense", &study.dense), timings: record.timings })
}

/// Held-out images and the dense model's answers.
struct Study<'a> {
    session: &'a Session<'a>,
    source: &'a Source,
    calibration: Option<&'a Calibration>,
    indices: Vec<u32>,
    dense: Predictions,
}

impl<'a> Study<'a> {
    fn new(session: &'a Session<'a>, source: &'a Source, calibration: Option<&'a Calibration>) -> Result<Self, Error> {
        let indices = sample(&source.dataset, session.options.data.eval_samples, 0);
        let mut study = Self { session, source, calibration, indices, dense: Predictions::default() };
        study.dense = study.predictions(&session.model)?;
        Ok(study)
    }

    fn predictions(&self, model: &Model) -> Result<Predictions, Error> {
        Ok(self.session.pass(self.source, &self.indices, |pass| pass.predictions(model))?)
    }

    /// All rows of one criterion.
    fn entry(
        &self,
        entry: &StudyEntry,
        criterion: &dyn Criterion,
        targets: &[f64],
        each: &mut dyn FnMut(StudyRow),
    ) -> Result<Record, Error> {
        let mut record = Record::default();
        let begin = Instant::now();
        let scored = score(self.session, criterion, self.calibration, entry.criteria.lasso.response)?;
        let scored = scored.merge_into(&mut record);
        let scoring = begin.elapsed().as_secs_f64();
        let mut planner = Planner::new(self.session, &scored);
        for &target in targets {
            let criteria = Criteria { budget: Budget::Macs(Target::Share(target)), ..entry.criteria.clone() };
            let begin = Instant::now();
            let proposal = planner.plan(&criteria)?;
            let seconds = (scoring, begin.elapsed().as_secs_f64());
            for compensation in [Compensation::None, self.session.options.compensation] {
                self.session.interrupted()?;
                let sliced = rewrite::slice(&self.session.model, &self.session.channels, &proposal.cut)?;
                let Repaired { model, stages, .. } = planner.refit(sliced, &proposal.cut, compensation)?;
                let pruned = match compensation {
                    Compensation::Sequential => {
                        let options = self.session.options.refinement();
                        planner.refine(model, &proposal.cut, stages, options)?.model
                    }
                    _ => model,
                };
                let macs = self.session.macs_share(&proposal.cut);
                let row = self.row(&entry.name, &self.predictions(&pruned)?);
                each(StudyRow { target, macs, compensation, seconds, ..row });
            }
        }
        record.merge(planner.record);
        Ok(record)
    }

    /// A row of the dense model's cost.
    fn row(&self, name: &str, predictions: &Predictions) -> StudyRow {
        StudyRow {
            name: name.into(),
            target: 1.0,
            macs: 1.0,
            compensation: Compensation::None,
            accuracy: predictions.accuracy().map_or(0.0, |own| own.percent),
            worst_class: predictions.by_class().values().map(|own| own.recall).fold(100.0, f64::min),
            agreement: self.dense.agreement(predictions).unwrap_or(0.0),
            seconds: (0.0, 0.0),
        }
    }
}
