//! What each kind of data gives: names, labels, pixels.

use ndarray::{Array1, Array3, Array4};
use ndarray_npy::{NpzWriter, write_npy};

use super::{Folder, labels, plain};
use crate::calibration::source::Picture;
use crate::calibration::tensor::fill;
use crate::calibration::{Dataset, DatasetOptions, Shard};

fn pixels(dataset: &Dataset, i: usize, side: usize) -> Vec<f32> {
    let preprocess = plain(side);
    let mut out = vec![f32::NAN; preprocess.volume()];
    fill(dataset.load(i).unwrap(), &preprocess, &mut out).unwrap();
    out
}

#[test]
fn class_folders_in_alphabetical_order() {
    let folder = Folder::new();
    folder.png("b/2.png", (2, 2), 3).png("b/1.png", (2, 2), 2).png("a/9.png", (2, 2), 1).text("b/.hidden.png", "");
    let dataset = folder.open();
    assert_eq!(dataset.source(), "image folder");
    assert_eq!(labels(&dataset), [Some(0), Some(1), Some(1)]);
    assert_eq!(dataset.class_names(), ["a", "b"]);
    assert_eq!((0..3).map(|i| dataset.name(i)).collect::<Vec<_>>(), ["a/9.png", "b/1.png", "b/2.png"]);
    assert!(dataset.labelled() && dataset.notes().is_empty());
    assert_eq!(pixels(&dataset, 0, 2), [1., 1., 1., 1., 0., 1., 0., 1., 0., 0., 1., 1.]);
}

#[test]
fn a_class_list_gives_the_outputs() {
    let folder = Folder::new();
    folder.png("n00000002/x.png", (2, 2), 0).text("list", "n00000001 cat\nn00000002 dog\n");
    let dataset = folder.open_with("list").unwrap();
    assert_eq!(labels(&dataset), [Some(1)]);
    assert_eq!(dataset.class_names(), ["cat", "dog"]);
}

#[test]
fn images_one_folder_deeper_and_empty_classes_are_seen() {
    let folder = Folder::new();
    folder.png("n1/images/x.png", (2, 2), 0).text("n0/readme.txt", "").png("stray.png", (1, 1), 0);
    let dataset = folder.open();
    assert_eq!(labels(&dataset), [Some(1)]);
    assert_eq!(dataset.notes().len(), 2, "{:?}", dataset.notes());
    let strict = DatasetOptions { strict: true, ..DatasetOptions::default() };
    assert!(Dataset::open(folder.path(), &strict).is_err());
}

#[test]
fn tables_name_images_and_labels() {
    for (name, text) in [
        ("labels.csv", "file,label\ny.png,7\nsub/x.png,0\n"),
        ("labels.csv", "y.png,7\nsub/x.png,0\n"),
        ("labels.csv", "split,Class,FileName\ntrain,7,y.png\ntrain,0,\"sub/x.png\"\n"),
        ("labels.jsonl", "{\"file\":\"y.png\",\"label\":7}\n\n{\"file_name\":\"sub/x.png\",\"class\":\"0\"}\n"),
    ] {
        let folder = Folder::new();
        folder.png("sub/x.png", (2, 2), 1).png("y.png", (2, 2), 2).png("z.png", (2, 2), 2).text(name, text);
        for dataset in [folder.open(), Dataset::open(&folder.at(name), &DatasetOptions::default()).unwrap()] {
            assert_eq!(labels(&dataset), [Some(7), Some(0)], "{text}");
            assert_eq!(dataset.name(0), "y.png");
            assert_eq!(dataset.notes().len(), 1);
        }
    }
}

