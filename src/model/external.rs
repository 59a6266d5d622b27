//! External data: one resolver for every tensor, wherever it sits.
//!
//! <https://onnx.ai/onnx/repo-docs/ExternalData.html>
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::map::map;
use super::save::folder_of;
use crate::proto::onnx::{StringStringEntryProto, TensorProto, tensor_proto::DataLocation};

/// Files beside the model, each mapped once.
#[derive(Debug, Clone, Default)]
pub(super) struct External {
    /// Folder of the model; `None` for a model from memory.
    folder: Option<PathBuf>,
    maps: Arc<Mutex<HashMap<String, Bytes>>>,
}

/// Whether a tensor's data lie in another file.
pub(super) fn is_external(tensor: &TensorProto) -> bool {
    tensor.data_location() == DataLocation::External
}

impl External {
    pub(super) fn beside(model: &Path) -> Self {
        Self { folder: Some(folder_of(model).to_owned()), ..Self::default() }
    }

    /// The bytes of a tensor, `size` of them.
    pub(super) fn read(&self, tensor: &TensorProto, size: usize) -> Result<Bytes, String> {
        let entry =
            |key: &str| tensor.external_data.iter().find(|entry| entry.key() == key).map(StringStringEntryProto::value);
        let number = |key: &str| {
            entry(key)
                .map(|text| text.parse::<usize>().map_err(|_| format!("external data: {key} `{text}` is no size")))
        };
        let location = entry("location").ok_or("external data without a location")?;
        let offset = number("offset").transpose()?.unwrap_or(0);
        let length = number("length").transpose()?.unwrap_or(size);
        if length != size {
            return Err(format!("external data `{location}`: length {length}, but the shape needs {size} bytes"));
        }
        let file = self.open(location)?;
        let end = offset.checked_add(length).filter(|&end| end <= file.len()).ok_or_else(|| {
            format!(
                "external data `{location}`: offset {offset} + length {length} is past the end ({} bytes)",
                file.len()
            )
        })?;
        Ok(file.slice(offset..end))
    }

    /// The files that were read from.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let Some(folder) = &self.folder else { return Vec::new() };
        let maps = self.maps.lock().unwrap_or_else(PoisonError::into_inner);
        maps.keys().map(|location| folder.join(location)).collect()
    }

    fn open(&self, location: &str) -> Result<Bytes, String> {
        let Some(folder) = &self.folder else {
            return Err(format!("external data `{location}`: the model was not read from a file"));
        };
        let mut maps = self.maps.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = maps.get(location) {
            return Ok(known.clone());
        }
        let refuse = |why: &str| format!("external data `{location}` is refused: {why}");
        let relative = Path::new(location);
        if location.is_empty()
            || !relative.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
        {
            return Err(refuse("the path is absolute or leaves the model's folder"));
        }
        let path = folder.join(relative);
        let inside = |path: &Path| Some(path.canonicalize().ok()?.starts_with(folder.canonicalize().ok()?));
        if inside(&path) == Some(false) {
            return Err(refuse("a link leaves the model's folder"));
        }
        let file = std::fs::File::open(&path).map_err(|error| format!("external data `{location}`: {error}"))?;
        let metadata = file.metadata().map_err(|error| error.to_string())?;
        if !metadata.is_file() {
            return Err(refuse("it is not a plain file"));
        }
        if links(&metadata) > 1 {
            return Err(refuse("it has hard links, which may lie outside the model's folder"));
        }
        let bytes = map(&file).map_err(|error| format!("external data `{location}`: {error}"))?;
        maps.insert(location.to_owned(), bytes.clone());
        Ok(bytes)
    }
}

#[cfg(unix)]
fn links(metadata: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::nlink(metadata)
}

#[cfg(not(unix))]
fn links(_metadata: &std::fs::Metadata) -> u64 {
    1
}
