//! NumPy arrays that are the inputs of the model themselves: of any rank and element type, one for each input.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::classes::Classes;
use super::super::{CalibrationError, DatasetOptions};
use super::array_file::{self, Named};
use super::files::file_name;
use super::fit::{Fitted, Role, Samples, fit};
use super::{Opened, Picture, Source, array, labels};
use crate::engine::{Feed, Tensor};
use crate::model::{DataType, InputSpec};

/// Arrays that are fed as they are.
struct InputArrays {
    samples: Samples,
    labels: Option<Vec<usize>>,
    /// Name of every sample.
    names: Vec<String>,
    /// Samples that a run takes, where it takes neither more nor fewer.
    fixed_run: Option<usize>,
}

impl Source for InputArrays {
    fn kind(&self) -> &'static str {
        "NumPy arrays"
    }

    fn len(&self) -> usize {
        self.samples.count
    }

    fn label(&self, i: usize) -> Option<usize> {
        self.labels.as_ref().and_then(|labels| labels.get(i).copied())
    }

    fn name(&self, i: usize) -> String {
        self.names.get(i).cloned().unwrap_or_else(|| format!("sample {i}"))
    }

    fn load(&self, _: usize) -> Result<Picture, String> {
        Err("it is no picture".to_owned())
    }

    fn feed(&self, items: &[usize]) -> Option<Feed> {
        let value = |fitted: &Fitted| match fitted.role {
            Role::Shared => Some(Arc::clone(&fitted.values)),
            Role::Rows => Some(Arc::new(fitted.values.rows(items))),
            Role::Runs => {
                let one = fitted.values.rows(items.get(..1)?);
                let shape = one.shape().get(1..)?.to_vec();
                one.reshaped(&shape).map(Arc::new)
            }
        };
        self.samples.inputs.iter().map(|(name, fitted)| Some((name.clone(), value(fitted)?))).collect()
    }

    fn fixed_run(&self) -> Option<usize> {
        self.fixed_run
    }
}

/// How a mistake in arrays is mended.
fn help(specs: &[InputSpec]) -> String {
    let inputs: Vec<String> = specs.iter().map(|spec| format!("`{}` {}", spec.name, spec.describe())).collect();
    format!("write one array for every input by its name, first axis samples, with numpy.savez: {}", inputs.join(", "))
}

/// A `.npz` or `.npy`: inputs of the model, or images.
pub(super) fn file(
    path: &Path,
    classes: Option<Classes>,
    options: &DatasetOptions,
) -> Result<Opened, CalibrationError> {
    let mut arrays = array_file::read(path)?;
    let specs = &options.inputs[..];
    let bytes = |own: &Named| matches!(own.values, Tensor::U8(_)) && matches!(own.values.shape().len(), 3 | 4);
    let images = || array::images(arrays.clone()).is_ok_and(|own| bytes(&own) || array::are_images(&own.values));
    if are_pixels(&arrays, specs) || specs.is_empty() && images() {
        return array::open(path, arrays, classes);
    }
    if specs.is_empty() {
        return labels_alone(path, arrays, classes);
    }
    let fail = |why: String| CalibrationError::format(path, "", why, help(specs));
    let whole = arrays.clone();
    let names: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
    let labels = labels::take(&mut arrays, &names).map_err(fail)?;
    let samples = match fit(&arrays, specs) {
        Ok(samples) => samples,
        // Preprocessed images in the other order of axes.
        Err(_) if could_be_images(&arrays, specs) => return array::open(path, whole, classes),
        Err(why) => return Err(fail(why)),
    };
    if let Some(labels) = labels.as_ref().filter(|labels| labels.len() != samples.count) {
        return Err(fail(format!("{} labels for {} samples", labels.len(), samples.count)));
    }
    let names = (0..samples.count).map(|i| format!("{}[{i}]", file_name(path))).collect();
    let mut notes = unused(&arrays, specs);
    let source = InputArrays::new(samples, labels, names, specs);
    let source = source.finite(path, options.strict, &mut notes)?;
    let class_names = classes.map(Classes::into_names).unwrap_or_default();
    Ok(Opened { source: Box::new(source), class_names, notes })
}

