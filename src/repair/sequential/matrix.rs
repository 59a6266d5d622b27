//! The weights of a layer as matrices, one per group, in the units of what comes of its output.

use faer::Mat;

use super::fit::Solution;
use super::layers::Layer;
use crate::model::Model;
use crate::ops::constant::{Constants, add_bias, add_floats};
use crate::ops::linear::{Bias, MatrixLayout};
use crate::ops::real::RealWeight;

/// Scales below this share of the largest are no scales to divide by.
const LEAST_SCALE: f64 = 1e-6;

/// Weights `[groups][d, O / groups]` and constants.
pub(super) struct Matrix {
    pub(super) layout: MatrixLayout,
    /// Whether there is a place for constants.
    pub(super) can_shift: bool,
    values: Vec<f32>,
    /// How they, and the bias, are stored.
    weight: RealWeight,
    stored_bias: Option<RealWeight>,
    /// What the layer's own bias is.
    own_bias: Vec<f64>,
    scale: Vec<f64>,
    shift: Vec<f64>,
    /// Step of every output's weights, and the largest integer, of a weight that is stored in integers.
    grid: Option<(Vec<f64>, f64)>,
    /// New constants, behind scale and shift.
    constants: Vec<f64>,
}

impl Matrix {
    /// `None` if a tensor cannot be read or does not have the expected size.
    pub(super) fn of(model: &Model, layer: &Layer) -> Option<Self> {
        let constants = Constants::of(model.graph());
        let weight = RealWeight::of(model, &constants, &layer.weight)?;
        let stored_bias = layer.stored_bias.as_ref().and_then(|name| RealWeight::of(model, &constants, name));
        let layout = layer.map.layout;
        let outputs = layout.outputs;
        let own_bias = match layer.bias {
            Bias::Stored => stored_bias.as_ref()?.values.iter().copied().map(f64::from).collect(),
            Bias::Missing | Bias::Fixed | Bias::Unsupported => vec![0.0; outputs],
        };
        let (scale, shift) = match &layer.chain.affine {
            Some(affine) => (affine.scale.clone(), affine.shift.clone()),
            None => (vec![1.0; outputs], vec![0.0; outputs]),
        };
        let sizes = [own_bias.len(), scale.len(), shift.len()];
        if sizes.iter().any(|&size| size != outputs) || weight.values.is_empty() {
            return None;
        }
        let constants = (0..outputs).map(|o| own_bias[o] * scale[o] + shift[o]).collect();
        let can_shift = layer.chain.affine.is_some() || matches!(layer.bias, Bias::Stored | Bias::Missing);
        let values = weight.values.clone();
        let each = outputs / layout.groups;
        let grid = weight.grid(model).map(|(steps, most)| {
            let step =
                |output: usize| f64::from(steps[layout.at(output / each, output % each, 0)]) * scale[output].abs();
            ((0..outputs).map(step).collect(), f64::from(most))
        });
        Some(Self { layout, can_shift, values, weight, stored_bias, own_bias, scale, shift, grid, constants })
    }

    /// Weights `[d, O / groups]` and constants of a group, behind scale and shift.
    pub(super) fn problem(&self, group: usize) -> (Mat<f64>, Vec<f64>) {
        let each = self.layout.outputs / self.layout.groups;
        let weights = Mat::from_fn(self.layout.columns, each, |column, output| {
            f64::from(self.values[self.layout.at(group, output, column)]) * self.scale[group * each + output]
        });
        (weights, self.constants[group * each..(group + 1) * each].to_vec())
    }

    /// Steps of a group's outputs and the largest integer, behind the scale.
    pub(super) fn grid(&self, group: usize) -> Option<(&[f64], f64)> {
        let each = self.layout.outputs / self.layout.groups;
        self.grid.as_ref().map(|(steps, most)| (&steps[group * each..(group + 1) * each], *most))
    }

    /// Takes over new weights. Outputs that the scale all but switches off keep theirs.
    #[allow(clippy::cast_possible_truncation, reason = "weights are stored in single precision")]
    pub(super) fn accept(&mut self, group: usize, new: &Solution) {
        let each = self.layout.outputs / self.layout.groups;
        let largest = self.scale.iter().fold(0.0_f64, |most, scale| most.max(scale.abs()));
        for output in 0..each {
            let channel = group * each + output;
            if self.scale[channel].abs() <= LEAST_SCALE * largest {
                continue;
            }
            for column in 0..self.layout.columns {
                let at = self.layout.at(group, output, column);
                self.values[at] = (new.weights[(column, output)] / self.scale[channel]) as f32;
            }
            self.constants[channel] = new.bias[output];
        }
    }

    /// Writes weights and constants into the model.
    #[allow(clippy::cast_possible_truncation, reason = "biases are stored in single precision")]
    pub(super) fn store(&self, model: &mut Model, layer: &Layer) {
        self.weight.put(model, &self.values);
        let added: Vec<f64> = (0..self.layout.outputs)
            .map(|o| self.constants[o] - self.own_bias[o] * self.scale[o] - self.shift[o])
            .collect();
        if let Some(affine) = &layer.chain.affine {
            add_floats(model, affine.bias, &added);
            return;
        }
        match layer.bias {
            Bias::Stored => {
                if let Some(own) = &self.stored_bias {
                    own.add(model, &added);
                }
            }
            Bias::Missing => {
                let bias: Vec<f32> = added.iter().map(|value| *value as f32).collect();
                add_bias(model, layer.node, self.weight.dtype, &bias);
            }
            Bias::Fixed | Bias::Unsupported => {}
        }
    }
}
