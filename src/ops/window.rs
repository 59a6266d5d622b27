//! Windows over any number of spatial axes, as `Conv`, `ConvTranspose` and the pools read them.
//!
//! <https://onnx.ai/onnx/operators/onnx__Conv.html> (1, 11, 22), `ConvTranspose` (1, 11, 22), `MaxPool` (1, 8, 10, 11, 12,
//! 22), `AveragePool` (1, 7, 10, 11, 19, 22): `kernel_shape`, `strides`, `dilations`, `pads`, `auto_pad`, `ceil_mode`,
//! `output_padding`, `output_shape`.

mod direct;
mod placed;
mod polyphase;
mod segment;
mod simd;

pub(crate) use direct::{Copies, Direct, Weights};
pub(crate) use placed::PlacedWindow;

use crate::model::axes::sizes;
use crate::proto::onnx::NodeProto;

/// Largest kernel, stride, dilation or padding that is followed: larger ones fit no tensor, and arithmetic on smaller ones
/// cannot overflow.
const LARGEST: usize = 1 << 24;

/// Window attributes of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Window {
    kernel: Vec<usize>,
    strides: Vec<usize>,
    dilations: Vec<usize>,
    padding: Padding,
    ceil: bool,
    transposed: Option<Transposed>,
}

/// `pads` and `auto_pad`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Padding {
    /// Begins of all axes, then their ends.
    Explicit(Vec<i64>),
    Valid,
    SameUpper,
    SameLower,
}

/// What only `ConvTranspose` has.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Transposed {
    output_padding: Vec<usize>,
    output_shape: Option<Vec<usize>>,
}

/// Why a window cannot be followed.
type Unfit = &'static str;

const WRONG_RANK: Unfit = "its window attributes do not fit the rank of its input";
const EMPTY: Unfit = "its output would be empty";

impl Window {
    /// Reads the attributes of a convolution, a transposed convolution or a pool; `kernel` is the spatial shape of the
    /// weight where there is one, `kernel_shape` otherwise.
    pub(crate) fn of(node: &NodeProto, kernel: Option<&[usize]>) -> Result<Self, Unfit> {
        let listed = |name: &str| {
            node.ints(name).map(<[i64]>::to_vec).map(|values| sizes(&values).ok_or("a negative size")).transpose()
        };
        let kernel = match kernel {
            Some(kernel) => kernel.to_vec(),
            None => listed("kernel_shape")?.ok_or("kernel_shape is missing")?,
        };
        let rank = kernel.len();
        let strides = listed("strides")?.unwrap_or_else(|| vec![1; rank]);
        let dilations = listed("dilations")?.unwrap_or_else(|| vec![1; rank]);
        let pads = node.ints("pads").map_or_else(|| vec![0; 2 * rank], <[i64]>::to_vec);
        let small = |sizes: &[usize]| sizes.iter().all(|&size| size <= LARGEST);
        if ![&kernel, &strides, &dilations].into_iter().all(|sizes| small(sizes))
            || pads.iter().any(|pad| pad.unsigned_abs() > LARGEST as u64)
        {
            return Err("its window attributes are out of range");
        }
        if strides.len() != rank || dilations.len() != rank || pads.len() != 2 * rank || strides.contains(&0) {
            return Err("its window attributes do not fit its rank");
        }
        let padding = match node.text("auto_pad") {
            Some("VALID") => Padding::Valid,
            Some("SAME_UPPER") => Padding::SameUpper,
            Some("SAME_LOWER") => Padding::SameLower,
            _ => Padding::Explicit(pads),
        };
        let transposed = match node.op_type() {
            "ConvTranspose" => Some(Transposed::of(node)?),
            _ => None,
        };
        let ceil = node.int("ceil_mode").unwrap_or(0) == 1;
        Ok(Self { kernel, strides, dilations, padding, ceil, transposed })
    }

    /// Whether it is the window of a transposed convolution.
    pub(crate) fn is_transposed(&self) -> bool {
        self.transposed.is_some()
    }

    /// Spatial sizes of the output for those of the input.
    pub(crate) fn output(&self, input: &[usize]) -> Result<Vec<usize>, Unfit> {
        if input.len() != self.kernel.len() {
            return Err(WRONG_RANK);
        }
        match &self.transposed {
            Some(transposed) => self.transposed_output(transposed, input),
            None => input.iter().enumerate().map(|(axis, &size)| self.plain_output(axis, size)).collect(),
        }
    }

