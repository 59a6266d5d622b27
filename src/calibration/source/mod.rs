//! The kinds of calibration data, each behind [`Source`].

mod array;
mod array_file;
mod batches;
mod cifar;
pub(super) mod convert;
mod files;
mod fit;
mod flat;
mod image_folder;
mod inputs;
mod labels;
mod list;
mod parquet;
mod table;
mod tar;

pub(super) use batches::of_batches;

use std::path::{Path, PathBuf};

use super::classes::Classes;
use super::decode::{EXTENSIONS, Pixels};
use super::{CalibrationError, DatasetOptions};
use crate::engine::Feed;
use crate::model::folder_of;

/// One image as its source has it.
pub(crate) enum Picture {
    /// Pixels, to be preprocessed.
    Pixels(Pixels),
    /// Values that are preprocessed already, to be fed as they are.
    Planes(Planes),
}

/// Values `[channels, height, width]`.
pub(crate) struct Planes {
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
    /// Calls `each` with the number and name of every image, in order.
    fn each_name(&self, each: &mut dyn FnMut(usize, &str)) {
        (0..self.len()).for_each(|i| each(i, &self.name(i)));
    }
    /// Reads image `i`; the error says what is wrong with it.
    fn load(&self, i: usize) -> Result<Picture, String>;
    /// All inputs of a run on these samples, where the data are not pictures but the inputs themselves.
    fn feed(&self, _items: &[usize]) -> Option<Feed> {
        None
    }
    /// The same without reading: the samples of a run, where it takes neither more nor fewer.
    fn fixed_run(&self) -> Option<usize> {
        None
    }
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
    if let Some(list) = listed(path) {
        let classes = options.classes.as_deref().map(Classes::read).transpose()?;
        return list::open(&list, classes);
    }
    let metadata = std::fs::metadata(path).map_err(|source| CalibrationError::read(path, source))?;
    let classes = options.classes.as_deref().map(Classes::read).transpose()?;
    if metadata.is_file() {
        return open_file(path, classes, options);
    }
    let listing = files::Listing::of(path)?;
    let arrays = listing.arrays();
    if listing.images.is_empty() && !arrays.is_empty() {
        return inputs::folder(path, &arrays, classes, options);
    }
    let tars: Vec<PathBuf> = listing.files.iter().filter(|file| tar::is_tar(file)).cloned().collect();
    if listing.images.is_empty() && !tars.is_empty() {
        return tar::open(path, tars, classes);
    }
    let tables: Vec<PathBuf> = listing.files.iter().filter(|file| parquet::is_parquet(file)).cloned().collect();
    if listing.images.is_empty() && !tables.is_empty() {
        return parquet::open(path, tables, classes);
    }
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

/// The list that `@FILE` names.
fn listed(path: &Path) -> Option<PathBuf> {
    let name = path.to_str()?.strip_prefix('@')?;
    (!path.exists()).then(|| PathBuf::from(name))
}

fn open_file(path: &Path, classes: Option<Classes>, options: &DatasetOptions) -> Result<Opened, CalibrationError> {
    let parent = folder_of(path);
    match files::extension(path).as_str() {
        "npz" | "npy" => inputs::file(path, classes, options),
        "bin" => cifar::files(path, vec![path.to_owned()], classes, Vec::new()),
        "tar" => tar::open(path, vec![path.to_owned()], classes),
        "parquet" => parquet::open(path, vec![path.to_owned()], classes),
        "csv" | "jsonl" => flat::with_table(parent, path, &files::Listing::of(parent)?, classes),
        extension if EXTENSIONS.contains(&extension) => Ok(flat::single(path)),
        _ => Err(CalibrationError::Unknown { path: path.display().to_string() }),
    }
}

/// Which part, by the ends of all, and where in it.
fn within(ends: &[usize], i: usize) -> Option<(usize, usize)> {
    let part = ends.partition_point(|&end| end <= i);
    let start = part.checked_sub(1).map_or(0, |before| ends[before]);
    (part < ends.len()).then_some((part, i - start))
}
