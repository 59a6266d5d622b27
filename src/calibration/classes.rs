//! The `--classes` file: which name of a class is which output of the model.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::CalibrationError;
use super::text::{delimiter, read_text};

/// Largest output index that is believed: above it the file is something else.
const MOST_CLASSES: usize = 1 << 20;

/// Class names and their output indices.
#[derive(Debug, Default)]
pub(crate) struct Classes {
    index: BTreeMap<String, usize>,
    /// Names for people, by output index; empty where unknown.
    display: Vec<String>,
}

impl Classes {
    /// Reads json (`{"name": 0}`, `["name", ...]`, `{"0": "name"}` or `{"0": ["wnid", "name"]}`), csv (`name,index`)
    /// or plain text (line i from 0 is output i; the whole line or its first word is the folder's name).
    pub(crate) fn read(path: &Path) -> Result<Self, CalibrationError> {
        let text = read_text(path)?;
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
        let found = match extension.as_deref() {
            Some("json") => json(&text),
            Some("csv") => csv(&text),
            _ => list(&text),
        };
        let classes = found.map_err(|(place, why)| {
            let help = "give json {\"name\": index}, csv `name,index`, or a text file whose line i is output i";
            CalibrationError::format(path, place, why, help)
        })?;
        if classes.index.is_empty() {
            return Err(CalibrationError::format(path, "", "the file names no classes", "put one name on each line"));
        }
        Ok(classes)
    }

    /// Names in this order are outputs 0, 1, ...
    pub(crate) fn in_order(names: Vec<String>) -> Self {
        Self { index: names.iter().cloned().zip(0..).collect(), display: names }
    }

    pub(crate) fn get(&self, name: &str) -> Option<usize> {
        self.index.get(name).copied()
    }

    pub(crate) fn into_names(self) -> Vec<String> {
        self.display
    }

    /// Adds a name that data use; a second index for it is an error.
    fn add(&mut self, name: &str, index: usize) -> Result<(), String> {
        if index >= MOST_CLASSES {
            return Err(format!("output index {index} of `{name}` is above {MOST_CLASSES}"));
        }
        match self.index.insert(name.to_owned(), index) {
            Some(other) if other != index => Err(format!("`{name}` is given for outputs {other} and {index}")),
            _ => Ok(()),
        }
    }

    fn show(&mut self, name: &str, index: usize) {
        if self.display.len() <= index {
            self.display.resize(index + 1, String::new());
        }
        if self.display[index].is_empty() {
            name.clone_into(&mut self.display[index]);
        }
    }
}

/// Where in the file, and what is wrong there.
type Problem = (String, String);

fn json(text: &str) -> Result<Classes, Problem> {
    let value: Value = serde_json::from_str(text).map_err(|error| (String::new(), error.to_string()))?;
    let mut classes = Classes::default();
    match value {
        Value::Array(list) => {
            for (index, item) in list.iter().enumerate() {
                json_entry(&mut classes, item, index).map_err(|why| (format!("element {index}"), why))?;
            }
        }
        Value::Object(object) => {
            for (key, value) in &object {
                let entry = match (value.as_u64().and_then(|index| usize::try_from(index).ok()), key.parse::<usize>()) {
                    (Some(index), _) => classes.add(key, index).map(|()| classes.show(key, index)),
                    (None, Ok(index)) => json_entry(&mut classes, value, index),
                    (None, Err(_)) => Err(format!("{value} is not an output index")),
                };
                entry.map_err(|why| (format!("key `{key}`"), why))?;
            }
        }
        other => return Err((String::new(), format!("{other} is neither an object nor a list"))),
    }
    Ok(classes)
}

/// `"name"`, or `["wnid", "name"]` of which either may be the folder's name.
fn json_entry(classes: &mut Classes, value: &Value, index: usize) -> Result<(), String> {
    match value {
        Value::String(name) => {
            classes.add(name, index)?;
            classes.show(name, index);
        }
        Value::Array(names) if !names.is_empty() && names.iter().all(Value::is_string) => {
            let names: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
            classes.add(names[0], index)?;
            classes.show(names[names.len() - 1], index);
        }
        other => return Err(format!("{other} is not a class name")),
    }
    Ok(())
}

