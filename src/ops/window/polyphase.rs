//! Planes laid out so that every kernel position reads one run of numbers.
//!
//! The input is copied with its padding, and where the stride is not 1 it is split into its polyphase components (Vaidyanathan,
//! *Multirate Systems and Filter Banks*, 1993): positions that differ by a multiple of the stride stand side by side. There every
//! kernel position reads one run of numbers for all output positions, gaps between rows included, whatever the size of
//! the image.

use super::segment::Segment;
use super::signed;
use super::simd::SLACK;

/// Sizes and attributes of a window, by axis. Where it is transposed, input and output have changed places.
pub(super) struct Geometry<'a> {
    pub(super) input: &'a [usize],
    pub(super) output: &'a [usize],
    pub(super) kernel: &'a [usize],
    pub(super) strides: &'a [usize],
    pub(super) dilations: &'a [usize],
    pub(super) begin: &'a [i64],
    pub(super) transposed: bool,
    /// Planes of the input that are copied.
    pub(super) planes: usize,
}

/// What a kernel position reads: of which component, and how far behind the output position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tap {
    pub(super) kernel_position: usize,
    pub(super) component: usize,
    pub(super) behind: usize,
}

/// Where everything stands in the copies of input and output. Where the window is transposed, these have changed places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Polyphase {
    /// In the order of kernel positions along the last axis, then the others.
    pub(super) taps: Vec<Tap>,
    /// Numbers of a component.
    pub(super) size: usize,
    pub(super) components: usize,
    /// Positions from the first output position to the last, gaps included.
    pub(super) span: usize,
    /// Zeros before the first output position in a copy of the output.
    pub(super) front: usize,
    /// What the copies read of the planes.
    input: Vec<Segment>,
    output: Vec<Segment>,
    pub(super) transposed: bool,
}

/// Numbers of the copies of all planes at most, beside four times those of the planes: far dilations would make them mostly
/// padding.
const MOST_PADDING: usize = 1 << 22;

impl Polyphase {
    /// `None` where the padding would outgrow the image by far.
    pub(super) fn new(own: &Geometry<'_>) -> Option<Self> {
        let rank = own.kernel.len();
        let reach = |axis: usize| (own.kernel[axis] - 1) * own.dilations[axis] / own.strides[axis];
        let extents: Vec<usize> = (0..rank).map(|axis| own.output[axis] + reach(axis)).collect();
        let all = extents.iter().chain(own.strides).try_fold(1usize, |all, &size| all.checked_mul(size))?;
        let plane: usize = own.input.iter().product();
        if all > (MOST_PADDING / own.planes.max(1)).saturating_add(plane.saturating_mul(4)) {
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

    /// Numbers of the copy of an input plane.
    pub(super) fn input_copy(&self) -> usize {
        self.components * self.size
    }

    /// Numbers of the copy of an output plane, with zeros behind the last position for whole vectors.
    pub(super) fn output_copy(&self) -> usize {
        self.front + self.size.max(self.span.next_multiple_of(SLACK))
    }

    pub(super) fn spread_input(&self, plane: &[f32], copy: &mut [f32]) {
        spread(&self.input, plane, copy);
    }

    pub(super) fn spread_output(&self, plane: &[f32], copy: &mut [f32]) {
        spread(&self.output, plane, &mut copy[self.front..]);
    }

    /// Adds what stands in the layout of the copy to an input plane.
    pub(super) fn add_to_input(&self, copy: &[f32], plane: &mut [f32]) {
        add_back(&self.input, copy, plane);
    }

    /// Adds what stands in the layout of the copy, from the first position on, to an output plane.
    pub(super) fn add_to_output(&self, copy: &[f32], plane: &mut [f32]) {
        add_back(&self.output, copy, plane);
    }
}

fn spread(segments: &[Segment], plane: &[f32], copy: &mut [f32]) {
    pulp::Arch::new().dispatch(Spread { segments, plane, copy });
}

fn add_back(segments: &[Segment], copy: &[f32], plane: &mut [f32]) {
    pulp::Arch::new().dispatch(AddBack { segments, copy, plane });
}

/// Arguments of [`spread`]: what is inlined into a function that uses the processor's vector instructions.
struct Spread<'a> {
    segments: &'a [Segment],
    plane: &'a [f32],
    copy: &'a mut [f32],
}

impl pulp::NullaryFnOnce for Spread<'_> {
    type Output = ();

    #[allow(clippy::inline_always, reason = "only what is inlined there uses the processor's vector instructions")]
    #[inline(always)]
    fn call(self) {
        for own in self.segments {
            own.pull(self.copy, self.plane, |to, from| *to = from);
        }
    }
}

/// Arguments of [`add_back`].
struct AddBack<'a> {
    segments: &'a [Segment],
    copy: &'a [f32],
    plane: &'a mut [f32],
}

impl pulp::NullaryFnOnce for AddBack<'_> {
    type Output = ();

    #[allow(clippy::inline_always, reason = "only what is inlined there uses the processor's vector instructions")]
    #[inline(always)]
    fn call(self) {
        for own in self.segments {
            own.push(self.copy, self.plane, |to, more| *to += more);
        }
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
