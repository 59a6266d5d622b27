//! Pillow's antialiased resampling, bit for bit.
//!
//! Source: `src/libImaging/Resample.c` of Pillow 13.0, 8 bits per channel. Weights are computed in `f64`, normalised and
//! rounded to 22-bit fixed point; what lies between the two passes is 8-bit again.

use super::preprocess::Interpolation;

/// Fraction bits of a weight: 32 bits less 8 of the pixel and 2 of headroom (`PRECISION_BITS`).
const PRECISION_BITS: u32 = 32 - 8 - 2;

/// Resizes interleaved pixels `[height, width, channels]` to `[to[1], to[0], channels]`; `from` and `to` are
/// `[width, height]` in pixels, all at least 1.
///
/// A side that keeps its length is left alone, as Pillow does.
pub(crate) fn resize(
    data: &[u8],
    from: [usize; 2],
    to: [usize; 2],
    channels: usize,
    interpolation: Interpolation,
) -> Vec<u8> {
    let across = |data: &[u8]| horizontal(data, from[0], channels, &Kernel::new(from[0], to[0], interpolation));
    let down = |data: &[u8], width| vertical(data, width * channels, &Kernel::new(from[1], to[1], interpolation));
    match (from[0] == to[0], from[1] == to[1]) {
        (true, true) => data.to_vec(),
        (false, true) => across(data),
        (true, false) => down(data, from[0]),
        (false, false) if vertical_first(from, to) => across(&down(data, from[0])),
        (false, false) => down(&across(data), to[0]),
    }
}

/// Pillow's order since 13.0: the vertical pass goes first where it drops more than twice as many rows as the
/// horizontal one drops columns. Earlier versions start with the horizontal pass; the results differ by one level.
fn vertical_first(from: [usize; 2], to: [usize; 2]) -> bool {
    from[1] > to[1] && from[1] - to[1] > 2 * from[0].saturating_sub(to[0])
}

/// The weights of every output position along one side.
struct Kernel {
    /// For each output position: first input position, and where its weights lie.
    spans: Vec<(usize, std::ops::Range<usize>)>,
    weights: Vec<i32>,
}

impl Kernel {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "Pillow truncates; the values are clamped to 0..=length before the cast"
    )]
    fn new(length: usize, target: usize, interpolation: Interpolation) -> Self {
        let scale = length as f64 / target as f64;
        let filter_scale = scale.max(1.0);
        let support = interpolation.support() * filter_scale;
        let mut kernel = Self { spans: Vec::with_capacity(target), weights: Vec::new() };
        let mut exact = Vec::new();
        for position in 0..target {
            let center = (position as f64 + 0.5) * scale;
            let first = (center - support + 0.5).max(0.0) as usize;
            let end = ((center + support + 0.5).max(0.0) as usize).min(length);
            exact.clear();
            exact.extend((first..end).map(|x| {
                let distance = (x as f64 - center + 0.5) * (1.0 / filter_scale);
                interpolation.weight(distance)
            }));
            let sum: f64 = exact.iter().sum();
            let start = kernel.weights.len();
            kernel.weights.extend(exact.iter().map(|&w| fixed(if sum == 0.0 { w } else { w / sum })));
            kernel.spans.push((first, start..kernel.weights.len()));
        }
        kernel
    }

    fn taps(&self) -> impl Iterator<Item = (usize, &[i32])> {
        self.spans.iter().map(|(first, range)| (*first, &self.weights[range.clone()]))
    }
}

impl Interpolation {
    /// Radius of the filter in input pixels at scale 1.
    fn support(self) -> f64 {
        match self {
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
        }
    }

    fn weight(self, x: f64) -> f64 {
        let x = x.abs();
        match self {
            Self::Bilinear if x < 1.0 => 1.0 - x,
            // Keys' kernel with a = -0.5, factored as Pillow factors it: the order of operations decides the last bit.
            Self::Bicubic if x < 1.0 => ((-0.5 + 2.0) * x - (-0.5 + 3.0)) * x * x + 1.0,
            Self::Bicubic if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5,
            _ => 0.0,
        }
    }
}

/// Rounds half away from zero to fixed point, as Pillow does with `(int)(±0.5 + w * 2^22)`.
#[allow(clippy::cast_possible_truncation, reason = "normalised weights lie within ±2, far inside i32 at 22 bits")]
fn fixed(weight: f64) -> i32 {
    let scaled = weight * f64::from(1_u32 << PRECISION_BITS);
    (scaled + if weight < 0.0 { -0.5 } else { 0.5 }) as i32
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=255")]
fn clip(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}

const HALF: i32 = 1 << (PRECISION_BITS - 1);

fn horizontal(data: &[u8], width: usize, channels: usize, kernel: &Kernel) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len() / width * kernel.spans.len());
    for row in data.chunks_exact(width * channels) {
        match channels {
            1 => horizontal_row::<1>(row, kernel, &mut out),
            _ => horizontal_row::<3>(row, kernel, &mut out),
        }
    }
    out
}

fn horizontal_row<const C: usize>(row: &[u8], kernel: &Kernel, out: &mut Vec<u8>) {
    for (first, weights) in kernel.taps() {
        let mut sums = [HALF; C];
        for (pixel, &weight) in row[first * C..].chunks_exact(C).zip(weights) {
            for (sum, &value) in sums.iter_mut().zip(pixel) {
                *sum += i32::from(value) * weight;
            }
        }
        out.extend(sums.map(clip));
    }
}

