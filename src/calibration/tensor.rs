//! One image to one input tensor.

use super::decode::Pixels;
use super::preprocess::{Color, Crop, Layout, Preprocess, Resize};
use super::resample::resize;
use super::source::{Picture, Planes};

/// Most pixels that a resized image may have: a strip of 1x30,000 pixels would otherwise become a giant.
const MOST_PIXELS: usize = 1 << 26;

/// Fills `out` (of `preprocess.volume()` values) with the image; the error says why the image does not fit.
pub(crate) fn fill(picture: Picture, preprocess: &Preprocess, out: &mut [f32]) -> Result<(), String> {
    match picture {
        Picture::Pixels(pixels) => {
            let pixels = match preprocess.color {
                Color::Gray => pixels.into_gray(),
                Color::Rgb | Color::Bgr => pixels.into_rgb(),
                Color::Rgba => pixels.into_rgba(),
            };
            normalize(&crop(pixels, preprocess)?, preprocess, out);
            Ok(())
        }
        Picture::Planes(planes) => place(&planes, preprocess, out),
    }
}

/// Resizes and crops to the target size.
fn crop(pixels: Pixels, preprocess: &Preprocess) -> Result<Pixels, String> {
    let (height, width) = preprocess.size;
    if (pixels.height, pixels.width) == (height, width) {
        return Ok(pixels);
    }
    let (to_height, to_width) = match preprocess.resize {
        Resize::Exact => (height, width),
        Resize::None => (pixels.height, pixels.width),
        Resize::Short(side) if pixels.width <= pixels.height => (side * pixels.height / pixels.width, side),
        Resize::Short(side) => (side, side * pixels.width / pixels.height),
    };
    if to_height.checked_mul(to_width).is_none_or(|area| area > MOST_PIXELS) {
        return Err(format!("{}x{} pixels would become {to_height}x{to_width}", pixels.height, pixels.width));
    }
    let fits = match preprocess.crop {
        Crop::Center => to_height >= height && to_width >= width,
        Crop::None => (to_height, to_width) == (height, width),
    };
    if !fits {
        let what = if preprocess.crop == Crop::None { "is not" } else { "is smaller than" };
        return Err(format!("{to_height}x{to_width} after resizing {what} the model's {height}x{width}"));
    }
    let (from, to) = ([pixels.width, pixels.height], [to_width, to_height]);
    let resized = resize(&pixels.data, from, to, pixels.channels, preprocess.interpolation);
    let (top, left) = (margin(to_height, height), margin(to_width, width));
    let stride = to_width * pixels.channels;
    let row = left * pixels.channels..(left + width) * pixels.channels;
    let data = resized.chunks_exact(stride).skip(top).take(height).flat_map(|line| &line[row.clone()]).copied();
    Ok(Pixels { width, height, channels: pixels.channels, data: data.collect() })
}

/// `round((have - want) / 2)`, half to even as Python rounds (torchvision's `center_crop`).
fn margin(have: usize, want: usize) -> usize {
    let twice = have - want;
    let half = twice / 2;
    if twice % 2 == 1 && half % 2 == 1 { half + 1 } else { half }
}

/// `(pixel / scale - mean) / std` from a table of the 256 values of each channel.
fn normalize(pixels: &Pixels, preprocess: &Preprocess, out: &mut [f32]) {
    let channels = pixels.channels;
    let area = pixels.width * pixels.height;
    for channel in 0..channels {
        let (mean, std) = (preprocess.mean[channel], preprocess.std[channel]);
        let mut table = [0.0_f32; 256];
        for (value, byte) in table.iter_mut().zip(0_u8..=255) {
            *value = (f32::from(byte) / preprocess.scale - mean) / std;
        }
        let from = if preprocess.color == Color::Bgr { channels - 1 - channel } else { channel };
        let values = pixels.data.iter().skip(from).step_by(channels).map(|&byte| table[usize::from(byte)]);
        match preprocess.layout {
            Layout::Nchw => out.iter_mut().skip(channel * area).zip(values).for_each(|(out, value)| *out = value),
            Layout::Nhwc => {
                out.iter_mut().skip(channel).step_by(channels).zip(values).for_each(|(out, value)| *out = value);
            }
        }
    }
}

/// A preprocessed image must have the model's size; only its axes are put in order.
fn place(planes: &Planes, preprocess: &Preprocess, out: &mut [f32]) -> Result<(), String> {
    let (height, width) = preprocess.size;
    let wanted = (preprocess.color.channels(), height, width);
    let found = (planes.channels, planes.height, planes.width);
    if found != wanted {
        return Err(format!(
            "float images are fed as they are and must have the model's {wanted:?} (channels, height, width), this \
             one has {found:?}"
        ));
    }
    let area = height * width;
    match preprocess.layout {
        Layout::Nchw => out.copy_from_slice(&planes.data),
        Layout::Nhwc => {
            for (at, pixel) in out.chunks_exact_mut(planes.channels).enumerate() {
                for (channel, value) in pixel.iter_mut().enumerate() {
                    *value = planes.data[channel * area + at];
                }
            }
        }
    }
    Ok(())
}
