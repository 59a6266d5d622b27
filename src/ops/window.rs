//! Windows over any number of spatial axes, as `Conv`, `ConvTranspose` and the pools read them.
//!
//! <https://onnx.ai/onnx/operators/onnx__Conv.html> (1, 11, 22), `ConvTranspose` (1, 11, 22), `MaxPool` (1, 8, 10, 11, 12,
//! 22), `AveragePool` (1, 7, 10, 11, 19, 22): `kernel_shape`, `strides`, `dilations`, `pads`, `auto_pad`, `ceil_mode`,
//! `output_padding`, `output_shape`.

use crate::model::axes::sizes;
use crate::model::node::{int_attribute, ints_attribute, text_attribute};
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
        let listed =
            |name: &str| ints_attribute(node, name).map(|values| sizes(&values).ok_or("a negative size")).transpose();
        let kernel = match kernel {
            Some(kernel) => kernel.to_vec(),
            None => listed("kernel_shape")?.ok_or("kernel_shape is missing")?,
        };
        let rank = kernel.len();
        let strides = listed("strides")?.unwrap_or_else(|| vec![1; rank]);
        let dilations = listed("dilations")?.unwrap_or_else(|| vec![1; rank]);
        let pads = ints_attribute(node, "pads").unwrap_or_else(|| vec![0; 2 * rank]);
        let small = |sizes: &[usize]| sizes.iter().all(|&size| size <= LARGEST);
        if ![&kernel, &strides, &dilations].into_iter().all(|sizes| small(sizes))
            || pads.iter().any(|pad| pad.unsigned_abs() > LARGEST as u64)
        {
            return Err("its window attributes are out of range");
        }
        if strides.len() != rank || dilations.len() != rank || pads.len() != 2 * rank || strides.contains(&0) {
            return Err("its window attributes do not fit its rank");
        }
        let padding = match text_attribute(node, "auto_pad") {
            Some("VALID") => Padding::Valid,
            Some("SAME_UPPER") => Padding::SameUpper,
            Some("SAME_LOWER") => Padding::SameLower,
            _ => Padding::Explicit(pads),
        };
        let transposed = match node.op_type() {
            "ConvTranspose" => Some(Transposed::of(node)?),
            _ => None,
        };
        let ceil = int_attribute(node, "ceil_mode").unwrap_or(0) == 1;
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
        Some(PlacedWindow {
            begin: (0..rank).map(|axis| self.begin(axis, input[axis], output[axis])).collect(),
            input: input.to_vec(),
            output: output.to_vec(),
            kernel: self.kernel.clone(),
            strides: self.strides.clone(),
            dilations: self.dilations.clone(),
            transposed: self.is_transposed(),
        })
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
        let output_padding = ints_attribute(node, "output_padding").and_then(|own| sizes(&own)).unwrap_or_default();
        if output_padding.iter().any(|&size| size > LARGEST) {
            return Err("its output padding is out of range");
        }
        let output_shape = ints_attribute(node, "output_shape").and_then(|own| sizes(&own));
        Ok(Self { output_padding, output_shape })
    }
}

fn signed(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX / 4)
}

/// A window over an image of known size: which input position every output position reads at every kernel position.
/// Positions of several axes are counted in row-major order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PlacedWindow {
    input: Vec<usize>,
    output: Vec<usize>,
    kernel: Vec<usize>,
    strides: Vec<usize>,
    dilations: Vec<usize>,
    /// Padding before each axis.
    begin: Vec<i64>,
    transposed: bool,
}

/// Which rows and columns of an image every kernel position reads.
#[derive(Debug)]
pub(crate) struct WindowSums {
    width: usize,
    /// By kernel index along the last axis.
    columns: Vec<Vec<usize>>,
    /// By kernel index along all other axes.
    rows: Vec<Vec<usize>>,
}

