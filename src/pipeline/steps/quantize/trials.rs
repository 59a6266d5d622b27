//! Ways to write a model in integers, measured on held-out inputs.

use std::collections::BTreeMap;

use super::Calibration;
use crate::bench::latency::TimingOptions;
use crate::channels::{AnalyseOptions, Cut, analyse};
use crate::error::Error;
use crate::evaluate::images_within;
use crate::model::Model;
use crate::pipeline::options::Effort;
use crate::pipeline::session::Session;
use crate::pipeline::steps::accept::{Trial, output_error};
use crate::quantize::{Histograms, QuantizeForm, Quantizer, Range, RangeMethod, Written};
use crate::repair::Reconstruction;
use crate::report::{QuantizeStep, RepairStage};

/// Methods that are tried where none is asked for; the first alone with the least effort.
const METHODS: [RangeMethod; 4] =
    [RangeMethod::MinMax, RangeMethod::Mse, RangeMethod::Percentile(99.999), RangeMethod::Percentile(99.99)];

/// Multiply-accumulates of the model on the inputs that layers are fitted on, about, and how many inputs there are at least.
/// With 64 and 24 of them MobileNetV2 came to an error of 0.0037 and 0.0041, with 40 to 0.0038.
const REPAIRED_MACS: f64 = 5e9;
const LEAST_REPAIRED: usize = 40;

/// As many times as many with the most effort.
const MORE: usize = 8;

/// Bytes of the rows of one layer's problem: weights stay near what they are, so that a few times their number suffices.
const REPAIRED_ROWS: u64 = 160 << 20;

/// Error of the outputs, beyond that of the model in real numbers, up to which weights stay rounded to the nearest: 99.8 % of
/// the variance is right.
const SMALL: f64 = 2e-3;

/// Error of the outputs above which layers are looked for that lose most, and the share of it that must go for one to stay
/// in real numbers.
const LOSES: f64 = 1e-2;
const WORTH: f64 = 0.25;

/// Error that is told first.
pub(super) const MUCH: f64 = 0.1;

/// Layers that stay in real numbers at most.
const MOST_FLOAT: usize = 4;

/// A way to write the model.
pub(super) struct Chosen {
    pub(super) method: RangeMethod,
    ranges: BTreeMap<String, Range>,
    pub(super) written: Written,
    error: f64,
}

/// What ways are measured with.
pub(super) struct Trials<'a> {
    session: &'a Session<'a>,
    calibration: &'a Calibration,
    quantizer: &'a Quantizer,
    /// Error of the model in real numbers: what pruning lost.
    base: f64,
    pub(super) steps: Vec<QuantizeStep>,
}

impl<'a> Trials<'a> {
    /// `dense`: whether it is the dense model that is written, which loses nothing in real numbers.
    pub(super) fn new(
        session: &'a Session<'a>,
        calibration: &'a Calibration,
        quantizer: &'a Quantizer,
        dense: bool,
    ) -> Result<Self, Error> {
        let mut trials = Self { session, calibration, quantizer, base: 0.0, steps: Vec::new() };
        if !dense {
            trials.base = trials.error(quantizer.model())?;
        }
        Ok(trials)
    }

    /// Error of a model's outputs on the held-out inputs; 0 without such inputs.
    fn error(&self, model: &Model) -> Result<f64, Error> {
        self.session.interrupted()?;
        Ok(output_error(self.session, self.calibration.reference.as_ref(), model)?.unwrap_or(0.0))
    }

    fn step(&mut self, what: String, error: f64, kept: bool) {
        self.steps.push(QuantizeStep { what, error, kept });
    }

    /// The method whose ranges lose least, or the one that is asked for.
    pub(super) fn ranges(
        &mut self,
        histograms: &Histograms,
        asked: Option<RangeMethod>,
        form: &QuantizeForm,
    ) -> Result<Chosen, Error> {
        let tried = if self.session.options.effort == Effort::Fast { &METHODS[..1] } else { &METHODS };
        let methods = asked.map_or_else(|| tried.to_vec(), |own| vec![own]);
        let mut best: Option<(usize, Chosen)> = None;
        for (at, method) in methods.into_iter().enumerate() {
            let ranges = histograms.ranges(method);
            let written = self.quantizer.write(&ranges, form)?;
            let error = self.error(&written.model)?;
            self.step(format!("ranges by {}", method.name()), error, false);
            if best.as_ref().is_none_or(|(_, best)| error < best.error) {
                best = Some((at, Chosen { method, ranges, written, error }));
            }
        }
        let (at, best) = best.ok_or(Error::Interrupted)?;
        self.steps[at].kept = true;
        Ok(best)
    }

    /// The same ranges in another form.
    pub(super) fn written(&self, chosen: Chosen, form: &QuantizeForm) -> Result<Chosen, Error> {
        let written = self.quantizer.write(&chosen.ranges, form)?;
        let error = self.error(&written.model)?;
        Ok(Chosen { written, error, ..chosen })
    }

