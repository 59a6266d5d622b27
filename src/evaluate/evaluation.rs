//! What models answer on a data set, or on some shards of it: parts that are merged into the whole.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{EvaluateError, Source, Tally};
use crate::explain::path_text;
use crate::number::hex;

/// Version of the form of [`Evaluation`].
pub const EVALUATION_SCHEMA_VERSION: u32 = 1;

/// One model on the images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EvaluatedModel {
    /// As it was given.
    #[serde(serialize_with = "path_text")]
    #[schemars(with = "PathBuf")]
    pub path: PathBuf,
    /// SHA-256 of the file in hexadecimal.
    pub sha256: String,
    /// Its answers.
    pub answers: Tally,
}

/// The whole data set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EvaluatedData {
    /// Kind of source.
    pub source: String,
    /// Items of all shards.
    pub items: usize,
    /// What tells the list of items from another: SHA-256 of names and labels.
    pub digest: String,
    /// Preprocessing in words.
    pub preprocessing: String,
    /// Names of the classes by output; empty where one is not known.
    pub classes: Vec<String>,
}

impl EvaluatedData {
    /// A data set as it was opened; `digest`: that of its list of items.
    pub fn of(source: &Source, digest: String) -> Self {
        Self {
            source: source.dataset.source().to_owned(),
            items: source.dataset.len(),
            digest,
            preprocessing: source.describe(),
            classes: source.dataset.class_names().to_vec(),
        }
    }

    /// What makes other data no part of the same data set.
    pub(super) fn differs(&self, other: &Self) -> Option<&'static str> {
        let differing = [
            ("list of images", self.digest != other.digest || self.items != other.items),
            ("preprocessing", self.preprocessing != other.preprocessing),
            ("map of classes", self.classes != other.classes),
        ];
        differing.into_iter().find(|own| own.1).map(|own| own.0)
    }
}

/// Shards of a data set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Shards {
    /// How many there are.
    pub count: usize,
    /// Those that are in, ascending, counted from 0.
    pub held: Vec<usize>,
}

impl Shards {
    /// Adds those of another part.
    ///
    /// # Errors
    /// Which shard is in both.
    pub(super) fn merge(&mut self, other: &Self) -> Result<(), String> {
        if let Some(twice) = other.held.iter().find(|own| self.held.binary_search(own).is_ok()) {
            return Err(format!("shard {twice} of {} is in another part too", self.count));
        }
        self.held.extend(&other.held);
        self.held.sort_unstable();
        Ok(())
    }

    /// Those that are not in.
    pub fn missing(&self) -> Vec<usize> {
        (0..self.count).filter(|own| self.held.binary_search(own).is_err()).collect()
    }
}

/// Answers of models on some shards of a data set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Evaluation {
    /// [`EVALUATION_SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Version of this crate.
    pub tool_version: String,
    /// What ran: engine, version and provider.
    pub engine: String,
    /// In the order in which they were given; the first is what the others are compared with.
    pub models: Vec<EvaluatedModel>,
    /// The data set.
    pub data: EvaluatedData,
    /// The part of it that was run.
    pub shards: Shards,
    /// Items that could not be read, and why.
    pub skipped: Vec<String>,
    /// SHA-256 of this file with nothing here.
    #[serde(default)]
    pub checksum: String,
}

