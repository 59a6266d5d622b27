//! Files of a run: no result replaces the model or another result.

use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::model::{ModelError, folder_of, reachable};

/// Files in the order in which they come into being, with their names in messages.
#[derive(Debug, Default)]
pub(super) struct Targets(Vec<(PathBuf, &'static str)>);

impl Targets {
    /// A file that is read.
    pub(super) fn input(mut self, path: &Path) -> Self {
        if path.as_os_str() != "-" {
            self.0.push((identity(path), "the input"));
        }
        self
    }

    /// A file that will be written.
    ///
    /// # Errors
    /// If it is one of the others, whatever `--force` says, or if it cannot be made.
    pub(super) fn output(mut self, path: &Path, name: &'static str) -> Result<Self, Error> {
        let fail = |why: String| ModelError::Write { path: path.display().to_string(), why };
        let identity = identity(path);
        if let Some((_, other)) = self.0.iter().find(|(known, _)| *known == identity) {
            return Err(fail(format!("it is {other}; give another path")).into());
        }
        if path.is_dir() {
            return Err(fail("it is a folder".into()).into());
        }
        reachable(path)?;
        self.0.push((identity, name));
        Ok(self)
    }
}

/// The path without links, `.` and `..`, also where the file itself does not exist yet.
fn identity(path: &Path) -> PathBuf {
    let parent = || Some(folder_of(path).canonicalize().ok()?.join(path.file_name()?));
    path.canonicalize().ok().or_else(parent).unwrap_or_else(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_a_path_are_one_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir(path("deep")).unwrap();
        let targets = Targets::default().input(&path("m.onnx"));
        let error = targets.output(&path("deep/../m.onnx"), "the report").unwrap_err();
        assert!(error.render().contains("it is the input"), "{}", error.render());
    }

    #[test]
    fn standard_input_is_no_file() {
        assert!(Targets::default().input(Path::new("-")).output(Path::new("-"), "the report").is_ok());
    }

    #[test]
    fn folders_are_no_files() {
        let folder = tempfile::tempdir().unwrap();
        let error = Targets::default().output(folder.path(), "the report").unwrap_err();
        assert!(error.render().contains("it is a folder"), "{}", error.render());
    }
}
