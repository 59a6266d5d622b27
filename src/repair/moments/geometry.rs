//! Where a convolution's window reads, and the mean of what it reads there.

use ndarray::ArrayViewD;
use rayon::prelude::*;

use crate::model::node::{ints_attribute, text_attribute};
use crate::proto::onnx::NodeProto;

/// Window of a two-dimensional convolution without groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::repair) struct Window {
    kernel: [usize; 2],
    strides: [usize; 2],
    dilations: [usize; 2],
    begin: [i64; 2],
    output: [usize; 2],
}

impl Window {
    /// `None` if the node is not such a convolution or its padding is implicit.
    pub(in crate::repair) fn of(node: &NodeProto, weight: &[usize], output: &[usize]) -> Option<Self> {
        let (&[_, _, kh, kw], &[_, _, oh, ow]) = (weight, output) else { return None };
        let pair = |name: &str, default: usize| match ints_attribute(node, name) {
            Some(values) => Some([usize::try_from(*values.first()?).ok()?, usize::try_from(*values.get(1)?).ok()?]),
            None => Some([default; 2]),
        };
        let implicit = text_attribute(node, "auto_pad").is_some_and(|mode| mode != "NOTSET");
        if node.op_type() != "Conv" || implicit {
            return None;
        }
        let pads = ints_attribute(node, "pads").unwrap_or_else(|| vec![0; 4]);
        Some(Self {
            kernel: [kh, kw],
            strides: pair("strides", 1)?,
            dilations: pair("dilations", 1)?,
            begin: [*pads.first()?, *pads.get(1)?],
            output: [oh, ow],
        })
    }

    /// Adds, for every channel and kernel position, the sum over output positions of what is read: `[C, kh * kw]`.
    /// Returns the number of output positions over the batch.
    pub(in crate::repair) fn add_sums(&self, x: &ArrayViewD<'_, f32>, sums: &mut [f64]) -> usize {
        let &[n, _, height, width] = x.shape() else { return 0 };
        let Some(values) = x.as_slice() else { return 0 };
        let [kh, kw] = self.kernel;
        let rows: Vec<Vec<usize>> = (0..kh).map(|k| self.range(0, k, height)).collect();
        let columns: Vec<Vec<usize>> = (0..kw).map(|k| self.range(1, k, width)).collect();
        let (area, channels) = (height * width, x.shape()[1]);
        // Channels are independent, so the sums do not depend on the number of threads.
        sums.par_chunks_mut(kh * kw).enumerate().for_each(|(channel, sums)| {
            for image in 0..n {
                let map = &values[(image * channels + channel) * area..][..area];
                for (ky, rows) in rows.iter().enumerate() {
                    for row in rows.iter().map(|row| &map[row * width..][..width]) {
                        for (sum, columns) in sums[ky * kw..].iter_mut().zip(&columns) {
                            *sum += columns.iter().map(|&column| f64::from(row[column])).sum::<f64>();
                        }
                    }
                }
            }
        });
        n * self.output[0] * self.output[1]
    }

    /// Kernel positions.
    pub(in crate::repair) fn kernel_size(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Output positions.
    pub(in crate::repair) fn positions(&self) -> usize {
        self.output[0] * self.output[1]
    }

    /// Row and column of the input that kernel position `kernel_position` reads for an output position; `None` in the padding.
    pub(in crate::repair) fn reads(
        &self,
        position: usize,
        kernel_position: usize,
        height: usize,
        width: usize,
    ) -> Option<(usize, usize)> {
        let at = |axis: usize, o: usize, k: usize, size: usize| {
            let at = i64::try_from(o * self.strides[axis] + k * self.dilations[axis]).ok()? - self.begin[axis];
            usize::try_from(at).ok().filter(|&at| at < size)
        };
        let (y, x) = (position / self.output[1], position % self.output[1]);
        Some((at(0, y, kernel_position / self.kernel[1], height)?, at(1, x, kernel_position % self.kernel[1], width)?))
    }

    /// Input indices that kernel position `k` reads along an axis; padding reads nothing.
    fn range(&self, axis: usize, k: usize, size: usize) -> Vec<usize> {
        (0..self.output[axis])
            .filter_map(|o| {
                let at = i64::try_from(o * self.strides[axis] + k * self.dilations[axis]).ok()? - self.begin[axis];
                usize::try_from(at).ok().filter(|&at| at < size)
            })
            .collect()
    }
}
