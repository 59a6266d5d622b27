//! Shapes that the analysis cannot find: those of one run of the model.

use std::collections::BTreeMap;

use super::{input_specs, random_inputs};
use crate::channels::{AnalyseOptions, Channels, analyse};
use crate::engine::{CompileOptions, Engine, EngineError, Feed, feed};
use crate::model::Model;

/// An operator behind a guessed shape may turn out not to be analysed either, and its result to be asked for.
const ROUNDS: usize = 3;

/// An analysis, and why shapes that it lacks could not be had from a run.
pub struct Analysed {
    /// The analysis.
    pub channels: Channels,
    /// What kept the engine from telling shapes; `None` if all was known or told.
    pub failed: Option<EngineError>,
}

/// Analyses a model. Where it finds no shape of a value (behind an operator without a rule, in a file that declares none),
/// the model is run once on random inputs of the analysed sizes, and what it shows counts as declared.
pub fn analyse_with(engine: &dyn Engine, model: &Model, options: &AnalyseOptions) -> Analysed {
    let mut options = options.clone();
    let mut channels = analyse(model, &options);
    for _ in 0..ROUNDS {
        let open: Vec<String> =
            channels.unknown_shapes().iter().filter(|name| !options.shapes.contains_key(*name)).cloned().collect();
        if open.is_empty() {
            break;
        }
        let feed = random_inputs(&input_specs(model), &options.sizes, options.batch, 0);
        match shapes_of(engine, model, &feed, &open) {
            Ok(found) if found.is_empty() => break,
            Ok(found) => options.shapes.extend(found),
            Err(error) => return Analysed { channels, failed: Some(error) },
        }
        channels = analyse(model, &options);
    }
    Analysed { channels, failed: None }
}

/// Shapes of values in one run on `feed`; what is no tensor is left out.
fn shapes_of(
    engine: &dyn Engine,
    model: &Model,
    feed: &Feed,
    names: &[String],
) -> Result<BTreeMap<String, Vec<usize>>, EngineError> {
    let input_shapes = feed.iter().map(|(name, value)| (name.clone(), value.shape().to_vec())).collect();
    let mut session = engine
        .compile(model, &CompileOptions { outputs: names.to_vec(), input_shapes, ..CompileOptions::default() })?;
    let shapes = session.shapes(&feed::pairs(feed))?;
    Ok(session.outputs().iter().cloned().zip(shapes).filter_map(|(name, shape)| Some((name, shape?))).collect())
}
