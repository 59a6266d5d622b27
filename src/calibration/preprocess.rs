//! How an image becomes an input tensor: the settings, and their defaults from the model's input shape.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::CalibrationError;
use super::preprocess_options::PreprocessOptions;

/// How an image is brought to size before the crop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Resize {
    /// The shorter side gets this many pixels, the longer one keeps the aspect ratio (rounded down).
    Short(usize),
    /// Both sides get the target size; the aspect ratio is not kept.
    Exact,
    /// No resizing.
    None,
}

/// What is cut out of the resized image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Crop {
    /// The centre, of the target size.
    Center,
    /// Nothing: the image must have the target size by then.
    None,
}

/// The resampling filter, antialiased as Pillow's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interpolation {
    /// Triangle filter, radius 1.
    Bilinear,
    /// Keys' cubic with a = -0.5, radius 2.
    Bicubic,
}

/// Channels of the tensor and their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Color {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
    /// One channel: luma as of ITU-R 601-2.
    Gray,
    /// Red, green, blue, opacity.
    Rgba,
}

impl Color {
    /// Number of channels: 1, 3 or 4.
    pub fn channels(self) -> usize {
        match self {
            Self::Gray => 1,
            Self::Rgb | Self::Bgr => 3,
            Self::Rgba => 4,
        }
    }
}

/// Order of the tensor's axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// `[N, C, H, W]`.
    Nchw,
    /// `[N, H, W, C]`.
    Nhwc,
}

/// Complete preprocessing: `tensor = (pixel / scale - mean) / std` after resizing and cropping.
///
/// An image that has exactly the target size already is fed as it is, whatever `resize` says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Preprocess {
    /// Target height and width in pixels.
    pub size: (usize, usize),
    /// How an image is brought to size.
    pub resize: Resize,
    /// What is cut out of the resized image.
    pub crop: Crop,
    /// Resampling filter.
    pub interpolation: Interpolation,
    /// Mean of the values after division by `scale`, one per channel in the order of the tensor.
    pub mean: Vec<f32>,
    /// Standard deviation of the values after division by `scale`, one per channel in the order of the tensor.
    pub std: Vec<f32>,
    /// What pixel values 0 to 255 are divided by first.
    pub scale: f32,
    /// Channels and their order.
    pub color: Color,
    /// Order of the axes.
    pub layout: Layout,
}

impl Preprocess {
    /// Number of values of one image's tensor.
    pub(crate) fn volume(&self) -> usize {
        self.size.0 * self.size.1 * self.color.channels()
    }

    /// Shape of a batch of `count` images in this layout.
    pub(crate) fn shape(&self, count: usize) -> [usize; 4] {
        let ((height, width), channels) = (self.size, self.color.channels());
        match self.layout {
            Layout::Nchw => [count, channels, height, width],
            Layout::Nhwc => [count, height, width, channels],
        }
    }

    /// The settings in one line, for the user to check.
    pub fn describe(&self) -> String {
        let list = |values: &[f32]| values.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        format!(
            "{}, scale {}, mean {}, std {}, {}, {}",
            self.size_rule(),
            self.scale,
            list(&self.mean),
            list(&self.std),
            self.color,
            self.layout
        )
    }

    /// The same without mean and scale.
    pub(crate) fn describe_size(&self) -> String {
        format!("{}, {}, {}", self.size_rule(), self.color, self.layout)
    }

    fn size_rule(&self) -> String {
        let crop = if self.crop == Crop::Center { ", centre crop" } else { "" };
        let size = format!("{}x{}", self.size.0, self.size.1);
        let (resize, filter) = match self.resize {
            Resize::Short(side) => (format!("shorter side to {side}"), format!(" ({})", self.interpolation)),
            Resize::Exact => (format!("resize to {size}"), format!(" ({})", self.interpolation)),
            Resize::None => ("no resize".to_owned(), String::new()),
        };
        format!("size {size}, {resize}{filter}{crop}")
    }

    /// Fills what `options` leaves open from the model's input shape (`None` = a free dimension) and checks the whole.
    ///
    /// Three channels: ImageNet's mean and standard deviation, scale 255. One channel: mean 0, standard deviation 1,
    /// scale 255. The shorter side goes to `round(256 / 224 * size)` for sizes above 64 pixels, to `size` for
    /// smaller ones, then the centre is cropped. Free sides are 224 pixels long. With a scale other than 255 and
    /// neither mean nor std given, mean is 0 and std 1: ImageNet's values would not fit.
    ///
    /// # Errors
    /// [`CalibrationError::Preprocess`] where the input is not an image or a setting contradicts it or another.
    pub fn resolve(input_shape: &[Option<usize>], options: &PreprocessOptions) -> Result<Self, CalibrationError> {
        super::resolve::resolve(input_shape, options)
    }
}

impl fmt::Display for Resize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short(side) => write!(f, "short:{side}"),
            Self::Exact => f.write_str("exact"),
            Self::None => f.write_str("none"),
        }
    }
}

impl From<Resize> for String {
    fn from(resize: Resize) -> Self {
        resize.to_string()
    }
}

impl TryFrom<String> for Resize {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl FromStr for Resize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "exact" => Ok(Self::Exact),
            "none" => Ok(Self::None),
            _ => text
                .strip_prefix("short:")
                .and_then(|side| side.parse().ok())
                .filter(|&side| side > 0)
                .map(Self::Short)
                .ok_or_else(|| format!("`{text}` is not short:PIXELS, exact or none")),
        }
    }
}

/// `Display` and `FromStr` with the names that the settings files and the command line use.
macro_rules! words {
    ($kind:ident, $($word:literal => $variant:ident),+) => {
        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $word),+ })
            }
        }

        impl FromStr for $kind {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(format!("`{text}` is not one of {}", [$($word),+].join(", "))),
                }
            }
        }
    };
}

words!(Crop, "center" => Center, "none" => None);
words!(Interpolation, "bilinear" => Bilinear, "bicubic" => Bicubic);
words!(Color, "rgb" => Rgb, "bgr" => Bgr, "gray" => Gray, "rgba" => Rgba);
words!(Layout, "nchw" => Nchw, "nhwc" => Nhwc);
