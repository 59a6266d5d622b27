//! From a file to an analysed model.

use std::collections::BTreeMap;

use super::ModelOptions;
use crate::channels::{AnalyseOptions, Channels, analyse, decided_conditions};
use crate::error::Error;
use crate::model::{LoadOptions, Model};
use crate::surgery::{inline_branches, inline_functions};

/// Loads the model from its file or from standard input.
pub(super) fn load(options: &ModelOptions) -> Result<Model, Error> {
    let load = LoadOptions { allow_unknown_fields: options.allow_unknown_fields };
    if options.path.as_os_str() == "-" {
        return Ok(Model::read(&mut std::io::stdin().lock(), "standard input", &load)?);
    }
    Ok(Model::load(&options.path, &load)?)
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
