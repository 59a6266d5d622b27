//! Tar files of images (WebDataset): `KEY.jpg` and, where it is known, its class in `KEY.cls`.
//!
//! A pass over the headers finds where the images lie; nothing else is read or kept until an image is wanted.

use std::fs::File;
use std::io::{BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use super::super::CalibrationError;
use super::super::classes::Classes;
use super::super::decode::{EXTENSIONS, decode_bytes};
use super::files::{extension, file_name};
use super::{Opened, Picture, Source};

/// Most bytes of a `.cls` file.
const MOST_LABEL: u64 = 4096;

/// No label.
const NONE: u32 = u32::MAX;

/// An image: which file, where in it, how long, and its class.
#[derive(Debug, Clone, Copy)]
struct Item {
    offset: u64,
    /// Place of its header.
    header: u64,
    length: u32,
    file: u32,
    label: u32,
}

struct Tars {
    files: Vec<PathBuf>,
    items: Vec<Item>,
}

impl Source for Tars {
    fn kind(&self) -> &'static str {
        "tar files"
    }

    fn len(&self) -> usize {
        self.items.len()
    }

    fn label(&self, i: usize) -> Option<usize> {
        self.items.get(i).map(|own| own.label).filter(|&label| label != NONE).and_then(|own| usize::try_from(own).ok())
    }

    /// The tar file and the member's name, read from its header: names of millions of images are not kept.
    fn name(&self, i: usize) -> String {
        let Some(item) = self.items.get(i) else { return format!("image {i}") };
        let path = &self.files[item.file as usize];
        let member = self.header(item).unwrap_or_else(|_| format!("member at {}", item.header));
        format!("{}/{member}", file_name(path))
    }

    fn load(&self, i: usize) -> Result<Picture, String> {
        let item = self.items.get(i).ok_or("there is no such image")?;
        let bytes = self.bytes(item, item.offset, u64::from(item.length)).map_err(|error| error.to_string())?;
        decode_bytes(bytes).map(Picture::Pixels)
    }
}

impl Tars {
    fn bytes(&self, item: &Item, offset: u64, length: u64) -> std::io::Result<Vec<u8>> {
        let mut file = File::open(&self.files[item.file as usize])?;
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::new();
        file.take(length).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn header(&self, item: &Item) -> std::io::Result<String> {
        let header = self.bytes(item, item.header, item.offset - item.header)?;
        let mut archive = ::tar::Archive::new(&header[..]);
        let mut entries = archive.entries()?;
        let entry = entries.next().ok_or(std::io::ErrorKind::UnexpectedEof)??;
        Ok(entry.path()?.display().to_string())
    }
}

/// Tar files, one after the other.
pub(super) fn open(root: &Path, files: Vec<PathBuf>, classes: Option<Classes>) -> Result<Opened, CalibrationError> {
    let mut items = Vec::new();
    for (number, path) in files.iter().enumerate() {
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        index(path, number, classes.as_ref(), &mut items)?;
    }
    if items.is_empty() {
        let why = format!("its tar files hold no image (.{})", EXTENSIONS.join(", ."));
        return Err(CalibrationError::Empty { path: root.display().to_string(), why });
    }
    let class_names = classes.map(Classes::into_names).unwrap_or_default();
    Ok(Opened { source: Box::new(Tars { files, items }), class_names, notes: Vec::new() })
}

/// Finds the images of one file. Members of one key follow one another.
fn index(path: &Path, file: u32, classes: Option<&Classes>, items: &mut Vec<Item>) -> Result<(), CalibrationError> {
    let fail = |source| CalibrationError::read(path, source);
    let mut archive = ::tar::Archive::new(BufReader::new(File::open(path).map_err(fail)?));
    let (mut key, mut label, mut first) = (String::new(), NONE, items.len());
    for entry in archive.entries_with_seek().map_err(fail)? {
        let mut entry = entry.map_err(fail)?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let name = entry.path().map_err(fail)?.display().to_string();
        let (own, kind) = key_of(&name);
        if own != key {
            (key, label, first) = (own.to_owned(), NONE, items.len());
        }
        let length = entry.size();
        if kind == "cls" {
            let mut text = String::new();
            entry.by_ref().take(MOST_LABEL).read_to_string(&mut text).map_err(fail)?;
            label = output(text.trim(), classes).ok_or_else(|| {
                let why = format!("`{}` is neither a class name that is known nor an output index", text.trim());
                CalibrationError::format(path, &name, why, "give output indices from 0, or class names and `--classes`")
            })?;
            items[first..].iter_mut().for_each(|item| item.label = label);
        } else if EXTENSIONS.contains(&kind.to_lowercase().as_str())
            && let Ok(length) = u32::try_from(length)
        {
            let (offset, header) = (entry.raw_file_position(), entry.raw_header_position());
            items.push(Item { offset, header, length, file, label });
        }
    }
    Ok(())
}

/// The key of a member and its kind: what stands before and after the first dot of the file name, as `WebDataset` has it. Of
/// `0001.jpg` and `0001.mask.png` only the first is the image.
fn key_of(name: &str) -> (&str, &str) {
    let file = name.rsplit('/').next().unwrap_or(name);
    let Some((_, kind)) = file.split_once('.') else { return (name, "") };
    let key = name.strip_suffix(kind).and_then(|key| key.strip_suffix('.'));
    (key.unwrap_or(name), kind)
}

/// A name of the class list goes before a number.
fn output(label: &str, classes: Option<&Classes>) -> Option<u32> {
    let named = classes.and_then(|classes| classes.get(label));
    named.or_else(|| label.parse().ok()).and_then(|own| u32::try_from(own).ok()).filter(|&own| own != NONE)
}

/// Whether a file is a tar file by its name.
pub(super) fn is_tar(path: &Path) -> bool {
    extension(path) == "tar"
}
