//! `onnx-prune evaluate` and `merge`.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use super::calibrate::complete;
use crate::calibration::{Shard, ShardPart};
use crate::channels::AnalyseOptions;
use crate::engine::{Engine, EngineOptions, open};
use crate::error::Error;
use crate::evaluate::{
    DataOptions, EVALUATION_SCHEMA_VERSION, EvaluatedData, EvaluatedModel, Evaluation, Pass, Shards, Source,
    analyse_with, class_scores,
};
use crate::model::Model;
use crate::pipeline::reading::{load, same_inputs};
use crate::pipeline::{ModelOptions, Progress};

/// `onnx-prune evaluate`.
#[derive(Debug, Clone, Default)]
pub struct EvaluateOptions {
    /// The models; the others are compared with the first.
    pub models: Vec<ModelOptions>,
    /// The images.
    pub data: DataOptions,
    /// The part of them that is run.
    pub shard: Shard,
    /// Engine.
    pub engine: EngineOptions,
}

/// Runs models on a data set or a shard of it: top-1, class by class, and how often they answer alike.
///
/// # Errors
/// If a model is no classifier or takes other inputs than the first, or the data are unusable.
pub fn evaluate(options: &EvaluateOptions, progress: &dyn Progress, cancel: &AtomicBool) -> Result<Evaluation, Error> {
    progress.phase("load", None);
    let models = options.models.iter().map(load).collect::<Result<Vec<Model>, _>>()?;
    let (Some(first), Some(path)) = (models.first(), options.data.data.as_deref()) else {
        return Err(Error::Usage {
            what: "there is nothing to evaluate".into(),
            help: "give models, and images with `--data`".into(),
        });
    };
    let opened = open(&options.engine)?;
    progress.say(&format!("engine: {}", opened.engine.info().describe()));
    opened.notes.iter().for_each(|note| progress.say(note));
    for (model, own) in models.iter().zip(&options.models) {
        fits(opened.engine.as_ref(), first, model, own)?;
    }
    let source = &Source::open(first, path, &options.data)?;
    progress.say(&format!("preprocessing: {}", source.describe()));
    let ShardPart { items, digest } = options.shard.part(&source.dataset);
    progress.phase("evaluate", Some(items.len() as u64));
    let advance = &|images| progress.advance(images);
    let pass = Pass { engine: opened.engine.as_ref(), source, indices: &items, advance, cancel };
    let (answers, skipped) = pass.tallies(&models)?;
    let of = |((model, own), answers): ((&Model, &ModelOptions), _)| EvaluatedModel {
        path: own.path.clone(),
        sha256: model.sha256().to_owned(),
        answers,
    };
    Ok(Evaluation {
        schema_version: EVALUATION_SCHEMA_VERSION,
        tool_version: env!("CARGO_PKG_VERSION").into(),
        engine: opened.engine.info().kind(),
        models: models.iter().zip(&options.models).zip(answers).map(of).collect(),
        data: EvaluatedData::of(source, digest),
        shards: Shards { count: options.shard.count, held: vec![options.shard.index] },
        skipped: skipped.names,
        checksum: String::new(),
    })
}

/// Refuses a model that has no class scores, or other inputs than the first.
fn fits(engine: &dyn Engine, first: &Model, model: &Model, own: &ModelOptions) -> Result<(), Error> {
    same_inputs(first, model)?;
    let options = AnalyseOptions { sizes: own.sizes.clone(), ..AnalyseOptions::default() };
    if class_scores(model, &analyse_with(engine, model, &options).channels).is_none() {
        return Err(Error::Usage {
            what: format!("the first output of `{}` is not a row of class scores", own.path.display()),
            help: "`onnx-prune check` compares detections; `--metric CMD` takes a metric of your own".into(),
        });
    }
    Ok(())
}

/// Merges parts into one evaluation. `partial`: shards may be missing, for a merge of merges.
///
/// # Errors
/// If a part is damaged or does not belong to the others, or a shard is there twice or missing.
pub fn merge(parts: &[PathBuf], partial: bool) -> Result<Evaluation, Error> {
    let merged = Evaluation::merged(parts)?.ok_or_else(nothing_to_merge)?;
    if !partial {
        complete(&merged.shards)?;
    }
    Ok(merged)
}

pub(super) fn nothing_to_merge() -> Error {
    Error::Usage { what: "there is nothing to merge".into(), help: "give the files of all shards".into() }
}
