//! Sums over the windows of one channel, as depthwise convolutions form them.
//!
//! The input is copied with its padding, and where the stride is not 1 it is split into its polyphase components (Vaidyanathan,
//! *Multirate Systems and Filter Banks*, 1993): positions that differ by a multiple of the stride stand side by side. There every
//! kernel position reads one run of numbers for all output positions, gaps between rows included, whatever the size of
//! the image.

use super::segment::Segment;
use super::signed;

/// Numbers that are worked on side by side.
const LANES: usize = 32;

/// Sizes and attributes of a window, by axis. Where it is transposed, input and output have changed places.
pub(super) struct Geometry<'a> {
    pub(super) input: &'a [usize],
    pub(super) output: &'a [usize],
    pub(super) kernel: &'a [usize],
    pub(super) strides: &'a [usize],
    pub(super) dilations: &'a [usize],
    pub(super) begin: &'a [i64],
    pub(super) transposed: bool,
}

/// What a kernel position reads: of which component, and how far behind the output position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tap {
    kernel_position: usize,
    component: usize,
    behind: usize,
}

/// Where everything stands in the copies of input and output. Where the window is transposed, these have changed places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Polyphase {
    /// In the order of kernel positions along the last axis, then the others.
    taps: Vec<Tap>,
    /// Numbers of a component.
    size: usize,
    components: usize,
    /// Positions from the first output position to the last, gaps included.
    span: usize,
    /// Zeros before the first output position in a copy of the output.
    front: usize,
    /// What the copies read of the planes.
    input: Vec<Segment>,
    output: Vec<Segment>,
    transposed: bool,
}

/// Copies of one plane of the input and of the output, with zeros where these have nothing.
#[derive(Debug, Clone)]
pub(crate) struct Copies {
    input: Vec<f32>,
    output: Vec<f32>,
    /// Sums over windows, in the layout of the other side.
    sums: Vec<f32>,
}

/// Numbers of the copy of a plane at most, beside those of the plane: far dilations would make it mostly padding.
const MOST_PADDING: usize = 1 << 22;

impl Polyphase {
    /// `None` where the padding would outgrow the image by far.
    pub(super) fn new(own: &Geometry<'_>) -> Option<Self> {
        let rank = own.kernel.len();
        let reach = |axis: usize| (own.kernel[axis] - 1) * own.dilations[axis] / own.strides[axis];
        let extents: Vec<usize> = (0..rank).map(|axis| own.output[axis] + reach(axis)).collect();
        let all = extents.iter().chain(own.strides).try_fold(1usize, |all, &size| all.checked_mul(size))?;
        let plane: usize = own.input.iter().product();
        if all > MOST_PADDING.saturating_add(plane.saturating_mul(4)) {
            return None;
        }
        let size = extents.iter().product();
        let tap = |kernel_position: usize| {
            let at = places(own.kernel, kernel_position);
            let read: Vec<usize> = at.iter().zip(own.dilations).map(|(at, dilation)| at * dilation).collect();
            let split = |f: fn(usize, usize) -> usize| -> Vec<usize> {
                read.iter().zip(own.strides).map(|(&read, &stride)| f(read, stride)).collect()
            };
            Tap {
                kernel_position,
                component: number(own.strides, &split(|read, stride| read % stride)),
                behind: number(&extents, &split(|read, stride| read / stride)),
            }
        };
        let columns = own.kernel[rank - 1];
        let all: usize = own.kernel.iter().product();
        let taps: Vec<Tap> = (0..columns).flat_map(|column| (column..all).step_by(columns)).map(tap).collect();
        let mut components: Vec<usize> = taps.iter().map(|tap| tap.component).collect();
        components.sort_unstable();
        components.dedup();
        let rows = |&component: &usize| rows_of_component(own, &extents, component);
        Some(Self {
            size,
            components: own.strides.iter().product(),
            span: number(&extents, &own.output.iter().map(|size| size - 1).collect::<Vec<_>>()) + 1,
            front: taps.iter().map(|tap| tap.behind).max().unwrap_or(0),
            input: components.iter().flat_map(rows).collect(),
            output: rows_of_output(own.output, &extents),
            transposed: own.transposed,
            taps,
        })
    }

