//! Sizes of symbolic axes: as given, as the images or arrays have them, or assumed.

use std::collections::BTreeMap;

use crate::calibration::{Layout, Preprocess};
use crate::error::Error;
use crate::evaluate::{DataOptions, Source, StatisticsFile};
use crate::model::{InputSpec, Model, input_specs};

/// Size of a symbolic axis that nothing tells, the first one of an input left out.
const ASSUMED: usize = 64;

/// Sizes of all symbolic axes but the first ones of inputs, by the symbol's name or `INPUT:AXIS`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct KnownSizes {
    pub(super) sizes: BTreeMap<String, usize>,
    /// What is said of them.
    pub(super) said: Vec<String>,
    /// Names of those that were assumed.
    pub(super) assumed: Vec<String>,
}

/// The sizes that everything is counted, proved and timed with: those given, then those of the data, then assumed ones.
///
/// # Errors
/// If the data cannot be opened or do not fit the model.
pub(super) fn known_sizes(
    model: &Model,
    given: &BTreeMap<String, usize>,
    data: &DataOptions,
) -> Result<KnownSizes, Error> {
    let mut given = given.clone();
    if let Some(path) = &data.statistics {
        let own = given;
        given = StatisticsFile::open(path)?.head.settings.sizes;
        given.extend(own);
    }
    let given = &given;
    let mut known = KnownSizes { sizes: given.clone(), ..KnownSizes::default() };
    let specs = input_specs(model);
    if !specs.iter().any(|spec| open_axes(spec, given).next().is_some()) {
        return Ok(known);
    }
    let shapes = shapes_of_data(model, &specs, data)?;
    let mut of_data = BTreeMap::new();
    for spec in &specs {
        let shape = shapes.get(&spec.name);
        for (axis, name) in open_axes(spec, given) {
            match shape.and_then(|shape| shape.get(axis)).copied().flatten() {
                Some(size) => {
                    of_data.insert(name, size);
                }
                None => known.assumed.push(name),
            }
        }
    }
    known.assumed.retain(|name| !of_data.contains_key(name));
    known.assumed.sort();
    known.assumed.dedup();
    let list = |all: &mut dyn Iterator<Item = (&String, usize)>| {
        all.map(|(name, size)| format!("{name}={size}")).collect::<Vec<_>>().join(", ")
    };
    if !of_data.is_empty() {
        let sizes = list(&mut of_data.iter().map(|(name, size)| (name, *size)));
        known.said.push(format!("sizes of the inputs: {sizes}"));
    }
    if !known.assumed.is_empty() {
        let sizes = list(&mut known.assumed.iter().map(|name| (name, ASSUMED)));
        known.said.push(format!("sizes that are assumed: {sizes}; `--dim NAME=SIZE` gives others"));
    }
    known.sizes.extend(of_data);
    known.sizes.extend(known.assumed.iter().map(|name| (name.clone(), ASSUMED)));
    Ok(known)
}

/// Axes of an input, the first left out, whose size is not known, with the names by which they are given.
fn open_axes<'a>(
    spec: &'a InputSpec,
    given: &'a BTreeMap<String, usize>,
) -> impl Iterator<Item = (usize, String)> + 'a {
    (1..spec.shape.len()).filter(|&axis| spec.shape[axis].is_none()).filter_map(|axis| {
        let place = format!("{}:{axis}", spec.name);
        let name = spec.symbols[axis].clone().filter(|symbol| !symbol.is_empty()).unwrap_or_else(|| place.clone());
        (!given.contains_key(&name) && !given.contains_key(&place)).then_some((axis, name))
    })
}

/// Shapes of the inputs as the data or `--size` have them.
fn shapes_of_data(
    model: &Model,
    specs: &[InputSpec],
    data: &DataOptions,
) -> Result<BTreeMap<String, Vec<Option<usize>>>, Error> {
    if let Some(path) = data.data.as_deref().or(data.eval.as_deref()) {
        let shapes = Source::open(model, path, data)?.shapes();
        return Ok(shapes.into_iter().map(|(name, shape)| (name, shape.into_iter().map(Some).collect())).collect());
    }
    let [spec] = specs else { return Ok(BTreeMap::new()) };
    let Some(size) = data.preprocess.size.filter(|_| spec.takes_pictures()) else { return Ok(BTreeMap::new()) };
    let preprocess = Preprocess::resolve(&spec.shape, &data.preprocess)?;
    let channels = Some(preprocess.color.channels());
    let shape = match preprocess.layout {
        Layout::Nchw => vec![None, channels, Some(size.0), Some(size.1)],
        Layout::Nhwc => vec![None, Some(size.0), Some(size.1), channels],
    };
    Ok([(spec.name.clone(), shape)].into())
}

/// Refuses sizes of axes that the model does not have.
///
/// # Errors
/// If one of them names nothing.
pub(super) fn check_names(model: &Model, given: &BTreeMap<String, usize>) -> Result<(), Error> {
    let specs = input_specs(model);
    let mut names: Vec<String> = specs.iter().flat_map(|spec| spec.symbols.iter().flatten().cloned()).collect();
    for spec in &specs {
        let unnamed = (0..spec.shape.len()).filter(|&axis| spec.shape[axis].is_none() && spec.symbols[axis].is_none());
        names.extend(unnamed.map(|axis| format!("{}:{axis}", spec.name)));
    }
    names.sort();
    names.dedup();
    let place = |name: &str| {
        let (input, axis) = name.rsplit_once(':')?;
        let spec = specs.iter().find(|spec| spec.name == input)?;
        spec.shape.get(axis.parse::<usize>().ok()?)
    };
    let Some(unknown) = given.keys().find(|name| !names.contains(name) && place(name) != Some(&None)) else {
        return Ok(());
    };
    let help = match &names[..] {
        [] => "leave it out: all sizes of the inputs are fixed".to_owned(),
        names => format!("its open sizes are {}; `INPUT:AXIS` names one too", names.join(", ")),
    };
    Err(Error::Usage { what: format!("`--dim {unknown}={}` names no open size of the model", given[unknown]), help })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibration::PreprocessOptions;
    use crate::model::{DataType, TensorType};

    fn model() -> Model {
        let images = TensorType::new(DataType::Float).shaped(["batch".into(), 3.into(), "h".into(), "w".into()]);
        let mut model = Model::new(17);
        model.graph_mut().input.push(images.declare("x"));
        model
    }

    #[test]
    fn given_sizes_go_before_those_of_images_and_the_rest_is_assumed() {
        let given = [("h".to_owned(), 32)].into();
        let found = known_sizes(&model(), &given, &DataOptions::default()).unwrap();
        assert_eq!((found.sizes["h"], found.sizes["w"], &found.assumed[..]), (32, ASSUMED, &["w".to_owned()][..]));
        assert!(found.said[0].contains("w=64") && found.said[0].contains("--dim"), "{:?}", found.said);
        let preprocess = PreprocessOptions { size: Some((96, 80)), ..PreprocessOptions::default() };
        let data = DataOptions { preprocess, ..DataOptions::default() };
        let found = known_sizes(&model(), &BTreeMap::new(), &data).unwrap();
        assert_eq!((found.sizes["h"], found.sizes["w"], found.assumed.len()), (96, 80, 0));
    }

    #[test]
    fn names_of_nothing_are_refused() {
        assert!(check_names(&model(), &[("h".to_owned(), 1), ("x:3".to_owned(), 2)].into()).is_ok());
        for name in ["height", "x:1", "y:2", "x:9"] {
            let error = check_names(&model(), &[(name.to_owned(), 1)].into()).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}
