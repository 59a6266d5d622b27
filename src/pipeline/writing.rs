//! Where results go.

use std::path::Path;

use crate::channels::{AnalyseOptions, decided_conditions};
use crate::error::Error;
use crate::model::{LoadOptions, Model, ModelError};
use crate::surgery::{inline_branches, inline_functions};

use super::ModelOptions;

/// Loads the model from its file or from standard input.
pub(super) fn load(options: &ModelOptions) -> Result<Model, Error> {
    let load = LoadOptions { allow_unknown_fields: options.allow_unknown_fields };
    if options.path.as_os_str() == "-" {
        return Ok(Model::read(&mut std::io::stdin().lock(), "standard input", &load)?);
    }
    Ok(Model::load(&options.path, &load)?)
}

/// Writes out what hides channels from the analysis: calls of functions in the model, and branches that are always the
/// same. Returns how many of both.
pub(super) fn write_out(model: &mut Model, options: &AnalyseOptions) -> (usize, usize) {
    let functions = inline_functions(model);
    let mut branches = 0;
    loop {
        // A branch that was written out may decide the next one.
        let decided = decided_conditions(model, options);
        let more = inline_branches(model, &|name| decided.get(name).copied());
        branches += more;
        if more == 0 {
            return (functions, branches);
        }
    }
}

/// Fails early, before minutes of work, if a result could not be written.
pub(super) fn check(model: &Path, target: &Path, force: bool) -> Result<(), Error> {
    let fail = |why: &str| ModelError::Write { path: target.display().to_string(), why: why.into() };
    if let (Ok(a), Ok(b)) = (model.canonicalize(), target.canonicalize())
        && a == b
    {
        return Err(fail("it is the input; give another path with `-o`").into());
    }
    if target.exists() && !force {
        return Err(fail("it exists; `--force` replaces it").into());
    }
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return Err(fail("its folder does not exist").into());
    }
    Ok(())
}

/// Writes a small text file atomically.
pub(super) fn text(path: &Path, content: &str) -> Result<(), Error> {
    crate::model::write_atomically(path, |file| std::io::Write::write_all(file, content.as_bytes()))?;
    Ok(())
}

/// Bytes and SHA-256 of what was written.
pub(super) fn digest(path: &Path) -> Result<(u64, String), Error> {
    let read = |source| ModelError::Read { path: path.display().to_string(), source };
    Ok(crate::model::digest(path).map_err(read)?)
}
