//! Calibration on real images: counts, labels, and tensors equal to those of Pillow and NumPy.
//!
//! The images lie in `../shared/data`; where they or Python with Pillow are missing, tests are skipped.

#![allow(
    missing_docs,
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test binary"
)]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;

use ndarray::{ArrayD, Axis, concatenate};
use onnx_prune::calibration::{
    CalibrationError, Crop, Dataset, DatasetOptions, Inputs, Interpolation, PictureInput, PipelineOptions, Preprocess,
    PreprocessOptions, Resize, for_each_batch, sample,
};
use onnx_prune::model::DataType;

fn data(test: &str, name: &str) -> Option<PathBuf> {
    support::shared_part(test, &format!("data/{name}"))
}

fn open(path: &Path, classes: Option<PathBuf>) -> Dataset {
    Dataset::open(path, &DatasetOptions { classes, strict: true, ..DatasetOptions::default() }).unwrap()
}

/// The tensors of these images, one after the other.
fn tensors(dataset: &Dataset, indices: &[u32], preprocess: &Preprocess) -> ArrayD<f32> {
    let mut batches = Vec::new();
    let options = PipelineOptions { batch: 16, strict: true };
    let preprocess = preprocess.clone();
    let inputs = Inputs::Pictures(PictureInput { name: "x".into(), element: DataType::Float, preprocess });
    let skipped = for_each_batch(dataset, indices, &inputs, &options, &AtomicBool::new(false), |batch| {
        batches.push(batch.inputs["x"].to_f32());
        Ok::<(), CalibrationError>(())
    });
    assert!(skipped.unwrap().is_empty());
    let views: Vec<_> = batches.iter().map(|batch| batch.view()).collect();
    concatenate(Axis(0), &views).unwrap()
}

/// `sys.argv`: output, height, width, shorter side or 0, filter, then the images. Torchvision's rules.
const REFERENCE: &str = r"
import sys
import numpy as np
from PIL import Image
out, h, w, short, kind = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
filter = {'bilinear': Image.BILINEAR, 'bicubic': Image.BICUBIC}[kind]
mean = np.array([0.485, 0.456, 0.406], np.float32)
std = np.array([0.229, 0.224, 0.225], np.float32)
tensors = []
for path in sys.argv[6:]:
    im = Image.open(path).convert('RGB')
    if im.size != (w, h):
        if short:
            a, b = im.size
            im = im.resize((short, int(short * b / a)) if a <= b else (int(short * a / b), short), filter)
            left, top = int(round((im.width - w) / 2.0)), int(round((im.height - h) / 2.0))
            im = im.crop((left, top, left + w, top + h))
        else:
            im = im.resize((w, h), filter)
    x = (np.asarray(im).astype(np.float32) / np.float32(255) - mean) / std
    tensors.append(x.transpose(2, 0, 1))
np.save(out, np.ascontiguousarray(np.stack(tensors)))
";

/// Runs a script, or gives `None` where Python or Pillow is missing.
fn python(test: &str, script: &str, arguments: &[String]) -> Option<()> {
    let python = support::python(test, "numpy, PIL")?;
    let output = Command::new(python).arg("-c").arg(script).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(())
}

struct Case {
    size: (usize, usize),
    short: Option<usize>,
    interpolation: Interpolation,
}

impl Case {
    fn preprocess(&self) -> Preprocess {
        let options = PreprocessOptions {
            resize: Some(self.short.map_or(Resize::Exact, Resize::Short)),
            crop: Some(if self.short.is_some() { Crop::Center } else { Crop::None }),
            interpolation: Some(self.interpolation),
            ..PreprocessOptions::default()
        };
        Preprocess::resolve(&[None, Some(3), Some(self.size.0), Some(self.size.1)], &options).unwrap()
    }

    /// What Pillow and NumPy make of the same files.
    fn reference(&self, test: &str, root: &Path, dataset: &Dataset, indices: &[u32]) -> Option<ArrayD<f32>> {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out.npy");
        let mut arguments: Vec<String> = vec![out.display().to_string()];
        let numbers = [self.size.0, self.size.1, self.short.unwrap_or(0)];
        arguments.extend(numbers.iter().map(ToString::to_string));
        arguments.push(self.interpolation.to_string());
        arguments.extend(indices.iter().map(|&i| root.join(dataset.name(i as usize)).display().to_string()));
        python(test, REFERENCE, &arguments)?;
        Some(ndarray_npy::read_npy(out).unwrap())
    }
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for interpolation in [Interpolation::Bilinear, Interpolation::Bicubic] {
        cases.push(Case { size: (32, 32), short: Some(32), interpolation });
        cases.push(Case { size: (224, 224), short: Some(256), interpolation });
        cases.push(Case { size: (96, 160), short: Some(183), interpolation });
        cases.push(Case { size: (45, 224), short: None, interpolation });
        cases.push(Case { size: (223, 61), short: None, interpolation });
    }
    cases
}

