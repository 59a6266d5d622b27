//! What goes into one run of a model: a value for every input.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Tensor;

/// Values by name: those of all inputs of one run, or of what is alive at one place of a model. Cheap to clone.
pub type Feed = BTreeMap<String, Arc<Tensor>>;

/// The values as [`super::Session::run`] takes them.
pub fn pairs(feed: &Feed) -> Vec<(&str, &Tensor)> {
    feed.iter().map(|(name, value)| (name.as_str(), value.as_ref())).collect()
}

/// Samples of a feed: the size that most first axes have, of several the largest. Inputs that have another one (a
/// threshold, a table) are the same for all samples.
pub fn samples(feed: &Feed) -> usize {
    let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
    for size in feed.values().filter_map(|value| value.shape().first()) {
        *counts.entry(*size).or_default() += 1;
    }
    counts.into_iter().max_by_key(|&(size, count)| (count, size)).map_or(0, |(size, _)| size)
}

/// Bytes of all values.
pub fn bytes(feed: &Feed) -> u64 {
    feed.values().map(|value| value.bytes()).sum()
}

/// The same inputs with every other number moved by one unit in the last place.
pub fn moved(feed: &Feed) -> Feed {
    feed.iter().map(|(name, value)| (name.clone(), Arc::new(value.moved()))).collect()
}

/// Samples `rows` of a feed; what does not have one row for each sample stays whole.
///
/// # Panics
/// If there is no such sample.
pub fn rows(feed: &Feed, rows: &[usize]) -> Feed {
    let count = samples(feed);
    let part = |value: &Arc<Tensor>| {
        if value.shape().first() == Some(&count) { Arc::new(value.rows(rows)) } else { Arc::clone(value) }
    };
    feed.iter().map(|(name, value)| (name.clone(), part(value))).collect()
}

/// The samples of several feeds in one; `None` if they do not go together.
pub fn joined(feeds: &[Feed]) -> Option<Feed> {
    let first = feeds.first()?;
    let counts: Vec<usize> = feeds.iter().map(samples).collect();
    let join = |name: &String| {
        let own: Vec<&Arc<Tensor>> = feeds.iter().map(|feed| feed.get(name)).collect::<Option<_>>()?;
        if own.iter().zip(&counts).any(|(value, count)| value.shape().first() != Some(count)) {
            return own.iter().all(|value| *value == own[0]).then(|| Arc::clone(own[0]));
        }
        Tensor::concatenated(&own.iter().map(AsRef::as_ref).collect::<Vec<_>>()).map(Arc::new)
    };
    first.keys().map(|name| Some((name.clone(), join(name)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{arr1, arr2};

    fn feed(first: f32) -> Feed {
        let images = arr2(&[[first, 1.0], [2.0, 3.0]]).into_dyn();
        let bytes = arr1(&[7_u8, 8]).into_dyn();
        let threshold = arr1(&[0.5_f32]).into_dyn();
        [("x", Tensor::F32(images)), ("lengths", Tensor::U8(bytes)), ("threshold", Tensor::F32(threshold))]
            .map(|(name, value)| (name.to_owned(), Arc::new(value)))
            .into()
    }

    #[test]
    fn samples_of_all_inputs_are_taken_together() {
        let both = joined(&[feed(0.0), feed(9.0)]).unwrap();
        assert_eq!((samples(&both), both["x"].shape(), both["threshold"].shape()), (4, &[4, 2][..], &[1][..]));
        let one = rows(&both, &[2]);
        assert_eq!(*one["x"], Tensor::F32(arr2(&[[9.0, 1.0]]).into_dyn()));
        assert_eq!((bytes(&one), one["lengths"].shape()), (8 + 1 + 4, &[1][..]));
        assert!(joined(&[]).is_none());
    }
}
