//! The json settings of timm (`config.json`) and Hugging Face transformers (`preprocessor_config.json`).

use std::path::Path;

use serde_json::{Map, Value};

use super::CalibrationError;
use super::preprocess::{Crop, Interpolation, Layout, Resize};
use super::preprocess_options::PreprocessOptions;

type Object = Map<String, Value>;

/// Tells the two forms apart and reads what both can say.
pub(crate) fn parse(path: &Path, text: &str) -> Result<PreprocessOptions, CalibrationError> {
    let help = "give a timm config.json or a Hugging Face preprocessor_config.json, or write the settings in toml";
    let fail = |why: String| CalibrationError::format(path, "", why, help);
    let value: Value = serde_json::from_str(text).map_err(|error| fail(error.to_string()))?;
    let Value::Object(object) = value else {
        return Err(fail("the file holds no json object".to_owned()));
    };
    let timm = object.get("pretrained_cfg").and_then(Value::as_object).unwrap_or(&object);
    if timm.contains_key("input_size") || timm.contains_key("crop_pct") && !object.contains_key("image_mean") {
        return from_timm(timm).map_err(fail);
    }
    let known = ["image_mean", "image_std", "do_resize", "do_normalize", "do_rescale", "crop_size", "size"];
    if known.iter().any(|key| object.contains_key(*key)) {
        return from_hugging_face(&object).map_err(fail);
    }
    Err(fail("neither `input_size` (timm) nor `size`, `image_mean` ... (Hugging Face) is there".to_owned()))
}

/// timm: the image goes to `floor(size / crop_pct)`, then the centre is cropped (`timm/data/transforms_factory.py`).
fn from_timm(object: &Object) -> Result<PreprocessOptions, String> {
    let mut options = PreprocessOptions {
        mean: floats(object, "mean")?,
        std: floats(object, "std")?,
        scale: Some(255.0),
        ..PreprocessOptions::default()
    };
    if let Some(value) = present(object, "input_size") {
        let sides: Option<Vec<usize>> =
            value.as_array().map(|sides| sides.iter().filter_map(|side| pixels(side).ok()).collect());
        match sides.as_deref() {
            Some(&[_, height, width]) => options.size = Some((height, width)),
            _ => return Err(format!("`input_size` is {value}, expected [channels, height, width]")),
        }
    }
    if let Some(value) = present(object, "interpolation") {
        options.interpolation = Some(match value.as_str() {
            Some("bilinear") => Interpolation::Bilinear,
            Some("bicubic") => Interpolation::Bicubic,
            _ => return Err(format!("`interpolation` is {value}; only bilinear and bicubic are supported")),
        });
    }
    let share = match present(object, "crop_pct") {
        Some(value) => value.as_f64().filter(|share| *share > 0.0 && *share <= 2.0),
        None => Some(0.875),
    };
    let share = share.ok_or("`crop_pct` is not a share between 0 and 1")?;
    match present(object, "crop_mode").map(Value::as_str) {
        None | Some(Some("center")) => {
            options.resize = options.size.map(|(height, width)| Resize::Short(divide(height.max(width), share)));
            options.crop = Some(Crop::Center);
        }
        Some(Some("squash")) if share >= 1.0 => {
            options.resize = Some(Resize::Exact);
            options.crop = Some(Crop::None);
        }
        _ => return Err("`crop_mode` other than center is not supported with this `crop_pct`".to_owned()),
    }
    Ok(options)
}

/// Hugging Face: resize by `size`, crop by `crop_size`, `pixel * rescale_factor`, then mean and standard deviation.
fn from_hugging_face(object: &Object) -> Result<PreprocessOptions, String> {
    let mut options = PreprocessOptions::default();
    if let Some(value) = present(object, "resample") {
        options.interpolation = Some(match value.as_u64() {
            Some(2) => Interpolation::Bilinear,
            Some(3) => Interpolation::Bicubic,
            _ => return Err(format!("`resample` is {value}; only 2 (bilinear) and 3 (bicubic) are supported")),
        });
    }
    if enabled(object, "do_normalize", true) {
        options.mean = floats(object, "image_mean")?;
        options.std = floats(object, "image_std")?;
    } else {
        (options.mean, options.std) = (Some(vec![0.0]), Some(vec![1.0]));
    }
    options.scale = Some(rescale(object)?);
    options.layout = match present(object, "data_format").and_then(Value::as_str) {
        Some("channels_last") => Some(Layout::Nhwc),
        Some("channels_first") => Some(Layout::Nchw),
        _ => None,
    };

    let cropped = present(object, "do_center_crop").map_or(object.contains_key("crop_size"), is_true);
    if cropped && let Some(value) = present(object, "crop_size") {
        options.size = Some(match sides(value)? {
            Sides::Both(height, width) => (height, width),
            Sides::Short(side) => (side, side),
        });
    }
    if cropped {
        options.crop = Some(Crop::Center);
    }
    if !enabled(object, "do_resize", true) {
        options.resize = Some(Resize::None);
    } else if let Some(value) = present(object, "size") {
        resize(&mut options, value, object, cropped)?;
    }
    Ok(options)
}

