//! The smallest model that loses no more accuracy than allowed.
//!
//! Models are tested from the mildest cut to the strongest, and the first that fails ends the search. Testing in an order
//! that was fixed before needs no correction for looking several times: the chance that any accepted model is worse than
//! the bound is at most that of one test (fixed sequence testing: Maurer, Hothorn and Lehmacher 1995; Bauer 1991).

/// Shares that lie between two tests.
const STEP: f64 = 0.05;

/// Smallest share that is tested where no other bound ends the search.
pub const LEAST_SHARE: f64 = 0.05;

/// Shares from the mildest cut to `last`.
pub fn shares(last: f64) -> Vec<f64> {
    let steps = (1..20).map(|step| 1.0 - STEP * f64::from(step)).map(|share| (share * 100.0).round() / 100.0);
    let mut all: Vec<f64> = steps.filter(|share| *share > last + STEP / 4.0).collect();
    all.push(last);
    all
}

/// What came of one test.
pub enum Test<T> {
    /// The same model as before, or the dense one.
    Same,
    /// Within the bound.
    Accepted(T),
    /// Perhaps not within the bound.
    Refused,
}

/// The last of the models that are accepted before the first refusal, and whether all were.
///
/// # Errors
/// The first error of `test`.
pub fn strongest_accepted<T, E>(
    shares: &[f64],
    mut test: impl FnMut(f64) -> Result<Test<T>, E>,
) -> Result<(Option<T>, bool), E> {
    let mut best = None;
    for &share in shares {
        match test(share)? {
            Test::Same => {}
            Test::Accepted(model) => best = Some(model),
            Test::Refused => return Ok((best, false)),
        }
    }
    Ok((best, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_go_down_to_the_last() {
        assert_eq!(shares(0.8), [0.95, 0.9, 0.85, 0.8]);
        assert_eq!(shares(0.79), [0.95, 0.9, 0.85, 0.79]);
        assert_eq!(shares(0.97), [0.97]);
        assert_eq!(shares(LEAST_SHARE).len(), 19);
    }

    #[test]
    fn the_first_refusal_ends_the_strongest_accepted() {
        let mut tested = Vec::new();
        let found = strongest_accepted(&shares(0.5), |share| {
            tested.push(share);
            // Milder than 0.9 nothing is cut; 0.7 would pass again.
            Ok::<_, ()>(match share {
                0.95 => Test::Same,
                0.8 => Test::Refused,
                share => Test::Accepted(share),
            })
        });
        assert_eq!(found.unwrap(), (Some(0.85), false));
        assert_eq!(tested, [0.95, 0.9, 0.85, 0.8]);
        assert_eq!(
            strongest_accepted(&[0.9, 0.8], |share| Ok::<_, ()>(Test::Accepted(share))).unwrap(),
            (Some(0.8), true)
        );
        assert_eq!(strongest_accepted(&[0.9], |_| Ok::<Test<f64>, ()>(Test::Refused)).unwrap(), (None, false));
    }
}
