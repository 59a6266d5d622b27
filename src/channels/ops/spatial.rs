//! Output sizes of convolutions and pools.

use crate::channels::context::RuleContext;
use crate::channels::propagation::Protect;
use crate::model::axes::sizes;

/// Kernel geometry along the spatial axes.
pub(super) struct Window {
    kernel: Vec<usize>,
    strides: Vec<usize>,
    dilations: Vec<usize>,
    pads: Vec<i64>,
    auto_pad: String,
    ceil: bool,
}

impl Window {
    /// Reads the attributes; `kernel` is that of the weight where there is one.
    pub(super) fn of(ctx: &RuleContext<'_, '_>, kernel: Option<Vec<usize>>) -> Result<Self, Protect> {
        let listed = |name: &str| ctx.ints(name).map(|values| sizes(&values).ok_or(Protect::from("a negative size")));
        let kernel = match kernel {
            Some(kernel) => kernel,
            None => listed("kernel_shape").transpose()?.ok_or("kernel_shape is missing")?,
        };
        let rank = kernel.len();
        let ones = || Ok(vec![1; rank]);
        let window = Self {
            strides: listed("strides").transpose()?.map_or_else(ones, Ok::<_, Protect>)?,
            dilations: listed("dilations").transpose()?.map_or_else(ones, Ok::<_, Protect>)?,
            pads: ctx.ints("pads").unwrap_or_else(|| vec![0; 2 * rank]),
            auto_pad: ctx.text("auto_pad").unwrap_or_else(|| "NOTSET".into()),
            ceil: ctx.int("ceil_mode", 0) == 1,
            kernel,
        };
        // Windows beyond these bounds fit no tensor, and arithmetic on smaller ones cannot overflow.
        let small = |sizes: &[usize]| sizes.iter().all(|&size| size <= 1 << 24);
        if ![&window.kernel, &window.strides, &window.dilations].into_iter().all(|sizes| small(sizes))
            || window.pads.iter().any(|pad| pad.unsigned_abs() > 1 << 24)
        {
            return Err("its window attributes are out of range".into());
        }
        let fits = window.strides.len() == rank && window.dilations.len() == rank && window.pads.len() == 2 * rank;
        if !fits || window.strides.contains(&0) {
            return Err("its window attributes do not fit its rank".into());
        }
        Ok(window)
    }

    /// Output sizes for the spatial sizes `input`.
    pub(super) fn output(&self, input: &[usize]) -> Result<Vec<usize>, Protect> {
        if input.len() != self.kernel.len() {
            return Err("its window attributes do not fit the rank of its input".into());
        }
        let signed = |value: usize| i64::try_from(value).unwrap_or(i64::MAX / 4);
        (0..input.len())
            .map(|axis| {
                let (size, stride) = (signed(input[axis]), signed(self.strides[axis]));
                let reach = signed(self.dilations[axis]) * (signed(self.kernel[axis]) - 1) + 1;
                let out = match self.auto_pad.as_str() {
                    "SAME_UPPER" | "SAME_LOWER" => (size + stride - 1) / stride,
                    "VALID" => (size - reach) / stride + 1,
                    _ => {
                        let (begin, end) = (self.pads[axis], self.pads[axis + input.len()]);
                        let room = size + begin + end - reach;
                        if self.ceil {
                            let steps = (room + stride - 1).div_euclid(stride);
                            // A window that starts in the padding at the end does not count.
                            if steps * stride >= size + begin { steps } else { steps + 1 }
                        } else {
                            room.div_euclid(stride) + 1
                        }
                    }
                };
                usize::try_from(out).ok().filter(|&out| out > 0).ok_or(Protect::from("its output would be empty"))
            })
            .collect()
    }

    /// Output sizes of the transposed convolution.
    pub(super) fn transposed(&self, ctx: &RuleContext<'_, '_>, input: &[usize]) -> Result<Vec<usize>, Protect> {
        if input.len() != self.kernel.len() {
            return Err("its window attributes do not fit the rank of its input".into());
        }
        if let Some(shape) = ctx.ints("output_shape").and_then(|shape| sizes(&shape)) {
            let skip = shape.len().saturating_sub(input.len());
            return Ok(shape[skip..].to_vec());
        }
        let extra = ctx.ints("output_padding").and_then(|extra| sizes(&extra)).unwrap_or_default();
        if extra.iter().any(|&size| size > 1 << 24) {
            return Err("its output padding is out of range".into());
        }
        (0..input.len())
            .map(|axis| {
                if self.auto_pad.starts_with("SAME") {
                    return Ok(input[axis] * self.strides[axis]);
                }
                let full = self.strides[axis] * input[axis].saturating_sub(1)
                    + extra.get(axis).copied().unwrap_or(0)
                    + self.dilations[axis] * self.kernel[axis].saturating_sub(1)
                    + 1;
                let cut = if self.auto_pad == "VALID" { 0 } else { self.pads[axis] + self.pads[axis + input.len()] };
                let full = i64::try_from(full).unwrap_or(i64::MAX);
                usize::try_from(full - cut).map_err(|_| Protect::from("its output would be empty"))
            })
            .collect()
    }
}
