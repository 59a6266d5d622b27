//! Preprocessing from files: our own toml, timm's and Hugging Face's json.

use std::path::Path;

use serde_json::Value;

use super::CalibrationError;
use super::preprocess::{Crop, PreprocessOptions, Resize};
use super::resample::Interpolation;

impl PreprocessOptions {
    /// Reads a toml file with the fields of [`PreprocessOptions`], a timm `config.json` or a Hugging Face
    /// `preprocessor_config.json`.
    ///
    /// # Errors
    /// If the file cannot be read or is none of the three.
    pub fn from_file(path: &Path) -> Result<Self, CalibrationError> {
        let fail = |why: String| CalibrationError::File { path: path.display().to_string(), why };
        let text = std::fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
        if path.extension().is_some_and(|end| end == "toml") {
            return toml::from_str(&text).map_err(|error| fail(error.message().to_owned()));
        }
        let value: Value = serde_json::from_str(&text).map_err(|error| fail(error.to_string()))?;
        if value.get("image_mean").is_some() || value.get("do_resize").is_some() {
            return Ok(hugging_face(&value));
        }
        let timm = value.get("pretrained_cfg").unwrap_or(&value);
        if timm.get("input_size").is_some() || timm.get("mean").is_some() {
            return Ok(from_timm(timm));
        }
        Err(fail("neither a timm configuration nor a Hugging Face `preprocessor_config.json`".into()))
    }
}

fn number(value: &Value) -> Option<usize> {
    usize::try_from(value.as_u64()?).ok()
}

#[allow(clippy::cast_possible_truncation, reason = "means and deviations in single precision")]
fn floats(value: &Value) -> Option<Vec<f32>> {
    value.as_array()?.iter().map(|value| value.as_f64().map(|value| value as f32)).collect()
}

/// timm: `input_size` `[3, H, W]`, `crop_pct` (the short side is `H / crop_pct`), `interpolation`, `mean`, `std`.
fn from_timm(value: &Value) -> PreprocessOptions {
    let size = value.get("input_size").and_then(Value::as_array).and_then(|size| match &size[..] {
        [_, height, width] => Some((number(height)?, number(width)?)),
        _ => None,
    });
    let share = value.get("crop_pct").and_then(Value::as_f64).unwrap_or(0.875);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an image size")]
    let resize = size.map(|(height, _)| Resize::Short((height as f64 / share).floor() as usize));
    PreprocessOptions {
        size,
        resize,
        crop: size.map(|_| Crop::Center),
        interpolation: match value.get("interpolation").and_then(Value::as_str) {
            Some("bicubic") => Some(Interpolation::Bicubic),
            Some("bilinear") => Some(Interpolation::Bilinear),
            _ => None,
        },
        mean: value.get("mean").and_then(floats),
        std: value.get("std").and_then(floats),
        scale: Some(255.0),
        ..PreprocessOptions::default()
    }
}

/// Hugging Face: `size` and `crop_size` as a number or as an object, `resample` as Pillow's constant.
fn hugging_face(value: &Value) -> PreprocessOptions {
    let flag = |name: &str, default: bool| value.get(name).and_then(Value::as_bool).unwrap_or(default);
    let pair = |name: &str| {
        let given = value.get(name)?;
        if let Some(side) = number(given) {
            return Some((side, side));
        }
        Some((number(given.get("height")?)?, number(given.get("width")?)?))
    };
    let shortest = value.get("size").and_then(|size| size.get("shortest_edge").and_then(number));
    let (size, crop) = (pair("size"), pair("crop_size"));
    let crops = flag("do_center_crop", false) && crop.is_some();
    let resize = match (flag("do_resize", true), shortest, size) {
        (false, ..) => Some(Resize::None),
        (true, Some(side), _) => Some(Resize::Short(side)),
        (true, None, Some((side, _))) if crops => Some(Resize::Short(side)),
        (true, None, Some(_)) => Some(Resize::Exact),
        _ => None,
    };
    let identity = !flag("do_normalize", true);
    #[allow(clippy::cast_possible_truncation, reason = "a factor in single precision")]
    let factor = value.get("rescale_factor").and_then(Value::as_f64).map_or(255.0, |factor| (1.0 / factor) as f32);
    PreprocessOptions {
        size: if crops { crop } else { size },
        resize,
        crop: Some(if crops { Crop::Center } else { Crop::None }),
        interpolation: match value.get("resample").and_then(Value::as_u64) {
            Some(2) => Some(Interpolation::Bilinear),
            Some(3) => Some(Interpolation::Bicubic),
            _ => None,
        },
        mean: if identity { Some(vec![0.0]) } else { value.get("image_mean").and_then(floats) },
        std: if identity { Some(vec![1.0]) } else { value.get("image_std").and_then(floats) },
        scale: Some(if flag("do_rescale", true) { factor } else { 1.0 }),
        ..PreprocessOptions::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timm_crop_share_becomes_a_short_side() {
        let text = r#"{"pretrained_cfg": {"input_size": [3, 224, 224], "crop_pct": 0.875, "interpolation": "bicubic",
            "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}}"#;
        let value: Value = serde_json::from_str(text).unwrap();
        let options = from_timm(&value["pretrained_cfg"]);
        assert_eq!(options.resize, Some(Resize::Short(256)));
        assert_eq!(options.interpolation, Some(Interpolation::Bicubic));
    }

    #[test]
    fn hugging_face_vit_resizes_exactly() {
        let text = r#"{"do_resize": true, "size": {"height": 224, "width": 224}, "resample": 2, "do_rescale": true,
            "rescale_factor": 0.00392156862745098, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}"#;
        let options = hugging_face(&serde_json::from_str(text).unwrap());
        assert_eq!(options.resize, Some(Resize::Exact));
        assert_eq!(options.size, Some((224, 224)));
        assert!((options.scale.unwrap() - 255.0).abs() < 1e-3);
    }
}
