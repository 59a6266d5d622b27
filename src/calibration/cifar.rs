//! CIFAR-10 binary batches: records of one label byte and 3 x 32 x 32 pixels.
//!
//! <https://www.cs.toronto.edu/~kriz/cifar.html>

use std::path::{Path, PathBuf};

use super::CalibrationError;
use super::dataset::{Dataset, Item, Picture, Raster};

const PIXELS: usize = 3 * 32 * 32;

fn batches(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let mut files: Vec<PathBuf> = std::fs::read_dir(path)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|file| {
            let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            name.contains("_batch") && file.extension().is_some_and(|end| end == "bin")
        })
        .collect();
    files.sort();
    files
}

pub(super) fn is_folder(path: &Path) -> bool {
    !batches(path).is_empty()
}

pub(super) fn open(path: &Path) -> Result<Dataset, CalibrationError> {
    let raster = Raster { height: 32, width: 32, channels: 3, planar: true };
    let mut dataset = Dataset { source: "CIFAR-10 binary", raster, ..Dataset::default() };
    for file in batches(path) {
        let fail = |why: String| CalibrationError::File { path: file.display().to_string(), why };
        let bytes = std::fs::read(&file).map_err(|error| fail(error.to_string()))?;
        if bytes.is_empty() || !bytes.len().is_multiple_of(PIXELS + 1) {
            return Err(fail(format!("{} bytes are not records of {} bytes", bytes.len(), PIXELS + 1)));
        }
        let buffer = dataset.buffers.len();
        for (number, record) in bytes.chunks_exact(PIXELS + 1).enumerate() {
            let offset = number * (PIXELS + 1) + 1;
            let label = Some(usize::from(record[0]));
            dataset.items.push(Item { picture: Picture::Pixels { buffer, offset }, label });
        }
        dataset.buffers.push(bytes);
    }
    Ok(dataset)
}
