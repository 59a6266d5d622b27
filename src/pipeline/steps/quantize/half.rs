//! Writes a model in half precision.

use std::collections::BTreeSet;

use super::trials::MUCH;
use super::{Calibration, QuantizedModel, folded, histograms, kept_float};
use crate::engine::Feed;
use crate::error::Error;
use crate::evaluate::IntegerProof;
use crate::model::Model;
use crate::pipeline::options::QuantizeOptions;
use crate::pipeline::record::Record;
use crate::pipeline::session::Session;
use crate::quantize::{Halved, LARGEST, Precision, RangeMethod, Readied, half_values, halve};
use crate::report::{FloatProduct, QuantizeStep, Quantized};

/// The model in half precision; layers whose numbers come near the largest of 16 bits on the calibration inputs stay as they
/// are.
pub(super) fn half(
    session: &Session<'_>,
    model: &Model,
    calibration: &Calibration,
    options: &QuantizeOptions,
    record: &mut Record,
) -> Result<QuantizedModel, Error> {
    let model = folded(session, model);
    let Halved { model: written, products, float, values } =
        rough(session, &model, &calibration.observed.batches, options)?;
    let error = |model: &Model| -> Result<Option<f64>, Error> {
        let reference = calibration.reference.as_ref();
        let errors = reference.map(|own| own.errors(session.engine.as_ref(), model, session.cancel)).transpose()?;
        Ok(errors.map(|own| own.mean()))
    };
    let (base, after) = (error(&model)?, error(&written)?);
    let lost = after.unwrap_or(0.0) - base.unwrap_or(0.0);
    if lost > MUCH {
        record.warnings.push(format!(
            "half precision loses {lost:.2} of the variance of the outputs on held-out inputs: `--keep-float` may help"
        ));
    }
    let step = |error: f64| QuantizeStep { what: "half precision".into(), error, kept: true };
    let report = Quantized {
        precision: Precision::Fp16,
        activations: None,
        weight_bits: 16,
        products: products.len(),
        float: float.into_iter().map(|(name, why)| FloatProduct { name, why }).collect(),
        values,
        ranges: None,
        steps: after.map(step).into_iter().collect(),
        operators: None,
        proof: IntegerProof::default(),
        readied: Readied::default(),
    };
    Ok(QuantizedModel { model: written, report })
}

/// The model in half precision, unjudged. `batches`: inputs that tell which numbers are large.
fn rough(session: &Session<'_>, model: &Model, batches: &[Feed], options: &QuantizeOptions) -> Result<Halved, Error> {
    let kept = kept_float(options, &halve(model, &BTreeSet::new(), &BTreeSet::new())?.products)?;
    let ranges = histograms(session, model, half_values(model)?, batches)?.ranges(RangeMethod::MinMax);
    let large = ranges.into_iter().filter(|(_, own)| own.high.max(-own.low) > LARGEST).map(|own| own.0).collect();
    Ok(halve(model, &large, &kept)?)
}
