//! Complete and checked preprocessing from the model's input shape and what was given.

use super::CalibrationError;
use super::preprocess::{Color, Crop, Interpolation, Layout, Preprocess, Resize};
use super::preprocess_options::PreprocessOptions;

/// Longest side in pixels that is believed: a larger one is a mistake in the settings.
const LONGEST_SIDE: usize = 16_384;

/// Side of the target where neither the model nor the settings tell it.
const FREE_SIDE: usize = 224;

/// Largest size at which the whole image is used; larger models see the centre of `256 / 224` of their size.
const SMALL: usize = 64;

const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const IMAGENET_STD: [f32; 3] = [0.229, 0.224, 0.225];

pub(crate) fn resolve(shape: &[Option<usize>], options: &PreprocessOptions) -> Result<Preprocess, CalibrationError> {
    let &[_, second, third, last] = shape else {
        return Err(CalibrationError::setting(
            "layout",
            format!("the model's input {} has {} dimensions, an image batch has 4", show(shape), shape.len()),
            "give calibration data only for models that take images",
        ));
    };
    let layout = options.layout.unwrap_or_else(|| layout(second, last));
    let (channels, height, width) = match layout {
        Layout::Nchw => (second, third, last),
        Layout::Nhwc => (last, second, third),
    };
    let color = color(channels, layout, shape, options)?;
    let size = size(height, width, options)?;
    let scale = scale(options)?;
    let (mean, std) = normalization(color, scale, options)?;
    let resize = options.resize.unwrap_or_else(|| default_resize([size.0, size.1], options.crop));
    let crop = options.crop.unwrap_or(if resize == Resize::Exact { Crop::None } else { Crop::Center });
    check_resize(resize, [size.0, size.1])?;
    let interpolation = options.interpolation.unwrap_or(Interpolation::Bilinear);
    Ok(Preprocess { size, resize, crop, interpolation, mean, std, scale, color, layout })
}

fn show(shape: &[Option<usize>]) -> String {
    let dims: Vec<String> = shape.iter().map(|dim| dim.map_or_else(|| "?".to_owned(), |dim| dim.to_string())).collect();
    format!("[{}]", dims.join(", "))
}

fn layout(second: Option<usize>, last: Option<usize>) -> Layout {
    let is_channels = |dim: Option<usize>| matches!(dim, Some(1 | 3));
    // A side of 4 is likelier a side than opacity where another axis has 1 or 3.
    let is_last = match (is_channels(second), is_channels(last)) {
        (false, false) => last == Some(4) && second != Some(4),
        (first, last) => last && !first,
    };
    if is_last { Layout::Nhwc } else { Layout::Nchw }
}

fn color(
    channels: Option<usize>,
    layout: Layout,
    shape: &[Option<usize>],
    options: &PreprocessOptions,
) -> Result<Color, CalibrationError> {
    let color = match (options.color, channels) {
        (Some(color), _) => color,
        (None, Some(1)) => Color::Gray,
        (None, Some(4)) => Color::Rgba,
        (None, None) if options.mean.as_ref().or(options.std.as_ref()).is_some_and(|list| list.len() == 1) => {
            Color::Gray
        }
        (None, _) => Color::Rgb,
    };
    match channels {
        Some(found) if found != color.channels() => Err(CalibrationError::setting(
            "color",
            format!(
                "the model's input {} has {found} channels as {layout}, {color} has {}",
                show(shape),
                color.channels()
            ),
            "images have 3 channels (rgb, bgr), 1 (gray) or 4 (rgba); check `color` and `layout`",
        )),
        _ => Ok(color),
    }
}

fn size(
    height: Option<usize>,
    width: Option<usize>,
    options: &PreprocessOptions,
) -> Result<(usize, usize), CalibrationError> {
    let (wanted_height, wanted_width) = options.size.unzip();
    let side = |name: &str, model: Option<usize>, wanted: Option<usize>| match (model, wanted) {
        (Some(model), Some(wanted)) if model != wanted => {
            Err(format!("{name} {wanted} was given, the model's input has {model}"))
        }
        (model, wanted) => match wanted.or(model).unwrap_or(FREE_SIDE) {
            side if (1..=LONGEST_SIDE).contains(&side) => Ok(side),
            side => Err(format!("{name} {side} is not between 1 and {LONGEST_SIDE} pixels")),
        },
    };
    let size = side("height", height, wanted_height).and_then(|h| Ok((h, side("width", width, wanted_width)?)));
    size.map_err(|why| CalibrationError::setting("size", why, "leave the size out to use the model's"))
}