/// The samples of a file for a model that is not known yet: they can be counted by their labels.
fn labels_alone(path: &Path, mut arrays: Vec<Named>, classes: Option<Classes>) -> Result<Opened, CalibrationError> {
    let whole = arrays.clone();
    let Ok(Some(labels)) = labels::take(&mut arrays, &[]) else { return array::open(path, whole, classes) };
    let names = (0..labels.len()).map(|i| format!("{}[{i}]", file_name(path))).collect();
    let samples = Samples { inputs: std::collections::BTreeMap::new(), count: labels.len() };
    let source = InputArrays { samples, labels: Some(labels), names, fixed_run: None };
    let class_names = classes.map(Classes::into_names).unwrap_or_default();
    Ok(Opened { source: Box::new(source), class_names, notes: Vec::new() })
}

/// A folder of such files, a sample or some in each.
pub(super) fn folder(
    path: &Path,
    files: &[PathBuf],
    classes: Option<Classes>,
    options: &DatasetOptions,
) -> Result<Opened, CalibrationError> {
    let specs = &options.inputs[..];
    if specs.is_empty() {
        let why = format!("it holds {} NumPy files, and it is not known what the model takes", files.len());
        return Err(CalibrationError::Empty { path: path.display().to_string(), why });
    }
    let mut all: Option<Samples> = None;
    let (mut names, mut labels) = (Vec::new(), Some(Vec::new()));
    for file in files {
        let fail = |why: String| CalibrationError::format(file, "", why, help(specs));
        let mut arrays = array_file::read(file)?;
        let inputs: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
        let own = labels::take(&mut arrays, &inputs).map_err(fail)?;
        let samples = fit(&arrays, specs).map_err(fail)?;
        if own.as_ref().is_some_and(|own| own.len() != samples.count) {
            return Err(fail(format!("its labels are not one for each of {} samples", samples.count)));
        }
        labels = labels.zip(own).map(|(before, own)| [before, own].concat());
        names.extend((0..samples.count).map(|i| match samples.count {
            1 => file_name(file),
            _ => format!("{}[{i}]", file_name(file)),
        }));
        all = Some(match all {
            None => samples,
            Some(before) => before.with(&samples).map_err(fail)?,
        });
    }
    let Some(samples) = all else {
        let why = "the folder is empty".to_owned();
        return Err(CalibrationError::Empty { path: path.display().to_string(), why });
    };
    let mut notes = Vec::new();
    let source = InputArrays::new(samples, labels, names, specs).finite(path, options.strict, &mut notes)?;
    let class_names = classes.map(Classes::into_names).unwrap_or_default();
    Ok(Opened { source: Box::new(source), class_names, notes })
}

/// Whether the model takes pictures and the file has pixels.
fn are_pixels(arrays: &[Named], specs: &[InputSpec]) -> bool {
    let floats = |spec: &InputSpec| matches!(spec.dtype, DataType::Float | DataType::Double | DataType::Float16);
    let [spec] = specs else { return false };
    let bytes = |own: &Named| matches!(own.values, Tensor::U8(_)) && array::are_images(&own.values);
    let images = array::images(arrays.to_vec());
    spec.shape.len() == 4 && floats(spec) && images.is_ok_and(|own| bytes(&own))
}

fn could_be_images(arrays: &[Named], specs: &[InputSpec]) -> bool {
    let [spec] = specs else { return false };
    let images = array::images(arrays.to_vec());
    spec.takes_pictures() && images.is_ok_and(|own| array::are_images(&own.values))
}

/// Arrays that no input takes.
fn unused(arrays: &[Named], specs: &[InputSpec]) -> Vec<String> {
    if arrays.len() <= specs.len() {
        return Vec::new();
    }
    let used = |own: &&Named| !specs.iter().any(|spec| spec.name == own.name);
    let names: Vec<String> = arrays.iter().filter(used).map(|own| own.name.clone()).collect();
    if names.is_empty() { names } else { vec![format!("arrays that no input takes: {}", names.join(", "))] }
}

