//! Statistics as a run uses them.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use ndarray::{Array2, Array3, ArrayD, IxDyn};
use safetensors::tensor::Dtype;

use super::file::StatisticsFile;
use super::tensors::{Form, numbers};
use super::write::FORMATS;
use super::{JUDGING, KEPT, KEY, LABEL, SAMPLED, row_name, sum_name};
use crate::channels::{Channels, Group};
use crate::engine::{Feed, Tensor, feed};
use crate::evaluate::kept::KeptImage;
use crate::evaluate::{Classes, EvaluateError, Observed, Predictions};
use crate::model::{Model, TensorData};
use crate::number::whole_number;
use crate::repair::{MomentOptions, Moments, Products, StoredSums};
use crate::statistics::InputFeatures;

/// Inputs of images that are in the file.
#[derive(Clone)]
pub struct KeptImages {
    /// All inputs of the model, in batches as they were gathered.
    pub batches: Vec<Feed>,
    /// Label of each image, where it is known.
    pub labels: Vec<Option<usize>>,
}

impl StoredSums for StatisticsFile {
    type Error = EvaluateError;

    fn sums(&self, name: &str) -> Result<Option<Vec<f64>>, EvaluateError> {
        let name = sum_name(name);
        let found = self.tensors.form(&name).map(|_| self.tensors.doubles(&name)).transpose();
        found.map_err(|error| self.tensors.failed(error))
    }

    fn lacks(&self, name: &str) -> EvaluateError {
        self.bad(format!("it lacks `{name}`: it was gathered with another `--ignore`"))
    }
}

impl StatisticsFile {
    /// The images that are kept for the repair.
    ///
    /// # Errors
    /// If the file cannot be read, or keeps none.
    pub fn kept(&self) -> Result<KeptImages, EvaluateError> {
        let batches = self.batches(KEPT)?;
        if batches.is_empty() {
            return Err(self.bad("it keeps no images for the repair"));
        }
        let bytes = self.tensors.whole(&row_name(KEPT, LABEL)).map_err(|error| self.tensors.failed(error))?;
        let labels = numbers(&bytes, i64::from_le_bytes).map(|label| usize::try_from(label).ok()).collect();
        Ok(KeptImages { batches, labels })
    }

