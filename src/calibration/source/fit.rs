//! Which array of a file is which input of the model, and what its first axis counts.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::array::IMAGE_KEYS;
use super::array_file::Named;
use super::convert::convert;
use crate::engine::Tensor;
use crate::model::InputSpec;

/// What the first axis of an input's array counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Samples: a run takes some rows.
    Rows,
    /// Runs: `[runs, ...]` with the whole of the input behind it.
    Runs,
    /// Nothing: every run takes the whole array.
    Shared,
}

/// The values of one input.
#[derive(Debug, Clone)]
pub(super) struct Fitted {
    pub(super) role: Role,
    pub(super) values: Arc<Tensor>,
}

/// Values of all inputs by name, and the number of samples.
#[derive(Debug, Clone)]
pub(super) struct Samples {
    pub(super) inputs: BTreeMap<String, Fitted>,
    pub(super) count: usize,
}

/// Gives every input its array. The error says which input has none, or how an array does not fit.
pub(super) fn fit(arrays: &[Named], specs: &[InputSpec]) -> Result<Samples, String> {
    let mut found = Vec::new();
    for (at, spec) in specs.iter().enumerate() {
        let array = of_input(arrays, specs, at).ok_or_else(|| missing(arrays, spec))?;
        let shape = array.values.shape();
        let Some(roles) = Candidates::of(shape, spec) else {
            return Err(format!(
                "{} of shape {shape:?} does not fit the input `{}`, which takes {}",
                called(array),
                spec.name,
                spec.describe()
            ));
        };
        found.push((spec, array, roles));
    }
    let all: Vec<Candidates> = found.iter().map(|(_, _, own)| *own).collect();
    let count = samples(&all).ok_or("the arrays hold no samples")?;
    let runs = all.iter().any(|own| matches!(own, Candidates::Runs(_)));
    let mut inputs = BTreeMap::new();
    for (spec, array, roles) in found {
        let role = roles.role(count, runs).ok_or_else(|| {
            format!("{} has {} samples where the other inputs have {count}", called(array), roles.count())
        })?;
        let values = convert(roles.shaped(&array.values), spec.dtype);
        let values = values.map_err(|why| format!("{} for the input `{}`: {why}", called(array), spec.name))?;
        inputs.insert(spec.name.clone(), Fitted { role, values: Arc::new(values) });
    }
    agreeing(&inputs, specs)?;
    Ok(Samples { inputs, count })
}

fn called(array: &Named) -> String {
    if array.name.is_empty() { "the array".to_owned() } else { format!("the array `{}`", array.name) }
}

fn missing(arrays: &[Named], spec: &InputSpec) -> String {
    let names: Vec<String> = arrays.iter().map(|own| own.name.clone()).collect();
    match &names[..] {
        [only] if only.is_empty() => format!("there is one array, and the model also takes `{}`", spec.name),
        _ => format!("there is no array `{}`, only {}", spec.name, crate::explain::Names(&names, 5)),
    }
}

/// The array of an input: by its name, for a single input under a usual name or the only one, or by its place where the
/// arrays have none.
fn of_input<'a>(arrays: &'a [Named], specs: &[InputSpec], at: usize) -> Option<&'a Named> {
    let by_name = |name: &str| arrays.iter().find(|own| own.name == name);
    let spec = &specs[at];
    if let Some(array) = by_name(&spec.name) {
        return Some(array);
    }
    if let Some(array) = by_name(&format!("arr_{at}")) {
        return Some(array);
    }
    if specs.len() > 1 {
        let same = |own: &&Named| own.name.eq_ignore_ascii_case(&spec.name);
        return arrays.iter().find(same);
    }
    let usual = |key: &&str| arrays.iter().find(|own| own.name.eq_ignore_ascii_case(key));
    IMAGE_KEYS.iter().find_map(usual).or(match arrays {
        [only] => Some(only),
        _ => None,
    })
}

/// How an array can fit an input.
#[derive(Debug, Clone, Copy)]
enum Candidates {
    /// As many rows; `whole`: it is also exactly what one run takes.
    Rows { count: usize, whole: bool },
    /// One row without its axis.
    Row,
    /// As many times what one run takes, of which the first axis is 1 or may be anything: `[S, d, ...]`, rows after all.
    Stacked { count: usize },
    /// As many times what one run takes.
    Runs(usize),
    /// Exactly what one run takes, without a first axis.
    Whole,
}

impl Candidates {
    fn of(shape: &[usize], spec: &InputSpec) -> Option<Self> {
        let fits = |shape: &[usize], wanted: &[Option<usize>]| {
            shape.len() == wanted.len()
                && shape.iter().zip(wanted).all(|(&size, wanted)| size > 0 && wanted.is_none_or(|own| own == size))
        };
        let wanted = &spec.shape[..];
        let Some((first, rest)) = wanted.split_first() else {
            return match shape {
                [] => Some(Self::Whole),
                [count] if *count > 0 => Some(Self::Runs(*count)),
                _ => None,
            };
        };
        if shape.len() == wanted.len() && fits(&shape[1..], rest) && shape[0] > 0 {
            return Some(Self::Rows { count: shape[0], whole: *first == Some(shape[0]) });
        }
        if fits(shape, rest) && !shape.is_empty() {
            return Some(Self::Row);
        }
        if shape.len() == wanted.len() + 1 && fits(&shape[1..], wanted) && shape[0] > 0 {
            let rows = shape[1] == 1 || first.is_none();
            return Some(if rows { Self::Stacked { count: shape[0] * shape[1] } } else { Self::Runs(shape[0]) });
        }
        None
    }