impl Samples {
    /// The samples of both.
    fn with(&self, other: &Self) -> Result<Self, String> {
        let mut inputs = std::collections::BTreeMap::new();
        for (name, own) in &self.inputs {
            let Some(more) = other.inputs.get(name) else { continue };
            if own.role == Role::Shared && own.values == more.values {
                inputs.insert(name.clone(), own.clone());
                continue;
            }
            let [own, more] = [(own, self.count), (more, other.count)].map(|(fitted, count)| fitted.by_runs(count));
            let shapes = [own.values.shape().to_vec(), more.values.shape().to_vec()];
            let joined = (own.role == more.role).then(|| Tensor::concatenated(&[&own.values, &more.values])).flatten();
            let values = joined.ok_or_else(|| {
                let [before, here] = shapes;
                format!("the array of `{name}` has shape {here:?}, those before it {before:?}: give all one size")
            })?;
            inputs.insert(name.clone(), Fitted { role: own.role, values: Arc::new(values) });
        }
        Ok(Self { inputs, count: self.count + other.count })
    }

    /// Some of the samples.
    fn only(&self, items: &[usize]) -> Self {
        let part = |fitted: &Fitted| match fitted.role {
            Role::Shared => fitted.clone(),
            role => Fitted { role, values: Arc::new(fitted.values.rows(items)) },
        };
        let inputs = self.inputs.iter().map(|(name, fitted)| (name.clone(), part(fitted))).collect();
        Self { inputs, count: items.len() }
    }
}

impl Fitted {
    /// What is shared by `count` runs, once for each of them.
    fn by_runs(&self, count: usize) -> Self {
        if self.role != Role::Shared {
            return self.clone();
        }
        let shape: Vec<usize> = [1].iter().chain(self.values.shape()).copied().collect();
        let one = self.values.as_ref().clone().reshaped(&shape).unwrap_or_else(|| self.values.as_ref().clone());
        Self { role: Role::Runs, values: Arc::new(one.rows(&vec![0; count])) }
    }
}

impl InputArrays {
    fn new(samples: Samples, labels: Option<Vec<usize>>, names: Vec<String>, specs: &[InputSpec]) -> Self {
        let role = |spec: &InputSpec| samples.inputs.get(&spec.name).map(|own| own.role);
        let runs = specs.iter().any(|spec| role(spec) == Some(Role::Runs));
        let rows = specs.iter().filter(|spec| role(spec) == Some(Role::Rows));
        let fixed = rows.filter_map(|spec| spec.shape.first().copied().flatten()).max();
        Self { labels, names, fixed_run: if runs { Some(1) } else { fixed }, samples }
    }

    /// Without samples that hold values that are not finite. Where all do, as masks may, they stay.
    fn finite(mut self, path: &Path, strict: bool, notes: &mut Vec<String>) -> Result<Self, CalibrationError> {
        let rows: Vec<&Fitted> = self.samples.inputs.values().filter(|own| own.role != Role::Shared).collect();
        let fine = |item: usize| rows.iter().all(|own| own.values.row_is_finite(item));
        let (good, bad): (Vec<usize>, Vec<usize>) = (0..self.samples.count).partition(|&item| fine(item));
        let Some(&first) = bad.first() else { return Ok(self) };
        if good.is_empty() {
            notes.push("all samples hold values that are not finite; they are fed as they are".to_owned());
            return Ok(self);
        }
        if strict {
            let help = "mend or remove the sample, or do without `--strict`";
            return Err(CalibrationError::format(path, self.name(first), "it holds a value that is not finite", help));
        }
        notes.push(format!(
            "{} samples hold values that are not finite and are left out: {} first",
            bad.len(),
            self.name(first)
        ));
        self.names = good.iter().map(|&item| self.names[item].clone()).collect();
        self.labels = self.labels.map(|labels| good.iter().map(|&item| labels[item]).collect());
        self.samples = self.samples.only(&good);
        Ok(self)
    }
}
