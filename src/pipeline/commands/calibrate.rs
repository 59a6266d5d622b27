//! The command `onnx-prune calibrate`: statistics of calibration images, or of a shard of them, as a file.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use crate::calibration::{Shard, ShardPart};
use crate::engine::Feed;
use crate::error::Error;
use crate::evaluate::{
    Chosen, EvaluateError, EvaluatedData, GatherSettings, Gathered, Parted, STATISTICS_SCHEMA_VERSION, Shards, Source,
    StatisticsHead, merge_statistics, write_statistics,
};
use crate::pipeline::Progress;
use crate::pipeline::options::PruneOptions;
use crate::pipeline::record::Record;
use crate::pipeline::session::{Session, Watch};
use crate::pipeline::steps::{Observation, check_labels, criterion, kept_images, observe, open_source};
use crate::score::Needs;

/// Runs the dense model over a shard of the calibration images and writes what pruning needs to know of them. Of the options, those
/// of the model, the images, the engine, the criterion and the memory count.
///
/// # Errors
/// If something given is unusable; nothing is written then.
pub fn calibrate(
    options: &PruneOptions,
    shard: Shard,
    output: &Path,
    progress: &dyn Progress,
    cancel: &AtomicBool,
) -> Result<StatisticsHead, Error> {
    let mut record = Record::default();
    progress.phase("load", None);
    let session = &Session::load(options, Watch::new(progress, cancel))?.merge_into(&mut record);
    session.can_prune()?;
    let Some(source) = open_source(session, options.data.data.as_deref())?.merge_into(&mut record) else {
        return Err(Error::Usage {
            what: "there is nothing to calibrate on".into(),
            help: "give images with `--data`".into(),
        });
    };
    let needs = criterion(&options.criteria, true)?.needs();
    check_labels(session, &source)?;
    let ShardPart { items, digest } = shard.part(&source.dataset);
    let images = session.calibration_images(&source).within(&items);
    drop(items);
    let Parted { fitted, judging: judges, held_out } = images;
    let counts = Counts { samples: fitted.all.len(), judging: judges.all.len(), held_out: held_out > 0 };
    let found = observe(session, &source, fitted, needs)?.merge_into(&mut record);
    let answers = found.observed.tally.clone();
    let (judging, skipped) = judging(session, &source, &judges)?;
    let mut skipped = [found.observed.skipped.names.clone(), skipped].concat();
    skipped.sort();
    let head = StatisticsHead {
        schema_version: STATISTICS_SCHEMA_VERSION,
        tool_version: env!("CARGO_PKG_VERSION").into(),
        engine: session.engine.info().kind(),
        model_sha256: session.file.sha256.clone(),
        data: EvaluatedData::of(&source, digest),
        settings: settings(session, &source, counts, needs, &found),
        shards: Shards { count: shard.count, held: vec![shard.index] },
        answers,
        skipped,
        notes: record.notes,
    };
    session.interrupted()?;
    let gathered = Gathered { observed: &found.observed, judging: &judging };
    write_statistics(output, &head, &session.model, &session.channels, &gathered)?;
    Ok(head)
}

/// Images over all shards: those that statistics are of, those that judge the repair, and whether the latter are held out.
struct Counts {
    samples: usize,
    judging: usize,
    held_out: bool,
}

fn settings(
    session: &Session<'_>,
    source: &Source,
    Counts { samples, judging, held_out }: Counts,
    needs: Needs,
    found: &Observation,
) -> GatherSettings {
    let options = session.options;
    GatherSettings {
        samples,
        kept: kept_images(source, samples, found.shares),
        judging,
        held_out,
        seed: options.seed,
        needs,
        memory: found.shares.moments,
        class_weights: options.criteria.class_weights.clone(),
        classes: found.classes.members.clone(),
        sizes: session.sizes.clone(),
        ignore: options.model.ignore.clone(),
        batch: source.batch,
        fixed: source.fixed,
        columns: source.inputs.columns(),
    }
}

/// Inputs with the places of their images in the order of all.
type Judging = Vec<(Feed, Vec<u64>)>;

/// Inputs that judge the repair, and which could not be read.
fn judging(session: &Session<'_>, source: &Source, images: &Chosen) -> Result<(Judging, Vec<String>), Error> {
    let place = |item: usize| images.placed().find(|own| own.0 as usize == item).map_or(0, |own| own.1.into());
    let (batches, skipped) = session.pass(source, &images.items(), |pass| pass.batches())?;
    let mut seen = std::collections::BTreeSet::new();
    let mut all = Vec::new();
    for batch in batches {
        // A run may be filled with samples that are there already.
        let keys = batch.items.iter().filter(|&&item| seen.insert(item)).map(|&item| place(item)).collect();
        all.push((batch.inputs, keys));
    }
    Ok((all, skipped.names))
}

/// Merges statistics of shards into a file. `partial`: shards may be missing, for a merge of merges.
///
/// # Errors
/// If a part is damaged or does not belong to the others, or a shard is there twice or missing.
pub fn merge_parts(parts: &[std::path::PathBuf], output: &Path, partial: bool) -> Result<StatisticsHead, Error> {
    let accept = |head: &StatisticsHead| if partial { Ok(()) } else { complete(&head.shards) };
    merge_statistics(parts, output, accept)?.ok_or_else(super::evaluate::nothing_to_merge)
}

/// Refuses a merge that lacks shards.
pub(super) fn complete(shards: &Shards) -> Result<(), EvaluateError> {
    let missing = shards.missing();
    if missing.is_empty() {
        return Ok(());
    }
    let named: Vec<String> = missing.iter().take(8).map(ToString::to_string).collect();
    let more = if missing.len() > named.len() { " and others" } else { "" };
    Err(EvaluateError::Usage {
        what: format!("{} of {} shards are missing: {}{more}", missing.len(), shards.count, named.join(", ")),
        help: "run them and give their files too, or `--partial` to merge what there is".into(),
    })
}
