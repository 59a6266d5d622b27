//! CIFAR-10 binary batches: records of one label byte and 3072 bytes of planes, red, green, blue, 32x32 each.
//!
//! Source: <https://www.cs.toronto.edu/~kriz/cifar.html>, "Binary version".

use std::path::{Path, PathBuf};

use super::super::CalibrationError;
use super::super::classes::Classes;
use super::super::decode::Pixels;
use super::files::{Listing, extension, file_name};
use super::{Opened, Picture, Source};

const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;
const RECORD: usize = 1 + 3 * PLANE;

const NAMES: [&str; 10] = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

struct Batches {
    /// Name and contents of each file.
    files: Vec<(String, Vec<u8>)>,
    /// File and offset of each record.
    records: Vec<(usize, usize)>,
}

/// Whether a file is named as the archive names its batches.
pub(super) fn is_batch(path: &Path) -> bool {
    extension(path) == "bin" && file_name(path).contains("_batch")
}

/// Opens the training batches of a folder; the test batch only where it is alone.
pub(super) fn folder(root: &Path, listing: &Listing, classes: Option<Classes>) -> Result<Opened, CalibrationError> {
    let batches: Vec<PathBuf> = listing.files.iter().filter(|file| is_batch(file)).cloned().collect();
    let (test, train): (Vec<_>, Vec<_>) =
        batches.into_iter().partition(|file| file_name(file).to_lowercase().starts_with("test"));
    if train.is_empty() {
        return files(root, test, classes, Vec::new());
    }
    let notes = test.iter().map(|file| format!("`{}` is not used: give the file itself to use it", file_name(file)));
    files(root, train, classes, notes.collect())
}

/// Opens these batches.
pub(super) fn files(
    path: &Path,
    batches: Vec<PathBuf>,
    classes: Option<Classes>,
    notes: Vec<String>,
) -> Result<Opened, CalibrationError> {
    let mut source = Batches { files: Vec::new(), records: Vec::new() };
    for batch in batches {
        let data = std::fs::read(&batch).map_err(|source| CalibrationError::read(&batch, source))?;
        let fail = |place: String, why: String| {
            let help = "give data_batch_1.bin ... or test_batch.bin of the binary version of CIFAR-10";
            Err(CalibrationError::format(&batch, place, why, help))
        };
        if data.is_empty() || data.len() % RECORD != 0 {
            let why = format!("{} bytes are not a whole number of CIFAR-10 records of {RECORD} bytes", data.len());
            return fail(String::new(), why);
        }
        for (number, record) in data.chunks_exact(RECORD).enumerate() {
            if usize::from(record[0]) >= NAMES.len() {
                return fail(format!("record {number}"), format!("label {} is above 9", record[0]));
            }
            source.records.push((source.files.len(), number * RECORD));
        }
        source.files.push((file_name(&batch), data));
    }
    let class_names = match classes {
        Some(classes) => return relabelled(path, source, classes, notes),
        None => NAMES.map(str::to_owned).to_vec(),
    };
    Ok(Opened { source: Box::new(source), class_names, notes })
}

/// A class list must agree with the labels in the file, which are output indices already.
fn relabelled(path: &Path, source: Batches, classes: Classes, notes: Vec<String>) -> Result<Opened, CalibrationError> {
    let moved = NAMES.iter().enumerate().find(|(index, name)| classes.get(name).is_some_and(|other| other != *index));
    if let Some((index, name)) = moved {
        return Err(CalibrationError::Classes {
            path: path.display().to_string(),
            why: format!("`{name}` is label {index} in the file and another output in the class list"),
            help: "leave `--classes` out: the labels in the file are output indices".to_owned(),
        });
    }
    Ok(Opened { source: Box::new(source), class_names: classes.into_names(), notes })
}

impl Batches {
    fn record(&self, i: usize) -> Option<&[u8]> {
        let (file, offset) = *self.records.get(i)?;
        self.files.get(file)?.1.get(offset..offset + RECORD)
    }
}

impl Source for Batches {
    fn kind(&self) -> &'static str {
        "CIFAR-10 binary"
    }

    fn len(&self) -> usize {
        self.records.len()
    }

    fn label(&self, i: usize) -> Option<usize> {
        self.record(i).map(|record| record[0].into())
    }

    fn name(&self, i: usize) -> String {
        match self.records.get(i) {
            Some(&(file, offset)) => format!("{}[{}]", self.files[file].0, offset / RECORD),
            None => format!("image {i}"),
        }
    }

    fn load(&self, i: usize) -> Result<Picture, String> {
        let planes = &self.record(i).ok_or("there is no such image")?[1..];
        let data = (0..PLANE).flat_map(|at| [planes[at], planes[PLANE + at], planes[2 * PLANE + at]]).collect();
        Ok(Picture::Pixels(Pixels { width: SIDE, height: SIDE, channels: 3, data }))
    }
}
