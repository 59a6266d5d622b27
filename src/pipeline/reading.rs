//! From a file to an analysed model.

use std::collections::BTreeMap;

use super::ModelOptions;
use super::sizes::check_names;
use crate::channels::{AnalyseOptions, Channels, analyse, decided_conditions};
use crate::engine::{CompileOptions, Engine, EngineError, EngineOptions, open};
use crate::error::Error;
use crate::evaluate::{Analysed, analyse_with};
use crate::explain::Names;
use crate::model::node::node_name;
use crate::model::{LoadOptions, Model, TensorData, input_specs};
use crate::number::{count, plural};
use crate::ops::macs::left_out;
use crate::surgery::{computes_weights, fold_weights, inline_branches, inline_functions};

/// Loads the model from its file or from standard input.
pub(super) fn load(options: &ModelOptions) -> Result<Model, Error> {
    let load = LoadOptions { allow_unknown_fields: options.allow_unknown_fields };
    let model = if options.path.as_os_str() == "-" {
        Model::read(&mut std::io::stdin().lock(), "standard input", &load)?
    } else {
        Model::load(&options.path, &load)?
    };
    check_names(&model, &options.sizes)?;
    Ok(model)
}

/// Refuses to run two models on the same data that do not take the same inputs.
pub(super) fn same_inputs(first: &Model, other: &Model) -> Result<(), Error> {
    let names = |model: &Model| input_specs(model).into_iter().map(|spec| spec.name).collect::<Vec<_>>().join(", ");
    let (first, other) = (names(first), names(other));
    if first == other {
        return Ok(());
    }
    Err(Error::Usage {
        what: format!("the models do not take the same inputs: {first} and {other}"),
        help: "compare two versions of one model".into(),
    })
}

/// Analysis options: sizes of symbolic dims, names or patterns of nodes whose channels stay.
pub(super) fn analyse_options(sizes: &BTreeMap<String, usize>, ignore: &[String]) -> Result<AnalyseOptions, Error> {
    let ignore = ignore
        .iter()
        .map(|pattern| {
            glob::Pattern::new(pattern).map_err(|error| Error::Usage {
                what: format!("`--ignore {pattern}` is not a pattern: {}", error.msg),
                help: "`*` stands for any characters, `?` for one; `[` must be written `[[]`".into(),
            })
        })
        .collect::<Result<_, _>>()?;
    Ok(AnalyseOptions { sizes: sizes.clone(), ignore, ..AnalyseOptions::default() })
}

/// Refuses patterns that no node's name matches.
///
/// # Errors
/// If one matches nothing.
pub(super) fn check_ignored(model: &Model, ignore: &[String]) -> Result<(), Error> {
    let names: Vec<String> = model.graph().node.iter().map(node_name).collect();
    let matches = |pattern: &str| {
        let pattern = glob::Pattern::new(pattern).ok();
        pattern.is_none_or(|pattern| names.iter().any(|name| pattern.matches(name)))
    };
    let Some(unmatched) = ignore.iter().find(|pattern| !matches(pattern)) else { return Ok(()) };
    Err(Error::Usage {
        what: format!("`--ignore {unmatched}` matches no node of the model"),
        help: format!("its nodes have names such as {}; `onnx-prune inspect` lists them", Names(&names, 3)),
    })
}

/// How much was inlined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Inlined {
    functions: usize,
    branches: usize,
}

/// Names that a note lists.
const MOST_NAMED: usize = 3;

/// An analysis, and what was done for it.
pub(super) struct Read {
    pub(super) channels: Channels,
    /// Whether the model is another than the file's now.
    pub(super) changed: bool,
    /// What a person should know.
    pub(super) notes: Vec<String>,
    /// What a person should know first.
    pub(super) warnings: Vec<String>,
}

