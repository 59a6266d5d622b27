//! Preprocessing settings as given: by flags, a toml file, a timm json or a Hugging Face preprocessor config.

use std::path::Path;

use serde::{Deserialize, Deserializer};

use super::CalibrationError;
use super::preprocess::{Color, Crop, Interpolation, Layout, Resize};
use super::preprocess_json;

/// The fields of [`Preprocess`](super::Preprocess), each of them open or given.
///
/// The toml form has the same keys:
///
/// ```toml
/// size = [224, 224]        # height, width; also 224 or "224x224"
/// resize = "short:256"     # or "exact", "none"
/// crop = "center"          # or "none"
/// interpolation = "bilinear" # or "bicubic"
/// mean = [0.485, 0.456, 0.406]
/// std = [0.229, 0.224, 0.225]
/// scale = 255.0
/// color = "rgb"            # or "bgr", "gray"
/// layout = "nchw"          # or "nhwc"
/// ```
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreprocessOptions {
    /// Target height and width in pixels.
    #[serde(default, deserialize_with = "size")]
    pub size: Option<(usize, usize)>,
    /// How an image is brought to size.
    pub resize: Option<Resize>,
    /// What is cut out of the resized image.
    pub crop: Option<Crop>,
    /// Resampling filter.
    pub interpolation: Option<Interpolation>,
    /// Mean of the values after division by `scale`, in the channel order of the tensor, or one value for all.
    pub mean: Option<Vec<f32>>,
    /// Standard deviation likewise.
    pub std: Option<Vec<f32>>,
    /// What pixel values are divided by first.
    pub scale: Option<f32>,
    /// Channels and their order.
    pub color: Option<Color>,
    /// Order of the axes.
    pub layout: Option<Layout>,
}

impl PreprocessOptions {
    /// Reads a `.toml` file with the keys of this struct, a timm json (`input_size`, `interpolation`, `crop_pct`,
    /// `mean`, `std`, also inside `pretrained_cfg`) or a Hugging Face `preprocessor_config.json`.
    ///
    /// # Errors
    /// [`CalibrationError::Read`] or [`CalibrationError::Format`] where the file cannot be read or has settings
    /// that are unknown or not supported.
    pub fn from_file(path: &Path) -> Result<Self, CalibrationError> {
        let text = std::fs::read_to_string(path).map_err(|source| CalibrationError::read(path, source))?;
        let json = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
        if json || text.trim_start().starts_with('{') {
            return preprocess_json::parse(path, &text);
        }
        toml::from_str(&text).map_err(|error| {
            CalibrationError::format(
                path,
                "",
                error.to_string().trim_end().to_owned(),
                "the keys are size, resize, crop, interpolation, mean, std, scale, color and layout",
            )
        })
    }

    /// These settings, and those of `other` where these are open.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            size: self.size.or(other.size),
            resize: self.resize.or(other.resize),
            crop: self.crop.or(other.crop),
            interpolation: self.interpolation.or(other.interpolation),
            mean: self.mean.or(other.mean),
            std: self.std.or(other.std),
            scale: self.scale.or(other.scale),
            color: self.color.or(other.color),
            layout: self.layout.or(other.layout),
        }
    }
}

/// Reads `HxW` or one number for both, in pixels.
///
/// # Errors
/// A sentence saying what was expected.
pub fn parse_size(text: &str) -> Result<(usize, usize), String> {
    let side = |side: &str| side.trim().parse().ok().filter(|&side: &usize| side > 0);
    let size = match text.split_once(['x', 'X']) {
        Some((height, width)) => side(height).zip(side(width)),
        None => side(text).map(|side| (side, side)),
    };
    size.ok_or_else(|| format!("`{text}` is not a size: give HEIGHTxWIDTH in pixels, as in 224x224"))
}

fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<(usize, usize)>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Given {
        Side(usize),
        Sides(usize, usize),
        Text(String),
    }
    match Given::deserialize(deserializer)? {
        Given::Side(side) => Ok(Some((side, side))),
        Given::Sides(height, width) => Ok(Some((height, width))),
        Given::Text(text) => parse_size(&text).map(Some).map_err(serde::de::Error::custom),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::Explain;

    fn read(name: &str, text: &str) -> Result<PreprocessOptions, CalibrationError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        PreprocessOptions::from_file(&path)
    }

    #[test]
    fn toml_has_every_field() {
        let options = read(
            "p.toml",
            "size = [200, 300]\nresize = \"short:256\"\ncrop = \"none\"\ninterpolation = \"bicubic\"\n\
             mean = [0.5, 0, 1]\nstd = [1, 2, 3]\nscale = 1.0\ncolor = \"bgr\"\nlayout = \"nhwc\"\n",
        )
        .unwrap();
        let expected = PreprocessOptions {
            size: Some((200, 300)),
            resize: Some(Resize::Short(256)),
            crop: Some(Crop::None),
            interpolation: Some(Interpolation::Bicubic),
            mean: Some(vec![0.5, 0.0, 1.0]),
            std: Some(vec![1.0, 2.0, 3.0]),
            scale: Some(1.0),
            color: Some(Color::Bgr),
            layout: Some(Layout::Nhwc),
        };
        assert_eq!(options, expected);
    }

    #[test]
    fn toml_size_forms() {
        for text in ["size = 32", "size = \"32x32\"", "size = \"32\"", "size = [32, 32]"] {
            assert_eq!(read("p.toml", text).unwrap().size, Some((32, 32)), "{text}");
        }
    }

    #[test]
    fn unknown_keys_and_values_are_named() {
        for (text, word) in [("sise = 3", "sise"), ("resize = \"short:0\"", "short:0"), ("size = \"ax2\"", "size")] {
            let why = read("p.toml", text).unwrap_err().why().unwrap();
            assert!(why.contains(word), "{text}: {why}");
        }
    }

    #[test]
    fn missing_file_is_named() {
        let error = PreprocessOptions::from_file(Path::new("no/such.toml")).unwrap_err();
        assert!(error.to_string().contains("no/such.toml"));
        assert!(error.help().is_some());
    }

    #[test]
    fn own_settings_win_over_the_others() {
        let mine = PreprocessOptions { scale: Some(1.0), ..Default::default() };
        let theirs = PreprocessOptions { scale: Some(255.0), size: Some((8, 8)), ..Default::default() };
        let both = mine.or(theirs);
        assert_eq!((both.scale, both.size), (Some(1.0), Some((8, 8))));
    }
}
