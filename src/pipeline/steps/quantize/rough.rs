//! Models in integers or half precision as searches time and weigh them.

use std::collections::{BTreeMap, BTreeSet};

use super::{folded, histograms, kept_float, quantizer};
use crate::engine::Feed;
use crate::error::Error;
use crate::model::Model;
use crate::pipeline::options::QuantizeOptions;
use crate::pipeline::session::Session;
use crate::quantize::{Halver, Precision, QuantizeForm, Range, RangeMethod};

/// How models are written to be timed: scales need not be final for that.
pub(crate) enum Rough {
    Integers { ranges: BTreeMap<String, Range>, form: QuantizeForm },
    Half { kept: BTreeSet<String> },
}

impl Rough {
    /// By the dense model: the ranges of its values, the names of the nodes that stay in single precision.
    pub(crate) fn of(session: &Session<'_>, batches: &[Feed], options: &QuantizeOptions) -> Result<Self, Error> {
        if options.precision == Precision::Fp16 {
            let products = Halver::new(folded(session, &session.model))?.products();
            return Ok(Self::Half { kept: kept_float(options, &products)? });
        }
        let quantizer = quantizer(session, &session.model)?;
        let some = &batches[..batches.len().min(1)];
        let ranges = histograms(session, quantizer.model(), quantizer.values(), some)?.ranges(RangeMethod::MinMax);
        Ok(Self::Integers { ranges, form: super::form(session, &quantizer, options)? })
    }

    /// A sliced model so written.
    pub(crate) fn write(&self, session: &Session<'_>, model: &Model) -> Result<Model, Error> {
        Ok(match self {
            Self::Integers { ranges, form } => quantizer(session, model)?.write(ranges, form)?.model,
            Self::Half { kept } => Halver::new(folded(session, model))?.write(&BTreeSet::new(), kept)?.model,
        })
    }
}