    fn plain_output(&self, axis: usize, size: usize) -> Result<usize, Unfit> {
        let (size, stride) = (signed(size), signed(self.strides[axis]));
        let reach = signed(self.dilations[axis]) * (signed(self.kernel[axis]) - 1) + 1;
        let out = match &self.padding {
            Padding::SameUpper | Padding::SameLower => (size + stride - 1) / stride,
            Padding::Valid => (size - reach) / stride + 1,
            Padding::Explicit(pads) => {
                let (begin, end) = (pads[axis], pads[axis + self.kernel.len()]);
                let free = size + begin + end - reach;
                if self.ceil {
                    let steps = (free + stride - 1).div_euclid(stride);
                    // A window that starts in the padding at the end does not count.
                    if steps * stride >= size + begin { steps } else { steps + 1 }
                } else {
                    free.div_euclid(stride) + 1
                }
            }
        };
        usize::try_from(out).ok().filter(|&out| out > 0).ok_or(EMPTY)
    }

    fn transposed_output(&self, own: &Transposed, input: &[usize]) -> Result<Vec<usize>, Unfit> {
        if let Some(shape) = &own.output_shape {
            return Ok(shape[shape.len().saturating_sub(input.len())..].to_vec());
        }
        let size = |axis: usize| match &self.padding {
            Padding::SameUpper | Padding::SameLower => Ok(input[axis] * self.strides[axis]),
            Padding::Valid => usize::try_from(self.full(own, axis, input[axis])).map_err(|_| EMPTY),
            Padding::Explicit(pads) => {
                let cut = pads[axis] + pads[axis + input.len()];
                usize::try_from(self.full(own, axis, input[axis]) - cut).map_err(|_| EMPTY)
            }
        };
        (0..input.len()).map(size).collect()
    }

    /// Size of a transposed convolution's output before `pads` are cut off.
    fn full(&self, own: &Transposed, axis: usize, input: usize) -> i64 {
        let full = self.strides[axis] * input.saturating_sub(1)
            + own.output_padding.get(axis).copied().unwrap_or(0)
            + self.dilations[axis] * self.kernel[axis].saturating_sub(1)
            + 1;
        signed(full)
    }

    /// The window for spatial sizes that are known; `None` if they are of another rank or nothing is read.
    pub(crate) fn place(&self, input: &[usize], output: &[usize]) -> Option<PlacedWindow> {
        let rank = self.kernel.len();
        let empty = |sizes: &[usize]| sizes.contains(&0);
        if rank == 0 || input.len() != rank || output.len() != rank {
            return None;
        }
        if empty(input) || empty(output) || empty(&self.kernel) || empty(&self.dilations) {
            return None;
        }
        Some(PlacedWindow::new(self, input, output))
    }

    /// Padding before an axis.
    fn begin(&self, axis: usize, input: usize, output: usize) -> i64 {
        let implicit = self.transposed.as_ref().is_some_and(|own| own.output_shape.is_some());
        let total = match (&self.padding, &self.transposed) {
            (Padding::Explicit(pads), _) if !implicit => return pads[axis],
            (Padding::Valid, _) if !implicit => return 0,
            (_, Some(own)) => (self.full(own, axis, input) - signed(output)).max(0),
            (_, None) => {
                let reach = output.saturating_sub(1) * self.strides[axis]
                    + self.kernel[axis].saturating_sub(1) * self.dilations[axis]
                    + 1;
                signed(reach.saturating_sub(input))
            }
        };
        // The odd one goes to the end with `SAME_UPPER`; a given `output_shape` alone puts it at the begin.
        if matches!(self.padding, Padding::SameUpper) { total / 2 } else { total - total / 2 }
    }
}

impl Transposed {
    fn of(node: &NodeProto) -> Result<Self, Unfit> {
        let output_padding =
            node.ints("output_padding").map(<[i64]>::to_vec).and_then(|own| sizes(&own)).unwrap_or_default();
        if output_padding.iter().any(|&size| size > LARGEST) {
            return Err("its output padding is out of range");
        }
        let output_shape = node.ints("output_shape").map(<[i64]>::to_vec).and_then(|own| sizes(&own));
        Ok(Self { output_padding, output_shape })
    }
}

fn signed(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX / 4)
}

#[cfg(test)]
mod tests;