    /// Copies that hold zeros.
    pub(crate) fn copies(&self) -> Copies {
        let input = self.components * self.size + LANES;
        let output = self.front + self.size + LANES;
        Copies { input: vec![0.0; input], output: vec![0.0; output], sums: vec![0.0; input] }
    }

    fn spread_input(&self, plane: &[f32], copies: &mut Copies) {
        spread(&self.input, plane, &mut copies.input);
    }

    fn spread_output(&self, plane: &[f32], copies: &mut Copies) {
        spread(&self.output, plane, &mut copies.output[self.front..]);
    }

    /// Adds to every output position the sum over its window of weight times input.
    pub(crate) fn pull(&self, weights: &[f32], input: &[f32], output: &mut [f32], copies: &mut Copies) {
        if self.transposed {
            self.sum_over_outputs(weights, input, output, copies);
        } else {
            self.sum_over_inputs(weights, input, output, copies);
        }
    }

    /// The transpose of [`Polyphase::pull`]: adds to every input position weight times output of all windows that read it.
    pub(crate) fn push(&self, weights: &[f32], output: &[f32], input: &mut [f32], copies: &mut Copies) {
        if self.transposed {
            self.sum_over_inputs(weights, output, input, copies);
        } else {
            self.sum_over_outputs(weights, output, input, copies);
        }
    }

    /// Adds to the number of every kernel position the sum over output positions of output times what is read there.
    pub(crate) fn correlate(&self, output: &[f32], input: &[f32], weights: &mut [f32], copies: &mut Copies) {
        let (output, input) = if self.transposed { (input, output) } else { (output, input) };
        self.spread_input(input, copies);
        self.spread_output(output, copies);
        let span = self.span.next_multiple_of(LANES);
        let ups = &copies.output[self.front..][..span];
        for tap in &self.taps {
            let reads = &copies.input[tap.component * self.size + tap.behind..][..span];
            weights[tap.kernel_position] += product(ups, reads);
        }
    }

    fn sum_over_inputs(&self, weights: &[f32], input: &[f32], output: &mut [f32], copies: &mut Copies) {
        self.spread_input(input, copies);
        let taps = self.taps.iter().map(|tap| (tap.component * self.size + tap.behind, weights[tap.kernel_position]));
        sum(&taps.collect::<Vec<_>>(), &copies.input, &mut copies.sums[..self.span.next_multiple_of(LANES)]);
        add_back(&self.output, &copies.sums, output);
    }

    fn sum_over_outputs(&self, weights: &[f32], output: &[f32], input: &mut [f32], copies: &mut Copies) {
        self.spread_output(output, copies);
        for component in 0..self.components {
            let own = self.taps.iter().filter(|tap| tap.component == component);
            let taps: Vec<_> = own.map(|tap| (self.front - tap.behind, weights[tap.kernel_position])).collect();
            // What goes beyond a component is written anew with the next.
            let sums = &mut copies.sums[component * self.size..][..self.size.next_multiple_of(LANES)];
            sum(&taps, &copies.output, sums);
        }
        add_back(&self.input, &copies.sums, input);
    }
}

fn spread(segments: &[Segment], plane: &[f32], copy: &mut [f32]) {
    for own in segments {
        own.pull(copy, plane, |to, from| *to = from);
    }
}

fn add_back(segments: &[Segment], copy: &[f32], plane: &mut [f32]) {
    for own in segments {
        own.push(copy, plane, |to, more| *to += more);
    }
}

/// Index of every axis of an element, in row-major order.
fn places(sizes: &[usize], mut element: usize) -> Vec<usize> {
    let mut at = vec![0; sizes.len()];
    for (at, size) in at.iter_mut().zip(sizes).rev() {
        (*at, element) = (element % size, element / size);
    }
    at
}

