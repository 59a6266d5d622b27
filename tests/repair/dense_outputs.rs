//! A model whose outputs are maps at two resolutions, as those of detectors and segmenters are: nothing to classify, no
//! labels, every output counts.

use std::path::Path;

use ndarray::{ArrayD, Axis, concatenate};
use onnx_prune::engine::{CompileOptions, Tensor};
use onnx_prune::model::{LoadOptions, Model, SaveOptions};
use onnx_prune::surgery::extract;

use crate::support::{onnx_prune, root, text};

const MAPS: [&str; 2] = ["/blocks/blocks.3/Relu_1_output_0", "/blocks/blocks.5/Relu_1_output_0"];

/// Some images of every class that the runs do not see, `[N, 1, 28, 28]`.
fn images() -> Tensor {
    let mut all = Vec::new();
    for class in std::fs::read_dir(root().join("calibration/eval")).unwrap() {
        let mut files: Vec<_> =
            std::fs::read_dir(class.unwrap().path()).unwrap().map(|own| own.unwrap().path()).collect();
        files.sort();
        for file in files.iter().take(10) {
            let pixels = image::open(file).unwrap().into_luma8();
            let values = pixels.as_raw().iter().map(|&value| f32::from(value) / 255.0).collect();
            all.push(ArrayD::from_shape_vec(vec![1, 1, 28, 28], values).unwrap());
        }
    }
    let views: Vec<_> = all.iter().map(|own| own.view()).collect();
    Tensor::F32(concatenate(Axis(0), &views).unwrap())
}

fn maps(path: &Path, images: &Tensor) -> Vec<ArrayD<f32>> {
    let model = Model::load(path, &LoadOptions::default()).unwrap();
    let mut session = super::engine().compile(&model, &CompileOptions::default()).unwrap();
    session.run(&[("input", images)]).unwrap().iter().map(Tensor::to_f32).collect()
}

/// Squared error of each output as a share of its spread over the images.
fn errors(dense: &[ArrayD<f32>], found: &[ArrayD<f32>]) -> Vec<f32> {
    let error = |(dense, found): (&ArrayD<f32>, &ArrayD<f32>)| {
        let mean = dense.mean_axis(Axis(0)).unwrap();
        (found - dense).mapv(|own| own * own).sum() / (dense - &mean).mapv(|own| own * own).sum()
    };
    dense.iter().zip(found).map(error).collect()
}

#[test]
fn maps_at_two_resolutions_are_repaired_without_labels() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let classifier = Model::load(&root().join("models/fashion_resnet.onnx"), &LoadOptions::default()).unwrap();
    extract(&classifier, &["input"], &MAPS).unwrap().save(&at("m.onnx"), &SaveOptions::default()).unwrap();
    let images = images();
    let dense = maps(&at("m.onnx"), &images);
    let data = root().join("calibration/train").display().to_string();
    let found = ["--compensate none", "--effort fast", "--refine 3"].map(|repair| {
        let line =
            format!("m.onnx --data {data} --samples 200 --target-macs 0.6 --round-to 1 --no-timing -o p.onnx --force");
        let words: Vec<&str> = line.split(' ').chain(repair.split(' ')).collect();
        let run = onnx_prune(&words, folder.path());
        assert!(run.status.success(), "{repair}: {}", text(&run.stderr));
        errors(&dense, &maps(&at("p.onnx"), &images))
    });
    for map in 0..MAPS.len() {
        let [none, fast, full] = [0, 1, 2].map(|at| found[at][map]);
        assert!(fast < 0.8 * none && full < 0.8 * fast, "{}: {none} {fast} {full}", MAPS[map]);
    }
}
