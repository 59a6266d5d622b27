//! Image folders: one folder a class, or all in one with a list of labels or none.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::CalibrationError;
use super::classes::ClassMap;
use super::dataset::{Dataset, Item, Picture};

const ENDINGS: [&str; 5] = ["jpg", "jpeg", "png", "bmp", "webp"];

pub(super) fn open(path: &Path, classes: Option<&ClassMap>) -> Result<Dataset, CalibrationError> {
    let subfolders = list(path)?.into_iter().filter(|entry| entry.is_dir()).collect::<Vec<_>>();
    let images = images_in(path)?;
    if images.is_empty() { by_class(path, &subfolders, classes) } else { flat(path, images, classes) }
}

fn list(path: &Path) -> Result<Vec<PathBuf>, CalibrationError> {
    let fail =
        |error: std::io::Error| CalibrationError::File { path: path.display().to_string(), why: error.to_string() };
    let mut entries = std::fs::read_dir(path)
        .map_err(fail)?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(fail)?;
    entries.retain(|entry| !name(entry).starts_with('.'));
    entries.sort();
    Ok(entries)
}

fn images_in(path: &Path) -> Result<Vec<PathBuf>, CalibrationError> {
    let is_image = |entry: &PathBuf| {
        let ending = entry.extension().map(|end| end.to_string_lossy().to_lowercase()).unwrap_or_default();
        ENDINGS.contains(&ending.as_str()) && entry.is_file()
    };
    Ok(list(path)?.into_iter().filter(is_image).collect())
}

fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Class folders in alphabetical order are outputs 0, 1, ... unless a class file says otherwise.
fn by_class(path: &Path, folders: &[PathBuf], classes: Option<&ClassMap>) -> Result<Dataset, CalibrationError> {
    let mut dataset = Dataset { source: "class folders", ..Dataset::default() };
    let (mut empty, mut unknown) = (Vec::new(), Vec::new());
    for (position, folder) in folders.iter().enumerate() {
        let label = match classes {
            None => Some(position),
            Some(map) => map.index(&name(folder)),
        };
        let images = images_in(folder)?;
        match label {
            _ if images.is_empty() => empty.push(name(folder)),
            None => unknown.push(name(folder)),
            Some(_) => {}
        }
        dataset.items.extend(images.into_iter().map(|path| Item { picture: Picture::File(path), label }));
    }
    if !unknown.is_empty() {
        return Err(CalibrationError::File {
            path: path.display().to_string(),
            why: format!("the class file does not name: {}", crate::error::Names(&unknown, 5)),
        });
    }
    if dataset.items.is_empty() {
        let files = list(path)?.iter().filter(|entry| entry.is_file()).count();
        let why = format!("{} folders and {files} files, none of them a jpg, png, bmp or webp image", folders.len());
        return Err(CalibrationError::Empty { path: path.display().to_string(), why });
    }
    if !empty.is_empty() {
        dataset.notes.push(format!("{} class folders have no images: {}", empty.len(), crate::error::Names(&empty, 5)));
    }
    dataset.classes = classes.map_or_else(|| folders.iter().map(|folder| name(folder)).collect(), ClassMap::names);
    Ok(dataset)
}

fn flat(path: &Path, images: Vec<PathBuf>, classes: Option<&ClassMap>) -> Result<Dataset, CalibrationError> {
    let listed = [path.join("labels.csv"), path.join("labels.jsonl")].into_iter().find(|file| file.is_file());
    let mut dataset = Dataset { source: "flat folder", ..Dataset::default() };
    let Some(file) = listed else {
        dataset.items = images.into_iter().map(|path| Item { picture: Picture::File(path), label: None }).collect();
        return Ok(dataset);
    };
    let fail = |why: String| CalibrationError::File { path: file.display().to_string(), why };
    let rows = if file.extension().is_some_and(|end| end == "csv") { csv_rows(&file) } else { json_rows(&file) };
    let rows = rows.map_err(fail)?;
    // Labels that are all numbers are output indices; names are numbered by the class file or alphabetically.
    let numbers = rows.iter().all(|(_, label)| label.parse::<usize>().is_ok());
    let mut names: Vec<String> = rows.iter().map(|(_, label)| label.clone()).collect();
    names.sort();
    names.dedup();
    let own: BTreeMap<&str, usize> = names.iter().enumerate().map(|(index, name)| (name.as_str(), index)).collect();
    for (image, label) in &rows {
        let index = match classes {
            _ if numbers => label.parse().ok(),
            Some(map) => map.index(label),
            None => own.get(label.as_str()).copied(),
        };
        let index = index.ok_or_else(|| fail(format!("the class file does not name `{label}`")))?;
        let picture = path.join(image);
        if !picture.is_file() {
            return Err(fail(format!("it names `{image}`, which is not there")));
        }
        dataset.items.push(Item { picture: Picture::File(picture), label: Some(index) });
    }
    dataset.source = "flat folder with labels";
    dataset.classes = if numbers { Vec::new() } else { classes.map_or(names.clone(), ClassMap::names) };
    if rows.len() < images.len() {
        dataset.notes.push(format!("{} images have no line in `{}`", images.len() - rows.len(), name(&file)));
    }
    Ok(dataset)
}

/// File and label from the columns called so, else from the first two.
fn csv_rows(path: &Path) -> Result<Vec<(String, String)>, String> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_path(path)
        .map_err(|error| error.to_string())?;
    let mut rows = Vec::new();
    for (line, record) in reader.records().enumerate() {
        let record = record.map_err(|error| error.to_string())?;
        let (Some(file), Some(label)) = (record.get(0), record.get(1)) else {
            return Err(format!("line {}: a file and a label are wanted", line + 1));
        };
        let header = line == 0 && matches!(label.to_lowercase().as_str(), "label" | "class" | "target" | "index");
        if !header {
            rows.push((file.to_owned(), label.to_owned()));
        }
    }
    Ok(rows)
}

/// `{"file_name": ..., "label": ...}` a line, as Hugging Face image folders have it.
fn json_rows(path: &Path) -> Result<Vec<(String, String)>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(number, line)| {
            let value: serde_json::Value =
                serde_json::from_str(line).map_err(|error| format!("line {}: {error}", number + 1))?;
            let file = ["file_name", "file", "image"].iter().find_map(|key| value.get(key)?.as_str());
            let label = ["label", "class"].iter().find_map(|key| value.get(key));
            let label = label.and_then(|label| {
                label.as_str().map(str::to_owned).or_else(|| label.as_u64().map(|number| number.to_string()))
            });
            match (file, label) {
                (Some(file), Some(label)) => Ok((file.to_owned(), label)),
                _ => Err(format!("line {}: `file_name` and `label` are wanted", number + 1)),
            }
        })
        .collect()
}
