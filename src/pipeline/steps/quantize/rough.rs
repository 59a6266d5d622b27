//! Models in integers as searches time them.

use std::collections::BTreeMap;

use super::{histograms, quantizer};
use crate::engine::Feed;
use crate::error::Error;
use crate::model::Model;
use crate::pipeline::options::QuantizeOptions;
use crate::pipeline::session::Session;
use crate::quantize::{QuantizeForm, Range, RangeMethod};

/// How models are written in integers to be timed: scales need not be final for that.
pub(crate) struct RoughIntegers {
    ranges: BTreeMap<String, Range>,
    form: QuantizeForm,
}

impl RoughIntegers {
    /// Ranges of the dense model's values.
    pub(crate) fn of(session: &Session<'_>, batches: &[Feed], options: &QuantizeOptions) -> Result<Self, Error> {
        let quantizer = quantizer(session, &session.model)?;
        let ranges = histograms(session, &quantizer, &batches[..batches.len().min(1)])?.ranges(RangeMethod::MinMax);
        Ok(Self { ranges, form: super::form(session, &quantizer, options)? })
    }

    /// A sliced model in integers.
    pub(crate) fn write(&self, session: &Session<'_>, model: &Model) -> Result<Model, Error> {
        Ok(quantizer(session, model)?.write(&self.ranges, &self.form)?.model)
    }
}