#[test]
fn tables_with_names_and_without_labels() {
    let folder = Folder::new();
    folder.png("x.png", (2, 2), 1).png("y.png", (2, 2), 2).text("labels.csv", "y.png,dog\nx.png,cat\n");
    let dataset = folder.open();
    assert_eq!(labels(&dataset), [Some(1), Some(0)]);
    assert_eq!(dataset.class_names(), ["cat", "dog"]);
    folder.text("list.json", r#"{"cat": 5, "dog": 9}"#);
    assert_eq!(labels(&folder.open_with("list.json").unwrap()), [Some(9), Some(5)]);
    folder.text("labels.csv", "y.png,3\nx.png,\n");
    let partly = folder.open();
    assert_eq!(labels(&partly), [Some(3), None]);
    assert!(!partly.labelled());
}

#[test]
fn flat_folders_have_no_labels() {
    let folder = Folder::new();
    folder.png("b.png", (2, 2), 1).png("a.PNG", (2, 2), 2).text("notes.txt", "").text("c.gif", "");
    let dataset = folder.open();
    assert_eq!(labels(&dataset), [None, None]);
    assert_eq!(dataset.name(0), "a.PNG");
    assert_eq!(dataset.notes().len(), 1);
    assert!(!dataset.labelled());
}

#[test]
fn arrays_of_every_axis_order_give_the_same_pixels() {
    let first = Array4::from_shape_fn((2, 3, 4, 4), |(n, c, y, x)| (n * 100 + c * 20 + y * 4 + x) as u8);
    let last = first.view().permuted_axes([0, 2, 3, 1]).as_standard_layout().into_owned();
    let expected: Vec<f32> = first.iter().skip(48).map(|&v| f32::from(v)).collect();
    let folder = Folder::new();
    write_npy(folder.at("first.npy"), &first).unwrap();
    write_npy(folder.at("last.npy"), &last).unwrap();
    // Fortran order is what NumPy writes for a transposed array.
    write_npy(folder.at("fortran.npy"), &first.view().reversed_axes().as_standard_layout().reversed_axes()).unwrap();
    for name in ["first.npy", "last.npy", "fortran.npy"] {
        let dataset = Dataset::open(&folder.at(name), &DatasetOptions::default()).unwrap();
        assert_eq!(dataset.len(), 2);
        assert_eq!(pixels(&dataset, 1, 4), expected, "{name}");
        assert_eq!((dataset.label(0), dataset.name(1)), (None, format!("{name}[1]")));
    }
}

#[test]
fn npz_labels_and_gray_images() {
    let folder = Folder::new();
    let mut npz = NpzWriter::new_compressed(std::fs::File::create(folder.at("d.npz")).unwrap());
    npz.add_array("labels", &Array1::from(vec![4_i64, 2])).unwrap();
    npz.add_array("images", &Array3::from_shape_fn((2, 2, 2), |(n, y, x)| (n * 4 + y * 2 + x) as u8)).unwrap();
    npz.finish().unwrap();
    let dataset = Dataset::open(&folder.at("d.npz"), &DatasetOptions::default()).unwrap();
    assert_eq!(labels(&dataset), [Some(4), Some(2)]);
    assert_eq!(pixels(&dataset, 1, 2), [4., 5., 6., 7., 4., 5., 6., 7., 4., 5., 6., 7.]);
}

#[test]
fn float_arrays_are_fed_as_they_are() {
    let folder = Folder::new();
    let images = Array4::from_shape_fn((1, 3, 2, 2), |(_, c, y, x)| -(c as f64) - 0.25 * (y * 2 + x) as f64);
    write_npy(folder.at("f.npy"), &images).unwrap();
    let dataset = Dataset::open(&folder.at("f.npy"), &DatasetOptions::default()).unwrap();
    assert_eq!(pixels(&dataset, 0, 2), images.mapv(|v| v as f32).into_raw_vec_and_offset().0);
    assert!(dataset.notes()[0].contains("as they are"));
    // The size is not the model's.
    let preprocess = plain(4);
    let mut out = vec![0.0; preprocess.volume()];
    assert!(fill(dataset.load(0).unwrap(), &preprocess, &mut out).unwrap_err().contains("(3, 4, 4)"));
}

#[test]
fn cifar_batches() {
    let folder = Folder::new();
    let record = |label: u8| {
        let mut bytes = vec![label];
        bytes.extend((0..3072_u32).map(|at| (at / 1024 * 50 + at % 32) as u8));
        bytes
    };
    std::fs::write(folder.at("data_batch_1.bin"), [record(3), record(9)].concat()).unwrap();
    std::fs::write(folder.at("data_batch_2.bin"), record(0)).unwrap();
    std::fs::write(folder.at("test_batch.bin"), record(1)).unwrap();
    let dataset = folder.open();
    assert_eq!(labels(&dataset), [Some(3), Some(9), Some(0)]);
    assert_eq!((dataset.name(1), dataset.name(2)), ("data_batch_1.bin[1]".into(), "data_batch_2.bin[0]".into()));
    assert_eq!(dataset.class_names()[9], "truck");
    assert_eq!(dataset.notes().len(), 1);
    let values = pixels(&dataset, 0, 32);
    assert_eq!((values[5], values[1024 + 5], values[2048 + 37]), (5.0, 55.0, 105.0));
    let test = Dataset::open(&folder.at("test_batch.bin"), &DatasetOptions::default()).unwrap();
    assert_eq!(labels(&test), [Some(1)]);
}

#[test]
fn a_single_image() {
    let folder = Folder::new();
    folder.png("x.png", (2, 3), 1);
    let dataset = Dataset::open(&folder.at("x.png"), &DatasetOptions::default()).unwrap();
    assert_eq!((dataset.len(), dataset.name(0)), (1, "x.png".to_owned()));
    assert!(matches!(dataset.load(0), Ok(Picture::Pixels(pixels)) if (pixels.width, pixels.height) == (2, 3)));
}

/// A tar file of these members.
fn tar(folder: &Folder, name: &str, members: &[(&str, Vec<u8>)]) {
    let mut builder = tar::Builder::new(std::fs::File::create(folder.at(name)).unwrap());
    for (member, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, member, &bytes[..]).unwrap();
    }
    builder.finish().unwrap();
}

