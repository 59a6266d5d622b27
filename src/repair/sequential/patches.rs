//! What an output of a layer reads: for every output position and kernel position an input position, or the padding.

use rand::seq::index::sample;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::model::node::{int_attribute, ints_attribute, text_attribute};
use crate::proto::onnx::NodeProto;

/// Reads nothing: padding.
const NOTHING: u32 = u32::MAX;

/// Attributes of a convolution or transposed convolution over any number of axes (ONNX `Conv`, `ConvTranspose`).
#[derive(Debug, Clone)]
pub(super) struct Geometry {
    pub(super) transposed: bool,
    pub(super) groups: usize,
    kernel: Vec<usize>,
    strides: Vec<usize>,
    dilations: Vec<usize>,
    /// Padding before each axis; `None`: as `auto_pad` says.
    begin: Option<Vec<i64>>,
    lower: bool,
}

impl Geometry {
    /// `None` where the padding of a transposed convolution is implicit or an attribute is malformed.
    pub(super) fn of(node: &NodeProto, kernel: &[usize]) -> Option<Self> {
        let rank = kernel.len();
        let sizes = |name: &str| -> Option<Vec<usize>> {
            let given = ints_attribute(node, name).unwrap_or_else(|| vec![1; rank]);
            let sizes: Option<Vec<usize>> =
                given.into_iter().map(|v| usize::try_from(v).ok().filter(|v| *v > 0)).collect();
            sizes.filter(|sizes| sizes.len() == rank)
        };
        let mode = text_attribute(node, "auto_pad").unwrap_or("NOTSET");
        let transposed = node.op_type() == "ConvTranspose";
        let begin = match mode {
            "NOTSET" => Some(ints_attribute(node, "pads").unwrap_or_else(|| vec![0; 2 * rank])),
            "VALID" => Some(vec![0; 2 * rank]),
            "SAME_UPPER" | "SAME_LOWER" if !transposed => None,
            _ => return None,
        };
        if begin.as_ref().is_some_and(|pads| pads.len() != 2 * rank) {
            return None;
        }
        Some(Self {
            transposed,
            groups: usize::try_from(int_attribute(node, "group").unwrap_or(1)).ok().filter(|groups| *groups > 0)?,
            kernel: kernel.to_vec(),
            strides: sizes("strides")?,
            dilations: sizes("dilations")?,
            begin: begin.map(|pads| pads[..rank].to_vec()),
            lower: mode == "SAME_LOWER",
        })
    }

    /// Input index along an axis that kernel index `k` reads for output index `o`.
    fn reads(&self, axis: usize, o: usize, k: usize, (input, begin): (usize, i64)) -> Option<usize> {
        let (o, k) = (i64::try_from(o).ok()?, i64::try_from(k * self.dilations[axis]).ok()?);
        let stride = i64::try_from(self.strides[axis]).ok()?;
        let at = if self.transposed {
            let scaled = o + begin - k;
            (scaled % stride == 0).then_some(scaled / stride)?
        } else {
            o * stride + k - begin
        };
        usize::try_from(at).ok().filter(|&at| at < input)
    }

    fn begin(&self, axis: usize, input: usize, output: usize) -> i64 {
        if let Some(begin) = &self.begin {
            return begin[axis];
        }
        let reach = output.saturating_sub(1) * self.strides[axis] + (self.kernel[axis] - 1) * self.dilations[axis] + 1;
        let total = reach.saturating_sub(input);
        i64::try_from(if self.lower { total.div_ceil(2) } else { total / 2 }).unwrap_or(0)
    }
}

/// The table of what is read, for one size of the input.
#[derive(Debug, Clone)]
pub(super) struct Reads {
    pub(super) kernel_size: usize,
    pub(super) positions: usize,
    /// Input positions of one channel.
    pub(super) area: usize,
    table: Vec<u32>,
}

impl Reads {
    /// One position reads itself.
    pub(super) fn plain(positions: usize) -> Self {
        #[allow(clippy::cast_possible_truncation, reason = "positions of one image")]
        let table = (0..positions as u32).collect();
        Self { kernel_size: 1, positions, area: positions, table }
    }

