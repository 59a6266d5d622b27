//! A list of files: `--data @list.txt`.

use std::path::{Path, PathBuf};

use super::super::CalibrationError;
use super::super::classes::Classes;
use super::super::text::read_text;
use super::files::Listing;
use super::table::Row;
use super::{Opened, flat, tar};
use crate::model::folder_of;

/// Opens the images or the tar files that a list names, a line each, relative to its folder. Behind an image may stand, after a
/// tab or a space, its class: a name that the class list has, or an output index.
pub(super) fn open(list: &Path, classes: Option<Classes>) -> Result<Opened, CalibrationError> {
    let text = read_text(list)?;
    let root = folder_of(list);
    let lines = || (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let tars: Vec<PathBuf> = lines().map(|(_, line)| root.join(line.trim())).collect();
    if !tars.is_empty() && tars.iter().all(|path| tar::is_tar(path)) {
        return tar::open(list, tars, classes);
    }
    let row = |(line, text)| {
        let (file, label) = parts(text, classes.as_ref());
        Row { line, file: file.to_owned(), label: label.to_owned() }
    };
    let rows = lines().map(row).collect();
    flat::with_rows(root, list, rows, &Listing::default(), classes)
}

/// File and label of a line; of a space that is part of the file's name no label follows.
fn parts<'a>(line: &'a str, classes: Option<&Classes>) -> (&'a str, &'a str) {
    let line = line.trim();
    if let Some((file, label)) = line.split_once('\t') {
        return (file.trim(), label.trim());
    }
    let is_label = |label: &str| label.parse::<usize>().is_ok() || classes.is_some_and(|own| own.get(label).is_some());
    match line.rsplit_once(' ') {
        Some((file, label)) if is_label(label) => (file.trim(), label),
        _ => (line, ""),
    }
}
