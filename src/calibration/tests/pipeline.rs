//! Batches: order, labels, unreadable images, interruption.

use std::sync::atomic::{AtomicBool, Ordering};

use super::{Folder, plain_input};
use crate::calibration::{Batch, CalibrationError, Dataset, PipelineOptions, Skipped, for_each_batch};
use crate::explain::Explain;

/// Images `00.png` ... whose red is their number, in two classes.
fn numbered(count: u8) -> Folder {
    let folder = Folder::new();
    for i in 0..count {
        folder.png(&format!("{}/{i:02}.png", if i < count / 2 { "a" } else { "b" }), (4, 4), i);
    }
    folder
}

fn collect(
    dataset: &Dataset,
    indices: &[u32],
    options: &PipelineOptions,
) -> Result<(Vec<Batch>, Skipped), CalibrationError> {
    let mut batches = Vec::new();
    let skipped = for_each_batch(dataset, indices, &plain_input(4), options, &AtomicBool::new(false), |batch| {
        batches.push(batch);
        Ok::<(), CalibrationError>(())
    })?;
    Ok((batches, skipped))
}

fn options(batch: usize) -> PipelineOptions {
    PipelineOptions { batch, ..PipelineOptions::default() }
}

#[test]
fn order_labels_and_sizes() {
    let folder = numbered(10);
    let dataset = folder.open();
    let indices = [9, 0, 5, 3, 3, 1, 8];
    let (batches, skipped) = collect(&dataset, &indices, &options(3)).unwrap();
    assert!(skipped.is_empty());
    assert_eq!(batches.iter().map(|batch| batch.items.len()).collect::<Vec<_>>(), [3, 3, 1]);
    assert_eq!(batches[0].inputs["x"].shape(), [3, 3, 4, 4]);
    let items: Vec<u32> =
        batches.iter().flat_map(|batch| &batch.items).map(|&item| u32::try_from(item).unwrap()).collect();
    assert_eq!(items, indices);
    for batch in &batches {
        for (at, &item) in batch.items.iter().enumerate() {
            assert_eq!(batch.inputs["x"].to_f32()[[at, 0, 2, 2]], item as f32);
            assert_eq!(batch.labels[at], Some(usize::from(item >= 5)));
        }
    }
}

#[test]
fn unreadable_images_are_named_and_batches_stay_full() {
    let folder = numbered(6);
    folder.text("a/00.png", "broken").text("b/04.png", "");
    let dataset = folder.open();
    let all: Vec<u32> = (0..6).collect();
    let (batches, skipped) = collect(&dataset, &all, &options(2)).unwrap();
    assert_eq!(batches.iter().map(|batch| batch.items.clone()).collect::<Vec<_>>(), [[1, 2], [3, 5]]);
    assert_eq!(skipped.len(), 2);
    assert!(skipped.names[0].starts_with("a/00.png: ") && skipped.names[1] == "b/04.png: the file is empty");

    let strict = PipelineOptions { batch: 2, strict: true };
    let error = collect(&dataset, &all, &strict).unwrap_err();
    assert!(matches!(&error, CalibrationError::Image { name, .. } if name == "a/00.png"), "{error:?}");
    assert!(error.help().unwrap().contains("--strict"));
}

#[test]
fn no_usable_image_is_an_error() {
    let folder = Folder::new();
    folder.text("a/x.png", "broken").text("a/y.png", "broken");
    let error = collect(&folder.open(), &[0, 1], &options(8)).unwrap_err();
    assert!(error.to_string().contains("none of the 2"), "{error}");
    assert!(error.why().unwrap().starts_with("a/x.png: "));
}

#[test]
fn nothing_to_do_is_fine() {
    let folder = numbered(2);
    let (batches, skipped) = collect(&folder.open(), &[], &options(8)).unwrap();
    assert!(batches.is_empty() && skipped.is_empty());
}

#[test]
fn cancelling_stops_early() {
    let folder = numbered(12);
    let dataset = folder.open();
    let cancel = AtomicBool::new(false);
    let mut calls = 0;
    let indices: Vec<u32> = (0..12).collect();
    let result = for_each_batch(&dataset, &indices, &plain_input(4), &options(1), &cancel, |_| {
        calls += 1;
        cancel.store(calls == 2, Ordering::Relaxed);
        Ok::<(), CalibrationError>(())
    });
    assert!(result.is_ok());
    assert_eq!(calls, 2);
}

#[derive(Debug)]
struct Enough;
impl From<CalibrationError> for Enough {
    fn from(error: CalibrationError) -> Self {
        panic!("{error}");
    }
}

#[test]
fn an_error_of_the_caller_ends_it() {
    let folder = numbered(12);
    let indices: Vec<u32> = (0..12).collect();
    let mut calls = 0;
    let error = for_each_batch(&folder.open(), &indices, &plain_input(4), &options(1), &AtomicBool::new(false), |_| {
        calls += 1;
        Err(Enough)
    });
    assert!(matches!(error, Err(Enough)));
    assert_eq!(calls, 1);
}
