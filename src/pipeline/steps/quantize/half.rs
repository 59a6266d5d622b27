//! Writes a model in half precision.

use super::trials::MUCH;
use super::{Calibration, QuantizedModel, folded, histograms, kept_float};
use crate::error::Error;
use crate::evaluate::IntegerProof;
use crate::model::Model;
use crate::pipeline::options::QuantizeOptions;
use crate::pipeline::record::Record;
use crate::pipeline::session::Session;
use crate::pipeline::steps::accept::output_error;
use crate::quantize::{Halved, Halver, LARGEST, Precision, RangeMethod, Readied};
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
    let halver = Halver::new(folded(session, model))?;
    let kept = kept_float(options, &halver.products())?;
    let histograms = histograms(session, halver.model(), halver.values(), &calibration.observed.batches)?;
    let ranges = histograms.ranges(RangeMethod::MinMax).into_iter();
    let large = ranges.filter(|(_, own)| own.high.max(-own.low) > LARGEST).map(|own| own.0).collect();
    let Halved { model: written, products, float, values } = halver.write(&large, &kept)?;
    let error = |model: &Model| output_error(session, calibration.reference.as_ref(), model);
    let (base, after) = (error(halver.model())?, error(&written)?);
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
