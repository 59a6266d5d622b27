//! Resizing by repetition or linear interpolation: along every axis each output is a mean of few inputs.
//!
//! <https://onnx.ai/onnx/operators/onnx__Resize.html> (opset 10, 11, 13, 18, 19), Upsample (7, 9)

use super::super::site::Site;
use super::{Array, At, Keeps, Made, Operator, array, elements};

pub(super) fn make(site: &Site<'_>) -> Option<Made> {
    let (input, output) = (site.shape(0)?, site.output_shape(0)?);
    if input.len() != output.len() || site.text("keep_aspect_ratio_policy").unwrap_or("stretch") != "stretch" {
        return None;
    }
    let linear = match site.text("mode").unwrap_or("nearest") {
        "nearest" => false,
        "linear" | "bilinear" => site.int("antialias").unwrap_or(0) == 0,
        _ => return None,
    };
    if site.int("antialias").unwrap_or(0) != 0 {
        return None;
    }
    let scales = scales(site, input, output)?;
    let rule = Rule::of(site, linear)?;
    let axes = (0..input.len()).map(|axis| rule.taps(input[axis], output[axis], scales[axis])).collect();
    Some(Made::new(Resize { axes, input: input.to_vec(), output: output.to_vec() }, &[0]))
}

/// Scale of every axis: as given, else from the sizes.
fn scales(site: &Site<'_>, input: &[usize], output: &[usize]) -> Option<Vec<f32>> {
    let by_sizes = || input.iter().zip(output).map(|(&from, &to)| to as f32 / from.max(1) as f32).collect::<Vec<f32>>();
    let old = site.node.op_type() == "Upsample" || site.opset < 11;
    let given = if let Some(scales) = site.node.floats("scales") {
        scales.to_vec()
    } else {
        let input = if old { 1 } else { 2 };
        site.floats(input).map(|own| elements(own).to_vec()).unwrap_or_default()
    };
    if given.is_empty() {
        return Some(by_sizes());
    }
    if let Some(axes) = site.ints("axes") {
        let mut all = vec![1.0; input.len()];
        for (axis, scale) in axes.iter().zip(&given) {
            *all.get_mut(crate::model::axes::resolve_axis(*axis, input.len())?)? = *scale;
        }
        return Some(all);
    }
    (given.len() == input.len()).then_some(given)
}

