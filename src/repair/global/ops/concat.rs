//! Concatenation.
//!
//! <https://onnx.ai/onnx/operators/onnx__Concat.html> (opset 1, 4, 11, 13)

use ndarray::{ArrayView, Axis, Slice};

use super::super::site::Site;
use super::{Array, At, Keeps, Made, Operator};
use crate::model::axes::resolve_axis;

pub(super) fn make(site: &Site<'_>) -> Option<Made> {
    let inputs: Vec<usize> = (0..site.node.input.len()).collect();
    // A constant part is rare and would need filling in.
    let shapes: Vec<Vec<usize>> =
        inputs.iter().map(|&input| site.shape(input).map(<[usize]>::to_vec)).collect::<Option<_>>()?;
    let axis = resolve_axis(site.int("axis").unwrap_or(1), shapes.first()?.len())?;
    Some(Made::new(Concat { axis, shapes }, &inputs))
}

struct Concat {
    axis: usize,
    shapes: Vec<Vec<usize>>,
}

impl Operator for Concat {
    fn keeps(&self) -> Keeps {
        Keeps::Nothing
    }

    fn forward(&self, inputs: &[&Array], _numbers: &[f32]) -> Option<Array> {
        let views: Vec<ArrayView<'_, f32, _>> = inputs.iter().map(|input| input.view()).collect();
        Some(ndarray::concatenate(Axis(self.axis), &views).ok()?.as_standard_layout().into_owned())
    }

    fn jvp(&self, _at: &At<'_>, tangents: &[Option<&Array>], _step: &[f32]) -> Option<Array> {
        if tangents.iter().all(Option::is_none) {
            return None;
        }
        let zeros: Vec<Array> = self.shapes.iter().map(|shape| Array::zeros(shape.clone())).collect();
        let parts: Vec<&Array> = tangents.iter().zip(&zeros).map(|(tangent, zero)| tangent.unwrap_or(zero)).collect();
        self.forward(&parts, &[])
    }

    fn vjp(&self, _at: &At<'_>, cotangent: &Array, wanted: &[bool], _gradient: &mut [f32]) -> Vec<Option<Array>> {
        let mut start = 0;
        let mut out = Vec::with_capacity(wanted.len());
        for (shape, &wanted) in self.shapes.iter().zip(wanted) {
            let end = start + shape[self.axis];
            out.push(wanted.then(|| {
                cotangent.slice_axis(Axis(self.axis), Slice::from(start..end)).as_standard_layout().into_owned()
            }));
            start = end;
        }
        out
    }
}