fn resize(options: &mut PreprocessOptions, value: &Value, object: &Object, cropped: bool) -> Result<(), String> {
    let share = present(object, "crop_pct").and_then(Value::as_f64).filter(|share| *share > 0.0 && *share <= 1.0);
    match (sides(value)?, share) {
        // ConvNeXT: below 384 pixels enlarge by `crop_pct` and crop to `size`, from 384 on stretch to `size`.
        (Sides::Short(side), Some(_)) if side >= 384 && !cropped => {
            options.size = Some((side, side));
            (options.resize, options.crop) = (Some(Resize::Exact), Some(Crop::None));
        }
        (Sides::Short(side), Some(share)) if !cropped => {
            options.size = Some((side, side));
            (options.resize, options.crop) = (Some(Resize::Short(divide(side, share))), Some(Crop::Center));
        }
        (Sides::Short(side), _) if cropped => {
            options.resize = Some(Resize::Short(side));
            options.size = options.size.or(Some((side, side)));
        }
        // Without a crop a lone number means both sides (ViT and its kin).
        (Sides::Short(side), _) if value.is_u64() => {
            options.size = Some((side, side));
            (options.resize, options.crop) = (Some(Resize::Exact), Some(Crop::None));
        }
        (Sides::Short(_), _) => {
            return Err("`size.shortest_edge` without a centre crop gives tensors of varying size".to_owned());
        }
        (Sides::Both(height, width), _) if !cropped || options.size.is_none_or(|size| size == (height, width)) => {
            options.size = Some((height, width));
            (options.resize, options.crop) = (Some(Resize::Exact), Some(Crop::None));
        }
        (Sides::Both(..), _) => {
            return Err("`size` with height and width beside another `crop_size` is not supported".to_owned());
        }
    }
    Ok(())
}

#[allow(clippy::cast_possible_truncation, reason = "settings are f32, as the tensors are")]
fn rescale(object: &Object) -> Result<f32, String> {
    if !enabled(object, "do_rescale", true) {
        return Ok(1.0);
    }
    match present(object, "rescale_factor") {
        None => Ok(255.0),
        Some(value) => match value.as_f64().filter(|factor| factor.is_finite() && *factor > 0.0) {
            // 0.00392156862745098 is 1/255 written in decimals: the quotient is 255 only after rounding to f32.
            Some(factor) => Ok((1.0 / factor) as f32),
            None => Err(format!("`rescale_factor` is {value}, expected a positive number")),
        },
    }
}

enum Sides {
    Short(usize),
    Both(usize, usize),
}

fn sides(value: &Value) -> Result<Sides, String> {
    if value.is_u64() {
        return pixels(value).map(Sides::Short);
    }
    let side = |key: &str| value.get(key).map(pixels).transpose();
    match (side("shortest_edge")?, side("height")?, side("width")?) {
        (Some(short), ..) => Ok(Sides::Short(short)),
        (None, Some(height), Some(width)) => Ok(Sides::Both(height, width)),
        _ => Err(format!("size {value} has neither `shortest_edge` nor `height` and `width`")),
    }
}

fn present<'a>(object: &'a Object, key: &str) -> Option<&'a Value> {
    object.get(key).filter(|value| !value.is_null())
}

fn is_true(value: &Value) -> bool {
    value.as_bool().unwrap_or(false)
}

fn enabled(object: &Object, key: &str, default: bool) -> bool {
    present(object, key).map_or(default, is_true)
}

fn pixels(value: &Value) -> Result<usize, String> {
    let side = value.as_u64().filter(|side| *side > 0).and_then(|side| usize::try_from(side).ok());
    side.ok_or_else(|| format!("{value} is not a number of pixels"))
}

