//! Tables of labels: `labels.csv` and `labels.jsonl`.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::super::CalibrationError;
use super::super::text::{delimiter, read_text};
use super::files::{Listing, extension};

/// Column names and json keys of the file's path, in the order of preference.
const FILE_KEYS: [&str; 6] = ["file", "filename", "file_name", "path", "image", "name"];

/// Column names and json keys of the label.
const LABEL_KEYS: [&str; 6] = ["label", "class", "class_id", "class_index", "target", "category"];

/// One line of a table.
pub(super) struct Row {
    /// Counted from 1.
    pub(super) line: u64,
    /// Path relative to the table's folder.
    pub(super) file: String,
    /// Class name or output index; empty for none.
    pub(super) label: String,
}

/// The table of a folder.
pub(super) fn find(folder: &Path, listing: &Listing) -> Option<PathBuf> {
    ["labels.csv", "labels.jsonl"].iter().map(|name| folder.join(name)).find(|path| listing.files.contains(path))
}

pub(super) fn read(path: &Path) -> Result<Vec<Row>, CalibrationError> {
    let text = read_text(path)?;
    let (rows, help) = if extension(path) == "jsonl" {
        (json_lines(&text), "each line is an object such as {\"file\": \"cat.png\", \"label\": 3}")
    } else {
        (csv(&text), "each line is `file,label`, with or without a heading; `;` and tabs separate too")
    };
    rows.map_err(|(line, why)| CalibrationError::format(path, format!("line {line}"), why, help))
}

fn csv(text: &str) -> Result<Vec<Row>, (u64, String)> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .delimiter(delimiter(text))
        .from_reader(text.as_bytes());
    let (mut file, mut label) = (0, 1);
    let mut rows = Vec::new();
    for (number, record) in reader.records().enumerate() {
        let record = record
            .map_err(|error| (error.position().map_or(number as u64 + 1, csv::Position::line), error.to_string()))?;
        let line = record.position().map_or(number as u64 + 1, csv::Position::line);
        let column =
            |keys: &[&str]| keys.iter().find_map(|key| record.iter().position(|field| field.eq_ignore_ascii_case(key)));
        if number == 0
            && let Some(found) = column(&FILE_KEYS)
        {
            file = found;
            label = column(&LABEL_KEYS).ok_or_else(|| (line, "the heading has no column `label`".to_owned()))?;
            continue;
        }
        let field = |column: usize| record.get(column).map(str::to_owned);
        let (Some(file), Some(label)) = (field(file), field(label)) else {
            return Err((line, format!("{} columns are too few", record.len())));
        };
        if file.is_empty() {
            return Err((line, "the file name is empty".to_owned()));
        }
        rows.push(Row { line, file, label });
    }
    Ok(rows)
}

fn json_lines(text: &str) -> Result<Vec<Row>, (u64, String)> {
    let mut rows = Vec::new();
    for (line, text) in (1..).zip(text.lines()).filter(|(_, text)| !text.trim().is_empty()) {
        let value: Value = serde_json::from_str(text).map_err(|error| (line, error.to_string()))?;
        let key = |keys: &[&str]| keys.iter().find_map(|key| value.get(key));
        let Some(file) = key(&FILE_KEYS).and_then(Value::as_str).filter(|file| !file.is_empty()) else {
            return Err((line, "there is no text under `file`".to_owned()));
        };
        let label = match key(&LABEL_KEYS) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(name)) => name.clone(),
            Some(Value::Number(number)) => number.to_string(),
            Some(other) => return Err((line, format!("label {other} is neither a name nor a number"))),
        };
        rows.push(Row { line, file: file.to_owned(), label });
    }
    Ok(rows)
}