impl WindowSums {
    /// Adds to `sums`, for every kernel position, the sum over output positions of what is read of one channel.
    pub(crate) fn add(&self, plane: &[f32], sums: &mut [f64]) {
        for (outer, rows) in self.rows.iter().enumerate() {
            for row in rows.iter().map(|row| &plane[row * self.width..][..self.width]) {
                for (sum, columns) in sums[outer * self.columns.len()..].iter_mut().zip(&self.columns) {
                    *sum += columns.iter().map(|&column| f64::from(row[column])).sum::<f64>();
                }
            }
        }
    }
}

/// Output positions of a row, evenly spaced, that read evenly spaced input positions of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) kernel_position: usize,
    /// First output position.
    output: usize,
    output_step: usize,
    /// Input position that it reads.
    input: usize,
    input_step: usize,
    count: usize,
}

impl Segment {
    /// Output positions and the input positions that they read.
    pub(crate) fn pairs(self) -> impl Iterator<Item = (usize, usize)> {
        (0..self.count).map(move |step| (self.output + step * self.output_step, self.input + step * self.input_step))
    }

    /// Calls `each` with every output position's number and what it reads of the input.
    pub(crate) fn pull<T>(self, outputs: &mut [T], inputs: &[f32], mut each: impl FnMut(&mut T, f32)) {
        if self.output_step == 1 && self.input_step == 1 {
            let targets = outputs[self.output..self.output + self.count].iter_mut();
            targets.zip(&inputs[self.input..self.input + self.count]).for_each(|(own, read)| each(own, *read));
            return;
        }
        let sources = inputs[self.input..].iter().step_by(self.input_step);
        if self.output_step == 1 {
            let targets = outputs[self.output..self.output + self.count].iter_mut();
            targets.zip(sources).for_each(|(own, read)| each(own, *read));
        } else {
            let targets = outputs[self.output..].iter_mut().step_by(self.output_step).take(self.count);
            targets.zip(sources).for_each(|(own, read)| each(own, *read));
        }
    }

    /// The transpose of [`Segment::pull`]: calls `each` with every input position's number and that of its output.
    pub(crate) fn push(self, outputs: &[f32], inputs: &mut [f32], mut each: impl FnMut(&mut f32, f32)) {
        let back = Self {
            output: self.input,
            output_step: self.input_step,
            input: self.output,
            input_step: self.output_step,
            ..self
        };
        back.pull(inputs, outputs, |own, read| each(own, read));
    }

    /// Calls `each` with every output position's number and that of the input which it reads.
    pub(crate) fn both(self, outputs: &[f32], inputs: &[f32], mut each: impl FnMut(f32, f32)) {
        let outputs = outputs[self.output..].iter().step_by(self.output_step).take(self.count);
        outputs.zip(inputs[self.input..].iter().step_by(self.input_step)).for_each(|(own, read)| each(*own, *read));
    }
}

impl PlacedWindow {
    /// Spatial sizes of the input.
    pub(crate) fn input(&self) -> &[usize] {
        &self.input
    }

    /// Spatial sizes of the output.
    pub(crate) fn output(&self) -> &[usize] {
        &self.output
    }

    /// Number of kernel positions.
    pub(crate) fn kernel_size(&self) -> usize {
        self.kernel.iter().product()
    }

    /// Number of output positions.
    pub(crate) fn positions(&self) -> usize {
        self.output.iter().product()
    }

    /// Number of input positions.
    pub(crate) fn area(&self) -> usize {
        self.input.iter().product()
    }

    /// Whether every window is one position, in the order of the image.
    pub(crate) fn is_pointwise(&self) -> bool {
        let ones = |sizes: &[usize]| sizes.iter().all(|&size| size == 1);
        ones(&self.kernel) && ones(&self.strides) && self.begin.iter().all(|&pad| pad == 0) && self.input == self.output
    }

