//! Tests of the room as a whole, on files made on the spot.

mod errors;
mod inputs;
mod pipeline;
mod sources;
mod tensors;

use std::path::{Path, PathBuf};

use image::{ImageBuffer, Rgb};

use super::{Dataset, DatasetOptions, Inputs, PictureInput, Preprocess, PreprocessOptions};
use crate::model::DataType;

/// A temporary folder with files in it.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn at(&self, name: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    fn text(&self, name: &str, text: &str) -> &Self {
        std::fs::write(self.at(name), text).unwrap();
        self
    }

    /// A PNG of this size whose red channel is `value` everywhere, green the column and blue the row.
    fn png(&self, name: &str, (width, height): (u32, u32), value: u8) -> &Self {
        ImageBuffer::from_fn(width, height, |x, y| Rgb([value, x as u8, y as u8])).save(self.at(name)).unwrap();
        self
    }

    fn open(&self) -> Dataset {
        Dataset::open(self.path(), &DatasetOptions::default()).unwrap()
    }

    fn open_with(&self, classes: &str) -> Result<Dataset, super::CalibrationError> {
        let options = DatasetOptions { classes: Some(self.at(classes)), ..DatasetOptions::default() };
        Dataset::open(self.path(), &options)
    }
}

/// Pixels as they are, three channels of `side` x `side`.
fn plain(side: usize) -> Preprocess {
    let options = PreprocessOptions { scale: Some(1.0), ..PreprocessOptions::default() };
    Preprocess::resolve(&[None, Some(3), Some(side), Some(side)], &options).unwrap()
}

fn plain_input(side: usize) -> Inputs {
    Inputs::Pictures(PictureInput { name: "x".into(), element: DataType::Float, preprocess: plain(side) })
}

fn labels(dataset: &Dataset) -> Vec<Option<usize>> {
    (0..dataset.len()).map(|i| dataset.label(i)).collect()
}
