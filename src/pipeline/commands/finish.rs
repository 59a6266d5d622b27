//! What is done with a candidate that was chosen: evaluated, timed, saved, reported.

use crate::bench;
use crate::error::Error;
use crate::evaluate::{DetectionFigures, MetricChange, OutputFigures};
use crate::pipeline::record::Record;
use crate::pipeline::search::{Candidate, Chosen, slower};
use crate::pipeline::session::{FileDigest, Session};
use crate::pipeline::steps::{
    Calibration, DenseAnswers, Evaluated, Scored, TimedModels, class_report, detections, evaluate, metric,
    output_figures, save, time,
};
use crate::pipeline::writing::Files;
use crate::report::{
    BlockChange, Change, Classwise, FileInfo, GroupChange, ProtectedChannels, REPORT_SCHEMA_VERSION, Searched, Summary,
    peak_memory_bytes,
};

/// A pruned model's report.
pub(super) struct Finished {
    pub(super) summary: Summary,
    /// The dense model's answers on the images that pruned models are evaluated on, for the next pruned model.
    pub(super) dense: Option<DenseAnswers>,
}

/// Everything that the report says of the pruned model.
struct Outcome {
    candidate: Candidate,
    searched: Option<Searched>,
    accuracy: Evaluated,
    metric: Option<MetricChange>,
    figures: Vec<OutputFigures>,
    detections: Option<DetectionFigures>,
    classwise: Option<Classwise>,
    output: FileInfo,
    bytes: u64,
    timed: Option<TimedModels>,
}

/// Evaluates, times and saves a candidate, and says everything about it.
pub(super) fn finish(
    session: &Session<'_>,
    scored: &Scored<'_>,
    chosen: Chosen,
    files: &Files,
    record: &mut Record,
) -> Result<Finished, Error> {
    let Chosen { candidate, searched, mut warnings, dense, metric: known } = chosen;
    let (plan, pruned) = (&candidate.proposal.plan, candidate.written());
    let mut accuracy = evaluate(session, scored.calibration, pruned, dense)?.merge_into(record);
    let dense = accuracy.dense.take();
    let metric = metric(session, pruned, known)?.merge_into(record);
    let figures = output_figures(session, scored.calibration, pruned)?.merge_into(record);
    let detections = detections(session, scored.calibration, pruned)?.merge_into(record);
    let classwise = class_report(session, scored, Some(plan));
    session.interrupted()?;
    // Before anything is written: a device may be lost.
    let timed = time(session, pruned)?.merge_into(record);
    session.interrupted()?;
    let FileDigest { bytes, sha256 } = save(session, pruned, plan, files)?.merge_into(record);
    if let Some(own) = timed.as_ref().filter(|_| warnings.is_empty() && searched.is_some()) {
        let first = session.latency_of(0).map(|target| (target, &own.timed.change));
        let others = own.others.iter().filter_map(|(own, target)| Some(((*target)?, &own.latency_ms)));
        warnings.extend(first.into_iter().chain(others).filter_map(|(target, found)| slower(target, found)));
    }
    warnings.extend(timed.as_ref().and_then(|own| {
        let (macs, operators) = (session.macs_share(&candidate.proposal.cut), pruned.graph().node.len());
        let cut = bench::TimedCut { change: &own.timed.change, macs, operators, profile: own.profile.as_ref() };
        bench::binding(cut, session.device().engine().info())
    }));
    let output = FileInfo { path: files.model.clone(), sha256 };
    let outcome =
        Outcome { candidate, searched, accuracy, metric, figures, detections, classwise, output, bytes, timed };
    let summary = summary(session, scored, outcome, record);
    let warnings = summary.warnings.iter().cloned().chain(warnings).collect();
    Ok(Finished { summary: Summary { warnings, ..summary }, dense })
}

fn summary(session: &Session<'_>, scored: &Scored<'_>, outcome: Outcome, record: &Record) -> Summary {
    let Outcome { candidate, searched, accuracy, metric, figures, detections, classwise, output, bytes, timed } =
        outcome;
    let Candidate { proposal, pruned, verification, repair, integers, .. } = candidate;
    let Session { model, channels, options, .. } = session;
    let plan = proposal.plan;
    let other_devices = timed.iter().flat_map(|own| own.others.iter().map(|own| own.0.clone())).collect();
    let (timed, profile) = timed.map(|own| (own.timed, own.profile)).unzip();
    Summary {
        schema_version: REPORT_SCHEMA_VERSION,
        tool_version: env!("CARGO_PKG_VERSION").into(),
        model: session.file_info(),
        output,
        engine: session.engine.info().clone(),
        device: session.timed_on(),
        other_devices,
        macs: Change { before: channels.macs(None), after: channels.macs(Some(&proposal.cut)) },
        params: Change { before: model.weight_count(), after: pruned.weight_count() },
        bytes: Change { before: session.file.bytes, after: bytes },
        latency_ms: timed.as_ref().map(|own| own.change),
        prepare_ms: timed.as_ref().and_then(|own| own.prepared).map(|own| own.ms),
        session_bytes: timed.as_ref().and_then(|own| own.prepared).and_then(|own| own.memory_bytes),
        samples: timed.map(|own| own.samples),
        profile: profile.flatten(),
        accuracy: accuracy.accuracy,
        agreement: accuracy.agreement,
        shift_consistency: accuracy.shift_consistency,
        metric,
        outputs: figures,
        detections,
        criterion: plan.criterion.clone(),
        budget: plan.budget.describe(),
        searched,
        allocation: plan.allocation,
        rounding: plan.rounding,
        groups: GroupChange::all(&channels.groups, &plan, &scored.scores, &channels.gone_groups(&proposal.cut)),
        blocks: BlockChange::all(channels, &proposal.cut),
        classwise,
        protected: channels.protected.iter().map(ProtectedChannels::from).collect(),
        calibration: scored.calibration.map(Calibration::describe),
        verification,
        compensation: repair,
        quantized: integers.map(|own| own.report),
        warnings: record.warnings.clone(),
        notes: record.notes.clone(),
        seed: options.seed,
        command: Vec::new(),
        timings_s: record.timings.clone(),
        peak_memory_bytes: peak_memory_bytes(),
    }
}
