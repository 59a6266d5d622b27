//! Weights that the user gives to classes.

use std::collections::BTreeMap;

use super::{Classes, EvaluateError};

/// Weights of the labels of images.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelWeights {
    by_label: BTreeMap<Option<usize>, f64>,
}

impl LabelWeights {
    /// From what the user gives; `None` where nothing was given. `names`: those of the classes.
    ///
    /// # Errors
    /// If a class is named that there is not, or no image has a weight above 0.
    pub fn new(given: &[(String, f64)], classes: &Classes, names: &[String]) -> Result<Option<Self>, EvaluateError> {
        if given.is_empty() {
            return Ok(None);
        }
        let own = Self { by_label: of_labels(given, names)? };
        if classes.labels.keys().all(|&label| own.of(label) <= 0.0) {
            return Err(EvaluateError::Usage {
                what: "`--class-weights` leaves no image with a weight above 0".into(),
                help: "give the classes that matter a weight above 0, or the others one with `*=W`".into(),
            });
        }
        Ok(Some(own))
    }

    /// Weight of the images of a label.
    pub fn of(&self, label: usize) -> f64 {
        self.by_label.get(&Some(label)).or(self.by_label.get(&None)).copied().unwrap_or(1.0)
    }
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

    #[test]
    fn names_numbers_and_the_rest() {
        let names = ["cat".to_owned(), "dog".to_owned(), "car".to_owned()];
        let classes = Classes { labels: [(0, 10), (1, 10), (2, 10)].into(), ..Classes::default() };
        let given = [("dog".to_owned(), 5.0), ("2".to_owned(), 3.0), ("*".to_owned(), 0.5)];
        let weights = LabelWeights::new(&given, &classes, &names).unwrap().unwrap();
        let found = [0, 1, 2].map(|label| weights.of(label).to_bits());
        assert_eq!(found, [0.5_f64, 5.0, 3.0].map(f64::to_bits));
        assert_eq!(LabelWeights::new(&[], &classes, &names).unwrap(), None);
        let error = LabelWeights::new(&[("cow".to_owned(), 1.0)], &classes, &names).unwrap_err();
        assert!(error.help().unwrap().contains("cat, dog, car"), "{error:?}");
        assert!(LabelWeights::new(&[("*".to_owned(), 0.0)], &classes, &names).is_err());
    }
}
