//! The weights of a layer as matrices, one per group, in the units of what comes of its output.

use faer::Mat;

use super::fit::Solution;
use super::layers::{Bias, Form, Layer};
use crate::model::{Model, TensorData};
use crate::repair::moments::{add_bias, put};

/// Scales below this share of the largest are no scales to divide by.
const LEAST_SCALE: f64 = 1e-6;

/// Weights `[groups][d, O / groups]` and constants.
pub(super) struct Matrix {
    pub(super) groups: usize,
    /// Weights per output.
    pub(super) columns: usize,
    /// Outputs.
    pub(super) outputs: usize,
    /// Whether there is a place for constants.
    pub(super) can_shift: bool,
    data: TensorData,
    values: Vec<f32>,
    kernel_size: usize,
    /// What the layer's own bias is.
    own_bias: Vec<f64>,
    scale: Vec<f64>,
    shift: Vec<f64>,
    /// New constants, behind scale and shift.
    constants: Vec<f64>,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    Window,
    Transposed,
    OutputsFirst,
    InputsFirst,
}

impl Matrix {
    /// `None` if a tensor cannot be read or does not have the expected size.
    pub(super) fn of(model: &Model, layer: &Layer) -> Option<Self> {
        let graph = model.graph();
        let data = model.tensor(&graph.initializer[layer.weight]).ok()?;
        let values = data.to_f32()?;
        let (kind, groups) = match &layer.form {
            Form::Window { window, groups } if window.is_transposed() => (Kind::Transposed, *groups),
            Form::Window { groups, .. } => (Kind::Window, *groups),
            Form::Product { transposed: true } => (Kind::OutputsFirst, 1),
            Form::Product { transposed: false } => (Kind::InputsFirst, 1),
        };
        let kernel_size: usize = data.dims[2..].iter().product();
        let (outputs, columns) = match kind {
            Kind::Window => (data.dims[0], data.dims[1] * kernel_size),
            Kind::Transposed => (data.dims[1] * groups, data.dims[0] / groups * kernel_size),
            Kind::OutputsFirst => (data.dims[0], data.dims[1]),
            Kind::InputsFirst => (data.dims[1], data.dims[0]),
        };
        let own_bias = match layer.bias {
            Bias::Stored(index) => {
                let stored = model.tensor(&graph.initializer[index]).ok()?.to_f32()?;
                stored.into_iter().map(f64::from).collect()
            }
            Bias::Missing | Bias::None => vec![0.0; outputs],
        };
        let (scale, shift) = match &layer.chain.affine {
            Some(affine) => (affine.scale.clone(), affine.shift.clone()),
            None => (vec![1.0; outputs], vec![0.0; outputs]),
        };
        let sizes = [own_bias.len(), scale.len(), shift.len()];
        if sizes.iter().any(|&size| size != outputs) || outputs % groups != 0 || values.is_empty() {
            return None;
        }
        let constants = (0..outputs).map(|o| own_bias[o] * scale[o] + shift[o]).collect();
        let can_shift = layer.chain.affine.is_some() || layer.bias != Bias::None;
        Some(Self {
            groups,
            columns,
            outputs,
            can_shift,
            data,
            values,
            kernel_size,
            own_bias,
            scale,
            shift,
            constants,
            kind,
        })
    }

    fn at(&self, group: usize, output: usize, column: usize) -> usize {
        let each = self.outputs / self.groups;
        match self.kind {
            Kind::Window | Kind::OutputsFirst => (group * each + output) * self.columns + column,
            Kind::InputsFirst => column * self.outputs + output,
            Kind::Transposed => {
                let channel = group * (self.columns / self.kernel_size) + column / self.kernel_size;
                (channel * each + output) * self.kernel_size + column % self.kernel_size
            }
        }
    }

    /// Weights `[d, O / groups]` and constants of a group, behind scale and shift.
    pub(super) fn problem(&self, group: usize) -> (Mat<f64>, Vec<f64>) {
        let each = self.outputs / self.groups;
        let weights = Mat::from_fn(self.columns, each, |column, output| {
            f64::from(self.values[self.at(group, output, column)]) * self.scale[group * each + output]
        });
        (weights, self.constants[group * each..(group + 1) * each].to_vec())
    }

    /// Takes over new weights. Outputs that the scale all but switches off keep theirs.
    #[allow(clippy::cast_possible_truncation, reason = "weights are stored in single precision")]
    pub(super) fn accept(&mut self, group: usize, new: &Solution) {
        let each = self.outputs / self.groups;
        let largest = self.scale.iter().fold(0.0_f64, |most, scale| most.max(scale.abs()));
        for output in 0..each {
            let channel = group * each + output;
            if self.scale[channel].abs() <= LEAST_SCALE * largest {
                continue;
            }
            for column in 0..self.columns {
                let at = self.at(group, output, column);
                self.values[at] = (new.weights[(column, output)] / self.scale[channel]) as f32;
            }
            self.constants[channel] = new.bias[output];
        }
    }

    /// Writes weights and constants into the model.
    #[allow(clippy::cast_possible_truncation, reason = "biases are stored in single precision")]
    pub(super) fn store(&self, model: &mut Model, layer: &Layer) {
        if let Some(data) = self.data.with_f32(&self.values) {
            put(model, layer.weight, &data);
        }
        let added: Vec<f64> =
            (0..self.outputs).map(|o| self.constants[o] - self.own_bias[o] * self.scale[o] - self.shift[o]).collect();
        if let Some(affine) = &layer.chain.affine {
            add(model, affine.bias, &added);
            return;
        }
        match layer.bias {
            Bias::Stored(index) => add(model, index, &added),
            Bias::Missing => {
                let bias: Vec<f32> = added.iter().map(|value| *value as f32).collect();
                add_bias(model, layer.node, layer.weight, &bias);
            }
            Bias::None => {}
        }
    }
}

/// Adds to the elements of a stored vector.
#[allow(clippy::cast_possible_truncation, reason = "biases are stored in single precision")]
fn add(model: &mut Model, index: usize, more: &[f64]) {
    let Ok(old) = model.tensor(&model.graph().initializer[index]) else { return };
    let Some(values) = old.to_f32() else { return };
    let sum: Vec<f32> = values.iter().zip(more).map(|(value, more)| (f64::from(*value) + more) as f32).collect();
    if let Some(data) = old.with_f32(&sum) {
        put(model, index, &data);
    }
}
