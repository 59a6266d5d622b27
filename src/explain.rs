//! What every error tells beside its `Display` text, and lists of names in messages.

use std::fmt;

/// What an error tells a person beside its `Display` text (*what* failed).
///
/// Every module's error implements it, so that the command line prints all errors in one form:
/// `error: WHAT`, `where: ...`, `why: ...`, `help: ...`.
pub trait Explain: std::error::Error {
    /// File, node, value or flag that the error is about.
    fn location(&self) -> Option<String> {
        None
    }
    /// The cause, with numbers and their units.
    fn why(&self) -> Option<String> {
        None
    }
    /// What the user can do about it.
    fn help(&self) -> Option<String> {
        None
    }
}

/// Displays a list of names, at most `most` of them: `a, b, c and 4 more`.
pub(crate) struct Names<'a>(pub(crate) &'a [String], pub(crate) usize);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.len().min(self.1);
        f.write_str(&self.0[..shown].join(", "))?;
        if self.0.len() > shown {
            write!(f, " and {} more", self.0.len() - shown)?;
        }
        Ok(())
    }
}

/// A path as text; what is not UTF-8 in it is replaced, since JSON has no bytes.
pub(crate) fn path_text<S: serde::Serializer>(path: &std::path::Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

/// The same for a path that may be missing.
#[allow(clippy::ref_option, reason = "serde hands the field over as it is")]
pub(crate) fn optional_path_text<S: serde::Serializer>(
    path: &Option<std::path::PathBuf>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match path {
        Some(path) => path_text(path, serializer),
        None => serializer.serialize_none(),
    }
}
