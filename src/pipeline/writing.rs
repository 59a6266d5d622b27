//! Where results go.

use std::path::{Path, PathBuf};

use super::options::PruneOptions;
use super::session::FileDigest;
use crate::calibration::CalibrationError;
use crate::error::Error;
use crate::model::{ModelError, reachable, replaceable};

/// Files of one pruned model.
pub(super) struct Files {
    pub(super) model: PathBuf,
    pub(super) plan: Option<PathBuf>,
}

impl Files {
    /// Fails early, before minutes of work, if a result could not be written.
    pub(super) fn check(&self, options: &PruneOptions) -> Result<(), Error> {
        check(&options.model.path, &self.model, options.force)?;
        let Some(plan) = &self.plan else { return Ok(()) };
        if *plan == self.model {
            let why = "the plan and the model cannot share a file".into();
            return Err(ModelError::Write { path: plan.display().to_string(), why }.into());
        }
        check(&options.model.path, plan, options.force)
    }
}

/// Fails early if a folder or file of images cannot be read.
pub(super) fn check_images(options: &PruneOptions) -> Result<(), Error> {
    for path in [&options.data.data, &options.data.eval, &options.data.classes].into_iter().flatten() {
        // Of `@list.txt` the list.
        let path = path
            .to_str()
            .and_then(|own| own.strip_prefix('@'))
            .filter(|_| !path.exists())
            .map_or(path.as_path(), Path::new);
        std::fs::metadata(path).map_err(|error| CalibrationError::read(path, error))?;
    }
    Ok(())
}

/// Fails early if a result could not be written.
pub(super) fn check(model: &Path, target: &Path, force: bool) -> Result<(), Error> {
    let fail = |why: &str| ModelError::Write { path: target.display().to_string(), why: why.into() };
    if target.as_os_str() == "-" {
        return Err(fail("results go to files, not to standard output: give a path with `-o`").into());
    }
    if let (Ok(a), Ok(b)) = (model.canonicalize(), target.canonicalize())
        && a == b
    {
        return Err(fail("it is the input; give another path with `-o`").into());
    }
    replaceable(target, force)?;
    Ok(reachable(target)?)
}

/// Bytes and SHA-256 of what was written.
pub(super) fn digest(path: &Path) -> Result<FileDigest, Error> {
    let read = |source| ModelError::Read { path: path.display().to_string(), source };
    let (bytes, sha256) = crate::model::digest(path).map_err(read)?;
    Ok(FileDigest { bytes, sha256 })
}
