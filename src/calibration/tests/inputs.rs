//! Arrays that are the model's inputs, and pictures for inputs of other element types.

use std::sync::atomic::AtomicBool;

use half::f16;
use ndarray::{Array1, Array2, Array3, Array4, ArrayD};
use ndarray_npy::{NpzWriter, write_npy};

use super::Folder;
use crate::calibration::{
    Batch, CalibrationError, Dataset, DatasetOptions, Inputs, PipelineOptions, PreprocessOptions, for_each_batch,
};
use crate::engine::Tensor;
use crate::explain::Explain;
use crate::model::{DataType, InputSpec};

fn spec(name: &str, dtype: DataType, shape: &[Option<usize>]) -> InputSpec {
    InputSpec { name: name.into(), dtype, shape: shape.to_vec(), symbols: vec![None; shape.len()] }
}

fn open(folder: &Folder, name: &str, specs: &[InputSpec]) -> Result<Dataset, CalibrationError> {
    let path = if name.is_empty() { folder.path().to_owned() } else { folder.at(name) };
    Dataset::open(&path, &DatasetOptions { inputs: specs.to_vec(), ..DatasetOptions::default() })
}

/// Everything in one batch.
fn all(dataset: &Dataset, specs: &[InputSpec], options: &PreprocessOptions) -> Result<Batch, CalibrationError> {
    let inputs = Inputs::resolve(dataset, specs, options)?;
    let indices: Vec<u32> = dataset.numbers().collect();
    let batch = PipelineOptions { batch: indices.len(), strict: true };
    let mut found = None;
    for_each_batch(dataset, &indices, &inputs, &batch, &AtomicBool::new(false), |batch| {
        found = Some(batch);
        Ok::<(), CalibrationError>(())
    })?;
    Ok(found.unwrap())
}

#[test]
fn one_array_for_every_input() {
    let specs = [
        spec("ids", DataType::Int64, &[None, Some(5)]),
        spec("mask", DataType::Bool, &[None, Some(5)]),
        spec("scale", DataType::Float16, &[]),
    ];
    let folder = Folder::new();
    let mut npz = NpzWriter::new(std::fs::File::create(folder.at("d.npz")).unwrap());
    npz.add_array("ids", &Array2::from_shape_fn((7, 5), |(i, j)| (i * 5 + j) as u16)).unwrap();
    npz.add_array("mask", &Array2::from_elem((7, 5), true)).unwrap();
    npz.add_array("scale", &ndarray::arr0(0.5_f32)).unwrap();
    npz.add_array("y", &Array1::from(vec![1_i32; 7])).unwrap();
    npz.finish().unwrap();
    let dataset = open(&folder, "d.npz", &specs).unwrap();
    assert_eq!((dataset.len(), dataset.label(6)), (7, Some(1)));
    let Batch { inputs, labels, .. } = all(&dataset, &specs, &PreprocessOptions::default()).unwrap();
    assert!(matches!(inputs["ids"].as_ref(), Tensor::I64(ids) if ids[[6, 4]] == 34));
    assert_eq!(*inputs["scale"], Tensor::F16(ndarray::arr0(f16::from_f32(0.5)).into_dyn()));
    assert_eq!((inputs["mask"].shape(), labels.len()), (&[7, 5][..], 7));
    let error =
        open(&folder, "d.npz", &[specs.to_vec(), vec![spec("more", DataType::Float, &[None])]].concat()).unwrap_err();
    assert!(error.why().unwrap().contains("no array `more`"), "{error:?}");
}

#[test]
fn a_folder_of_arrays_is_one_sample_a_file() {
    let specs = [spec("x", DataType::Float, &[Some(1), Some(2), Some(3), Some(4)])];
    let folder = Folder::new();
    for i in 0..3_u8 {
        write_npy(folder.at(&format!("{i}.npy")), &Array3::from_elem((2, 3, 4), f32::from(i))).unwrap();
    }
    let dataset = open(&folder, "", &specs).unwrap();
    assert_eq!((dataset.len(), dataset.fixed_run(), dataset.name(2)), (3, Some(1), "2.npy".to_owned()));
    write_npy(folder.at("3.npy"), &Array3::from_elem((2, 9, 4), 0.0_f32)).unwrap();
    let error = open(&folder, "", &specs).unwrap_err();
    assert!(error.to_string().contains("3.npy") && error.why().unwrap().contains("[2, 9, 4]"), "{error:?}");
}

