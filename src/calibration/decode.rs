//! Image files to 8-bit pixels.

use std::path::Path;

use image::{DynamicImage, ImageReader, Limits};

use super::resample::Pixels;

/// A picture needs no more memory than this when decoded.
const MOST_BYTES: u64 = 512 << 20;

/// Decodes a file as `channels` = 3 (RGB) or 1 (grey), as Pillow's `convert` does. EXIF orientation is not applied.
pub(super) fn decode(path: &Path, channels: usize) -> Result<Pixels, String> {
    let mut reader =
        ImageReader::open(path).and_then(ImageReader::with_guessed_format).map_err(|error| error.to_string())?;
    let mut limits = Limits::default();
    limits.max_alloc = Some(MOST_BYTES);
    limits.max_image_width = Some(32_768);
    limits.max_image_height = Some(32_768);
    reader.limits(limits);
    let image = reader.decode().map_err(|error| error.to_string())?;
    let (width, height) = (image.width() as usize, image.height() as usize);
    if width == 0 || height == 0 {
        return Err("it has no pixels".into());
    }
    let data = if channels == 1 { grey(image) } else { without_alpha(image).into_rgb8().into_raw() };
    Ok(Pixels { height, width, channels, data })
}

/// Pillow drops alpha and does not blend.
fn without_alpha(image: DynamicImage) -> DynamicImage {
    match image {
        DynamicImage::ImageLumaA8(_) | DynamicImage::ImageLumaA16(_) => DynamicImage::ImageLuma8(image.into_luma8()),
        other => other,
    }
}

/// ITU-R 601 luma in 16-bit fixed point, as Pillow's "L" conversion.
fn grey(image: DynamicImage) -> Vec<u8> {
    match image {
        DynamicImage::ImageLuma8(grey) => grey.into_raw(),
        DynamicImage::ImageLumaA8(_) | DynamicImage::ImageLuma16(_) | DynamicImage::ImageLumaA16(_) => {
            image.into_luma8().into_raw()
        }
        other => other
            .into_rgb8()
            .pixels()
            .map(|pixel| {
                let [r, g, b] = pixel.0.map(u32::from);
                #[allow(clippy::cast_possible_truncation, reason = "a weighted mean of bytes")]
                let luma = ((r * 19_595 + g * 38_470 + b * 7_471 + 0x8000) >> 16) as u8;
                luma
            })
            .collect(),
    }
}
