//! What a user reads who gives something else than was meant.

use std::path::Path;

use ndarray::{Array1, Array2, Array4};
use ndarray_npy::{NpzWriter, WritableElement, write_npy};

use super::Folder;
use crate::calibration::{CalibrationError, Dataset, DatasetOptions};
use crate::explain::Explain;

/// How the system says that a file is not there.
const MISSING: &str = if cfg!(windows) { "The system cannot find the" } else { "No such file" };

fn open(path: &Path) -> CalibrationError {
    Dataset::open(path, &DatasetOptions::default()).unwrap_err()
}

/// Every error says why and what helps; `words` must be somewhere in it.
fn says(error: &CalibrationError, words: &[&str]) {
    let why = error.why().expect("a reason");
    let help = error.help().expect("help");
    let all = format!("{error} | {} | {why} | {help}", error.location().unwrap_or_default());
    for word in words {
        assert!(all.contains(word), "no `{word}` in: {all}");
    }
}

#[test]
fn missing_path() {
    says(&open(Path::new("no/such/folder")), &["no/such/folder", MISSING, "spelling"]);
}

#[test]
fn empty_folder_and_only_text_files() {
    let folder = Folder::new();
    says(&open(folder.path()), &["folder is empty"]);
    folder.text("a.txt", "x").text("b.md", "y");
    says(&open(folder.path()), &["2 files", ".md, .txt", "none of them an image"]);
}

#[test]
fn a_folder_too_high() {
    let folder = Folder::new();
    folder.png("train/cat/x.png", (2, 2), 0).png("val/cat/x.png", (2, 2), 0);
    says(&open(folder.path()), &["one level deeper", "train, val"]);
}

#[test]
fn other_files() {
    let folder = Folder::new();
    folder.text("model.onnx", "x");
    says(&open(&folder.at("model.onnx")), &["model.onnx", "neither a folder"]);
}

#[test]
fn unknown_folders() {
    let folder = Folder::new();
    folder.png("cat/x.png", (2, 2), 0).png("dog/x.png", (2, 2), 0).text("list.txt", "dog\ncow\n");
    says(&folder.open_with("list.txt").unwrap_err(), &["1 class folders", "cat", "--classes"]);
    says(&folder.open_with("none.txt").unwrap_err(), &["none.txt", MISSING]);
}

#[test]
fn tables() {
    for (name, text, words) in [
        ("labels.csv", "x.png,0\ny.png,1\n", ["line 2", "y.png"]),
        ("labels.csv", "x.png,0\nx.png,1\n", ["line 2", "line 1 already"]),
        ("labels.csv", "x.png\n", ["line 1", "too few"]),
        ("labels.csv", "file,size\nx.png,3\n", ["line 1", "label"]),
        ("labels.csv", "x.png,-1\n", ["line 1", "`-1`"]),
        ("labels.csv", "", ["labels.csv", "no rows"]),
        ("labels.jsonl", "{\"file\":\"x.png\",\"label\":0}\n{\"file\":3}", ["line 2", "`file`"]),
        ("labels.jsonl", "{\"file\":\"x.png\",\"label\":0}\n{", ["line 2", "EOF"]),
        ("labels.jsonl", "{\"file\":\"x.png\",\"label\":[0]}", ["line 1", "[0]"]),
    ] {
        let folder = Folder::new();
        folder.png("x.png", (2, 2), 0).text(name, text);
        says(&open(folder.path()), &words);
    }
}

fn npz<T: WritableElement>(folder: &Folder, images: &Array4<T>, labels: &[i64]) -> CalibrationError {
    let mut npz = NpzWriter::new(std::fs::File::create(folder.at("d.npz")).unwrap());
    npz.add_array("x", images).unwrap();
    npz.add_array("y", &Array1::from(labels.to_vec())).unwrap();
    npz.finish().unwrap();
    open(&folder.at("d.npz"))
}

#[test]
fn arrays() {
    let folder = Folder::new();
    let mut holes = Array4::<f32>::zeros((3, 3, 2, 2));
    holes[[1, 0, 1, 1]] = f32::NAN;
    says(&npz(&folder, &holes, &[0, 0, 0]), &["image 1", "NaN"]);
    let fine = Array4::<u8>::zeros((2, 3, 2, 2));
    says(&npz(&folder, &fine, &[0]), &["1 labels for 2 images"]);
    says(&npz(&folder, &fine, &[0, -4]), &["`y`", "label 1 is -4"]);
    says(&npz(&folder, &Array4::<u8>::zeros((1, 5, 8, 8)), &[0]), &["[1, 5, 8, 8]", "channels"]);
    says(&npz(&folder, &Array4::<u8>::zeros((0, 3, 8, 8)), &[]), &["no calibration images", "[0, 3, 8, 8]"]);

    write_npy(folder.at("flat.npy"), &Array2::<u8>::zeros((4, 9))).unwrap();
    says(&open(&folder.at("flat.npy")), &["[4, 9]", "2 axes"]);
    let mut other = NpzWriter::new(std::fs::File::create(folder.at("o.npz")).unwrap());
    other.add_array("weights", &fine).unwrap();
    other.finish().unwrap();
    says(&open(&folder.at("o.npz")), &["no array `x`", "weights"]);
}

#[test]
fn broken_arrays() {
    let folder = Folder::new();
    folder.text("a.npy", "not an array").text("a.npz", "not an archive").text("b.npy", "");
    for name in ["a.npy", "a.npz", "b.npy"] {
        says(&open(&folder.at(name)), &[name, "numpy.save"]);
    }
    // A header that claims 10^15 elements must not make the program ask for that much memory.
    write_npy(folder.at("huge.npy"), &Array4::<u8>::zeros((1, 1, 1, 1))).unwrap();
    let mut bytes = std::fs::read(folder.at("huge.npy")).unwrap();
    let at = bytes.windows(12).position(|window| window == b"(1, 1, 1, 1)").unwrap();
    bytes[at..at + 17].copy_from_slice(b"(999999999999999)");
    std::fs::write(folder.at("huge.npy"), bytes).unwrap();
    says(&open(&folder.at("huge.npy")), &["999999999999999", "does not fit"]);
}

#[test]
fn broken_batches() {
    let folder = Folder::new();
    std::fs::write(folder.at("data_batch_1.bin"), vec![0; 3074]).unwrap();
    says(&open(folder.path()), &["data_batch_1.bin", "3074 bytes"]);
    std::fs::write(folder.at("data_batch_1.bin"), vec![11; 3073]).unwrap();
    says(&open(folder.path()), &["record 0", "label 11"]);
}