#[test]
fn counts_and_labels_of_class_folders() {
    const TEST: &str = "counts_and_labels_of_class_folders";
    let (Some(cifar), Some(val), Some(train)) =
        (data(TEST, "cifar10_sample/test"), data(TEST, "imagenet_val"), data(TEST, "imagenette_train"))
    else {
        return;
    };
    let cifar = open(&cifar, None);
    assert_eq!((cifar.len(), cifar.labelled()), (200, true));
    assert_eq!((cifar.class_names()[0].as_str(), cifar.label(0)), ("airplane", Some(0)));
    assert_eq!((cifar.class_names()[9].as_str(), cifar.label(199)), ("truck", Some(9)));

    let classes = data(TEST, "imagenet_wnids.txt");
    let val = open(&val, classes.clone());
    assert_eq!((val.len(), val.label(0), val.class_names().len()), (500, Some(0), 1000));
    assert!(val.name(499).starts_with("n03888257"));
    assert_eq!(val.label(499).map(|label| val.class_names()[label].as_str()), Some("parachute"));
    assert_eq!(open(&train, classes.clone()).len(), 1000);
    if let Some(all) = data(TEST, "imagenet1000") {
        let all = open(&all, classes);
        let labels: Vec<_> = (0..all.len()).map(|i| all.label(i).unwrap()).collect();
        assert_eq!(labels, (0..1000).collect::<Vec<_>>());
    }
}

#[test]
fn a_folder_of_splits_points_to_them() {
    const TEST: &str = "a_folder_of_splits_points_to_them";
    let Some(path) = data(TEST, "cifar10_sample") else { return };
    let error = Dataset::open(&path, &DatasetOptions::default()).unwrap_err();
    assert!(onnx_prune::Error::from(error).render().contains("test, train"));
}

#[test]
fn samples_are_balanced_and_repeatable() {
    const TEST: &str = "samples_are_balanced_and_repeatable";
    let Some(path) = data(TEST, "imagenette_train") else { return };
    let dataset = open(&path, None);
    let chosen = sample(&dataset, Some(256), 0);
    let mut per_class = [0; 10];
    for &i in &chosen {
        per_class[dataset.label(i as usize).unwrap()] += 1;
    }
    assert!(per_class.iter().all(|&count| count == 25 || count == 26), "{per_class:?}");
    assert_eq!(chosen, sample(&dataset, Some(256), 0));
    assert_ne!(chosen, sample(&dataset, Some(256), 1));
}

#[test]
fn lossless_images_give_the_very_tensors_of_pillow() {
    const TEST: &str = "lossless_images_give_the_very_tensors_of_pillow";
    let Some(path) = data(TEST, "cifar10_sample/test") else { return };
    let dataset = open(&path, None);
    let indices = sample(&dataset, Some(40), 0);
    for case in cases() {
        let Some(expected) = case.reference(TEST, &path, &dataset, &indices) else { return };
        let found = tensors(&dataset, &indices, &case.preprocess());
        assert!(found == expected, "{}", case.preprocess().describe());
    }
}

/// Photographs of many sizes, kept as PNG so that only resizing, cropping and normalising can differ.
#[test]
fn photographs_give_the_very_tensors_of_pillow() {
    const TEST: &str = "photographs_give_the_very_tensors_of_pillow";
    let Some(path) = data(TEST, "imagenet1000") else { return };
    let photos = open(&path, None);
    let folder = tempfile::tempdir().unwrap();
    let script = "import sys\nfrom PIL import Image\nfor i, path in enumerate(sys.argv[2:]):\n    \
                  Image.open(path).convert('RGB').save(f'{sys.argv[1]}/{i:03}.png', compress_level=1)\n";
    let mut arguments = vec![folder.path().display().to_string()];
    let chosen = sample(&photos, Some(40), 0);
    arguments.extend(chosen.iter().map(|&i| path.join(photos.name(i as usize)).display().to_string()));
    if python(TEST, script, &arguments).is_none() {
        return;
    }
    let dataset = open(folder.path(), None);
    let indices: Vec<u32> = dataset.numbers().collect();
    assert_eq!(indices.len(), 40);
    for case in cases() {
        let Some(expected) = case.reference(TEST, folder.path(), &dataset, &indices) else { return };
        let found = tensors(&dataset, &indices, &case.preprocess());
        assert!(found == expected, "{}", case.preprocess().describe());
    }
}

/// JPEG decoders may differ in the inverse transform and in chroma upsampling: up to 5 of 255 levels in single
/// values, far less on average. Normalised, one level is 1 / 255 / 0.225 or 0.0174.
#[test]
fn jpegs_are_close_to_pillow() {
    const TEST: &str = "jpegs_are_close_to_pillow";
    let Some(path) = data(TEST, "imagenet_val") else { return };
    let dataset = open(&path, data(TEST, "imagenet_wnids.txt"));
    let indices = sample(&dataset, None, 0);
    let case = Case { size: (224, 224), short: Some(256), interpolation: Interpolation::Bilinear };
    let Some(expected) = case.reference(TEST, &path, &dataset, &indices) else { return };
    let found = tensors(&dataset, &indices, &case.preprocess());
    assert_eq!(found.shape(), [500, 3, 224, 224]);
    let level = 1.0 / 255.0 / 0.225;
    let difference = (&found - &expected).mapv(f32::abs);
    let largest = difference.fold(0.0_f32, |a, &b| a.max(b)) / level;
    let mean = difference.mean().unwrap() / level;
    println!("JPEG against Pillow: largest {largest:.2} levels, mean {mean:.4}");
    assert!(largest <= 6.0 && mean <= 0.25, "largest {largest} levels, mean {mean}");
}

