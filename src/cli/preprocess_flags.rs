//! How images become inputs.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::parse;
use crate::calibration::{Color, Crop, Interpolation, Layout, PreprocessOptions, Resize};

#[derive(Debug, Args)]
pub(super) struct PreprocessFlags {
    /// Preprocessing from a toml file, a timm config or a Hugging Face preprocessor config
    #[arg(long = "preprocess", value_name = "FILE", help_heading = "Preprocessing")]
    pub(super) file: Option<PathBuf>,
    /// Height and width of the input [default: the model's]
    #[arg(long, value_name = "HxW", value_parser = parse::size, help_heading = "Preprocessing")]
    size: Option<(usize, usize)>,
    /// short:PIXELS, exact or none
    #[arg(long, value_name = "RULE", value_parser = parse::resize, help_heading = "Preprocessing")]
    resize: Option<Resize>,
    /// What is cut out after resizing
    #[arg(long, value_enum, help_heading = "Preprocessing")]
    crop: Option<CropFlag>,
    /// Filter for resizing
    #[arg(long, value_enum, help_heading = "Preprocessing")]
    interpolation: Option<InterpolationFlag>,
    /// Subtracted per channel, after dividing by --scale
    #[arg(
        long,
        value_name = "A,B,C",
        value_parser = parse::finite,
        value_delimiter = ',',
        allow_hyphen_values = true,
        help_heading = "Preprocessing"
    )]
    mean: Option<Vec<f32>>,
    /// Divided by per channel
    #[arg(
        long,
        value_name = "A,B,C",
        value_parser = parse::positive,
        value_delimiter = ',',
        help_heading = "Preprocessing"
    )]
    std: Option<Vec<f32>>,
    /// Pixels 0..255 are divided by this first [default: 255]
    #[arg(long, value_name = "X", value_parser = parse::positive, help_heading = "Preprocessing")]
    scale: Option<f32>,
    /// Colour order of the input
    #[arg(long, value_enum, help_heading = "Preprocessing")]
    color: Option<ColorFlag>,
    /// Axis order of the input
    #[arg(long, value_enum, help_heading = "Preprocessing")]
    layout: Option<LayoutFlag>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum CropFlag {
    Center,
    None,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum InterpolationFlag {
    Bilinear,
    Bicubic,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ColorFlag {
    Rgb,
    Bgr,
    Gray,
    Rgba,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LayoutFlag {
    Nchw,
    Nhwc,
}

impl PreprocessFlags {
    /// The flags alone, without the file.
    pub(super) fn options(&self) -> PreprocessOptions {
        PreprocessOptions {
            size: self.size,
            resize: self.resize,
            crop: self.crop.map(|crop| match crop {
                CropFlag::Center => Crop::Center,
                CropFlag::None => Crop::None,
            }),
            interpolation: self.interpolation.map(|filter| match filter {
                InterpolationFlag::Bilinear => Interpolation::Bilinear,
                InterpolationFlag::Bicubic => Interpolation::Bicubic,
            }),
            mean: self.mean.clone(),
            std: self.std.clone(),
            scale: self.scale,
            color: self.color.map(|color| match color {
                ColorFlag::Rgb => Color::Rgb,
                ColorFlag::Bgr => Color::Bgr,
                ColorFlag::Gray => Color::Gray,
                ColorFlag::Rgba => Color::Rgba,
            }),
            layout: self.layout.map(|layout| match layout {
                LayoutFlag::Nchw => Layout::Nchw,
                LayoutFlag::Nhwc => Layout::Nhwc,
            }),
        }
    }
}
