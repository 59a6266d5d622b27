//! From pixels to input values.

use serde::{Deserialize, Serialize};

use super::CalibrationError;
use super::resample::{Interpolation, Pixels};

/// How an image is brought to the model's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Resize {
    /// The shorter side to this many pixels, the aspect kept.
    Short(usize),
    /// Straight to the model's size.
    Exact,
    /// Not at all.
    None,
}

/// What is cut out after resizing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Crop {
    /// The centre, at the model's size.
    Center,
    /// Nothing.
    None,
}

/// Order of colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Color {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
    /// One channel.
    Gray,
}

/// Order of axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// `[N, C, H, W]`.
    Nchw,
    /// `[N, H, W, C]`.
    Nhwc,
}

/// Everything that happens between a decoded image and the model's input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Preprocess {
    /// Height and width of the input.
    pub size: (usize, usize),
    /// Resize rule. Images that have the input's size already are fed as they are.
    pub resize: Resize,
    /// Crop rule.
    pub crop: Crop,
    /// Filter.
    pub interpolation: Interpolation,
    /// Subtracted per channel, in the channel order of the input, from values divided by `scale`.
    pub mean: Vec<f32>,
    /// Divided by per channel.
    pub std: Vec<f32>,
    /// Pixels 0..255 are divided by this first.
    pub scale: f32,
    /// Colour order of the input.
    pub color: Color,
    /// Axis order of the input.
    pub layout: Layout,
}

/// Parts of [`Preprocess`] that a user gave; the rest comes from the model's input shape.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PreprocessOptions {
    /// Height and width.
    pub size: Option<(usize, usize)>,
    /// Resize rule.
    pub resize: Option<Resize>,
    /// Crop rule.
    pub crop: Option<Crop>,
    /// Filter.
    pub interpolation: Option<Interpolation>,
    /// Means.
    pub mean: Option<Vec<f32>>,
    /// Standard deviations.
    pub std: Option<Vec<f32>>,
    /// Divisor of the pixels.
    pub scale: Option<f32>,
    /// Colour order.
    pub color: Option<Color>,
    /// Axis order.
    pub layout: Option<Layout>,
}

const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const IMAGENET_STD: [f32; 3] = [0.229, 0.224, 0.225];

/// Inputs up to this size take images whole; larger ones take the centre of a slightly larger image.
const SMALL: usize = 64;

impl PreprocessOptions {
    /// What is given here, else what is given in `other`.
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

impl Preprocess {
    /// Fills in what the options leave open from the input's shape (`None`: a symbolic size).
    ///
    /// # Errors
    /// If the input is no image, its size is symbolic and not given, or a list has the wrong length.
    pub fn resolve(shape: &[Option<usize>], options: &PreprocessOptions) -> Result<Self, CalibrationError> {
        let fail = |why: String, help: &str| CalibrationError::Preprocess { why, help: help.to_owned() };
        let &[_, first, second, last] = shape else {
            let why = format!("the input has {} axes; an image batch has 4", shape.len());
            return Err(fail(why, "give the finished inputs as an .npz"));
        };
        let few = |size: Option<usize>| matches!(size, Some(1 | 3));
        let guess = if few(last) && !few(first) { Layout::Nhwc } else { Layout::Nchw };
        let layout = options.layout.unwrap_or(guess);
        let (channels, height, width) = match layout {
            Layout::Nchw => (first, second, last),
            Layout::Nhwc => (last, first, second),
        };
        let channels = channels.unwrap_or(3);
        if channels != 1 && channels != 3 {
            let why = format!("the input has {channels} channels; images have 1 or 3");
            return Err(fail(why, "give the finished inputs as an .npz, or set `--layout`"));
        }
        let size = match (options.size, height, width) {
            (Some(size), ..) => size,
            (None, Some(height), Some(width)) => (height, width),
            _ => return Err(fail("its height or width is symbolic".into(), "give it with `--size HxW`")),
        };
        if let (Some(height), Some(width)) = (height, width)
            && size != (height, width)
        {
            let why = format!("`--size {}x{}` is given, the input is {height}x{width}", size.0, size.1);
            return Err(fail(why, "leave `--size` away"));
        }
        let color = options.color.unwrap_or(if channels == 1 { Color::Gray } else { Color::Rgb });
        if (color == Color::Gray) != (channels == 1) {
            return Err(fail(format!("{color:?} does not fit {channels} input channels"), "set `--color`"));
        }
        let (mean, std) =
            if channels == 1 { (vec![0.0], vec![1.0]) } else { (IMAGENET_MEAN.into(), IMAGENET_STD.into()) };
        let per_channel = |given: &Option<Vec<f32>>, default: Vec<f32>, flag: &str| match given {
            None => Ok(default),
            Some(values) if values.len() == channels => Ok(values.clone()),
            Some(values) if values.len() == 1 => Ok(vec![values[0]; channels]),
            Some(values) => {
                Err(fail(format!("{} values for {channels} channels", values.len()), &format!("mend `--{flag}`")))
            }
        };
        let short = size.0.min(size.1);
        let larger = (short * 256).div_ceil(224);
        let preprocess = Self {
            size,
            resize: options.resize.unwrap_or(Resize::Short(if short <= SMALL { short } else { larger })),
            crop: options.crop.unwrap_or(Crop::Center),
            interpolation: options.interpolation.unwrap_or_default(),
            mean: per_channel(&options.mean, mean, "mean")?,
            std: per_channel(&options.std, std, "std")?,
            scale: options.scale.unwrap_or(255.0),
            color,
            layout,
        };
        if preprocess
            .std
            .iter()
            .chain([&preprocess.scale])
            .any(|value| !value.is_finite() || value.abs() < f32::MIN_POSITIVE)
        {
            return Err(fail("a divisor is zero".into(), "mend `--std` or `--scale`"));
        }
        Ok(preprocess)
    }