fn scale(options: &PreprocessOptions) -> Result<f32, CalibrationError> {
    match options.scale.unwrap_or(255.0) {
        scale if scale.is_finite() && scale > 0.0 => Ok(scale),
        scale => Err(CalibrationError::setting(
            "scale",
            format!("{scale} is not a positive number"),
            "255 brings pixels to 0..1, 1 leaves them as they are",
        )),
    }
}

#[allow(clippy::float_cmp, reason = "255 is given or not, it is never computed")]
fn normalization(
    color: Color,
    scale: f32,
    options: &PreprocessOptions,
) -> Result<(Vec<f32>, Vec<f32>), CalibrationError> {
    let channels = color.channels();
    let plain = options.mean.is_some() || options.std.is_some() || color == Color::Gray || scale != 255.0;
    let (mut mean, mut std) = if plain {
        (vec![0.0; channels], vec![1.0; channels])
    } else {
        (IMAGENET_MEAN.to_vec(), IMAGENET_STD.to_vec())
    };
    // Opacity is not normalised.
    mean.resize(channels, 0.0);
    std.resize(channels, 1.0);
    if color == Color::Bgr {
        mean.reverse();
        std.reverse();
    }
    if let Some(given) = &options.mean {
        mean = per_channel("mean", given, channels)?;
    }
    if let Some(given) = &options.std {
        std = per_channel("std", given, channels)?;
    }
    if let Some(zero) = std.iter().find(|value| **value <= 0.0) {
        let why = format!("{zero} is not positive, and values are divided by it");
        return Err(CalibrationError::setting("std", why, "give 1 to leave values as they are"));
    }
    Ok((mean, std))
}

fn per_channel(setting: &'static str, given: &[f32], channels: usize) -> Result<Vec<f32>, CalibrationError> {
    let fail = |why: String| CalibrationError::setting(setting, why, format!("give {channels} numbers, or 1 for all"));
    if let Some(value) = given.iter().find(|value| !value.is_finite()) {
        return Err(fail(format!("{value} is not a finite number")));
    }
    match given {
        [one] => Ok(vec![*one; channels]),
        colours if colours.len() == 3 && channels == 4 => {
            Ok([colours, &[if setting == "std" { 1.0 } else { 0.0 }]].concat())
        }
        _ if given.len() == channels => Ok(given.to_vec()),
        _ => Err(fail(format!("{} values for {channels} channels", given.len()))),
    }
}

/// The longer target side decides, so that the crop fits into portrait and landscape images alike.
fn default_resize([height, width]: [usize; 2], crop: Option<Crop>) -> Resize {
    let side = height.max(width);
    match crop {
        Some(Crop::None) => Resize::Exact,
        _ if side > SMALL => Resize::Short((side * 256 + 112) / 224),
        _ => Resize::Short(side),
    }
}