    /// The model with weights, rounded in order, and biases fitted layer after layer on its own activations, as far as its
    /// outputs come nearer (`docs/method.md` 9.5, 9.12).
    pub(super) fn repaired(&mut self, chosen: Chosen) -> Result<Chosen, Error> {
        let Session { engine, options, cancel, sizes, .. } = self.session;
        let Calibration { observed, shares, reference, .. } = self.calibration;
        let thorough = options.effort == Effort::Max;
        let small = !thorough && reference.is_some() && chosen.error - self.base <= SMALL;
        if observed.batches.is_empty() || options.effort == Effort::Fast || small {
            return Ok(chosen);
        }
        let dense = self.quantizer.model();
        let channels = analyse(dense, &AnalyseOptions { sizes: sizes.clone(), ..AnalyseOptions::default() });
        let whole: Vec<Vec<usize>> = channels.groups.iter().map(|own| (0..own.width()).collect()).collect();
        let cut = Cut::new(&channels, &whole);
        let images = images_within(REPAIRED_MACS, channels.macs(None) as f64);
        let reconstruction = Reconstruction {
            dense,
            channels: &channels,
            cut: &cut,
            engine: engine.as_ref(),
            batches: &observed.batches,
            mirrored: 0,
            memory: shares.activations,
            images: images.max(LEAST_REPAIRED) * if thorough { MORE } else { 1 },
            rows: if thorough { shares.rows } else { shares.rows.min(REPAIRED_ROWS) },
            around: None,
            quick: !thorough,
            seed: options.seed,
            cancel,
        };
        let Chosen { written, mut error, .. } = chosen;
        let mut model = written.model.clone();
        reconstruction.refit(&mut model, &mut |_| {})?;
        let mut trial = Trial::new(self.session, reference.as_ref(), written.model, Vec::new())?;
        trial.take(RepairStage::Sequential, model)?;
        let Trial { model, stages, .. } = trial;
        if let Some(stage) = stages.last() {
            let count = stage.layers - stage.rolled_back.len();
            self.step(format!("{count} weights and biases fitted"), stage.after, stage.after < error);
            error = stage.after;
        }
        Ok(Chosen { written: Written { model, ..written }, error, ..chosen })
    }

    /// The model with those layers in real numbers that lose most, where it loses much.
    pub(super) fn float(&mut self, chosen: Chosen, form: &QuantizeForm) -> Result<Chosen, Error> {
        let fast = self.session.options.effort == Effort::Fast;
        if fast || chosen.error - self.base <= LOSES || chosen.written.products.len() < 2 {
            return Ok(chosen);
        }
        let mut form = form.clone();
        let mut error = self.error(&self.quantizer.write(&chosen.ranges, &form)?.model)?;
        let mut names = Vec::new();
        while names.len() < MOST_FLOAT {
            let Some((name, without)) = self.worst(&chosen, &form)? else { break };
            if without - self.base > (1.0 - WORTH) * (error - self.base) {
                break;
            }
            error = without;
            form.float.insert(name.clone());
            names.push(name);
        }
        if names.is_empty() {
            return Ok(chosen);
        }
        let plain = Chosen {
            method: chosen.method,
            ranges: chosen.ranges.clone(),
            written: self.quantizer.write(&chosen.ranges, &form)?,
            error,
        };
        let found = self.repaired(plain)?;
        let kept = found.error - self.base <= (1.0 - WORTH) * (chosen.error - self.base);
        let time = self.time_of(&chosen.written.model, &found.written.model)?;
        let list: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        self.step(format!("{} in float{time}", list.join(", ")), found.error, kept);
        Ok(if kept { found } else { chosen })
    }

    /// What to say where integers lose much.
    pub(super) fn warning(&self, chosen: &Chosen) -> Option<String> {
        (chosen.error - self.base > MUCH).then(|| {
            format!(
                "integers lose {:.2} of the variance of the outputs on held-out inputs: more calibration data, other \
                 `--ranges` or `--keep-float` may help",
                chosen.error - self.base
            )
        })
    }

    /// The product whose loss is largest by halving, and the error with it in real numbers.
    fn worst(&self, chosen: &Chosen, form: &QuantizeForm) -> Result<Option<(String, f64)>, Error> {
        let mut open: Vec<String> =
            chosen.written.products.iter().filter(|name| !form.float.contains(*name)).cloned().collect();
        let mut last = f64::INFINITY;
        while open.len() > 1 {
            let (first, second) = open.split_at(open.len() / 2);
            let mut best: Option<(f64, &[String])> = None;
            for half in [first, second] {
                let mut form = form.clone();
                form.float.extend(half.iter().cloned());
                let error = match self.quantizer.write(&chosen.ranges, &form) {
                    Ok(written) => self.error(&written.model)?,
                    Err(_) => continue,
                };
                if best.is_none_or(|(least, _)| error < least) {
                    best = Some((error, half));
                }
            }
            let Some((error, half)) = best else { return Ok(None) };
            (last, open) = (error, half.to_vec());
        }
        Ok(open.pop().map(|name| (name, last)))
    }

    /// What one model takes of another's time, to be told.
    fn time_of(&self, before: &Model, after: &Model) -> Result<String, Error> {
        if self.session.options.skip_timing {
            return Ok(String::new());
        }
        let feed = self.session.timing_feed();
        let options = TimingOptions { least_ms: 400.0, most_ms: 2e3, width: 0.04, ..TimingOptions::default() };
        let pairing = self.session.pairing(before, after, &feed);
        let ratio = pairing.compare(&options)?.found.ratio(self.session.options.seed).median;
        Ok(format!(" (x{ratio:.2} of the time)"))
    }
}
