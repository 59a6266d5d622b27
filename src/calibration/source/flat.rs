//! A folder of images, with or without a table of labels.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::super::classes::Classes;
use super::super::{CalibrationError, DatasetOptions};
use super::files::{Listing, file_name};
use super::image_folder::ImageFiles;
use super::table::{self, Row};
use super::{Opened, Source};

/// All images directly inside the folder, without labels.
pub(super) fn without_labels(
    root: &Path,
    listing: &Listing,
    options: &DatasetOptions,
) -> Result<Opened, CalibrationError> {
    if listing.images.is_empty() {
        return Err(CalibrationError::Empty { path: root.display().to_string(), why: listing.why_empty() });
    }
    let mut notes = Vec::new();
    if listing.unsupported() > 0 {
        notes.push(format!("{} files in formats that cannot be decoded are not used", listing.unsupported()));
    }
    if options.strict && !notes.is_empty() {
        let help = "convert them to PNG, or do without `--strict`";
        return Err(CalibrationError::format(root, "", notes.join("; "), help));
    }
    let files = listing.images.iter().map(|path| (path.clone(), None)).collect();
    Ok(opened("image folder without labels", root, files, Vec::new(), notes))
}

/// A single image file.
pub(super) fn single(path: &Path) -> Opened {
    let root = path.parent().unwrap_or(Path::new("")).to_owned();
    opened("single image", &root, vec![(path.to_owned(), None)], Vec::new(), Vec::new())
}

/// The images that a labels.csv or labels.jsonl names, relative to `root`.
pub(super) fn with_table(
    root: &Path,
    table: &Path,
    listing: &Listing,
    classes: Option<Classes>,
) -> Result<Opened, CalibrationError> {
    with_rows(root, table, table::read(table)?, listing, classes)
}

/// The images of some rows, relative to `root`.
pub(super) fn with_rows(
    root: &Path,
    table: &Path,
    rows: Vec<Row>,
    listing: &Listing,
    classes: Option<Classes>,
) -> Result<Opened, CalibrationError> {
    let classes = classes.map_or_else(|| alphabetical(&rows), Some);
    let mut files = Vec::with_capacity(rows.len());
    let mut seen = BTreeMap::new();
    for row in rows {
        let fail =
            |why: String, help: &str| Err(CalibrationError::format(table, format!("line {}", row.line), why, help));
        let path = root.join(&row.file);
        if !path.is_file() {
            let help = "paths in the table are relative to its folder; remove the line or add the image";
            return fail(format!("there is no image `{}`", row.file), help);
        }
        if let Some(other) = seen.insert(path.clone(), row.line) {
            return fail(format!("`{}` is on line {other} already", row.file), "name each image once");
        }
        let label = match output(&row.label, classes.as_ref()) {
            Ok(label) => label,
            Err(why) => return fail(why, "give output indices from 0, or class names and a `--classes` file"),
        };
        files.push((path, label));
    }
    if files.is_empty() {
        let path = table.display().to_string();
        return Err(CalibrationError::Empty { path, why: "there are no rows in it".to_owned() });
    }
    let unnamed = listing.images.iter().filter(|path| !seen.contains_key(*path)).count();
    let mut notes = Vec::new();
    if unnamed > 0 {
        notes.push(format!("{unnamed} images that `{}` does not name are not used", file_name(table)));
    }
    let class_names = classes.map(Classes::into_names).unwrap_or_default();
    Ok(opened("images with a table of labels", root, files, class_names, notes))
}

fn opened(
    kind: &'static str,
    root: &Path,
    files: Vec<(PathBuf, Option<usize>)>,
    class_names: Vec<String>,
    notes: Vec<String>,
) -> Opened {
    let source: Box<dyn Source> = Box::new(ImageFiles { kind, root: root.to_owned(), files });
    Opened { source, class_names, notes }
}

/// The class names of a table in alphabetical order, unless all its labels are numbers.
fn alphabetical(rows: &[Row]) -> Option<Classes> {
    let names: BTreeSet<&String> = rows.iter().map(|row| &row.label).filter(|label| !label.is_empty()).collect();
    let numbers = names.iter().all(|label| label.parse::<i64>().is_ok());
    (!numbers).then(|| Classes::in_order(names.into_iter().cloned().collect()))
}

/// A name of the class list goes before a number; no text is no label.
fn output(label: &str, classes: Option<&Classes>) -> Result<Option<usize>, String> {
    if label.is_empty() {
        return Ok(None);
    }
    match (classes.and_then(|classes| classes.get(label)), label.parse()) {
        (Some(index), _) | (None, Ok(index)) => Ok(Some(index)),
        (None, Err(_)) => Err(format!("label `{label}` is neither a class name that is known nor an output index")),
    }
}