fn check_resize(resize: Resize, [height, width]: [usize; 2]) -> Result<(), CalibrationError> {
    let help = "make the shorter side at least as long as the model's input";
    match resize {
        Resize::Short(side) if side < height.min(width) => Err(CalibrationError::setting(
            "resize",
            format!("a shorter side of {side} pixels is less than the {height}x{width} that the model takes"),
            help,
        )),
        Resize::Short(side) if side > LONGEST_SIDE => {
            Err(CalibrationError::setting("resize", format!("{side} is above {LONGEST_SIDE} pixels"), help))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::Explain;

    fn given() -> PreprocessOptions {
        PreprocessOptions::default()
    }

    #[test]
    fn imagenet_defaults() {
        let found = resolve(&[None, Some(3), Some(224), Some(224)], &given()).unwrap();
        assert_eq!((found.size, found.resize, found.crop), ((224, 224), Resize::Short(256), Crop::Center));
        assert_eq!(found.mean, IMAGENET_MEAN);
        assert_eq!((found.color, found.layout, found.scale), (Color::Rgb, Layout::Nchw, 255.0));
        insta::assert_snapshot!(found.describe(), @"size 224x224, shorter side to 256 (bilinear), centre crop, scale 255, mean 0.485,0.456,0.406, std 0.229,0.224,0.225, rgb, nchw");
    }

    #[test]
    fn other_shapes() {
        let nhwc = resolve(&[None, Some(32), Some(32), Some(3)], &given()).unwrap();
        assert_eq!((nhwc.layout, nhwc.resize, nhwc.size), (Layout::Nhwc, Resize::Short(32), (32, 32)));
        let opaque = resolve(&[Some(1), Some(320), Some(320), Some(4)], &given()).unwrap();
        assert_eq!((opaque.layout, opaque.color), (Layout::Nhwc, Color::Rgba));
        assert_eq!((opaque.mean[..3].to_vec(), opaque.mean[3], opaque.std[3]), (IMAGENET_MEAN.to_vec(), 0.0, 1.0));
        let tiny = resolve(&[None, Some(4), Some(4), Some(3)], &given()).unwrap();
        assert_eq!((tiny.layout, tiny.color), (Layout::Nhwc, Color::Rgb));
        let gray = resolve(&[Some(1), Some(1), Some(28), Some(28)], &given()).unwrap();
        assert_eq!((gray.color, gray.mean, gray.std), (Color::Gray, vec![0.0], vec![1.0]));
        let free = resolve(&[None, Some(3), None, None], &given()).unwrap();
        assert_eq!(free.size, (224, 224));
        let sized = resolve(&[None; 4], &PreprocessOptions { size: Some((96, 64)), ..given() }).unwrap();
        assert_eq!((sized.size, sized.resize, sized.layout), ((96, 64), Resize::Short(110), Layout::Nchw));
    }

    #[test]
    fn bgr_reverses_the_default_mean_and_other_scales_drop_it() {
        let shape = [None, Some(3), Some(8), Some(8)];
        let bgr = resolve(&shape, &PreprocessOptions { color: Some(Color::Bgr), ..given() }).unwrap();
        assert_eq!(bgr.mean, [0.406, 0.456, 0.485]);
        let raw = resolve(&shape, &PreprocessOptions { scale: Some(1.0), ..given() }).unwrap();
        assert_eq!((raw.mean, raw.std), (vec![0.0; 3], vec![1.0; 3]));
        let one = resolve(&shape, &PreprocessOptions { mean: Some(vec![0.5]), ..given() }).unwrap();
        assert_eq!((one.mean, one.std), (vec![0.5; 3], vec![1.0; 3]));
    }

    #[test]
    fn contradictions_name_the_setting() {
        let image = [None, Some(3), Some(32), Some(32)];
        let cases: Vec<(&[Option<usize>], PreprocessOptions, &str)> = vec![
            (&[None, Some(784)], given(), "`layout`"),
            (&[None, Some(5), Some(32), Some(32)], given(), "`color`"),
            (&image, PreprocessOptions { color: Some(Color::Gray), ..given() }, "`color`"),
            (&image, PreprocessOptions { size: Some((64, 64)), ..given() }, "`size`"),
            (&image, PreprocessOptions { mean: Some(vec![0.0; 2]), ..given() }, "`mean`"),
            (&image, PreprocessOptions { mean: Some(vec![f32::NAN]), ..given() }, "`mean`"),
            (&image, PreprocessOptions { std: Some(vec![0.0]), ..given() }, "`std`"),
            (&image, PreprocessOptions { scale: Some(0.0), ..given() }, "`scale`"),
            (&image, PreprocessOptions { resize: Some(Resize::Short(16)), ..given() }, "`resize`"),
            (&[None; 4], PreprocessOptions { size: Some((0, 5)), ..given() }, "`size`"),
        ];
        for (shape, options, setting) in cases {
            let error = resolve(shape, &options).unwrap_err();
            assert!(error.to_string().contains(setting), "{error}");
            assert!(error.why().is_some() && error.help().is_some());
        }
    }
}