    fn count(self) -> usize {
        match self {
            Self::Rows { count, .. } | Self::Stacked { count } | Self::Runs(count) => count,
            Self::Row | Self::Whole => 1,
        }
    }

    /// Whether it must count the samples.
    fn decides(self) -> bool {
        !matches!(self, Self::Whole | Self::Rows { whole: true, .. })
    }

    /// What the first axis counts; `runs`: whether some input is given run by run.
    fn role(self, count: usize, runs: bool) -> Option<Role> {
        match self {
            Self::Whole => Some(Role::Shared),
            Self::Runs(own) => (own == count).then_some(Role::Runs),
            Self::Rows { whole: true, count: own } if own != count || runs && own > 1 => Some(Role::Shared),
            _ => (self.count() == count).then_some(Role::Rows),
        }
    }

    /// The array with rows first.
    fn shaped(self, values: &Tensor) -> Tensor {
        let mut shape = values.shape().to_vec();
        match self {
            Self::Row => shape.insert(0, 1),
            Self::Stacked { count } => {
                shape.remove(0);
                shape[0] = count;
            }
            _ => {}
        }
        values.clone().reshaped(&shape).unwrap_or_else(|| values.clone())
    }
}

/// The number of samples: what those inputs say that cannot mean anything else.
fn samples(all: &[Candidates]) -> Option<usize> {
    let decided = all.iter().filter(|own| own.decides()).map(|own| own.count()).max();
    decided.or_else(|| all.iter().map(|own| own.count()).max())
}

/// Equal names of sizes mean equal sizes.
fn agreeing(inputs: &BTreeMap<String, Fitted>, specs: &[InputSpec]) -> Result<(), String> {
    let mut sizes: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
    for spec in specs {
        let Some(fitted) = inputs.get(&spec.name) else { continue };
        let shape = fitted.values.shape();
        let skip = usize::from(fitted.role == Role::Runs);
        for (axis, symbol) in spec.symbols.iter().enumerate() {
            let (Some(symbol), Some(&size)) = (symbol, shape.get(axis + skip)) else { continue };
            match sizes.get(symbol.as_str()) {
                Some(&(other, name)) if other != size => {
                    return Err(format!(
                        "`{symbol}` is {other} in the array of `{name}` and {size} in that of `{}`",
                        spec.name
                    ));
                }
                _ => {
                    sizes.insert(symbol, (size, &spec.name));
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::DataType;
    use ndarray::ArrayD;

    fn spec(name: &str, dtype: DataType, shape: &[Option<usize>]) -> InputSpec {
        InputSpec { name: name.into(), dtype, shape: shape.to_vec(), symbols: vec![None; shape.len()] }
    }

    fn array(name: &str, shape: &[usize]) -> Named {
        Named { name: name.into(), values: Tensor::F32(ArrayD::zeros(shape)) }
    }

    #[test]
    fn rows_and_stacked_runs_fit() {
        let one = [spec("x", DataType::Float, &[Some(1), Some(8), Some(4)])];
        for (shape, count) in [(&[60, 8, 4][..], 60), (&[8, 4], 1), (&[60, 1, 8, 4], 60)] {
            let found = fit(&[array("x", shape)], &one).unwrap();
            assert_eq!((found.count, found.inputs["x"].values.shape()), (count, &[count, 8, 4][..]), "{shape:?}");
        }
        let why = fit(&[array("", &[60, 9, 4])], &one).unwrap_err();
        assert!(why.contains("[60, 9, 4]") && why.contains("`x`") && why.contains("[1, 8, 4]"), "{why}");
    }

    #[test]
    fn states_and_constants_stand_beside_rows() {
        let specs = [
            spec("input", DataType::Float, &[None, Some(512)]),
            spec("state", DataType::Float, &[Some(2), Some(1), Some(16)]),
            spec("rate", DataType::Int64, &[]),
        ];
        let arrays = [array("input", &[30, 512]), array("state", &[2, 1, 16]), array("rate", &[])];
        let found = fit(&arrays, &specs).unwrap();
        assert_eq!(
            (found.count, found.inputs["state"].role, found.inputs["rate"].role),
            (30, Role::Shared, Role::Shared)
        );
        let arrays = [array("input", &[30, 512]), array("state", &[30, 2, 1, 16]), array("rate", &[30])];
        let found = fit(&arrays, &specs).unwrap();
        assert_eq!((found.inputs["state"].role, found.inputs["rate"].role), (Role::Runs, Role::Runs));
        assert!(fit(&arrays[..2], &specs).unwrap_err().contains("no array `rate`, only input, state"));
        let uneven = [array("input", &[30, 512]), array("state", &[20, 2, 1, 16]), array("rate", &[])];
        assert!(fit(&uneven, &specs).unwrap_err().contains("20 samples"));
    }

    #[test]
    fn symbols_must_agree_and_types_must_suit() {
        let mut specs = [spec("a", DataType::Int64, &[None, None]), spec("b", DataType::Int64, &[None, None])];
        for spec in &mut specs {
            spec.symbols = vec![Some("n".into()), Some("length".into())];
        }
        let why = fit(&[array("a", &[4, 7]), array("b", &[4, 8])], &specs).unwrap_err();
        assert!(why.contains("`length`") && why.contains('7') && why.contains('8'), "{why}");
        let half = Named { name: "a".into(), values: Tensor::F32(ArrayD::from_elem(vec![4, 7], 0.5)) };
        assert!(fit(&[half, array("b", &[4, 7])], &specs).unwrap_err().contains("0.5 is no int64"));
    }
}
