//! The kinds of calibration data, each behind [`Source`].

mod array;
mod array_file;
mod cifar;
mod files;
mod flat;
mod image_folder;
mod table;

use std::path::Path;

use super::classes::Classes;
use super::decode::{EXTENSIONS, Pixels};
use super::{CalibrationError, DatasetOptions};

/// One image as its source has it.
pub(crate) enum Picture {
    /// Pixels, to be preprocessed.
    Pixels(Pixels),
    /// A tensor that is preprocessed already, to be fed as it is.
    Tensor(Tensor),
}

/// Values `[channels, height, width]`.
pub(crate) struct Tensor {
    pub(crate) channels: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) data: Vec<f32>,
}

/// Images with or without labels, each readable on its own from any thread.
pub(crate) trait Source: Send + Sync {
    /// What it is, for people.
    fn kind(&self) -> &'static str;
    /// Number of images.
    fn len(&self) -> usize;
    /// Output index of the class of image `i`.
    fn label(&self, i: usize) -> Option<usize>;
    /// File name, or position in the file.
    fn name(&self, i: usize) -> String;
    /// Reads image `i`; the error says what is wrong with it.
    fn load(&self, i: usize) -> Result<Picture, String>;
}

/// What opening a path gives.
pub(crate) struct Opened {
    pub(crate) source: Box<dyn Source>,
    /// Class names by output index where known.
    pub(crate) class_names: Vec<String>,
    /// What the user should know about how the data were read.
    pub(crate) notes: Vec<String>,
}

/// Finds out what lies at `path` and opens it.
pub(crate) fn open(path: &Path, options: &DatasetOptions) -> Result<Opened, CalibrationError> {
    let metadata = std::fs::metadata(path).map_err(|source| CalibrationError::read(path, source))?;
    let classes = options.classes.as_deref().map(Classes::read).transpose()?;
    if metadata.is_file() {
        return open_file(path, classes);
    }
    let listing = files::Listing::of(path)?;
    if let Some(table) = table::find(path, &listing) {
        return flat::with_table(path, &table, &listing, classes);
    }
    if listing.files.iter().any(|file| cifar::is_batch(file)) {
        return cifar::folder(path, &listing, classes);
    }
    match image_folder::open(path, &listing, classes, options)? {
        Some(opened) => Ok(opened),
        None => flat::without_labels(path, &listing, options),
    }
}

fn open_file(path: &Path, classes: Option<Classes>) -> Result<Opened, CalibrationError> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match files::extension(path).as_str() {
        "npz" | "npy" => array::open(path, classes),
        "bin" => cifar::files(path, vec![path.to_owned()], classes, Vec::new()),
        "csv" | "jsonl" => flat::with_table(parent, path, &files::Listing::of(parent)?, classes),
        extension if EXTENSIONS.contains(&extension) => Ok(flat::single(path)),
        _ => Err(CalibrationError::Unknown { path: path.display().to_string() }),
    }
}
