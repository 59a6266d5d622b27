//! Writes a model in integers: ranges that lose least, layers that stay in real numbers, weights and biases fitted; each kept
//! only where held-out inputs say so. Or in half precision.

mod half;
mod rough;
mod trials;

pub(crate) use rough::Rough;

use std::collections::BTreeSet;

use super::Calibration;
use crate::engine::{CompileOptions, EngineError, Feed, Tensor, feed, integer_operators};
use crate::error::Error;
use crate::evaluate::{IntegerProof, images_within, prove_integers};
use crate::explain::Names;
use crate::model::{Model, TensorData};
use crate::pipeline::options::QuantizeOptions;
use crate::pipeline::record::Told;
use crate::pipeline::session::{Session, integer_form};
use crate::quantize::{Histograms, Precision, QuantizeForm, Quantizer, Written};
use crate::report::{FloatProduct, Quantized};
use crate::surgery::fold_constants;
use trials::Trials;

/// Multiply-accumulates of the model on the inputs that ranges are taken from, about, and how many inputs there are at
/// least.
const OBSERVED_MACS: f64 = 2e10;
const LEAST_IMAGES: usize = 64;

/// Broken operators that are named.
const MOST_NAMED: usize = 3;

/// A model in integers or in half precision, and what was done for it.
#[derive(Clone)]
pub(crate) struct QuantizedModel {
    pub(crate) model: Model,
    pub(crate) report: Quantized,
}

/// Writes a model in integers or in half precision. `model`: in single precision, dense or pruned.
pub(crate) fn quantize(
    session: &Session<'_>,
    model: &Model,
    calibration: &Calibration,
    options: &QuantizeOptions,
) -> Result<Told<QuantizedModel>, Error> {
    session.progress.phase("quantize", None);
    if options.precision == Precision::Fp16 {
        return session.step("quantize", |record| half::half(session, model, calibration, options, record));
    }
    session.step("quantize", |record| {
        let quantizer = quantizer(session, model)?;
        let histograms = histograms(session, quantizer.model(), quantizer.values(), &calibration.observed.batches)?;
        let mut form = form(session, &quantizer, options)?;
        let mut trials = Trials::new(session, calibration, &quantizer, std::ptr::eq(model, &raw const session.model))?;
        let mut chosen = trials.ranges(&histograms, options.ranges, &form)?;
        let mut proof = proof(session, calibration, &chosen.written.model)?;
        if !proof.broken.is_empty() {
            let names = Names(&proof.broken, MOST_NAMED);
            record
                .notes
                .push(format!("in real numbers, since the engine computes something else in integers: {names}"));
            form.float.extend(proof.broken.drain(..));
            chosen = trials.written(chosen, &form)?;
        }
        chosen = trials.repaired(chosen)?;
        if options.keep_float.is_empty() {
            chosen = trials.float(chosen, &form)?;
        }
        record.warnings.extend(trials.warning(&chosen));
        let operators = integer_operators(session.device().engine(), &chosen.written.model).transpose()?;
        let Written { model, products, float, values } = chosen.written;
        let report = Quantized {
            precision: Precision::Int8,
            activations: Some(form.activations),
            weight_bits: if form.largest == i8::MAX { 8 } else { 7 },
            products: products.len(),
            float: float.into_iter().map(|(name, why)| FloatProduct { name, why }).collect(),
            values,
            ranges: Some(chosen.method.name()),
            steps: trials.steps,
            operators,
            proof,
            readied: quantizer.readied,
        };
        Ok(QuantizedModel { model, report })
    })
}

/// The model made ready.
pub(crate) fn quantizer(session: &Session<'_>, model: &Model) -> Result<Quantizer, Error> {
    let rank = |name: &str| session.channels.shape(name).map(<[usize]>::len);
    Ok(Quantizer::new(folded(session, model), &rank)?)
}

/// The model with its constants computed.
fn folded(session: &Session<'_>, model: &Model) -> Model {
    let mut model = model.clone();
    // What cannot be computed ahead stays computed.
    let _ = fold_constants(&mut model, |part, outputs| -> Result<Vec<TensorData>, EngineError> {
        let options = CompileOptions { outputs: outputs.to_vec(), ..CompileOptions::default() };
        Ok(session.engine.compile(part, &options)?.run(&[])?.iter().map(TensorData::from).collect())
    });
    model
}

/// The form for the engine of the run.
///
/// # Errors
/// If a name or pattern of nodes that stay in real numbers matches none.
fn form(session: &Session<'_>, quantizer: &Quantizer, options: &QuantizeOptions) -> Result<QuantizeForm, Error> {
    let form = integer_form(session.device().engine(), options.activations);
    Ok(QuantizeForm { float: kept_float(options, &quantizer.products())?, ..form })
}

/// Names of the nodes that are to stay as they are.
///
/// # Errors
/// If a name or pattern matches none.
fn kept_float(options: &QuantizeOptions, products: &[String]) -> Result<BTreeSet<String>, Error> {
    let mut kept = BTreeSet::new();
    for wanted in options.keep_float.iter().filter(|wanted| *wanted != "none") {
        let pattern = glob::Pattern::new(wanted).ok();
        let matches = |name: &&String| *name == wanted || pattern.as_ref().is_some_and(|own| own.matches(name));
        let found: Vec<&String> = products.iter().filter(matches).collect();
        if found.is_empty() {
            return Err(Error::Usage {
                what: format!("`--keep-float {wanted}` matches no product of the model"),
                help: format!("they have names such as {}", Names(products, MOST_NAMED)),
            });
        }
        kept.extend(found.into_iter().cloned());
    }
    Ok(kept)
}

/// What the values are on calibration inputs.
fn histograms(
    session: &Session<'_>,
    model: &Model,
    values: Vec<String>,
    batches: &[Feed],
) -> Result<Histograms, Error> {
    let mut histograms = Histograms::new(values);
    let options = CompileOptions { outputs: histograms.names().to_vec(), ..CompileOptions::default() };
    let mut running = session.engine.compile(model, &options)?;
    let images: usize = batches.iter().map(feed::samples).sum();
    let most = images_within(OBSERVED_MACS, session.channels.macs(None) as f64);
    let every = images.div_ceil(most.max(LEAST_IMAGES)).max(1);
    for batch in batches.iter().step_by(every) {
        session.interrupted()?;
        let values = running.run(&feed::pairs(batch))?;
        histograms.add(&values.iter().map(Tensor::as_f32).collect::<Vec<_>>());
    }
    Ok(histograms)
}

/// Whether the engine computes what the model says, on one of the calibration inputs.
fn proof(session: &Session<'_>, calibration: &Calibration, model: &Model) -> Result<IntegerProof, Error> {
    let Some(batch) = calibration.observed.batches.first().filter(|_| !session.options.skip_verification) else {
        return Ok(IntegerProof::default());
    };
    let one = if calibration.source.fixed { batch.clone() } else { feed::rows(batch, &[0]) };
    Ok(prove_integers(session.engine.as_ref(), model, &one, session.cancel)?)
}

/// Ranges of activations are those that data have.
pub(crate) fn wants_data() -> Error {
    Error::Usage {
        what: "fewer bits need the ranges of the activations, and there are no data to take them from".into(),
        help: "give images or arrays with `--data`".into(),
    }
}
