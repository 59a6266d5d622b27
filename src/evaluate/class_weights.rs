//! Weights that the user gives to classes.

use std::collections::BTreeMap;

use super::{Classes, EvaluateError};

/// Weight of every image by the label it has; `None` where no weights were given.
///
/// # Errors
/// If a class is named that there is not, or no image has a weight above 0.
pub fn weights_of_images(
    given: &[(String, f64)],
    classes: &Classes,
    names: &[String],
) -> Result<Option<BTreeMap<usize, f64>>, EvaluateError> {
    if given.is_empty() {
        return Ok(None);
    }
    let by_label = of_labels(given, names)?;
    let others = by_label.get(&None).copied().unwrap_or(1.0);
    let weight = |label: usize| by_label.get(&Some(label)).copied().unwrap_or(others);
    let weights: BTreeMap<usize, f64> = classes.labels.iter().map(|(&item, &label)| (item, weight(label))).collect();
    if weights.values().all(|&weight| weight <= 0.0) {
        return Err(EvaluateError::Usage {
            what: "`--class-weights` leaves no image with a weight above 0".into(),
            help: "give the classes that matter a weight above 0, or the others one with `*=W`".into(),
        });
    }
    Ok(Some(weights))
}

/// Weights by output; `None` stands for all outputs that are not named.
fn of_labels(given: &[(String, f64)], names: &[String]) -> Result<BTreeMap<Option<usize>, f64>, EvaluateError> {
    given
        .iter()
        .map(|(name, weight)| {
            if name == "*" {
                return Ok((None, *weight));
            }
            let known = names.iter().position(|known| known == name);
            let label = known.or_else(|| name.parse().ok()).ok_or_else(|| EvaluateError::Usage {
                what: format!("`--class-weights` names a class `{name}` that the images do not have"),
                help: match crate::explain::Names(names, 5).to_string() {
                    none if names.is_empty() || none.is_empty() => "name classes by the number of their output".into(),
                    some => format!("the classes are {some}; numbers of outputs and `*` for all others work too"),
                },
            })?;
            Ok((Some(label), *weight))
        })
        .collect()
}

/// Weight of every output of `outputs`; `None` where no weights were given.
///
/// # Errors
/// If a class is named that there is not.
pub fn weights_of_outputs(
    given: &[(String, f64)],
    outputs: impl Iterator<Item = usize>,
    names: &[String],
) -> Result<Vec<Option<f64>>, EvaluateError> {
    let weights = of_labels(given, names)?;
    let weight = |output: usize| weights.get(&Some(output)).or(weights.get(&None)).copied().unwrap_or(1.0);
    Ok(outputs.map(|output| (!given.is_empty()).then(|| weight(output))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::Explain as _;

    fn classes() -> Classes {
        Classes::new((0..30).map(|item| (item, item % 3)).collect(), None).unwrap()
    }

    #[test]
    fn names_numbers_and_the_rest() {
        let names = ["cat".to_owned(), "dog".to_owned(), "car".to_owned()];
        let given = [("dog".to_owned(), 5.0), ("2".to_owned(), 3.0), ("*".to_owned(), 0.5)];
        let weights = weights_of_images(&given, &classes(), &names).unwrap().unwrap();
        assert_eq!((weights[&0], weights[&1], weights[&2]), (0.5, 5.0, 3.0));
        assert_eq!(weights_of_images(&[], &classes(), &names).unwrap(), None);
        let error = weights_of_images(&[("cow".to_owned(), 1.0)], &classes(), &names).unwrap_err();
        assert!(error.help().unwrap().contains("cat, dog, car"), "{error:?}");
        assert!(weights_of_images(&[("*".to_owned(), 0.0)], &classes(), &names).is_err());
    }
}
