//! Tar files of images (WebDataset): `KEY.jpg` and, where it is known, its class in `KEY.cls`.
//!
//! A pass over the headers finds where the images lie; nothing else is read or kept until an image is wanted.

use std::fs::File;
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::super::CalibrationError;
use super::super::classes::Classes;
use super::super::decode::{EXTENSIONS, decode_bytes};
use super::files::{extension, file_name};
use super::{Opened, Picture, Source, within};

/// Most bytes of a `.cls` file.
const MOST_LABEL: u64 = 4096;

/// No label.
const NONE: u32 = u32::MAX;

/// Bytes of a block of a tar file.
const BLOCK: u64 = 512;

/// An image: the block at which its header begins, and its class. Eight bytes, since there may be millions.
#[derive(Debug, Clone, Copy)]
struct Item {
    block: u32,
    label: u32,
}

struct Tars {
    files: Vec<PathBuf>,
    items: Vec<Item>,
    /// Images up to the end of each file.
    ends: Vec<usize>,
}

/// A member of a tar file.
type Member<'a> = ::tar::Entry<'a, File>;

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
        let read = self.member(i, |path, member| Ok(named(path, &member.path()?.display().to_string())));
        read.unwrap_or_else(|_| format!("image {i}"))
    }

    /// One pass over the headers: of as many files at a time as there are threads, so that few names are in memory.
    fn each_name(&self, each: &mut dyn FnMut(usize, &str)) {
        let (mut next, threads) = (0, rayon::current_num_threads().max(1));
        for (files, ends) in self.files.chunks(threads).zip(self.ends.chunks(threads)) {
            let names: Vec<Vec<String>> = files.par_iter().map(|path| image_names(path)).collect();
            for (own, &end) in names.iter().zip(ends) {
                own.iter().zip(next..end).for_each(|(name, item)| each(item, name));
                // Of a file that changed in the meantime.
                (next + own.len()..end).for_each(|item| each(item, &self.name(item)));
                next = end;
            }
        }
    }

    fn load(&self, i: usize) -> Result<Picture, String> {
        let read = |_: &Path, member: &mut Member<'_>| {
            let mut bytes = Vec::new();
            member.read_to_end(&mut bytes).map(|_| bytes)
        };
        decode_bytes(self.member(i, read).map_err(|error| error.to_string())?).map(Picture::Pixels)
    }
}

impl Tars {
    /// What `read` makes of the member that is image `i`.
    fn member<T>(&self, i: usize, read: impl Fn(&Path, &mut Member<'_>) -> io::Result<T>) -> io::Result<T> {
        let item = self.items.get(i).ok_or(io::ErrorKind::NotFound)?;
        let path = &self.files[within(&self.ends, i).ok_or(io::ErrorKind::NotFound)?.0];
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(u64::from(item.block) * BLOCK))?;
        let mut archive = ::tar::Archive::new(file);
        let mut member = archive.entries()?.next().ok_or(io::ErrorKind::UnexpectedEof)??;
        read(path, &mut member)
    }
}

/// Names of the images of a file, as far as it can be read.
fn image_names(path: &Path) -> Vec<String> {
    let mut names = Vec::new();
    let read = members(path, |name, kind, _| {
        if is_image(kind) {
            names.push(named(path, name));
        }
        Ok(())
    });
    // What is missing is told where the image is read.
    drop(read);
    names
}

/// A member's name in a data set.
fn named(path: &Path, member: &str) -> String {
    format!("{}/{member}", file_name(path))
}

fn is_image(kind: &str) -> bool {
    EXTENSIONS.contains(&kind.to_lowercase().as_str())
}

/// Tar files, one after the other.
pub(super) fn open(root: &Path, files: Vec<PathBuf>, classes: Option<Classes>) -> Result<Opened, CalibrationError> {
    let (mut items, mut ends) = (Vec::new(), Vec::new());
    let found: Vec<Result<Vec<Item>, CalibrationError>> =
        files.par_iter().map(|path| index(path, classes.as_ref())).collect();
    for own in found {
        items.extend(own?);
        ends.push(items.len());
    }
    if items.is_empty() {
        let why = format!("its tar files hold no image (.{})", EXTENSIONS.join(", ."));
        return Err(CalibrationError::Empty { path: root.display().to_string(), why });
    }
    items.shrink_to_fit();
    let class_names = classes.map(Classes::into_names).unwrap_or_default();
    Ok(Opened { source: Box::new(Tars { files, items, ends }), class_names, notes: Vec::new() })
}

/// A file that is read from header to header. What is skipped within the buffer is not read again: of small images one
/// read holds several.
struct Headers {
    file: BufReader<File>,
    at: u64,
}

impl io::Read for Headers {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(bytes)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl io::Seek for Headers {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.at = match to {
            SeekFrom::Current(distance) => {
                self.file.seek_relative(distance)?;
                self.at.checked_add_signed(distance).ok_or(io::ErrorKind::InvalidInput)?
            }
            other => self.file.seek(other)?,
        };
        Ok(self.at)
    }
}

/// Calls `each` with the name of every member that is a file, its kind and the member.
fn members(
    path: &Path,
    mut each: impl FnMut(&str, &str, &mut ::tar::Entry<'_, Headers>) -> Result<(), CalibrationError>,
) -> Result<(), CalibrationError> {
    let fail = |source| CalibrationError::read(path, source);
    let file = BufReader::new(File::open(path).map_err(fail)?);
    let mut archive = ::tar::Archive::new(Headers { file, at: 0 });
    for entry in archive.entries_with_seek().map_err(fail)? {
        let mut entry = entry.map_err(fail)?;
        if entry.header().entry_type().is_file() {
            let name = entry.path().map_err(fail)?.display().to_string();
            each(&name, key_of(&name).1, &mut entry)?;
        }
    }
    Ok(())
}

/// Finds the images of one file. Members of one key follow one another.
fn index(path: &Path, classes: Option<&Classes>) -> Result<Vec<Item>, CalibrationError> {
    let mut items: Vec<Item> = Vec::new();
    let (mut key, mut label, mut first) = (String::new(), NONE, 0);
    members(path, |name, kind, entry| {
        let own = key_of(name).0;
        if own != key {
            (key, label, first) = (own.to_owned(), NONE, items.len());
        }
        if kind == "cls" {
            let mut text = String::new();
            let read = entry.by_ref().take(MOST_LABEL).read_to_string(&mut text);
            read.map_err(|source| CalibrationError::read(path, source))?;
            label = output(text.trim(), classes).ok_or_else(|| {
                let why = format!("`{}` is neither a class name that is known nor an output index", text.trim());
                CalibrationError::format(path, name, why, "give output indices from 0, or class names and `--classes`")
            })?;
            items[first..].iter_mut().for_each(|item| item.label = label);
        } else if is_image(kind) {
            let block = u32::try_from(entry.raw_header_position() / BLOCK).map_err(|_| {
                let why = "it holds images beyond 2 TB".to_owned();
                CalibrationError::format(path, name, why, "split it into several tar files")
            })?;
            items.push(Item { block, label });
        }
        Ok(())
    })?;
    Ok(items)
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