impl Evaluation {
    /// As JSON, with its checksum.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        let own = Self { checksum: self.sum()?, ..self.clone() };
        Ok(serde_json::to_string_pretty(&own)? + "\n")
    }

    fn sum(&self) -> Result<String, serde_json::Error> {
        let bare = serde_json::to_vec(&Self { checksum: String::new(), ..self.clone() })?;
        Ok(hex(&Sha256::digest(bare)))
    }

    /// Reads a part.
    ///
    /// # Errors
    /// If the file is none, of another version, or damaged.
    pub fn read(path: &Path) -> Result<Self, EvaluateError> {
        let bad = |why: String| EvaluateError::Part { path: path.display().to_string(), why };
        let text = std::fs::read_to_string(path).map_err(|error| bad(error.to_string()))?;
        let read: Self = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
        if read.schema_version != EVALUATION_SCHEMA_VERSION {
            let own =
                format!("its form is version {}, this program reads {EVALUATION_SCHEMA_VERSION}", read.schema_version);
            return Err(bad(own));
        }
        if read.sum().is_ok_and(|sum| sum == read.checksum) {
            Ok(read)
        } else {
            Err(bad("it is damaged: its checksum is that of another content".into()))
        }
    }

    /// Adds another part of the same evaluation.
    ///
    /// # Errors
    /// What differs, in words, or which shard is in both.
    pub fn merge(&mut self, other: &Self) -> Result<(), String> {
        if let Some(what) = self.differs(other) {
            return Err(what);
        }
        self.shards.merge(&other.shards)?;
        for (own, other) in self.models.iter_mut().zip(&other.models) {
            own.answers.merge(&other.answers);
        }
        self.skipped.extend(other.skipped.iter().cloned());
        self.skipped.sort();
        Ok(())
    }

    /// What makes another part no part of the same evaluation.
    fn differs(&self, other: &Self) -> Option<String> {
        let models = |own: &Self| own.models.iter().map(|model| model.sha256.clone()).collect::<Vec<_>>();
        let differing = [
            ("models", models(self) != models(other)),
            ("version of onnx-prune", self.tool_version != other.tool_version),
            ("engine", self.engine != other.engine),
            ("number of shards", self.shards.count != other.shards.count),
        ];
        let found = differing.into_iter().find(|own| own.1).map(|own| own.0).or(self.data.differs(&other.data));
        found.map(|what| format!("it is of another {what}"))
    }

    /// Merges the parts in some files; in whatever order they come, the result is the same.
    ///
    /// # Errors
    /// If a file is unusable or does not belong to the others, by its name.
    pub fn merged(paths: &[PathBuf]) -> Result<Option<Self>, EvaluateError> {
        let mut whole: Option<Self> = None;
        for path in paths {
            let part = Self::read(path)?;
            match &mut whole {
                Some(whole) => {
                    whole.merge(&part).map_err(|why| EvaluateError::Part { path: path.display().to_string(), why })?;
                }
                None => whole = Some(part),
            }
        }
        Ok(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Change = fn(&mut Evaluation);

    fn part(held: usize, count: usize) -> Evaluation {
        let mut answers = Tally::default();
        (0..=held).for_each(|image| answers.add(image % 2, 0, Some(0)));
        Evaluation {
            schema_version: EVALUATION_SCHEMA_VERSION,
            tool_version: "1".into(),
            engine: "e".into(),
            models: vec![EvaluatedModel { path: "m.onnx".into(), sha256: "a".into(), answers }],
            data: EvaluatedData {
                source: "folder".into(),
                items: 9,
                digest: "d".into(),
                preprocessing: "p".into(),
                classes: Vec::new(),
            },
            shards: Shards { count, held: vec![held] },
            skipped: vec![format!("{held}.png: broken")],
            checksum: String::new(),
        }
    }

    fn merged(order: &[usize]) -> Evaluation {
        let mut whole = part(order[0], 4);
        order[1..].iter().for_each(|&own| whole.merge(&part(own, 4)).unwrap());
        whole
    }

    #[test]
    fn order_and_tree_do_not_matter() {
        let whole = merged(&[0, 1, 2, 3]);
        assert_eq!(whole, merged(&[2, 0, 3, 1]));
        let mut tree = merged(&[1, 3]);
        tree.merge(&merged(&[2, 0])).unwrap();
        assert_eq!(tree, whole);
        assert!(whole.shards.missing().is_empty());
        assert_eq!(merged(&[1, 3]).shards.missing(), [0, 2]);
    }

    #[test]
    fn parts_of_something_else_are_refused() {
        let mut whole = merged(&[0, 1]);
        assert!(whole.merge(&part(1, 4)).unwrap_err().contains("shard 1 of 4"));
        assert!(whole.merge(&part(2, 5)).unwrap_err().contains("number of shards"));
        let change: [(&str, Change); 5] = [
            ("models", |own| own.models[0].sha256 = "b".into()),
            ("version", |own| own.tool_version = "2".into()),
            ("engine", |own| own.engine = "f".into()),
            ("list of images", |own| own.data.digest = "e".into()),
            ("preprocessing", |own| own.data.preprocessing = "q".into()),
        ];
        for (word, change) in change {
            let mut other = part(2, 4);
            change(&mut other);
            assert!(whole.merge(&other).unwrap_err().contains(word), "{word}");
        }
    }

    #[test]
    fn damage_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("part.json");
        let text = part(2, 4).to_json().unwrap();
        std::fs::write(&path, &text).unwrap();
        assert_eq!(Evaluation::read(&path).unwrap().to_json().unwrap(), text);
        std::fs::write(&path, text.replace("\"images\": 3", "\"images\": 4")).unwrap();
        assert!(matches!(Evaluation::read(&path), Err(EvaluateError::Part { why, .. }) if why.contains("damaged")));
        std::fs::write(&path, text.split_at(text.len() / 2).0).unwrap();
        assert!(Evaluation::read(&path).is_err());
    }
}
