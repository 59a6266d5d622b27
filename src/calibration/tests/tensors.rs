//! Resize, crop, colour order and normalisation of single images.

use crate::calibration::decode::Pixels;
use crate::calibration::source::Picture;
use crate::calibration::tensor::fill;
use crate::calibration::{Color, Crop, Layout, Preprocess, PreprocessOptions, Resize};

/// Red is the column, green the row, blue 9.
fn picture(width: usize, height: usize) -> Picture {
    let data = (0..width * height).flat_map(|at| [(at % width) as u8, (at / width) as u8, 9]).collect();
    Picture::Pixels(Pixels { width, height, channels: 3, data })
}

fn settings((height, width): (usize, usize), options: PreprocessOptions) -> Preprocess {
    let options =
        options.or(PreprocessOptions { size: Some((height, width)), scale: Some(1.0), ..PreprocessOptions::default() });
    Preprocess::resolve(&[None; 4], &options).unwrap()
}

fn tensor(picture: Picture, preprocess: &Preprocess) -> Result<Vec<f32>, String> {
    let mut out = vec![f32::NAN; preprocess.volume()];
    fill(picture, preprocess, &mut out).map(|()| out)
}

#[test]
fn the_crop_is_where_torchvision_has_it() {
    // Margins of 1, 3, 5 pixels: round(0.5) = 0, round(1.5) = 2, round(2.5) = 2.
    for (width, left) in [(3, 0.0), (5, 2.0), (7, 2.0), (4, 1.0)] {
        let options = PreprocessOptions { resize: Some(Resize::None), ..PreprocessOptions::default() };
        let values = tensor(picture(width, 2), &settings((2, 2), options)).unwrap();
        assert_eq!(values[0], left, "width {width}");
    }
}

#[test]
fn the_target_size_is_fed_as_it_is() {
    let options = PreprocessOptions { resize: Some(Resize::Short(8)), ..PreprocessOptions::default() };
    let values = tensor(picture(4, 4), &settings((4, 4), options)).unwrap();
    assert_eq!(values[..4], [0.0, 1.0, 2.0, 3.0]);
}

#[test]
fn colour_orders_and_layouts() {
    let make = |color, layout| {
        let options = PreprocessOptions { color: Some(color), layout: Some(layout), ..PreprocessOptions::default() };
        tensor(picture(2, 1), &settings((1, 2), options)).unwrap()
    };
    assert_eq!(make(Color::Rgb, Layout::Nchw), [0., 1., 0., 0., 9., 9.]);
    assert_eq!(make(Color::Rgb, Layout::Nhwc), [0., 0., 9., 1., 0., 9.]);
    assert_eq!(make(Color::Bgr, Layout::Nchw), [9., 9., 0., 0., 0., 1.]);
    assert_eq!(make(Color::Bgr, Layout::Nhwc), [9., 0., 0., 9., 0., 1.]);
    assert_eq!(make(Color::Gray, Layout::Nchw), [1., 1.]);
}

#[test]
fn mean_and_std_follow_the_tensor_order() {
    let options = PreprocessOptions {
        color: Some(Color::Bgr),
        mean: Some(vec![1.0, 2.0, 3.0]),
        std: Some(vec![2.0, 4.0, 8.0]),
        ..PreprocessOptions::default()
    };
    assert_eq!(tensor(picture(1, 1), &settings((1, 1), options)).unwrap(), [4.0, -0.5, -0.375]);
}

#[test]
fn images_that_do_not_fit_are_errors() {
    let none = PreprocessOptions { resize: Some(Resize::None), ..PreprocessOptions::default() };
    assert!(tensor(picture(3, 9), &settings((4, 4), none.clone())).unwrap_err().contains("smaller"));
    let uncropped = PreprocessOptions { crop: Some(Crop::None), ..none };
    assert!(tensor(picture(5, 4), &settings((4, 4), uncropped)).unwrap_err().contains("is not"));
    let strip = Picture::Pixels(Pixels { width: 1, height: 30_000, channels: 1, data: vec![0; 30_000] });
    let large = settings((512, 512), PreprocessOptions::default());
    assert!(tensor(strip, &large).unwrap_err().contains("would become"));
}
