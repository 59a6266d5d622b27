//! What a folder holds, in an order that does not depend on the file system.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::super::CalibrationError;
use super::super::decode::EXTENSIONS;

/// Image formats that people have but that cannot be decoded here.
const UNSUPPORTED: [&str; 8] = ["gif", "tif", "tiff", "heic", "avif", "jxl", "jp2", "npy"];

/// Extension in lower case, or empty.
pub(super) fn extension(path: &Path) -> String {
    path.extension().map(|extension| extension.to_string_lossy().to_lowercase()).unwrap_or_default()
}

/// The last part of a path, as text.
pub(super) fn file_name(path: &Path) -> String {
    path.file_name().map(OsStr::to_string_lossy).unwrap_or_default().into_owned()
}

/// The files and folders directly inside a folder, sorted by name; hidden ones are left out.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) images: Vec<PathBuf>,
    pub(super) folders: Vec<PathBuf>,
    /// All files that are no images.
    pub(super) files: Vec<PathBuf>,
}

impl Listing {
    pub(super) fn of(folder: &Path) -> Result<Self, CalibrationError> {
        let fail = |source| CalibrationError::read(folder, source);
        let mut listing = Self::default();
        for entry in std::fs::read_dir(folder).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            if file_name(&path).starts_with('.') {
                continue;
            }
            // `is_dir` follows links, so linked class folders count.
            if path.is_dir() {
                listing.folders.push(path);
            } else if EXTENSIONS.contains(&extension(&path).as_str()) {
                listing.images.push(path);
            } else {
                listing.files.push(path);
            }
        }
        listing.images.sort();
        listing.folders.sort();
        listing.files.sort();
        Ok(listing)
    }

    /// NumPy files.
    pub(super) fn arrays(&self) -> Vec<PathBuf> {
        let is_array = |file: &&PathBuf| matches!(extension(file).as_str(), "npy" | "npz");
        self.files.iter().filter(is_array).cloned().collect()
    }

    /// Number of files in image formats that cannot be decoded.
    pub(super) fn unsupported(&self) -> usize {
        self.files.iter().filter(|file| UNSUPPORTED.contains(&extension(file).as_str())).count()
    }

    /// Why there are no images: what is there instead.
    pub(super) fn why_empty(&self) -> String {
        if self.folders.is_empty() && self.files.is_empty() {
            return "the folder is empty".to_owned();
        }
        let mut kinds: Vec<String> = self.files.iter().map(|file| format!(".{}", extension(file))).collect();
        kinds.sort();
        kinds.dedup();
        let kinds = if kinds.is_empty() { String::new() } else { format!(" ({})", kinds.join(", ")) };
        format!(
            "it holds {} folders and {} files{kinds}, none of them an image (.{})",
            self.folders.len(),
            self.files.len(),
            EXTENSIONS.join(", .")
        )
    }
}