    /// Input index along an axis that output index `o` reads at kernel index `k`; `None` in the padding, and where a
    /// transposed convolution has nothing.
    fn source(&self, axis: usize, o: usize, k: usize) -> Option<usize> {
        let (o, k) = (signed(o), signed(k * self.dilations[axis]));
        let stride = signed(self.strides[axis]);
        let at = if self.transposed {
            let scaled = o + self.begin[axis] - k;
            (scaled % stride == 0).then_some(scaled / stride)?
        } else {
            o * stride + k - self.begin[axis]
        };
        usize::try_from(at).ok().filter(|&at| at < self.input[axis])
    }

    /// Input position that an output position reads at a kernel position, over the first `axes` axes.
    fn source_of(&self, axes: usize, mut position: usize, mut kernel_position: usize) -> Option<usize> {
        let (mut at, mut scale) = (0, 1);
        for axis in (0..axes).rev() {
            let (o, k) = (position % self.output[axis], kernel_position % self.kernel[axis]);
            (position, kernel_position) = (position / self.output[axis], kernel_position / self.kernel[axis]);
            at += scale * self.source(axis, o, k)?;
            scale *= self.input[axis];
        }
        Some(at)
    }

    /// Input position that an output position reads at a kernel position.
    pub(crate) fn reads(&self, position: usize, kernel_position: usize) -> Option<usize> {
        self.source_of(self.kernel.len(), position, kernel_position)
    }

    /// Ready to add up what every kernel position reads.
    pub(crate) fn sums(&self) -> WindowSums {
        let last = self.kernel.len() - 1;
        let (width, columns) = (self.output[last], self.kernel[last]);
        let read = |k: usize| (0..width).filter_map(|o| self.source(last, o, k)).collect();
        let rows = |k: usize| (0..self.positions() / width).filter_map(|row| self.source_of(last, row, k)).collect();
        WindowSums {
            width: self.input[last],
            columns: (0..columns).map(read).collect(),
            rows: (0..self.kernel_size() / columns).map(rows).collect(),
        }
    }

    /// Calls `each` for all that one row of the output reads of one row of the input at one kernel position.
    pub(crate) fn segments(&self, mut each: impl FnMut(Segment)) {
        let last = self.kernel.len() - 1;
        let (width, columns, stride) = (self.output[last], self.kernel[last], self.strides[last]);
        let (output_step, input_step) = if self.transposed { (stride, 1) } else { (1, stride) };
        for column in 0..columns {
            let inside = |o: &usize| self.source(last, *o, column).is_some();
            let Some(first) = (0..width).find(inside) else { continue };
            let count = (first..width).step_by(output_step).take_while(inside).count();
            let Some(start) = self.source(last, first, column) else { continue };
            for outer in 0..self.kernel_size() / columns {
                for row in 0..self.positions() / width {
                    if let Some(from) = self.source_of(last, row, outer) {
                        each(Segment {
                            kernel_position: outer * columns + column,
                            output: row * width + first,
                            output_step,
                            input: from * self.input[last] + start,
                            input_step,
                            count,
                        });
                    }
                }
            }
        }
    }

    /// Writes the windows of `channels` planes: `columns` is `[channels * kernel_size, positions]`, zero where nothing is
    /// read.
    pub(crate) fn gather(&self, planes: &[f32], columns: &mut [f32]) {
        let positions = self.positions();
        let block = self.kernel_size() * positions;
        columns.fill(0.0);
        for (plane, block) in planes.chunks_exact(self.area()).zip(columns.chunks_exact_mut(block)) {
            self.segments(|own| {
                let row = &mut block[own.kernel_position * positions..][..positions];
                own.pull(row, plane, |target, read| *target = read);
            });
        }
    }

    /// The transpose of [`PlacedWindow::gather`]: adds windows to planes.
    pub(crate) fn scatter(&self, columns: &[f32], planes: &mut [f32]) {
        let positions = self.positions();
        let block = self.kernel_size() * positions;
        for (plane, block) in planes.chunks_exact_mut(self.area()).zip(columns.chunks_exact(block)) {
            self.segments(|own| {
                let row = &block[own.kernel_position * positions..][..positions];
                own.push(row, plane, |target, more| *target += more);
            });
        }
    }
}

#[cfg(test)]
mod tests;
