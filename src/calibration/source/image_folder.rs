//! One subfolder of images per class (torchvision's `ImageFolder`).

use std::path::{Path, PathBuf};

use super::super::classes::Classes;
use super::super::decode::decode_file;
use super::super::{CalibrationError, DatasetOptions};
use super::files::{Listing, file_name};
use super::{Opened, Picture, Source};
use crate::explain::Names;

/// Image files, each with the output index of its class where it has one.
pub(super) struct ImageFiles {
    pub(super) kind: &'static str,
    pub(super) root: PathBuf,
    pub(super) files: Vec<(PathBuf, Option<usize>)>,
}

impl Source for ImageFiles {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn len(&self) -> usize {
        self.files.len()
    }

    fn label(&self, i: usize) -> Option<usize> {
        self.files.get(i).and_then(|(_, label)| *label)
    }

    fn name(&self, i: usize) -> String {
        let Some((path, _)) = self.files.get(i) else { return format!("image {i}") };
        path.strip_prefix(&self.root).unwrap_or(path).display().to_string()
    }

    fn load(&self, i: usize) -> Result<Picture, String> {
        let (path, _) = self.files.get(i).ok_or("there is no such image")?;
        decode_file(path).map(Picture::Pixels)
    }
}

/// Opens class folders, or gives `None` where no subfolder has images.
///
/// Images may also lie in a folder `images` inside the class folder, as in Tiny ImageNet.
pub(super) fn open(
    root: &Path,
    listing: &Listing,
    classes: Option<Classes>,
    options: &DatasetOptions,
) -> Result<Option<Opened>, CalibrationError> {
    let mut folders = Vec::new();
    let mut deeper = Vec::new();
    for folder in &listing.folders {
        let mut inside = Listing::of(folder)?;
        let images = folder.join("images");
        if inside.images.is_empty() && inside.folders.contains(&images) {
            inside = Listing::of(&images)?;
        }
        if inside.images.is_empty() && holds_class_folders(&inside)? {
            deeper.push(file_name(folder));
        }
        folders.push((file_name(folder), inside));
    }
    if folders.iter().all(|(_, inside)| inside.images.is_empty()) {
        return if deeper.is_empty() || !listing.images.is_empty() {
            Ok(None)
        } else {
            Err(CalibrationError::Empty {
                path: root.display().to_string(),
                why: format!("the class folders lie one level deeper; give one of {}", Names(&deeper, 4)),
            })
        };
    }
    let notes = notes(listing, &folders);
    if options.strict && !notes.is_empty() {
        let help = "remove what does not belong there, or do without `--strict`";
        return Err(CalibrationError::format(root, "", notes.join("; "), help));
    }
    let classes = classes.unwrap_or_else(|| Classes::in_order(folders.iter().map(|(name, _)| name.clone()).collect()));
    let files = label_files(root, folders, &classes)?;
    let source = ImageFiles { kind: "image folder", root: root.to_owned(), files };
    Ok(Some(Opened { source: Box::new(source), class_names: classes.into_names(), notes }))
}

fn holds_class_folders(inside: &Listing) -> Result<bool, CalibrationError> {
    for folder in &inside.folders {
        if !Listing::of(folder)?.images.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn label_files(
    root: &Path,
    folders: Vec<(String, Listing)>,
    classes: &Classes,
) -> Result<Vec<(PathBuf, Option<usize>)>, CalibrationError> {
    let mut files = Vec::new();
    let mut unknown = Vec::new();
    for (name, inside) in folders.into_iter().filter(|(_, inside)| !inside.images.is_empty()) {
        match classes.get(&name) {
            Some(label) => files.extend(inside.images.into_iter().map(|path| (path, Some(label)))),
            None => unknown.push(name),
        }
    }
    if unknown.is_empty() {
        return Ok(files);
    }
    Err(CalibrationError::Classes {
        path: root.display().to_string(),
        why: format!("{} class folders are not in the class list: {}", unknown.len(), Names(&unknown, 5)),
        help: "give a `--classes` file whose names are the names of the folders".to_owned(),
    })
}

fn notes(listing: &Listing, folders: &[(String, Listing)]) -> Vec<String> {
    let mut notes = Vec::new();
    let empty: Vec<String> =
        folders.iter().filter(|(_, inside)| inside.images.is_empty()).map(|(name, _)| name.clone()).collect();
    if !empty.is_empty() {
        notes.push(format!("{} class folders without images: {}", empty.len(), Names(&empty, 5)));
    }
    if !listing.images.is_empty() {
        notes.push(format!("{} images beside the class folders are not used", listing.images.len()));
    }
    let unsupported: usize = folders.iter().map(|(_, inside)| inside.unsupported()).sum();
    if unsupported > 0 {
        notes.push(format!("{unsupported} files in formats that cannot be decoded are not used"));
    }
    notes
}