/// From a place in the output to places in the input.
#[derive(Debug, Clone, Copy)]
struct Rule {
    linear: bool,
    coordinates: Coordinates,
    rounding: Rounding,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Coordinates {
    HalfPixel,
    /// As half pixels, but 0 where only one output is left.
    PytorchHalfPixel,
    AlignCorners,
    Asymmetric,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Rounding {
    PreferFloor,
    PreferCeil,
    Floor,
    Ceil,
}

impl Rule {
    fn of(site: &Site<'_>, linear: bool) -> Option<Self> {
        let old = site.node.op_type() == "Upsample" || site.opset < 11;
        let coordinates = match site.text("coordinate_transformation_mode") {
            None if old => Coordinates::Asymmetric,
            None | Some("half_pixel") => Coordinates::HalfPixel,
            Some("pytorch_half_pixel") => Coordinates::PytorchHalfPixel,
            Some("align_corners") => Coordinates::AlignCorners,
            Some("asymmetric") => Coordinates::Asymmetric,
            _ => return None,
        };
        let rounding = match site.text("nearest_mode") {
            None if old => Rounding::Floor,
            None | Some("round_prefer_floor") => Rounding::PreferFloor,
            Some("round_prefer_ceil") => Rounding::PreferCeil,
            Some("floor") => Rounding::Floor,
            Some("ceil") => Rounding::Ceil,
            _ => return None,
        };
        Some(Self { linear, coordinates, rounding })
    }

    /// Where an output lies in the input.
    fn place(self, at: usize, from: usize, to: usize, scale: f32) -> f32 {
        let at = at as f32;
        match self.coordinates {
            Coordinates::PytorchHalfPixel | Coordinates::AlignCorners if to <= 1 => 0.0,
            Coordinates::HalfPixel | Coordinates::PytorchHalfPixel => (at + 0.5) / scale - 0.5,
            Coordinates::AlignCorners => at * (from as f32 - 1.0) / (to as f32 - 1.0),
            Coordinates::Asymmetric => at / scale,
        }
    }

    /// For every output the inputs and their weights.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "places within an axis, not below 0")]
    fn taps(self, from: usize, to: usize, scale: f32) -> Vec<Vec<Tap>> {
        if from == to && (scale - 1.0).abs() < f32::EPSILON {
            return (0..to).map(|at| vec![Tap { at, weight: 1.0 }]).collect();
        }
        let last = from.saturating_sub(1);
        let inside = |place: f32| (place.max(0.0) as usize).min(last);
        (0..to)
            .map(|at| {
                let place = self.place(at, from, to, scale);
                if !self.linear {
                    let rounded = match self.rounding {
                        Rounding::PreferFloor => (place - 0.5).ceil(),
                        Rounding::PreferCeil => (place + 0.5).floor(),
                        Rounding::Floor => place.floor(),
                        Rounding::Ceil => place.ceil(),
                    };
                    return vec![Tap { at: inside(rounded), weight: 1.0 }];
                }
                let place = place.clamp(0.0, last as f32);
                let (low, share) = (inside(place.floor()), place - place.floor());
                let pair = [(low, 1.0 - share), ((low + 1).min(last), share)];
                pair.into_iter().filter(|(_, weight)| *weight > 0.0).map(|(at, weight)| Tap { at, weight }).collect()
            })
            .collect()
    }
}

/// An input of an output along one axis.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Tap {
    at: usize,
    weight: f32,
}

struct Resize {
    /// Axis by axis, output by output.
    axes: Vec<Vec<Vec<Tap>>>,
    input: Vec<usize>,
    output: Vec<usize>,
}

impl Resize {
    /// Calls `f(input, output, weight)` along one axis of an array of `shape`, whose axes before it are resized already.
    fn along(&self, axis: usize, mut f: impl FnMut(usize, usize, f32)) {
        let outer: usize = self.output[..axis].iter().product();
        let inner: usize = self.input[axis + 1..].iter().product();
        let (from, to) = (self.input[axis], self.output[axis]);
        for outer in 0..outer {
            for (at, taps) in self.axes[axis].iter().enumerate() {
                for tap in taps {
                    let (source, target) = ((outer * from + tap.at) * inner, (outer * to + at) * inner);
                    (0..inner).for_each(|inner| f(source + inner, target + inner, tap.weight));
                }
            }
        }
    }

    fn changed(&self) -> impl DoubleEndedIterator<Item = usize> + '_ {
        let same = |axis: &usize| {
            self.axes[*axis].iter().enumerate().all(|(at, taps)| taps[..] == [Tap { at, weight: 1.0 }])
                && self.input[*axis] == self.output[*axis]
        };
        (0..self.axes.len()).filter(move |axis| !same(axis))
    }

    fn resized(&self, values: &[f32]) -> Option<Array> {
        let mut values = values.to_vec();
        for axis in self.changed() {
            let sizes = self.output[..=axis].iter().chain(&self.input[axis + 1..]);
            let mut out = vec![0.0; sizes.product()];
            self.along(axis, |from, to, weight| out[to] += weight * values[from]);
            values = out;
        }
        array(&self.output, values)
    }
}

impl Operator for Resize {
    fn keeps(&self) -> Keeps {
        Keeps::Nothing
    }

    fn forward(&self, inputs: &[&Array], _numbers: &[f32]) -> Option<Array> {
        self.resized(elements(inputs.first()?))
    }

    fn jvp(&self, _at: &At<'_>, tangents: &[Option<&Array>], _step: &[f32]) -> Option<Array> {
        self.resized(elements(tangents.first().copied().flatten()?))
    }

    fn vjp(&self, _at: &At<'_>, cotangent: Array, wanted: &[bool], _gradient: &mut [f32]) -> Vec<Option<Array>> {
        if wanted != [true] {
            return vec![None];
        }
        let mut values = elements(&cotangent).to_vec();
        for axis in self.changed().rev() {
            let sizes = self.output[..axis].iter().chain(&self.input[axis..]);
            let mut out = vec![0.0; sizes.product()];
            self.along(axis, |from, to, weight| out[from] += weight * values[to]);
            values = out;
        }
        vec![array(&self.input, values)]
    }
}