    /// Channels of the input.
    pub fn channels(&self) -> usize {
        self.mean.len()
    }

    /// One line for people.
    pub fn describe(&self) -> String {
        let resize = match self.resize {
            Resize::Short(side) => format!("short side {side}"),
            Resize::Exact => "resized".into(),
            Resize::None => "not resized".into(),
        };
        let crop = if self.crop == Crop::Center { ", centre crop" } else { "" };
        let list = |values: &[f32]| values.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let color = format!("{:?}", self.color).to_lowercase();
        format!(
            "{}x{} {color}, {resize}{crop}, v / {}, mean {}, std {}",
            self.size.0,
            self.size.1,
            self.scale,
            list(&self.mean),
            list(&self.std)
        )
    }

    /// The image at the input's size.
    ///
    /// # Errors
    /// If it does not have that size after resizing and cropping.
    pub(super) fn fit(&self, image: Pixels) -> Result<Pixels, String> {
        let (height, width) = self.size;
        if (image.height, image.width) == self.size {
            return Ok(image);
        }
        let mut image = match self.resize {
            Resize::None => image,
            Resize::Exact => image.resized(height, width, self.interpolation),
            Resize::Short(side) => {
                // torchvision truncates the longer side.
                let (h, w) = (image.height, image.width);
                let (new_h, new_w) = if h <= w { (side, side * w / h) } else { (side * h / w, side) };
                image.resized(new_h.max(1), new_w.max(1), self.interpolation)
            }
        };
        if self.crop == Crop::Center && image.height >= height && image.width >= width {
            image = image.centre(height, width);
        }
        if (image.height, image.width) != self.size {
            return Err(format!("it is {}x{} after preprocessing, not {height}x{width}", image.height, image.width));
        }
        Ok(image)
    }

    /// Input values of an image of the right size, in the input's layout, appended to `out`.
    pub(super) fn values(&self, image: &Pixels, mirrored: bool, out: &mut Vec<f32>) {
        let channels = self.channels();
        let value = |row: usize, column: usize, channel: usize| {
            let column = if mirrored { image.width - 1 - column } else { column };
            let source = if self.color == Color::Bgr { channels - 1 - channel } else { channel };
            let pixel = f32::from(image.data[(row * image.width + column) * channels + source]);
            (pixel / self.scale - self.mean[channel]) / self.std[channel]
        };
        match self.layout {
            Layout::Nchw => {
                for channel in 0..channels {
                    for row in 0..image.height {
                        out.extend((0..image.width).map(|column| value(row, column, channel)));
                    }
                }
            }
            Layout::Nhwc => {
                for row in 0..image.height {
                    for column in 0..image.width {
                        out.extend((0..channels).map(|channel| value(row, column, channel)));
                    }
                }
            }
        }
    }

    /// Shape of one input without the batch axis.
    pub fn input_shape(&self) -> [usize; 3] {
        match self.layout {
            Layout::Nchw => [self.channels(), self.size.0, self.size.1],
            Layout::Nhwc => [self.size.0, self.size.1, self.channels()],
        }
    }
}