    /// Inputs that judge the repair, in runs, with the number of samples of each.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn judging(&self) -> Result<Vec<(Feed, usize)>, EvaluateError> {
        let batches = self.batches(JUDGING)?;
        Ok(batches.into_iter().map(|own| (own.clone(), feed::samples(&own))).collect())
    }

    /// What the pass over the images showed; `images`: those that are kept.
    ///
    /// # Errors
    /// If the file cannot be read, or lacks what the channels of the model need.
    pub fn observed(&self, model: &Model, channels: &Channels, images: KeptImages) -> Result<Observed, EvaluateError> {
        let settings = &self.head.settings;
        let io = |error: io::Error| self.tensors.failed(error);
        let options = MomentOptions {
            images: settings.samples,
            seed: settings.seed,
            products: Products::Pairs,
            classes: Some(settings.classes.len()),
            weighted: false,
            memory: settings.memory,
        };
        let moments = Moments::from_stored(model, channels, settings.classes.len(), self, options)?;
        let sampled = self.tensors.whole_numbers(&row_name(SAMPLED, KEY)).map_err(io)?;
        let keys = self.tensors.whole_numbers(&row_name(KEPT, KEY)).map_err(io)?;
        let labels = |key: &u64| usize::try_from(key >> 32).unwrap_or(0);
        let ranked =
            whole_number(self.tensors.doubles(&sum_name("ranked")).map_err(io)?.first().copied().unwrap_or(0.0));
        let classes = self.tensors.doubles(&sum_name("classes")).map_err(io)?;
        let KeptImages { batches, labels: kept_labels } = images;
        let kept = keys.iter().zip(&kept_labels).map(|(&key, &label)| KeptImage { key, label }).collect();
        Ok(Observed {
            labels: sampled.iter().map(labels).collect(),
            outputs: self.outputs()?,
            features: self.features(channels)?,
            ranks: self.ranks(channels, ranked)?,
            ranked,
            sampled,
            moments: Some(moments),
            predictions: Predictions::default(),
            tally: self.head.answers.clone(),
            classes: classes.as_chunks().0.to_vec(),
            skipped: crate::calibration::Skipped { names: self.head.skipped.clone() },
            batches,
            kept,
        })
    }

    /// Classes as they were decided before the pass; images are not known.
    pub fn classes(&self) -> Classes {
        let members = self.head.settings.classes.clone();
        let labelled = self.head.answers.classes.iter().filter(|own| own.1.images > 0);
        let mut labels: BTreeMap<usize, usize> = labelled.map(|(&label, own)| (label, own.images)).collect();
        if labels.is_empty() {
            labels = members.iter().flatten().map(|&output| (output, 1)).collect();
        }
        Classes { members, labels, ..Classes::default() }
    }

    /// The inputs of a set in batches, each read on its own: there is no second copy of them.
    fn batches(&self, set: &str) -> Result<Vec<Feed>, EvaluateError> {
        let (prefix, settings) = (row_name(set, ""), &self.head.settings);
        let size = settings.batch.max(1);
        let mut all: Vec<Feed> = Vec::new();
        for form in self.tensors.forms() {
            let Some(own) = form.name.strip_prefix(&prefix).filter(|own| ![KEY, LABEL].contains(own)) else { continue };
            let mut at = 0;
            let piece = |bytes: &[u8], rows: usize| {
                let value = tensor(form, bytes, rows).ok_or(io::ErrorKind::Unsupported)?;
                // A run that takes neither more nor fewer is filled with the same again.
                let filled: Vec<usize> = (0..size).map(|row| row % rows).collect();
                let value = if settings.fixed && rows < size { value.rows(&filled) } else { value };
                all.resize_with(all.len().max(at + 1), Feed::new);
                all[at].insert(own.to_owned(), Arc::new(value));
                at += 1;
                Ok(())
            };
            self.tensors.pieces(&form.name, size, piece).map_err(|error| self.tensors.failed(error))?;
        }
        Ok(all)
    }

    fn singles(&self, name: &str) -> Result<Option<ArrayD<f32>>, EvaluateError> {
        let form = self.tensors.form(name).filter(|own| own.dtype == Dtype::F32);
        let Some(shape) = form.and_then(|_| self.tensors.shape(name)) else { return Ok(None) };
        let bytes = self.tensors.whole(name).map_err(|error| self.tensors.failed(error))?;
        let values = bytes.as_chunks().0.iter().map(|own| f32::from_le_bytes(*own)).collect();
        Ok(ArrayD::from_shape_vec(IxDyn(&shape), values).ok())
    }

    fn outputs(&self) -> Result<Option<Array2<f32>>, EvaluateError> {
        let found = self.singles(&row_name(SAMPLED, "outputs"))?;
        Ok(found.and_then(|own| own.into_dimensionality().ok()))
    }

    fn features(&self, channels: &Channels) -> Result<Vec<Vec<InputFeatures>>, EvaluateError> {
        let mut all = Vec::new();
        for group in &channels.groups {
            let mut inputs = Vec::new();
            while let Some(found) =
                self.singles(&row_name(SAMPLED, &format!("features/{}/{}", group.name, inputs.len())))?
            {
                let features: Array3<f32> = found
                    .into_dimensionality()
                    .map_err(|error| self.bad(format!("the features of `{}`: {error}", group.name)))?;
                inputs.push(InputFeatures { features });
            }
            all.push(inputs);
        }
        Ok(all)
    }

    fn ranks(&self, channels: &Channels, images: usize) -> Result<Vec<Vec<f64>>, EvaluateError> {
        let mean = |sum: f64| sum / images.max(1) as f64;
        let of = |group: &Group| {
            let sums = self.sums(&format!("ranks/{}", group.name))?;
            Ok(sums.unwrap_or_default().into_iter().map(mean).collect())
        };
        channels.groups.iter().map(of).collect()
    }
}

/// Some rows of a tensor.
fn tensor(form: &Form, bytes: &[u8], rows: usize) -> Option<Tensor> {
    let dtype = FORMATS.iter().find(|own| own.1 == form.dtype)?.0;
    let dims = [&[rows], &form.row[..]].concat();
    Tensor::try_from(&TensorData { dtype, dims, bytes: bytes.to_vec().into() }).ok()
}
