//! Image files to 8-bit pixels, as Pillow's `Image.open(path).convert("RGB")` gives them.
//!
//! Opacity is dropped unless the model takes four channels, palettes are expanded, the orientation tag is ignored (as Pillow and torchvision do).
//! Of 16-bit samples the high byte is used; Pillow clips 16-bit grey instead, which makes nearly all of it white.

use std::io::{BufRead, Cursor, Seek};
use std::path::Path;

use image::{DynamicImage, ImageReader, Limits};

/// Largest side of an image file in pixels.
const LONGEST_SIDE: u32 = 32_768;

/// Most memory that decoding one file may take, in bytes.
const MOST_MEMORY: u64 = 1 << 30;

/// File name endings, in lower case, of the formats that can be decoded.
pub(crate) const EXTENSIONS: [&str; 5] = ["jpg", "jpeg", "png", "bmp", "webp"];

/// Interleaved 8-bit pixels, `[height, width, channels]`; one channel is grey, three are red, green, blue, and a
/// fourth is opacity.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pixels {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) channels: usize,
    pub(crate) data: Vec<u8>,
}

impl Pixels {
    /// Grey of ITU-R 601-2 in Pillow's fixed point; grey pixels stay as they are.
    pub(crate) fn into_gray(self) -> Self {
        if self.channels == 1 {
            return self;
        }
        let luma = |rgb: &[u8]| {
            let [r, g, b] = [rgb[0], rgb[1], rgb[2]].map(u32::from);
            high_byte((r * 19_595 + g * 38_470 + b * 7_471 + 0x8000) >> 8)
        };
        Self { channels: 1, data: self.data.chunks_exact(self.channels).map(luma).collect(), ..self }
    }

    /// Three channels; grey is repeated, opacity dropped.
    pub(crate) fn into_rgb(self) -> Self {
        let data = match self.channels {
            3 => return self,
            1 => self.data.iter().flat_map(|&v| [v; 3]).collect(),
            channels => self.data.chunks_exact(channels).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect(),
        };
        Self { channels: 3, data, ..self }
    }

    /// Four channels; what has no opacity is opaque.
    pub(crate) fn into_rgba(self) -> Self {
        if self.channels == 4 {
            return self;
        }
        let rgb = self.into_rgb();
        let opaque = |pixel: &[u8]| [pixel[0], pixel[1], pixel[2], u8::MAX];
        Self { channels: 4, data: rgb.data.chunks_exact(3).flat_map(opaque).collect(), ..rgb }
    }
}

/// Decodes a file; the error says what is wrong with it.
pub(crate) fn decode_file(path: &Path) -> Result<Pixels, String> {
    decode_bytes(std::fs::read(path).map_err(|error| error.to_string())?)
}

/// Decodes the bytes of a file.
pub(crate) fn decode_bytes(bytes: Vec<u8>) -> Result<Pixels, String> {
    if bytes.is_empty() {
        return Err("the file is empty".to_owned());
    }
    decode(Cursor::new(bytes))
}

fn decode(input: impl BufRead + Seek) -> Result<Pixels, String> {
    let mut reader = ImageReader::new(input).with_guessed_format().map_err(|error| error.to_string())?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(LONGEST_SIDE);
    limits.max_image_height = Some(LONGEST_SIDE);
    limits.max_alloc = Some(MOST_MEMORY);
    reader.limits(limits);
    let image = reader.decode().map_err(|error| error.to_string())?;
    if image.width() == 0 || image.height() == 0 {
        return Err("the image has no pixels".to_owned());
    }
    Ok(pixels(image))
}

fn pixels(image: DynamicImage) -> Pixels {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let gray = |data: Vec<u8>| Pixels { width, height, channels: 1, data };
    let rgb = |data: Vec<u8>| Pixels { width, height, channels: 3, data };
    let rgba = |data: Vec<u8>| Pixels { width, height, channels: 4, data };
    match image {
        DynamicImage::ImageRgba8(image) => rgba(image.into_raw()),
        DynamicImage::ImageLuma8(image) => gray(image.into_raw()),
        DynamicImage::ImageLumaA8(image) => gray(image.into_raw().into_iter().step_by(2).collect()),
        DynamicImage::ImageLuma16(image) => gray(narrow(image.into_raw())),
        DynamicImage::ImageLumaA16(image) => gray(narrow(image.into_raw().into_iter().step_by(2))),
        DynamicImage::ImageRgb16(image) => rgb(narrow(image.into_raw())),
        DynamicImage::ImageRgba16(image) => rgba(narrow(image.into_raw())),
        other => rgb(other.into_rgb8().into_raw()),
    }
}

