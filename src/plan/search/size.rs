//! The share of the parameters at which a file is as small as asked for.

/// A file this far below its target, as a share of it, has landed.
const WITHIN: f64 = 0.01;

/// Files that are measured at most.
const MOST: usize = 10;

/// Smallest share of the parameters that is asked for: below it the floors of every group decide.
const LEAST_SHARE: f64 = 0.001;

/// A plan with the size of its file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FileSize {
    /// Share of the parameters that was asked for.
    pub share: f64,
    /// Bytes of the file.
    pub bytes: u64,
}

/// Looks for the largest file of at most `target` bytes; the smallest file where the floors leave all of them above.
/// `measure` gives the bytes at a share of the parameters of a model of `dense` bytes.
///
/// # Errors
/// The first error of `measure`.
pub fn fit<E>(target: u64, dense: u64, mut measure: impl FnMut(f64) -> Result<u64, E>) -> Result<FileSize, E> {
    let (mut low, mut high) = (None, FileSize { share: 1.0, bytes: dense });
    let mut share = target as f64 / dense.max(1) as f64;
    for _ in 0..MOST {
        share = share.clamp(LEAST_SHARE, 1.0);
        let found = FileSize { share, bytes: measure(share)? };
        if found.bytes > target {
            high = found;
            if share <= LEAST_SHARE {
                break;
            }
        } else {
            low = Some(found);
            if found.bytes as f64 >= (1.0 - WITHIN) * target as f64 {
                break;
            }
        }
        share = next(target, low, high);
        let narrow = low.is_some_and(|low| high.share - low.share < 1e-3);
        if narrow {
            break;
        }
    }
    match low {
        Some(low) => Ok(low),
        None => Ok(FileSize { share: LEAST_SHARE, bytes: measure(LEAST_SHARE)? }),
    }
}

/// On the line through the bracket, kept from its ends.
fn next(target: u64, low: Option<FileSize>, high: FileSize) -> f64 {
    let aim = target as f64 * (1.0 - WITHIN / 2.0);
    match low {
        None => (high.share * aim / high.bytes.max(1) as f64).min(0.95 * high.share) - 0.01,
        Some(low) => {
            let width = (high.bytes as f64 - low.bytes as f64).max(1.0);
            let part = (aim - low.bytes as f64) / width;
            low.share + (high.share - low.share) * part.clamp(0.1, 0.9)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "made-up sizes")]
    fn the_largest_file_within_the_bound_is_found() {
        for (fixed, target) in [(0.0, 500), (200.0, 700), (200.0, 300), (50.0, 990)] {
            let mut measured = 0;
            let found = fit(target, 1000, |share| {
                measured += 1;
                Ok::<_, ()>((fixed + (1000.0 - fixed) * share) as u64)
            });
            let found = found.unwrap();
            assert!(found.bytes <= target && found.bytes as f64 >= 0.97 * target as f64, "{found:?} for {target}");
            assert!(measured <= MOST);
        }
    }

    #[test]
    fn floors_give_the_smallest_file() {
        let found = fit(300, 1000, |share| Ok::<_, ()>(if share > 0.5 { 900 } else { 400 })).unwrap();
        assert_eq!(found.bytes, 400);
    }
}