/// Analyses a model after writing out what hides channels from the analysis: calls of functions, branches that are always
/// taken, weights that are computed from stored tensors. Without an `engine` weights stay computed, and shapes behind
/// operators that are not analysed unknown.
pub(super) fn analysed(model: &mut Model, options: &AnalyseOptions, engine: Option<&dyn Engine>) -> Read {
    let Inlined { functions, branches } = inline_functions_and_branches(model, options);
    let (mut notes, mut warnings) = (Vec::new(), Vec::new());
    if functions + branches > 0 {
        notes.push(format!("written out: {functions} calls of functions, {branches} branches that are always taken"));
    }
    let work = |model: &Model| analyse(model, options).macs(None);
    let before = (engine.is_some() && computes_weights(model)).then(|| work(model));
    let folded = engine.map(|engine| fold(model, engine)).unwrap_or_default();
    if let Some(before) = before.filter(|_| !folded.is_empty()) {
        let gone = count(before.saturating_sub(work(model)) as f64);
        let what = plural(folded.len(), "weight");
        notes.push(format!(
            "{what} computed from stored tensors alone, now stored as computed: {}; the {gone} MACs of computing them \
             are not counted",
            named(&folded)
        ));
    }
    let (channels, failed) = match engine.map(|engine| analyse_with(engine, model, options)) {
        Some(Analysed { channels, failed }) => (channels, failed),
        None => (analyse(model, options), None),
    };
    let left_out: Vec<String> = left_out(model.graph()).iter().map(|(op, nodes)| format!("{op} ({nodes})")).collect();
    if !left_out.is_empty() {
        let counted = "MACs are those of convolutions, matrix products and recurrent layers";
        notes.push(format!("{counted}, not of {}", left_out.join(", ")));
    }
    if !channels.uncounted.is_empty() {
        let why = failed.map(|error| format!(" ({error})")).unwrap_or_default();
        let what = plural(channels.uncounted.len(), "operator");
        let names = named(&channels.uncounted);
        warnings.push(format!("the MACs of {what} are not counted, since shapes are not known{why}: {names}"));
    }
    Read { channels, changed: functions + branches + folded.len() > 0, notes, warnings }
}

/// The first few names.
fn named(names: &[String]) -> String {
    let first: Vec<String> = names.iter().take(MOST_NAMED).map(|name| format!("`{name}`")).collect();
    first.join(", ") + if names.len() > MOST_NAMED { ", ..." } else { "" }
}

/// The analysis as a run makes it, where no engine was asked for: one is opened if the analysis wants it. Where there is
/// none, the analysis says what is not known.
pub(super) fn analysed_as_in_a_run(model: &mut Model, options: &AnalyseOptions) -> Channels {
    let found = analysed(model, options, None).channels;
    if found.unknown_shapes().is_empty() && !computes_weights(model) {
        return found;
    }
    match open(&EngineOptions::default()) {
        Ok(opened) => analysed(model, options, Some(opened.engine.as_ref())).channels,
        Err(_) => found,
    }
}

/// The channels of a model as a run finds them, and the model that they are of: calls of functions, branches that are always
/// taken and weights that are computed from stored tensors are written out. `sizes` are those of symbolic axes, by name or
/// `INPUT:AXIS`; the channels of nodes that a pattern of `ignore` matches stay.
///
/// # Errors
/// If a size is of an axis that the model does not have, or a pattern is none or matches no node.
pub fn analyse_model(
    mut model: Model,
    sizes: &BTreeMap<String, usize>,
    ignore: &[String],
) -> Result<(Model, Channels), Error> {
    check_names(&model, sizes)?;
    let channels = analysed_as_in_a_run(&mut model, &analyse_options(sizes, ignore)?);
    check_ignored(&model, ignore)?;
    Ok((model, channels))
}

/// Stores weights that are computed from stored tensors alone; an engine that cannot compute them leaves them.
fn fold(model: &mut Model, engine: &dyn Engine) -> Vec<String> {
    let evaluate = |part: &Model, outputs: &[String]| -> Result<Vec<TensorData>, EngineError> {
        let options = CompileOptions { outputs: outputs.to_vec(), ..CompileOptions::default() };
        Ok(engine.compile(part, &options)?.run(&[])?.iter().map(TensorData::from).collect())
    };
    fold_weights(model, evaluate).map(|folded| folded.values).unwrap_or_default()
}

/// Inlines calls of functions in the model, and branches that are always the same.
fn inline_functions_and_branches(model: &mut Model, options: &AnalyseOptions) -> Inlined {
    let functions = inline_functions(model);
    let mut branches = 0;
    loop {
        // A branch that was inlined may decide the next one.
        let decided = decided_conditions(model, options);
        let more = inline_branches(model, &|name| decided.get(name).copied());
        branches += more;
        if more == 0 {
            return Inlined { functions, branches };
        }
    }
}