fn narrow(samples: impl IntoIterator<Item = u16>) -> Vec<u8> {
    samples.into_iter().map(|sample| high_byte(sample.into())).collect()
}

fn high_byte(sample: u32) -> u8 {
    sample.to_le_bytes()[1]
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation, reason = "small numbers make small pictures")]
mod tests {
    use super::*;
    use image::{ImageBuffer, ImageFormat, Luma, LumaA, Rgb, Rgba};

    fn png(image: impl Into<DynamicImage>) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.into().write_to(&mut bytes, ImageFormat::Png).unwrap();
        bytes.into_inner()
    }

    fn read(bytes: Vec<u8>) -> Pixels {
        decode(Cursor::new(bytes)).unwrap()
    }

    #[test]
    fn transparency_is_dropped() {
        let rgba = png(ImageBuffer::from_pixel(1, 1, Rgba([10_u8, 20, 30, 0])));
        assert_eq!(read(rgba.clone()).into_rgb(), Pixels { width: 1, height: 1, channels: 3, data: vec![10, 20, 30] });
        assert_eq!(read(rgba).into_rgba().data, [10, 20, 30, 0]);
        let opaque = png(ImageBuffer::from_pixel(1, 1, Rgb([1_u8, 2, 3])));
        assert_eq!(read(opaque).into_rgba().data, [1, 2, 3, 255]);
        let la = png(ImageBuffer::from_fn(2, 1, |x, _| LumaA([x as u8 + 7, 0])));
        assert_eq!(read(la), Pixels { width: 2, height: 1, channels: 1, data: vec![7, 8] });
    }

    #[test]
    fn of_16_bits_the_high_byte_is_kept() {
        assert_eq!(read(png(ImageBuffer::from_pixel(1, 1, Luma([0x80ff_u16])))).data, [0x80]);
        assert_eq!(read(png(ImageBuffer::from_pixel(1, 1, Rgb([0x01ff_u16, 0x7f00, 0xffff])))).data, [1, 0x7f, 255]);
        assert_eq!(
            read(png(ImageBuffer::from_pixel(1, 1, Rgba([0x01ff_u16, 0x7f00, 0xffff, 0])))).into_rgb().data,
            [1, 0x7f, 255]
        );
    }

    /// Pillow 13.0.0: `Image.new("RGB", (1, 1), c).convert("L").getpixel((0, 0))`.
    #[test]
    fn gray_equals_pillow() {
        for (rgb, expected) in
            [([255, 0, 0], 76), ([0, 255, 0], 150), ([0, 0, 255], 29), ([1, 2, 3], 2), ([200, 100, 50], 124)]
        {
            let pixels = Pixels { width: 1, height: 1, channels: 3, data: rgb.to_vec() };
            assert_eq!(pixels.into_gray().data, [expected], "{rgb:?}");
        }
    }

    #[test]
    fn a_bomb_is_refused_by_its_header() {
        // A BMP header of 100,000 x 100,000 pixels without a body.
        let mut bytes = b"BM".to_vec();
        bytes.extend(54_u32.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(54_u32.to_le_bytes());
        bytes.extend(40_u32.to_le_bytes());
        bytes.extend(100_000_i32.to_le_bytes());
        bytes.extend(100_000_i32.to_le_bytes());
        bytes.extend([1, 0, 24, 0]);
        bytes.extend([0; 24]);
        assert!(decode(Cursor::new(bytes)).is_err());
    }

    #[test]
    fn broken_files_are_errors() {
        let mut cut = png(ImageBuffer::from_fn(64, 64, |x, y| Luma([(x * y) as u8])));
        cut.truncate(cut.len() / 2);
        for bytes in [cut, b"not an image".to_vec(), vec![0xff, 0xd8, 0xff]] {
            assert!(decode(Cursor::new(bytes)).is_err());
        }
    }
}
