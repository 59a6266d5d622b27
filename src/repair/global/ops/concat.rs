//! Concatenation.
//!
//! <https://onnx.ai/onnx/operators/onnx__Concat.html> (opset 1, 4, 11, 13)

use ndarray::{ArrayView, Axis, Slice};

use super::super::site::Site;
use super::{Array, At, Keeps, Made, Operator};
use crate::model::axes::resolve_axis;

pub(super) fn make(site: &Site<'_>) -> Option<Made> {
    let part = |input: usize| match (site.shape(input), site.floats(input)) {
        (Some(shape), _) => Some(Part { shape: shape.to_vec(), constant: None }),
        (None, constant) => Some(Part { shape: constant?.shape().to_vec(), constant: constant.cloned() }),
    };
    let parts: Vec<Part> = (0..site.node.input.len()).map(part).collect::<Option<_>>()?;
    let axis = resolve_axis(site.int("axis").unwrap_or(1), parts.first()?.shape.len())?;
    let inputs: Vec<usize> = (0..parts.len()).filter(|&input| parts[input].constant.is_none()).collect();
    (!inputs.is_empty()).then(|| Made::new(Concat { axis, parts }, &inputs))
}

/// What is put behind the others.
struct Part {
    shape: Vec<usize>,
    constant: Option<Array>,
}

struct Concat {
    axis: usize,
    parts: Vec<Part>,
}

impl Concat {
    /// All parts behind each other; `constant` stands for a constant part, `given` for the others in order.
    fn joined<'a>(&'a self, given: &[&'a Array], constant: impl Fn(&'a Part) -> &'a Array) -> Option<Array> {
        let mut given = given.iter().copied();
        let own = |part: &'a Part| if part.constant.is_some() { Some(constant(part)) } else { given.next() };
        let all: Vec<&Array> = self.parts.iter().map(own).collect::<Option<_>>()?;
        let views: Vec<ArrayView<'_, f32, _>> = all.iter().map(|part| part.view()).collect();
        Some(ndarray::concatenate(Axis(self.axis), &views).ok()?.as_standard_layout().into_owned())
    }
}

impl Operator for Concat {
    fn keeps(&self) -> Keeps {
        Keeps::Nothing
    }

    fn forward(&self, inputs: &[&Array], _numbers: &[f32]) -> Option<Array> {
        let empty = Array::zeros(vec![0]);
        self.joined(inputs, |part| part.constant.as_ref().unwrap_or(&empty))
    }

    fn jvp(&self, _at: &At<'_>, tangents: &[Option<&Array>], _step: &[f32]) -> Option<Array> {
        if tangents.iter().all(Option::is_none) {
            return None;
        }
        let zeros: Vec<Array> = self.parts.iter().map(|part| Array::zeros(part.shape.clone())).collect();
        let runtime = self.parts.iter().zip(&zeros).filter(|(part, _)| part.constant.is_none());
        let given: Vec<&Array> = runtime.zip(tangents).map(|((_, zero), tangent)| tangent.unwrap_or(zero)).collect();
        let place = |part: &Part| self.parts.iter().position(|own| std::ptr::eq(own, part)).unwrap_or_default();
        self.joined(&given, |part| &zeros[place(part)])
    }

    fn vjp(&self, _at: &At<'_>, cotangent: Array, wanted: &[bool], _gradient: &mut [f32]) -> Vec<Option<Array>> {
        let mut start = 0;
        let (mut out, mut wanted) = (Vec::with_capacity(wanted.len()), wanted.iter());
        for part in &self.parts {
            let end = start + part.shape[self.axis];
            if part.constant.is_none() {
                let wanted = wanted.next().copied().unwrap_or(false);
                out.push(wanted.then(|| {
                    cotangent.slice_axis(Axis(self.axis), Slice::from(start..end)).as_standard_layout().into_owned()
                }));
            }
            start = end;
        }
        out
    }
}