#[test]
fn tar_files_hold_images_and_their_classes() {
    let folder = Folder::new();
    let png = |value: u8| {
        folder.png("own.png", (2, 2), value);
        std::fs::read(folder.at("own.png")).unwrap()
    };
    let first = [
        ("a/0.jpg.txt", b"no image".to_vec()),
        ("a/1.png", png(3)),
        ("a/1.cls", b"7\n".to_vec()),
        ("a/1.mask.png", png(9)),
        ("a/2.cls", b"2".to_vec()),
        ("a/2.png", png(5)),
        ("a/3.png", png(6)),
    ];
    tar(&folder, "train-0.tar", &first);
    tar(&folder, "train-1.tar", &[("b.png", png(4)), ("b.cls", b"0".to_vec())]);
    std::fs::remove_file(folder.at("own.png")).unwrap();
    let dataset = folder.open();
    assert_eq!(dataset.source(), "tar files");
    assert_eq!(labels(&dataset), [Some(7), Some(2), None, Some(0)]);
    let names = ["train-0.tar/a/1.png", "train-0.tar/a/2.png", "train-0.tar/a/3.png", "train-1.tar/b.png"];
    assert_eq!((0..4).map(|i| dataset.name(i)).collect::<Vec<_>>(), names);
    assert_eq!(pixels(&dataset, 0, 2)[..4], [3.0; 4]);
    assert_eq!(pixels(&dataset, 3, 2)[..4], [4.0; 4]);
    // One file, and a list of files.
    let open = |path: &str| Dataset::open(std::path::Path::new(path), &DatasetOptions::default()).unwrap();
    assert_eq!(open(&folder.at("train-1.tar").display().to_string()).len(), 1);
    folder.text("list.txt", "train-1.tar\ntrain-0.tar\n");
    assert_eq!(labels(&open(&format!("@{}", folder.at("list.txt").display()))), [Some(0), Some(7), Some(2), None]);
    let digest = |dataset: &Dataset| Shard::default().part(dataset).digest;
    assert_ne!(digest(&dataset), digest(&open(&folder.at("train-0.tar").display().to_string())));
}

#[test]
fn tar_files_without_images_stand_anywhere_among_others() {
    let folder = Folder::new();
    folder.png("own.png", (2, 2), 1);
    let png = std::fs::read(folder.at("own.png")).unwrap();
    std::fs::remove_file(folder.at("own.png")).unwrap();
    let images = ["0.png", "1.png"].map(|name| (name, png.clone()));
    for (name, members) in
        [("a.tar", &[][..]), ("b.tar", &images), ("c.tar", &[("c.txt", vec![1])]), ("d.tar", &images)]
    {
        tar(&folder, name, members);
    }
    let dataset = folder.open();
    let mut names = Vec::new();
    dataset.each_name(&mut |item, name| names.push((item, name.to_owned())));
    assert_eq!(names, (0..4).map(|item| (item, dataset.name(item))).collect::<Vec<_>>());
    assert_eq!(dataset.name(2), "d.tar/0.png");
}

#[test]
fn a_list_names_images_and_their_classes() {
    let folder = Folder::new();
    folder.png("x y.png", (2, 2), 1).png("sub/2.png", (2, 2), 2).png("3.png", (2, 2), 3);
    folder.text("list.txt", "x y.png\nsub/2.png 4\n\n3.png\t0\n").text("names", "cat\ndog\n");
    let list = folder.path().join("list.txt");
    let at = std::path::PathBuf::from(format!("@{}", list.display()));
    let dataset = Dataset::open(&at, &DatasetOptions::default()).unwrap();
    assert_eq!(labels(&dataset), [None, Some(4), Some(0)]);
    folder.text("list.txt", "x y.png dog\nsub/2.png cat\n");
    let options = DatasetOptions { classes: Some(folder.at("names")), ..DatasetOptions::default() };
    assert_eq!(labels(&Dataset::open(&at, &options).unwrap()), [Some(1), Some(0)]);
    folder.text("list.txt", "missing.png\n");
    assert!(Dataset::open(&at, &DatasetOptions::default()).is_err());
    folder.text("list.txt", "\n");
    assert!(Dataset::open(&at, &DatasetOptions::default()).is_err());
}