fn csv(text: &str) -> Result<Classes, Problem> {
    let mut classes = Classes::default();
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .trim(csv::Trim::All)
        .flexible(true)
        .delimiter(delimiter(text))
        .from_reader(text.as_bytes());
    for (number, record) in reader.records().enumerate() {
        let place = || format!("line {}", number + 1);
        let record = record.map_err(|error| (place(), error.to_string()))?;
        let (name, index) = (record.get(0).unwrap_or_default(), record.get(1).unwrap_or_default());
        match index.parse() {
            Ok(index) => {
                classes.add(name, index).map_err(|why| (place(), why))?;
                classes.show(name, index);
            }
            Err(_) if number == 0 => {}
            Err(_) => return Err((place(), format!("`{index}` is not an output index"))),
        }
    }
    Ok(classes)
}

fn list(text: &str) -> Result<Classes, Problem> {
    let mut classes = Classes::default();
    let mut first_words: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, line) in text.trim_end().lines().enumerate() {
        let line = line.trim().trim_start_matches('\u{feff}');
        if line.is_empty() {
            return Err((format!("line {}", index + 1), "an empty line would shift the outputs after it".to_owned()));
        }
        classes.add(line, index).map_err(|why| (format!("line {}", index + 1), why))?;
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, line));
        classes.show(if is_wnid(word) { rest.trim() } else { line }, index);
        first_words.entry(word).or_default().push(index);
    }
    for (word, indices) in first_words {
        if let ([index], None) = (indices.as_slice(), classes.get(word)) {
            classes.index.insert(word.to_owned(), *index);
        }
    }
    Ok(classes)
}

/// A `WordNet` id of `ImageNet`'s folders: `n` and eight digits.
fn is_wnid(word: &str) -> bool {
    word.strip_prefix('n').is_some_and(|digits| digits.len() == 8 && digits.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::Explain;

    fn read(name: &str, text: &str) -> Result<Classes, CalibrationError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        Classes::read(&path)
    }

    #[test]
    fn every_form_says_the_same() {
        for (name, text) in [
            ("c.json", r#"{"n2": 2, "n0": 0}"#),
            ("c.json", r#"["n0", "n1", "n2"]"#),
            ("c.json", r#"{"0": "n0", "2": "n2"}"#),
            ("c.json", r#"{"0": ["n0", "cat"], "2": ["n2", "dog"]}"#),
            ("c.csv", "name,index\nn2,2\nn0,0\n"),
            ("c.csv", "n2,2\nn0,0\n"),
            ("c.txt", "n0\nn1\nn2\n"),
            ("c.txt", "n0 cat\nn1 cow\nn2 dog\n\n"),
        ] {
            let classes = read(name, text).unwrap();
            assert_eq!((classes.get("n0"), classes.get("n2"), classes.get("n7")), (Some(0), Some(2), None), "{text}");
        }
    }

    #[test]
    fn names_for_people() {
        let wnids = read("c.txt", "n01440764 tench\nn01443537 great white\n").unwrap();
        assert_eq!(wnids.into_names(), ["tench", "great white"]);
        let words = read("c.txt", "great white\ngreat egret\nruff\n").unwrap();
        assert_eq!((words.get("great white"), words.get("great"), words.get("ruff")), (Some(0), None, Some(2)));
        assert_eq!(read("c.csv", "b,2\n").unwrap().into_names(), ["", "", "b"]);
        assert_eq!(read("c.json", r#"{"0": ["n0", "cat"]}"#).unwrap().into_names(), ["cat"]);
    }

    #[test]
    fn mistakes_are_placed() {
        for (name, text, place, word) in [
            ("c.txt", "a\n\nb\n", "line 2", "empty"),
            ("c.txt", "a\na\n", "line 2", "outputs 0 and 1"),
            ("c.csv", "a,0\nb,x\n", "line 2", "`x`"),
            ("c.json", r#"{"a": 99999999999}"#, "key `a`", "above"),
            ("c.json", r#"{"a": -1}"#, "key `a`", "-1"),
            ("c.json", "[1]", "element 0", "1"),
        ] {
            let error = read(name, text).unwrap_err();
            assert_eq!(error.location().as_deref(), Some(place), "{text}");
            assert!(error.why().unwrap().contains(word), "{text}: {:?}", error.why());
        }
        assert!(read("c.txt", "").unwrap_err().why().unwrap().contains("no classes"));
    }
}
