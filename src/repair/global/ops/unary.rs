//! Functions of one number ([`crate::ops::scalar`]), element by element.

use super::super::site::Site;
use super::{Array, At, Keeps, Made, Operator, array, elements};
use crate::ops::scalar::Function;

pub(super) fn make(site: &Site<'_>) -> Option<Made> {
    let shape = site.shape(0)?.to_vec();
    // The second input of a fused activation is a bias; those of other functions are their parameters.
    if site.node.domain() == "com.microsoft" && site.name(1).is_some() {
        return None;
    }
    let function =
        Function::of(site.node, |input| site.floats(input).filter(|own| own.len() == 1)?.iter().next().copied())?;
    Some(Made::new(Unary { function, shape }, &[0]))
}

struct Unary {
    function: Function,
    shape: Vec<usize>,
}

impl Unary {
    /// Multiplies a change by the slope. The sign of a rectifier's output is that of its input.
    fn multiply_by_slope(&self, at: &At<'_>, mut change: Array) -> Option<Array> {
        let kept = if self.keeps() == Keeps::Output { at.output? } else { at.input(0)? };
        self.function.multiply_by_slopes(change.as_slice_mut()?, elements(kept));
        Some(change)
    }
}

impl Operator for Unary {
    fn keeps(&self) -> Keeps {
        if self.function.slope_follows_from_output() { Keeps::Output } else { Keeps::Inputs }
    }

    fn forward(&self, inputs: &[&Array], _numbers: &[f32]) -> Option<Array> {
        array(&self.shape, self.function.values(elements(inputs.first()?)))
    }

    fn overwrite(&self, mut input: Array) -> Result<Array, Array> {
        if input.shape() != self.shape {
            return Err(input);
        }
        let Some(numbers) = input.as_slice_mut() else { return Err(input) };
        self.function.apply(numbers);
        Ok(input)
    }

    fn jvp(&self, at: &At<'_>, tangents: &[Option<&Array>], _step: &[f32]) -> Option<Array> {
        self.multiply_by_slope(at, tangents.first().copied().flatten()?.clone())
    }

    fn vjp(&self, at: &At<'_>, cotangent: Array, wanted: &[bool], _gradient: &mut [f32]) -> Vec<Option<Array>> {
        vec![if wanted == [true] { self.multiply_by_slope(at, cotangent) } else { None }]
    }
}
