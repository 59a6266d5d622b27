//! Resizing, bit for bit as Pillow does it.
//!
//! Pillow (`Resample.c`) widens the filter by the scale when it shrinks, quantises the normalised weights to 22 bits,
//! runs the horizontal pass first and keeps 8 bits between the passes.

use serde::{Deserialize, Serialize};

/// Resampling filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interpolation {
    /// Triangle filter, support 1.
    #[default]
    Bilinear,
    /// Cubic convolution with a = -0.5, support 2.
    Bicubic,
}

/// Bits of the fixed-point weights: 32 less 8 for the pixel and 2 for sums.
const PRECISION: u32 = 32 - 8 - 2;

impl Interpolation {
    fn support(self) -> f64 {
        match self {
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
        }
    }

    fn weight(self, x: f64) -> f64 {
        const A: f64 = -0.5;
        let x = x.abs();
        match self {
            Self::Bilinear => (1.0 - x).max(0.0),
            Self::Bicubic if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
            Self::Bicubic if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
            Self::Bicubic => 0.0,
        }
    }
}

/// For one output position: first input position and fixed-point weights.
struct Taps {
    first: usize,
    weights: Vec<i32>,
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "positions inside an image, as Pillow casts"
)]
fn taps(filter: Interpolation, input: usize, output: usize) -> Vec<Taps> {
    let scale = input as f64 / output as f64;
    let widened = scale.max(1.0);
    let support = filter.support() * widened;
    (0..output)
        .map(|position| {
            let centre = (position as f64 + 0.5) * scale;
            let first = (centre - support + 0.5).max(0.0) as usize;
            let last = ((centre + support + 0.5) as usize).min(input);
            let raw: Vec<f64> =
                (first..last).map(|at| filter.weight((at as f64 - centre + 0.5) * (1.0 / widened))).collect();
            let total: f64 = raw.iter().sum();
            let weights = raw
                .iter()
                .map(|weight| {
                    let exact = weight / total * f64::from(1u32 << PRECISION);
                    (exact + if *weight < 0.0 { -0.5 } else { 0.5 }) as i32
                })
                .collect();
            Taps { first, weights }
        })
        .collect()
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to a byte first")]
fn to_byte(sum: i64) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

/// An 8-bit image `[height, width, channels]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pixels {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Values per pixel.
    pub channels: usize,
    /// Row-major, channels last.
    pub data: Vec<u8>,
}

impl Pixels {
    /// The image at another size.
    #[must_use]
    pub fn resized(&self, height: usize, width: usize, filter: Interpolation) -> Self {
        let mut image = self.clone();
        if width != image.width {
            image = image.pass(filter, width, true);
        }
        if height != image.height {
            image = image.pass(filter, height, false);
        }
        image
    }

    fn pass(&self, filter: Interpolation, size: usize, horizontal: bool) -> Self {
        let (height, width) = if horizontal { (self.height, size) } else { (size, self.width) };
        let taps = taps(filter, if horizontal { self.width } else { self.height }, size);
        let stride = if horizontal { self.channels } else { self.width * self.channels };
        let mut data = Vec::with_capacity(height * width * self.channels);
        for row in 0..height {
            for column in 0..width {
                let taps = &taps[if horizontal { column } else { row }];
                let start = if horizontal {
                    (row * self.width + taps.first) * self.channels
                } else {
                    (taps.first * self.width + column) * self.channels
                };
                for channel in 0..self.channels {
                    let mut sum = 1i64 << (PRECISION - 1);
                    for (number, &weight) in taps.weights.iter().enumerate() {
                        sum += i64::from(weight) * i64::from(self.data[start + number * stride + channel]);
                    }
                    data.push(to_byte(sum));
                }
            }
        }
        Self { height, width, channels: self.channels, data }
    }

    /// The centre of the image.
    #[must_use]
    pub fn centre(&self, height: usize, width: usize) -> Self {
        // Rounds half to even, as torchvision's `center_crop` does through Python's `round`.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "offsets inside the image")]
        let offset = |have: usize, want: usize| (have.saturating_sub(want) as f64 / 2.0).round_ties_even() as usize;
        let (top, left) = (offset(self.height, height), offset(self.width, width));
        let mut data = Vec::with_capacity(height * width * self.channels);
        for row in 0..height {
            let start = ((top + row) * self.width + left) * self.channels;
            data.extend_from_slice(&self.data[start..start + width * self.channels]);
        }
        Self { height, width, channels: self.channels, data }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp() -> Pixels {
        let data = (0..105u32).map(|i| u8::try_from(i * 37 % 256).unwrap()).collect();
        Pixels { height: 5, width: 7, channels: 3, data }
    }

    /// Pillow 13.0.0: `Image.fromarray(ramp).resize((3, 2), filter)`.
    #[test]
    fn shrinks_as_pillow_does() {
        let bilinear = [104, 86, 123, 146, 123, 100, 123, 160, 142, 105, 104, 141, 145, 122, 118, 141, 161, 131];
        let bicubic = [99, 79, 126, 158, 124, 87, 117, 165, 149, 99, 103, 146, 152, 118, 111, 141, 165, 132];
        assert_eq!(ramp().resized(2, 3, Interpolation::Bilinear).data, bilinear);
        assert_eq!(ramp().resized(2, 3, Interpolation::Bicubic).data, bicubic);
    }

    /// First row of `Image.fromarray(ramp).resize((9, 8), filter)`.
    #[test]
    fn enlarges_as_pillow_does() {
        let bilinear = [
            0, 37, 74, 74, 111, 148, 160, 84, 121, 190, 28, 65, 77, 114, 151, 163, 200, 38, 107, 144, 68, 80, 117, 154,
            154, 191, 228,
        ];
        let bicubic = [
            0, 31, 68, 66, 122, 159, 173, 86, 123, 201, 9, 51, 76, 113, 150, 175, 217, 25, 103, 140, 53, 67, 104, 160,
            158, 195, 232,
        ];
        assert_eq!(ramp().resized(8, 9, Interpolation::Bilinear).data[..27], bilinear);
        assert_eq!(ramp().resized(8, 9, Interpolation::Bicubic).data[..27], bicubic);
    }
}