/// The inverse of [`places`].
fn number(sizes: &[usize], at: &[usize]) -> usize {
    sizes.iter().zip(at).fold(0, |all, (size, at)| all * size + at)
}

/// What one component reads of the input.
fn rows_of_component(own: &Geometry<'_>, extents: &[usize], component: usize) -> Vec<Segment> {
    let last = extents.len() - 1;
    let phase = places(own.strides, component);
    let size: usize = extents.iter().product();
    // Input index of index `at` of the component along an axis.
    let source = |axis: usize, at: usize| {
        let read = signed(at * own.strides[axis] + phase[axis]) - own.begin[axis];
        usize::try_from(read).ok().filter(|&read| read < own.input[axis])
    };
    let inside: Vec<usize> = (0..extents[last]).filter(|&at| source(last, at).is_some()).collect();
    let Some((&first, from)) = inside.first().and_then(|first| Some((first, source(last, *first)?))) else {
        return Vec::new();
    };
    let outer = 0..size / extents[last];
    let row = |row: usize| {
        let at = places(&extents[..last], row);
        let read: Vec<usize> = at.iter().enumerate().map(|(axis, &at)| source(axis, at)).collect::<Option<_>>()?;
        Some(Segment {
            output: component * size + row * extents[last] + first,
            output_step: 1,
            input: number(&own.input[..last], &read) * own.input[last] + from,
            input_step: own.strides[last],
            count: inside.len(),
        })
    };
    outer.filter_map(row).collect()
}

fn rows_of_output(output: &[usize], extents: &[usize]) -> Vec<Segment> {
    let last = output.len() - 1;
    let rows = 0..output[..last].iter().product::<usize>();
    rows.map(|row| Segment {
        output: number(&extents[..last], &places(&output[..last], row)) * extents[last],
        output_step: 1,
        input: row * output[last],
        input_step: 1,
        count: output[last],
    })
    .collect()
}

/// `to[i]` becomes the sum over `taps`, offsets and weights, of `weight * from[offset + i]`, in their order.
fn sum(taps: &[(usize, f32)], from: &[f32], to: &mut [f32]) {
    pulp::Arch::new().dispatch(Sum { taps, from, to });
}

/// The inner product of vectors whose length is a multiple of [`LANES`].
fn product(left: &[f32], right: &[f32]) -> f32 {
    pulp::Arch::new().dispatch(Product { left, right })
}

/// Arguments of [`sum`]: what is inlined into a function that uses the processor's vector instructions.
struct Sum<'a> {
    taps: &'a [(usize, f32)],
    from: &'a [f32],
    to: &'a mut [f32],
}

impl pulp::NullaryFnOnce for Sum<'_> {
    type Output = ();

    #[allow(clippy::inline_always, reason = "only what is inlined there uses the processor's vector instructions")]
    #[inline(always)]
    fn call(self) {
        for (start, to) in (0..).step_by(LANES).zip(self.to.chunks_exact_mut(LANES)) {
            let mut sums = [0.0; LANES];
            for &(offset, weight) in self.taps {
                let from = &self.from[offset + start..][..LANES];
                for (sum, from) in sums.iter_mut().zip(from) {
                    *sum += weight * from;
                }
            }
            to.copy_from_slice(&sums);
        }
    }
}

/// Arguments of [`product`].
struct Product<'a> {
    left: &'a [f32],
    right: &'a [f32],
}

impl pulp::NullaryFnOnce for Product<'_> {
    type Output = f32;

    #[allow(clippy::inline_always, reason = "only what is inlined there uses the processor's vector instructions")]
    #[inline(always)]
    fn call(self) -> f32 {
        let mut sums = [0.0; LANES];
        for (left, right) in self.left.chunks_exact(LANES).zip(self.right.chunks_exact(LANES)) {
            for ((sum, left), right) in sums.iter_mut().zip(left).zip(right) {
                *sum += left * right;
            }
        }
        sums.iter().sum()
    }
}