    /// For spatial sizes of the input and the output.
    #[allow(clippy::cast_possible_truncation, reason = "positions of one image")]
    pub(super) fn of(geometry: &Geometry, input: &[usize], output: &[usize]) -> Option<Self> {
        let rank = geometry.kernel.len();
        if input.len() != rank || output.len() != rank {
            return None;
        }
        let (kernel_size, positions) = (geometry.kernel.iter().product(), output.iter().product::<usize>());
        let begins: Vec<i64> = (0..rank).map(|axis| geometry.begin(axis, input[axis], output[axis])).collect();
        let mut table = Vec::with_capacity(positions * kernel_size);
        for position in 0..positions {
            for kernel_position in 0..kernel_size {
                let (mut p, mut t, mut at, mut scale) = (position, kernel_position, Some(0), 1);
                for axis in (0..rank).rev() {
                    let (o, k) = (p % output[axis], t % geometry.kernel[axis]);
                    (p, t) = (p / output[axis], t / geometry.kernel[axis]);
                    let own = geometry.reads(axis, o, k, (input[axis], begins[axis]));
                    at = at.zip(own).map(|(at, own)| at + own * scale);
                    scale *= input[axis];
                }
                table.push(at.map_or(NOTHING, |at| at as u32));
            }
        }
        Some(Self { kernel_size, positions, area: input.iter().product(), table })
    }

    /// Writes the patch `[C * kernel_size]` of a position of an image `[C, area]`; padding is zero.
    pub(super) fn patch(&self, image: &[f32], position: usize, to: &mut [f32]) {
        let reads = &self.table[position * self.kernel_size..][..self.kernel_size];
        for (map, own) in image.chunks_exact(self.area).zip(to.chunks_exact_mut(self.kernel_size)) {
            for (cell, &at) in own.iter_mut().zip(reads) {
                *cell = if at == NOTHING { 0.0 } else { map[at as usize] };
            }
        }
    }
}

/// Positions of an image that are looked at, ascending; the draw depends on the image's number alone.
pub(super) fn positions(seed: u64, image: usize, of: usize, wanted: usize) -> Vec<usize> {
    if wanted >= of {
        return (0..of).collect();
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(image as u64);
    let mut picked = sample(&mut rng, of, wanted).into_vec();
    picked.sort_unstable();
    picked
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::onnx::AttributeProto;

    fn node(op: &str, ints: &[(&str, &[i64])]) -> NodeProto {
        let attribute = ints
            .iter()
            .map(|(name, values)| AttributeProto {
                name: Some((*name).into()),
                ints: values.to_vec(),
                ..AttributeProto::default()
            })
            .collect();
        NodeProto { op_type: Some(op.into()), attribute, ..NodeProto::default() }
    }

    fn patch(reads: &Reads, position: usize) -> Vec<f32> {
        let image: Vec<f32> = (1..=reads.area).map(|value| value as f32).collect();
        let mut patch = vec![-1.0; reads.kernel_size];
        reads.patch(&image, position, &mut patch);
        patch
    }

    #[test]
    fn windows_with_stride_padding_and_dilation() {
        let own = node("Conv", &[("strides", &[2, 1]), ("pads", &[1, 0, 0, 0]), ("dilations", &[1, 2])]);
        // 4 x 5 image, kernel 2 x 2: rows 2o - 1 + {0, 1}, columns o + {0, 2}.
        let reads = Reads::of(&Geometry::of(&own, &[2, 2]).unwrap(), &[4, 5], &[2, 3]).unwrap();
        assert_eq!(patch(&reads, 0), [0.0, 0.0, 1.0, 3.0]);
        assert_eq!(patch(&reads, 5), [8.0, 10.0, 13.0, 15.0]);
    }

    #[test]
    fn transposed_windows_read_where_the_stride_divides() {
        let own = node("ConvTranspose", &[("strides", &[2])]);
        // y[o] = sum over k of w[k] x[(o - k) / 2].
        let reads = Reads::of(&Geometry::of(&own, &[3]).unwrap(), &[3], &[7]).unwrap();
        let found: Vec<Vec<f32>> = (0..7).map(|o| patch(&reads, o)).collect();
        assert_eq!(found[0], [1.0, 0.0, 0.0]);
        assert_eq!(found[2], [2.0, 0.0, 1.0]);
        assert_eq!(found[3], [0.0, 2.0, 0.0]);
        assert_eq!(found[6], [0.0, 0.0, 3.0]);
    }

    #[test]
    fn draws_depend_on_the_image_alone() {
        let picked = positions(3, 17, 100, 10);
        assert_eq!(picked, positions(3, 17, 100, 10));
        assert_ne!(picked, positions(3, 18, 100, 10));
        assert!(picked.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(positions(3, 0, 4, 10), [0, 1, 2, 3]);
    }
}
