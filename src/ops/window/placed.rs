//! A window for sizes that are known: what every output position reads.

use std::ops::Range;

use super::direct::Direct;
use super::polyphase::{Geometry, Polyphase};
use super::segment::Segment;
use super::{Window, signed};

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
    /// By kernel index along the last axis: what a row of the output reads of a row of the input.
    columns: Vec<Run>,
    /// By kernel index along all other axes: rows of the output, and rows of the input that they read.
    rows: Vec<Vec<(usize, usize)>>,
    /// What every kernel position reads, in the order of [`PlacedWindow::segments`].
    kernel_reads: Vec<Reads>,
}

/// What output positions read of the input at one kernel position.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Reads {
    kernel_position: usize,
    /// As long as may be: where neighbours read neighbours and rows of the output and of the input are of one length, all
    /// rows, with the padding at their ends between them.
    runs: Vec<Segment>,
    /// Output positions that read nothing.
    blanks: Vec<Range<usize>>,
}

impl Reads {
    /// From segments in ascending order.
    fn of(kernel_position: usize, segments: &[Segment], positions: usize) -> Self {
        let (mut own, mut end) = (Self { kernel_position, ..Self::default() }, 0);
        for &segment in segments {
            for (output, _) in segment.pairs() {
                own.blanks.extend((output > end).then_some(end..output));
                end = output + 1;
            }
            let dense = segment.output_step == 1 && segment.input_step == 1;
            match own.runs.last_mut() {
                Some(last) if dense && segment.input.checked_sub(last.input) == Some(segment.output - last.output) => {
                    last.count = end - last.output;
                }
                _ => own.runs.push(segment),
            }
        }
        own.blanks.extend((positions > end).then_some(end..positions));
        own
    }

    fn clear_blanks(&self, row: &mut [f32]) {
        for blank in &self.blanks {
            row[blank.clone()].fill(0.0);
        }
    }
}

/// First output index along the last axis that is inside, the input index that it reads, and how many there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    output: usize,
    input: usize,
    count: usize,
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

impl PlacedWindow {
    /// A window over spatial sizes of its rank, none of them 0.
    pub(super) fn new(window: &Window, input: &[usize], output: &[usize]) -> Self {
        let (rank, kernel) = (window.kernel.len(), &window.kernel);
        let mut placed = Self {
            begin: (0..rank).map(|axis| window.begin(axis, input[axis], output[axis])).collect(),
            input: input.to_vec(),
            output: output.to_vec(),
            kernel: kernel.clone(),
            strides: window.strides.clone(),
            dilations: window.dilations.clone(),
            transposed: window.is_transposed(),
            columns: Vec::new(),
            rows: Vec::new(),
            kernel_reads: Vec::new(),
        };
        placed.columns = (0..kernel[rank - 1]).map(|k| placed.run(k)).collect();
        placed.rows = (0..placed.kernel_size() / kernel[rank - 1]).map(|k| placed.row_pairs(k)).collect();
        let mut segments = vec![Vec::new(); placed.kernel_size()];
        placed.segments(|kernel_position, own| segments[kernel_position].push(own));
        let columns = placed.columns.len();
        let order = (0..columns).flat_map(|column| (column..segments.len()).step_by(columns));
        placed.kernel_reads = order.map(|k| Reads::of(k, &segments[k], placed.positions())).collect();
        placed
    }

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
        WindowSums {
            width: self.input[last],
            columns: (0..columns).map(read).collect(),
            rows: self.rows.iter().map(|rows| rows.iter().map(|(_, from)| *from).collect()).collect(),
        }
    }

    /// Direct convolution of one group with this window; `None` where copies of the planes would be padding for the most part.
    pub(crate) fn direct(&self, channels: usize, outputs: usize) -> Option<Direct> {
        let (input, output) = if self.transposed { (&self.output, &self.input) } else { (&self.input, &self.output) };
        let planes = if self.transposed { outputs } else { channels };
        let window = Polyphase::new(&Geometry {
            input,
            output,
            kernel: &self.kernel,
            strides: &self.strides,
            dilations: &self.dilations,
            begin: &self.begin,
            transposed: self.transposed,
            planes,
        })?;
        Some(Direct::new(window, self.kernel_size(), channels, outputs))
    }

    /// Steps between neighbours of a segment in the output and in the input.
    fn steps(&self) -> (usize, usize) {
        let stride = self.strides.last().copied().unwrap_or(1);
        if self.transposed { (stride, 1) } else { (1, stride) }
    }

    fn run(&self, k: usize) -> Run {
        let last = self.kernel.len() - 1;
        let inside = |o: &usize| self.source(last, *o, k).is_some();
        let output = (0..self.output[last]).find(inside).unwrap_or(0);
        let count = (output..self.output[last]).step_by(self.steps().0).take_while(inside).count();
        Run { output, input: self.source(last, output, k).unwrap_or(0), count }
    }

    fn row_pairs(&self, k: usize) -> Vec<(usize, usize)> {
        let last = self.kernel.len() - 1;
        let rows = 0..self.positions() / self.output[last];
        rows.filter_map(|row| Some((row, self.source_of(last, row, k)?))).collect()
    }

    /// Calls `each` for every kernel position with what one row of the output reads there of one row of the input.
    pub(crate) fn segments(&self, mut each: impl FnMut(usize, Segment)) {
        let last = self.kernel.len() - 1;
        let (output_step, input_step) = self.steps();
        for (column, run) in self.columns.iter().enumerate().filter(|(_, run)| run.count > 0) {
            for (outer, rows) in self.rows.iter().enumerate() {
                for &(row, from) in rows {
                    let segment = Segment {
                        output: row * self.output[last] + run.output,
                        output_step,
                        input: from * self.input[last] + run.input,
                        input_step,
                        count: run.count,
                    };
                    each(outer * self.columns.len() + column, segment);
                }
            }
        }
    }

    /// Writes the windows of `channels` planes: `columns` is `[channels * kernel_size, positions]`, zero where nothing is
    /// read.
    pub(crate) fn gather(&self, planes: &[f32], columns: &mut [f32]) {
        let positions = self.positions();
        let blocks = columns.chunks_exact_mut(self.kernel_size() * positions);
        for (plane, block) in planes.chunks_exact(self.area()).zip(blocks) {
            for own in &self.kernel_reads {
                let row = &mut block[own.kernel_position * positions..][..positions];
                own.runs.iter().for_each(|run| run.pull(row, plane, |target, read| *target = read));
                own.clear_blanks(row);
            }
        }
    }

    /// The transpose of [`PlacedWindow::gather`]: adds windows to planes. What `columns` holds where nothing is read is set to
    /// zero.
    pub(crate) fn scatter(&self, columns: &mut [f32], planes: &mut [f32]) {
        let positions = self.positions();
        let blocks = columns.chunks_exact_mut(self.kernel_size() * positions);
        for (plane, block) in planes.chunks_exact_mut(self.area()).zip(blocks) {
            for own in &self.kernel_reads {
                let row = &mut block[own.kernel_position * positions..][..positions];
                own.clear_blanks(row);
                own.runs.iter().for_each(|run| run.push(row, plane, |target, more| *target += more));
            }
        }
    }
}