/// Writes 24x24 images of every kind that Pillow can make of `.png`, `.bmp`, `.webp` and `.jpg`.
const UNUSUAL: &str = r"
import sys
import numpy as np
from PIL import Image
out = sys.argv[1]
rng = np.random.default_rng(0)
def blocks(channels):
    return np.kron(rng.integers(0, 256, (3, 3, channels)), np.ones((8, 8, 1))).astype(np.uint8)
rgb = Image.fromarray(blocks(3))
rgb.save(out + '/exact/rgb.png')
rgb.save(out + '/exact/rgb.bmp')
rgb.save(out + '/exact/rgb.webp', lossless=True)
rgb.convert('L').save(out + '/exact/gray.png')
rgb.convert('L').save(out + '/exact/gray.bmp')
rgb.convert('1').save(out + '/exact/bits.png')
rgb.quantize(5).save(out + '/exact/palette.png', bits=4)
rgb.quantize(9).save(out + '/exact/transparent_palette.png', transparency=3)
rgb.quantize(9).save(out + '/exact/palette.bmp')
Image.fromarray(blocks(4)).save(out + '/exact/rgba.png')
Image.fromarray(blocks(2)).save(out + '/exact/la.png')
Image.fromarray(blocks(4)).convert('RGBA').save(out + '/close/rgba.webp', lossless=True, exact=True)
Image.fromarray(blocks(4), 'CMYK').save(out + '/close/cmyk.jpg', quality=95)
rgb.convert('L').save(out + '/close/gray.jpg', quality=95)
rgb.save(out + '/close/rgb.jpg', quality=95, subsampling=0)
turned = rgb.getexif()
turned[0x0112] = 6
rgb.save(out + '/close/turned.jpg', quality=95, subsampling=0, exif=turned)
rgb.save(out + '/close/progressive.jpg', quality=95, subsampling=0, progressive=True)
";

#[test]
fn unusual_files_are_read_as_pillow_reads_them() {
    const TEST: &str = "unusual_files_are_read_as_pillow_reads_them";
    let folder = tempfile::tempdir().unwrap();
    for name in ["exact", "close"] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
    }
    if python(TEST, UNUSUAL, &[folder.path().display().to_string()]).is_none() {
        return;
    }
    let case = Case { size: (24, 24), short: None, interpolation: Interpolation::Bilinear };
    let dataset = open(folder.path(), None);
    assert_eq!(dataset.class_names(), ["close", "exact"]);
    for i in dataset.numbers() {
        let expected = case.reference(TEST, folder.path(), &dataset, &[i]).unwrap();
        let found = tensors(&dataset, &[i], &case.preprocess());
        let levels = (&found - &expected).mapv(f32::abs).fold(0.0_f32, |a, &b| a.max(b)) * 255.0 * 0.225;
        let allowed = if dataset.name(i as usize).starts_with("exact") { 0.0 } else { 5.0 };
        assert!(levels <= allowed, "{}: {levels} levels", dataset.name(i as usize));
    }
}

#[test]
fn arrays_written_by_numpy_are_read() {
    const TEST: &str = "arrays_written_by_numpy_are_read";
    let folder = tempfile::tempdir().unwrap();
    let script = "import sys\nimport numpy as np\nx = np.arange(2 * 4 * 5 * 3, dtype=np.uint8).reshape(2, 4, 5, 3)\n\
                  y = np.array([[3], [1]])\nout = sys.argv[1]\n\
                  np.savez(out + '/plain.npz', x=x, y=y)\nnp.savez_compressed(out + '/packed.npz', images=x, labels=y)\n\
                  np.savez(out + '/turned.npz', data=np.asfortranarray(x.transpose(0, 3, 1, 2)), y=y.astype(np.int32))\n\
                  np.savez(out + '/positional.npz', x, y.ravel())\n";
    if python(TEST, script, &[folder.path().display().to_string()]).is_none() {
        return;
    }
    let options = PreprocessOptions { scale: Some(1.0), ..PreprocessOptions::default() };
    let preprocess = Preprocess::resolve(&[None, Some(3), Some(4), Some(5)], &options).unwrap();
    let expected = ArrayD::from_shape_fn(vec![2, 3, 4, 5], |i| (i[0] * 60 + i[2] * 15 + i[3] * 3 + i[1]) as f32);
    for name in ["plain", "packed", "turned", "positional"] {
        let dataset = open(&folder.path().join(format!("{name}.npz")), None);
        assert_eq!((dataset.label(0), dataset.label(1)), (Some(3), Some(1)), "{name}");
        assert_eq!(tensors(&dataset, &[0, 1], &preprocess), expected, "{name}");
    }
}