#[test]
fn half_precision_arrays_are_read() {
    let specs = [spec("x", DataType::Float16, &[None, Some(2)])];
    let folder = Folder::new();
    let header = "{'descr': '<f2', 'fortran_order': False, 'shape': (3, 2), }";
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    let padded = format!("{header:<117}\n");
    bytes.extend(u16::try_from(padded.len()).unwrap().to_le_bytes());
    bytes.extend(padded.as_bytes());
    bytes.extend([0.5_f32, 1.0, 2.0, 3.0, 4.0, 5.0].iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()));
    std::fs::write(folder.at("h.npy"), bytes).unwrap();
    let dataset = open(&folder, "h.npy", &specs).unwrap();
    let batch = all(&dataset, &specs, &PreprocessOptions::default()).unwrap();
    assert!(matches!(batch.inputs["x"].as_ref(), Tensor::F16(own) if own[[2, 1]] == f16::from_f32(5.0)));
}

#[test]
fn samples_that_are_not_finite_are_left_out() {
    let specs = [spec("x", DataType::Float, &[None, Some(2)])];
    let folder = Folder::new();
    let mut values = Array2::<f32>::zeros((4, 2));
    values[[1, 0]] = f32::NEG_INFINITY;
    write_npy(folder.at("x.npy"), &values).unwrap();
    let dataset = open(&folder, "x.npy", &specs).unwrap();
    assert_eq!((dataset.len(), dataset.name(1)), (3, "x.npy[2]".to_owned()));
    assert!(dataset.notes()[0].contains("x.npy[1]"), "{:?}", dataset.notes());
    write_npy(folder.at("m.npy"), &ArrayD::from_elem(vec![4, 2], f32::NEG_INFINITY)).unwrap();
    assert_eq!(open(&folder, "m.npy", &specs).unwrap().len(), 4);
}

#[test]
fn pictures_go_into_bytes_as_bytes() {
    let folder = Folder::new();
    folder.png("p.png", (2, 2), 200);
    let specs = [spec("x", DataType::Uint8, &[None, Some(2), Some(2), Some(3)])];
    let dataset = open(&folder, "", &specs).unwrap();
    let batch = all(&dataset, &specs, &PreprocessOptions::default()).unwrap();
    assert!(
        matches!(batch.inputs["x"].as_ref(), Tensor::U8(own) if own[[0, 1, 1, 0]] == 200 && own[[0, 1, 0, 2]] == 1)
    );
    let given = PreprocessOptions { mean: Some(vec![0.5]), ..PreprocessOptions::default() };
    let error = all(&dataset, &specs, &given).unwrap_err();
    assert!(error.to_string().contains("`mean`") && error.why().unwrap().contains("as they are"), "{error:?}");
    let error =
        all(&dataset, &[spec("x", DataType::Int8, &[None, Some(2), Some(2), Some(3)])], &PreprocessOptions::default());
    assert!(error.unwrap_err().why().unwrap().contains("do not fit"));
    let two = [specs[0].clone(), spec("length", DataType::Int64, &[None])];
    let error = all(&dataset, &two, &PreprocessOptions::default()).unwrap_err();
    assert!(error.why().unwrap().contains("length int64"), "{error:?}");
}

#[test]
fn pixel_arrays_for_float_inputs_are_preprocessed() {
    let folder = Folder::new();
    let specs = [spec("x", DataType::Float, &[None, Some(3), Some(2), Some(2)])];
    write_npy(folder.at("u.npy"), &Array4::<u8>::from_elem((1, 3, 2, 2), 255)).unwrap();
    assert!(!open(&folder, "u.npy", &specs).unwrap().is_inputs());
    write_npy(folder.at("f.npy"), &Array4::<f64>::from_elem((1, 2, 2, 3), 0.5)).unwrap();
    assert!(!open(&folder, "f.npy", &specs).unwrap().is_inputs());
}
