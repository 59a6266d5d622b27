//! From a file to an analysed model.

use std::collections::BTreeMap;

use super::ModelOptions;
use super::sizes::check_names;
use crate::channels::{AnalyseOptions, Channels, analyse, decided_conditions};
use crate::error::Error;
use crate::explain::Names;
use crate::model::node::node_name;
use crate::model::{LoadOptions, Model};
use crate::surgery::{inline_branches, inline_functions};

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
pub(super) struct Inlined {
    pub(super) functions: usize,
    pub(super) branches: usize,
}

/// Analyses a model after inlining what hides channels from the analysis.
pub(super) fn analysed(model: &mut Model, options: &AnalyseOptions) -> (Channels, Inlined) {
    let inlined = inline_functions_and_branches(model, options);
    (analyse(model, options), inlined)
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