fn vertical(data: &[u8], stride: usize, kernel: &Kernel) -> Vec<u8> {
    let mut out = Vec::with_capacity(stride * kernel.spans.len());
    let mut sums = vec![0_i32; stride];
    for (first, weights) in kernel.taps() {
        sums.fill(HALF);
        for (row, &weight) in data[first * stride..].chunks_exact(stride).zip(weights) {
            for (sum, &value) in sums.iter_mut().zip(row) {
                *sum += i32::from(value) * weight;
            }
        }
        out.extend(sums.iter().map(|&sum| clip(sum)));
    }
    out
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation, reason = "small numbers make small pictures")]
mod tests {
    use super::*;

    /// The picture of which the golden values below were made.
    fn picture(width: usize, height: usize, channels: usize) -> Vec<u8> {
        let mut data = Vec::new();
        for y in 0..height {
            for x in 0..width {
                for k in 0..channels {
                    data.push(((x * x * 31 + y * 57 + k * 91 + x * y * 13) % 256) as u8);
                }
            }
        }
        data
    }

    fn fnv1a(data: &[u8]) -> u64 {
        data.iter().fold(0xcbf2_9ce4_8422_2325, |h, &v| (h ^ u64::from(v)).wrapping_mul(0x100_0000_01b3))
    }

    /// Pillow 13.0.0: `Image.fromarray(picture).resize((to_w, to_h), filter)`.
    #[test]
    fn equals_pillow_value_by_value() {
        type Case = (usize, usize, usize, usize, usize, Interpolation, &'static [u8]);
        let cases: &[Case] = &[
            (7, 5, 1, 4, 3, Interpolation::Bilinear, &[46, 113, 122, 113, 137, 126, 158, 176, 172, 143, 129, 176]),
            (7, 5, 1, 4, 3, Interpolation::Bicubic, &[39, 116, 123, 111, 142, 126, 156, 181, 178, 139, 126, 180]),
            (
                5,
                4,
                3,
                3,
                2,
                Interpolation::Bilinear,
                &[58, 133, 156, 120, 134, 115, 137, 129, 110, 156, 91, 103, 125, 122, 136, 128, 109, 163],
            ),
            (
                5,
                4,
                3,
                3,
                2,
                Interpolation::Bicubic,
                &[49, 137, 161, 120, 135, 111, 140, 131, 105, 165, 87, 96, 126, 120, 139, 125, 108, 168],
            ),
            (
                4,
                3,
                1,
                7,
                5,
                Interpolation::Bilinear,
                &[
                    0, 11, 29, 78, 117, 59, 23, 23, 36, 57, 108, 151, 95, 61, 57, 73, 98, 154, 201, 150, 119, 91, 110,
                    139, 123, 109, 150, 177, 114, 134, 167, 103, 47, 150, 215,
                ],
            ),
            (
                4,
                3,
                1,
                7,
                5,
                Interpolation::Bicubic,
                &[
                    0, 1, 22, 80, 116, 50, 8, 16, 24, 48, 116, 159, 89, 44, 54, 66, 96, 162, 206, 150, 112, 92, 114,
                    149, 122, 101, 157, 192, 113, 141, 179, 90, 25, 155, 238,
                ],
            ),
            (9, 2, 1, 3, 2, Interpolation::Bilinear, &[46, 111, 162, 119, 134, 146]),
            (9, 2, 1, 3, 2, Interpolation::Bicubic, &[47, 104, 164, 118, 136, 147]),
            (6, 6, 1, 6, 2, Interpolation::Bilinear, &[71, 119, 132, 111, 152, 128, 150, 134, 115, 159, 105, 177]),
            (6, 6, 1, 6, 2, Interpolation::Bicubic, &[71, 117, 130, 108, 161, 128, 150, 140, 112, 162, 96, 176]),
        ];
        for &(w, h, c, to_w, to_h, interpolation, expected) in cases {
            let found = resize(&picture(w, h, c), [w, h], [to_w, to_h], c, interpolation);
            assert_eq!(found, expected, "{w}x{h}x{c} to {to_w}x{to_h} {interpolation:?}");
        }
    }

    /// As above on larger pictures, by the FNV-1a hash of all bytes.
    #[test]
    fn equals_pillow_on_larger_pictures() {
        let cases = [
            (300, 200, 3, 384, 256, Interpolation::Bilinear, 0xfab6_1819_8372_3298),
            (300, 200, 3, 384, 256, Interpolation::Bicubic, 0x0b9c_f859_f8a2_2c4b),
            (640, 427, 3, 384, 256, Interpolation::Bilinear, 0x0542_f872_b086_59c5),
            (640, 427, 3, 384, 256, Interpolation::Bicubic, 0xe1cb_dec0_a47e_7084),
            (50, 40, 3, 224, 224, Interpolation::Bilinear, 0xa873_0df1_9854_2e86),
            (50, 40, 3, 224, 224, Interpolation::Bicubic, 0x752d_5040_46a3_4973),
            (33, 97, 1, 32, 32, Interpolation::Bilinear, 0x9e5c_fe9a_a073_64fe),
            (33, 97, 1, 32, 32, Interpolation::Bicubic, 0x42a7_5973_4dc5_f0fa),
        ];
        for (w, h, c, to_w, to_h, interpolation, expected) in cases {
            let found = resize(&picture(w, h, c), [w, h], [to_w, to_h], c, interpolation);
            assert_eq!(found.len(), to_w * to_h * c);
            assert_eq!(fnv1a(&found), expected, "{w}x{h}x{c} to {to_w}x{to_h} {interpolation:?}");
        }
    }

    #[test]
    fn same_size_changes_nothing() {
        let data = picture(6, 5, 3);
        assert_eq!(resize(&data, [6, 5], [6, 5], 3, Interpolation::Bicubic), data);
    }
}