#[allow(clippy::cast_possible_truncation, reason = "settings are f32, as the tensors are")]
fn floats(object: &Object, key: &str) -> Result<Option<Vec<f32>>, String> {
    let Some(value) = present(object, key) else { return Ok(None) };
    let list: Option<Vec<f32>> =
        value.as_array().and_then(|list| list.iter().map(|item| item.as_f64().map(|item| item as f32)).collect());
    list.map(Some).ok_or_else(|| format!("`{key}` is {value}, expected a list of numbers"))
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "timm truncates; both are positive")]
fn divide(side: usize, share: f64) -> usize {
    (side as f64 / share).floor() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> PreprocessOptions {
        parse(Path::new("p.json"), text).unwrap()
    }

    #[test]
    fn timm_nested_and_flat() {
        let flat = r#"{"input_size":[3,224,224],"interpolation":"bicubic","crop_pct":0.95,"mean":[0.5,0.5,0.5],"std":[0.5,0.5,0.5]}"#;
        let nested = format!(r#"{{"architecture":"x","pretrained_cfg":{flat}}}"#);
        for text in [flat, &nested] {
            let options = read(text);
            assert_eq!(options.size, Some((224, 224)));
            assert_eq!(options.resize, Some(Resize::Short(235)));
            assert_eq!(options.crop, Some(Crop::Center));
            assert_eq!(options.interpolation, Some(Interpolation::Bicubic));
            assert_eq!(options.mean, Some(vec![0.5; 3]));
        }
    }

    /// `google/mobilenet_v2_1.0_224`.
    #[test]
    fn hugging_face_short_and_crop() {
        let options = read(
            r#"{"crop_size":{"height":224,"width":224},"do_center_crop":true,"do_normalize":true,"do_rescale":true,
            "do_resize":true,"image_mean":[0.5,0.5,0.5],"image_std":[0.5,0.5,0.5],"resample":2,
            "rescale_factor":0.00392156862745098,"size":{"shortest_edge":256}}"#,
        );
        assert_eq!(options.size, Some((224, 224)));
        assert_eq!(options.resize, Some(Resize::Short(256)));
        assert_eq!(options.crop, Some(Crop::Center));
        assert_eq!(options.scale, Some(255.0));
        assert_eq!(options.interpolation, Some(Interpolation::Bilinear));
    }

    /// `ViT` (`size` a number, no crop) and ResNet (`microsoft/resnet-50`: `crop_pct` and `shortest_edge`).
    #[test]
    fn hugging_face_other_sizes() {
        let vit = read(r#"{"do_normalize":true,"do_resize":true,"image_mean":[0.5,0.5,0.5],"size":224}"#);
        assert_eq!((vit.size, vit.resize, vit.crop), (Some((224, 224)), Some(Resize::Exact), Some(Crop::None)));
        let resnet = read(
            r#"{"crop_pct":0.875,"do_resize":true,"image_mean":[0.485,0.456,0.406],"resample":3,"size":{"shortest_edge":224}}"#,
        );
        assert_eq!((resnet.size, resnet.resize), (Some((224, 224)), Some(Resize::Short(256))));
        assert_eq!(resnet.crop, Some(Crop::Center));
    }

    #[test]
    fn switched_off_steps() {
        let options = read(r#"{"do_resize":false,"do_rescale":false,"do_normalize":false,"image_mean":[9]}"#);
        assert_eq!(options.resize, Some(Resize::None));
        assert_eq!((options.scale, options.mean, options.std), (Some(1.0), Some(vec![0.0]), Some(vec![1.0])));
    }

    #[test]
    fn unsupported_settings_are_refused() {
        for (text, word) in [
            (r#"{"image_mean":[0],"resample":1,"size":3}"#, "resample"),
            (r#"{"input_size":[3,2,2],"interpolation":"nearest"}"#, "interpolation"),
            (r#"{"input_size":[3,2,2],"crop_mode":"border"}"#, "crop_mode"),
            (r#"{"size":{"shortest_edge":8}}"#, "crop"),
            (r#"{"size":{"shortest_edge":0},"crop_size":8}"#, "pixels"),
            (r#"{"vocab_size":8}"#, "input_size"),
            ("[1]", "object"),
            ("{", "EOF"),
        ] {
            let error = parse(Path::new("p.json"), text).unwrap_err();
            let why = crate::explain::Explain::why(&error).unwrap();
            assert!(why.contains(word), "{text}: {why}");
        }
    }
}
