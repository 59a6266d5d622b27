//! Windows of images: what a convolution or a pooling reads at every output position.

use super::super::site::Site;

/// Windows over two axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    /// Height and width of the input.
    pub(super) input: [usize; 2],
    pub(super) output: [usize; 2],
    pub(super) kernel: [usize; 2],
    pub(super) strides: [usize; 2],
    pub(super) dilations: [usize; 2],
    /// Zeros before the first row and column.
    pub(super) before: [usize; 2],
}

impl Window {
    /// The windows of a node with `kernel_shape`, `strides`, `dilations`, `pads` and `auto_pad`. The output's size is
    /// taken from the graph, which settles `ceil_mode` and padding behind.
    pub(super) fn of(site: &Site<'_>, kernel: [usize; 2]) -> Option<Self> {
        let (input, output) = (site.shape(0)?, site.output_shape(0)?);
        let (&[_, _, h, w], &[_, _, oh, ow]) = (input, output) else { return None };
        if input.contains(&0) || output.contains(&0) {
            return None;
        }
        let pair = |name: &str| match site.ints(name) {
            None => Some([1, 1]),
            Some(values) => Some([usize::try_from(*values.first()?).ok()?, usize::try_from(*values.get(1)?).ok()?]),
        };
        let (strides, dilations) = (pair("strides")?, pair("dilations")?);
        if strides.contains(&0) || dilations.contains(&0) || kernel.contains(&0) {
            return None;
        }
        let (input, output) = ([h, w], [oh, ow]);
        let mut before = [0, 0];
        match site.text("auto_pad").unwrap_or("NOTSET") {
            "NOTSET" | "" => {
                if let Some(pads) = site.ints("pads") {
                    before = [usize::try_from(*pads.first()?).ok()?, usize::try_from(*pads.get(1)?).ok()?];
                }
            }
            "VALID" => {}
            same @ ("SAME_UPPER" | "SAME_LOWER") => {
                for axis in 0..2 {
                    let reach = (output[axis].max(1) - 1) * strides[axis] + (kernel[axis] - 1) * dilations[axis] + 1;
                    let all = reach.saturating_sub(input[axis]);
                    before[axis] = if same == "SAME_UPPER" { all / 2 } else { all.div_ceil(2) };
                }
            }
            _ => return None,
        }
        Some(Self { input, output, kernel, strides, dilations, before })
    }

    pub(super) fn consumer_inputs(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Positions of the output.
    pub(super) fn positions(&self) -> usize {
        self.output[0] * self.output[1]
    }

    pub(super) fn area(&self) -> usize {
        self.input[0] * self.input[1]
    }

    /// Whether every window is one pixel, in the order of the image.
    pub(super) fn is_pointwise(&self) -> bool {
        self.kernel == [1, 1] && self.strides == [1, 1] && self.before == [0, 0] && self.input == self.output
    }

    /// The input coordinate along `axis` of a consumer_input at an output coordinate, if it is inside.
    pub(super) fn source(&self, axis: usize, output: usize, consumer_input: usize) -> Option<usize> {
        let at =
            (output * self.strides[axis] + consumer_input * self.dilations[axis]).checked_sub(self.before[axis])?;
        (at < self.input[axis]).then_some(at)
    }

    /// Output columns for which `consumer_input` is inside, and the input column of the first.
    fn columns(&self, consumer_input: usize) -> (usize, usize, usize) {
        let inside = |column: &usize| self.source(1, *column, consumer_input).is_some();
        let first = (0..self.output[1]).find(inside).unwrap_or(self.output[1]);
        let end = (first..self.output[1]).find(|column| !inside(column)).unwrap_or(self.output[1]);
        (first, end, self.source(1, first.min(self.output[1].saturating_sub(1)), consumer_input).unwrap_or(0))
    }

    /// Calls `each(row of consumer_inputs, output start, input start, count)` for every run of a row that lies inside.
    pub(super) fn runs(&self, mut each: impl FnMut(usize, usize, usize, usize)) {
        for tap_column in 0..self.kernel[1] {
            let (first, end, start) = self.columns(tap_column);
            if end <= first {
                continue;
            }
            for tap_row in 0..self.kernel[0] {
                for row in 0..self.output[0] {
                    if let Some(from) = self.source(0, row, tap_row) {
                        let out = row * self.output[1] + first;
                        each(tap_row * self.kernel[1] + tap_column, out, from * self.input[1] + start, end - first);
                    }
                }
            }
        }
    }

    /// Writes the windows of `channels` planes: `columns` is `[channels * consumer_inputs, positions]`, zero outside the image.
    pub(super) fn gather(&self, planes: &[f32], columns: &mut [f32]) {
        let (consumer_inputs, positions, stride) = (self.consumer_inputs(), self.positions(), self.strides[1]);
        columns.fill(0.0);
        for (plane, block) in
            planes.chunks_exact(self.area()).zip(columns.chunks_exact_mut(consumer_inputs * positions))
        {
            self.runs(|consumer_input, out, from, count| {
                let target = &mut block[consumer_input * positions + out..][..count];
                if stride == 1 {
                    target.copy_from_slice(&plane[from..from + count]);
                } else {
                    let source = plane[from..].iter().step_by(stride);
                    target.iter_mut().zip(source).for_each(|(target, source)| *target = *source);
                }
            });
        }
    }

    /// The transpose of [`Window::gather`]: adds windows to planes.
    pub(super) fn scatter(&self, columns: &[f32], planes: &mut [f32]) {
        let (consumer_inputs, positions, stride) = (self.consumer_inputs(), self.positions(), self.strides[1]);
        for (plane, block) in
            planes.chunks_exact_mut(self.area()).zip(columns.chunks_exact(consumer_inputs * positions))
        {
            self.runs(|consumer_input, out, from, count| {
                let source = &block[consumer_input * positions + out..][..count];
                if stride == 1 {
                    plane[from..from + count].iter_mut().zip(source).for_each(|(target, source)| *target += source);
                } else {
                    let target = plane[from..].iter_mut().step_by(stride);
                    target.zip(source).for_each(|(target, source)| *target += source);
                }
            });
        }
    }
}
