//! The share of the layers' time at which a model takes the time asked for.
//!
//! Latency falls with the share in steps and is measured with noise: a bracket of a share that is too slow and one that
//! is too fast is narrowed by straight lines, kept from its ends so that a step cannot hold the search up.

use std::collections::BTreeMap;

/// A plan this far below its target, as a share of it, has landed.
pub const WITHIN: f64 = 0.05;

/// A plan above its target by less than this factor is nearly there; noise may add as much again.
const ABOVE: f64 = 1.0 + WITHIN / 2.0;

/// Where in the band below the target the search aims.
const AIM: f64 = 1.0 - WITHIN / 2.0;

/// Short timings this near to the target are repeated at length.
const NEAR: f64 = 0.1;

/// Smallest share that is asked for: below it the floors of every group decide.
const LEAST_SHARE: f64 = 0.01;

/// Shares nearer than this are the same.
const FINEST: f64 = 0.004;

/// Plans that are timed at most, and shares that are looked at.
const MOST_PLANS: usize = 9;
const MOST_SHARES: usize = 40;

/// How long a candidate is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Precision {
    /// A ratio within a few percent.
    Short,
    /// A ratio within half a percent.
    Long,
}

/// A timed plan.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timing {
    /// The same for the same plan.
    pub plan: usize,
    /// Latency as a share of the dense model's.
    pub ratio: f64,
}

/// What came of a search.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Found {
    /// At most the target, and no more than [`WITHIN`] below it, or all that another bound left.
    Met(Timing),
    /// No plan lands in the band; this is the nearest above it, by less than half of [`WITHIN`].
    Above(Timing),
    /// The fastest plan is slower than the target.
    Floor(Timing),
    /// The steps leave the target out: the nearest plan below it, and the next slower one; none if that is the dense
    /// model.
    Gap(Timing, Option<Timing>),
    /// Nothing can be cut at all.
    Nothing,
}

/// Looks for the plan whose latency is at most `target` and nearest to it, at shares of at most `most`. `time` times the
/// plan of a share; it answers `None` where that leaves every channel, and does not time a plan twice.
///
/// # Errors
/// The first error of `time`.
pub fn search<E>(
    target: f64,
    most: f64,
    mut time: impl FnMut(f64, Precision) -> Result<Option<Timing>, E>,
) -> Result<Found, E> {
    let mut seen: BTreeMap<usize, f64> = BTreeMap::new();
    let mut precise = |share: f64| -> Result<Option<Timing>, E> {
        let Some(short) = time(share, Precision::Short)? else { return Ok(None) };
        let near = (short.ratio / target - 1.0).abs() <= NEAR;
        let timing = if near { time(share, Precision::Long)?.unwrap_or(short) } else { short };
        Ok(Some(timing))
    };
    let mut slow = Point { share: most, ratio: 1.0 };
    if let Some(timing) = precise(most)? {
        if timing.ratio <= target {
            return Ok(Found::Met(timing));
        }
        seen.insert(timing.plan, timing.ratio);
        slow.ratio = timing.ratio;
    }
    let mut fast: Option<Point> = None;
    for _ in 0..MOST_SHARES {
        let share = next(target, slow, fast);
        match precise(share)? {
            None => slow = Point { share, ..slow },
            Some(timing) => {
                seen.insert(timing.plan, timing.ratio);
                if landed(timing.ratio / target) {
                    return Ok(Found::Met(timing));
                }
                let point = Point { share, ratio: timing.ratio };
                if timing.ratio > target {
                    slow = point;
                } else {
                    fast = Some(point);
                }
            }
        }
        let narrow = fast.map_or(slow.share <= LEAST_SHARE, |fast| slow.share - fast.share < FINEST);
        if narrow || seen.len() >= MOST_PLANS {
            break;
        }
    }
    Ok(settle(target, &seen))
}

/// Widens a plan below the target in some of `parts` groups. `time` is told in which and answers the ratio: as many as
/// go from the first on, then a few of the others one by one, until a plan lands.
///
/// # Errors
/// The first error of `time`.
pub fn between<E>(target: f64, parts: usize, mut time: impl FnMut(&[usize]) -> Result<f64, E>) -> Result<(), E> {
    const SINGLES: usize = 4;
    let all: Vec<usize> = (0..parts).collect();
    let (mut low, mut high) = (0, parts);
    while high - low > 1 {
        let middle = usize::midpoint(low, high);
        let ratio = time(&all[..middle])?;
        if landed(ratio / target) {
            return Ok(());
        }
        if ratio > target { high = middle } else { low = middle }
    }
    let mut taken = all[..low].to_vec();
    for &part in all.iter().skip(high).take(SINGLES) {
        taken.push(part);
        let ratio = time(&taken)?;
        if landed(ratio / target) {
            return Ok(());
        }
        if ratio > target {
            taken.pop();
        }
    }
    Ok(())
}

fn landed(part: f64) -> bool {
    (1.0 - WITHIN..=1.0).contains(&part)
}

/// A share of the layers' time, and its latency as a share of the dense model's.
#[derive(Debug, Clone, Copy)]
struct Point {
    share: f64,
    ratio: f64,
}

/// The next share to look at, between one that is too slow and one that is too fast.
fn next(target: f64, slow: Point, fast: Option<Point>) -> f64 {
    let aim = AIM * target;
    match fast {
        // As if time were proportional to the share, plus what did not go so far; a big step down at least.
        None => {
            let proportional = slow.share * aim / slow.ratio;
            let steeper = slow.share - 2.0 * (slow.share - proportional);
            let share = if slow.share > 0.999 { proportional } else { steeper };
            share.clamp(LEAST_SHARE, (0.9 * slow.share).max(LEAST_SHARE))
        }
        Some(fast) => {
            let part = (aim - fast.ratio) / (slow.ratio - fast.ratio).max(1e-9);
            fast.share + (slow.share - fast.share) * part.clamp(0.2, 0.8)
        }
    }
}

/// A gap that could not be filled: the plan above the target is taken where it is nearly there.
pub fn nearest(target: f64, found: Found) -> Found {
    match found {
        Found::Gap(_, Some(above)) if above.ratio / target <= ABOVE => Found::Above(above),
        found => found,
    }
}

impl Found {
    /// The plan that is taken; `None` where there is none.
    pub fn plan(&self) -> Option<usize> {
        match self {
            Self::Met(timing) | Self::Above(timing) | Self::Floor(timing) | Self::Gap(timing, _) => Some(timing.plan),
            Self::Nothing => None,
        }
    }

    /// A gap after plans between its ends were timed, `widened`.
    #[must_use]
    pub fn filled(self, target: f64, widened: impl Iterator<Item = Timing>) -> Self {
        let Self::Gap(below, above) = self else { return self };
        let best = widened.filter(|own| own.ratio <= target).max_by(|a, b| a.ratio.total_cmp(&b.ratio));
        match best {
            Some(best) if best.ratio >= (1.0 - WITHIN) * target => Self::Met(best),
            Some(best) if best.ratio > below.ratio => Self::Gap(best, above),
            _ => self,
        }
    }

    /// Why the plan is not what was asked for, where it is not.
    pub fn shortfall(&self, target: f64) -> Option<String> {
        match self {
            Self::Met(_) | Self::Nothing => None,
            Self::Above(timing) => {
                let why = "is missed by a little: the next faster widths that suit the engine are further below";
                Some(format!("{why}; this plan takes x{:.3}", timing.ratio))
            }
            Self::Floor(timing) => {
                let why = "what is left is in protected channels, floors and what every run costs";
                Some(format!("cannot be reached: the fastest plan takes x{:.2}; {why}", timing.ratio))
            }
            Self::Gap(timing, next) => {
                let below = 100.0 * (1.0 - timing.ratio / target);
                Some(format!(
                    "falls between two steps of the engine's cost: this plan takes x{:.2}, {below:.0} % less, the next \
                     larger one x{:.2}",
                    timing.ratio,
                    next.map_or(1.0, |next| next.ratio)
                ))
            }
        }
    }
}

/// Whether an interval from `low` to `high` is wider than the band in which a plan lands.
pub fn unsure(ratio: f64, low: f64, high: f64) -> bool {
    high - low > 2.0 * WITHIN * ratio
}

/// The best of what was seen.
fn settle(target: f64, seen: &BTreeMap<usize, f64>) -> Found {
    let timing = |(&plan, &ratio): (&usize, &f64)| Timing { plan, ratio };
    let below = seen.iter().filter(|(_, ratio)| **ratio <= target).max_by(|a, b| a.1.total_cmp(b.1)).map(timing);
    let above = seen.iter().filter(|(_, ratio)| **ratio > target).min_by(|a, b| a.1.total_cmp(b.1)).map(timing);
    match (below, above) {
        (Some(below), _) if landed(below.ratio / target) => Found::Met(below),
        (Some(below), above) => Found::Gap(below, above),
        (None, Some(above)) if above.ratio / target <= ABOVE => Found::Above(above),
        (None, Some(above)) => Found::Floor(above),
        (None, None) => Found::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches on a made-up curve from share to latency; plans differ in steps of `step` shares.
    fn on(target: f64, most: f64, step: f64, latency: impl Fn(f64) -> f64) -> (Found, usize) {
        let mut timed = std::collections::BTreeSet::new();
        let found = search(target, most, |share, precision| {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small number")]
            let plan = (share / step).floor() as usize;
            timed.insert((plan, precision));
            let cut = plan as f64 * step;
            Ok::<_, ()>((cut < 0.999).then(|| Timing { plan, ratio: latency(cut) }))
        });
        (found.unwrap(), timed.len())
    }

    fn ratio(found: Found) -> f64 {
        match found {
            Found::Met(timing) => timing.ratio,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn smooth_curves_are_met_in_few_timings() {
        for target in [0.9, 0.7, 0.5, 0.3] {
            for curve in [|s: f64| s, |s: f64| 0.2 + 0.8 * s, |s: f64| s * s, |s: f64| s.sqrt()] {
                if curve(0.01) > target {
                    continue;
                }
                let (found, timed) = on(target, 1.0, 0.001, curve);
                let ratio = ratio(found);
                assert!(ratio <= target && ratio >= 0.95 * target, "{ratio} for {target}");
                assert!(timed <= 12, "{timed} timings for {target}");
            }
        }
    }

    #[test]
    fn stairs_are_met_where_a_step_lies_in_the_band() {
        let stairs = |s: f64| 0.1 + (s * 20.0).ceil() / 20.0 * 0.9;
        let (found, _) = on(0.7, 1.0, 0.002, stairs);
        assert!((0.665..=0.7).contains(&ratio(found)));
    }

    #[test]
    fn a_gap_is_told_with_the_next_slower_plan() {
        let stairs = |s: f64| if s > 0.6 { 0.9 } else { 0.5 };
        let (found, _) = on(0.7, 1.0, 0.001, stairs);
        let Found::Gap(below, next) = found else { panic!("{found:?}") };
        assert_eq!((below.ratio, next.unwrap().ratio), (0.5, 0.9));
        assert_eq!(nearest(0.7, found), found);
        // Just above the target is nearer than far below it.
        let (found, _) = on(0.7, 1.0, 0.001, |s| if s > 0.6 { 0.71 } else { 0.5 });
        let found = nearest(0.7, found);
        assert!(matches!(found, Found::Above(timing) if (timing.ratio - 0.71).abs() < 1e-9), "{found:?}");
    }

    #[test]
    fn a_gap_is_filled_group_by_group() {
        let asked = |target: f64, cost: &[f64]| {
            let mut asked = Vec::new();
            let time = |parts: &[usize]| {
                asked.push(parts.to_vec());
                Ok::<_, ()>(0.5 + parts.iter().map(|&part| cost[part]).sum::<f64>())
            };
            between(target, cost.len(), time).unwrap();
            asked
        };
        assert_eq!(asked(0.7, &[0.039; 10]), [vec![0, 1, 2, 3, 4]]);
        // The first group costs too much: the others are tried without it.
        assert_eq!(asked(0.6, &[0.2, 0.03, 0.06]), [vec![0], vec![1], vec![1, 2]]);
        assert!(asked(0.6, &[0.4]).is_empty());
    }

    #[test]
    fn floors_are_told() {
        let (found, timed) = on(0.3, 1.0, 0.001, |s| s.max(0.4));
        assert!(matches!(found, Found::Floor(timing) if (timing.ratio - 0.4).abs() < 1e-9), "{found:?}");
        assert!(timed <= MOST_PLANS, "{timed}");
        // Nothing can be cut.
        assert_eq!(search(0.5, 1.0, |_, _| Ok::<_, ()>(None)).unwrap(), Found::Nothing);
    }

    #[test]
    fn another_bound_that_suffices_ends_the_search() {
        let (found, timed) = on(0.7, 0.3, 0.001, |s| s);
        assert!((ratio(found) - 0.3).abs() < 2e-3);
        assert_eq!(timed, 1);
    }

    #[test]
    fn noise_of_a_percent_is_no_obstacle() {
        let mut state = 1_u32;
        for target in [0.8, 0.6, 0.45] {
            let mut cache: BTreeMap<usize, f64> = BTreeMap::new();
            let found = search(target, 1.0, |share, _| {
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small number")]
                let plan = (share * 200.0) as usize;
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let noise = f64::from(state >> 16) / 65_536.0 - 0.5;
                let ratio = *cache.entry(plan).or_insert((0.25 + 0.75 * plan as f64 / 200.0) * (1.0 + 0.02 * noise));
                Ok::<_, ()>((plan < 200).then_some(Timing { plan, ratio }))
            });
            let ratio = ratio(found.unwrap());
            assert!((0.95 * target..=target).contains(&ratio), "{ratio} for {target}");
        }
    }

    /// How a search on a made-up curve from share to latency ends: the ratio of the plan, and what is said.
    fn told(target: f64, latency: impl Fn(f64) -> f64) -> (f64, Option<String>) {
        let mut ratios = Vec::new();
        let found = search(target, 1.0, |share, _| {
            ratios.push(latency(share));
            let timing = Timing { plan: ratios.len() - 1, ratio: latency(share) };
            Ok::<_, ()>((share < 0.999).then_some(timing))
        });
        let found = nearest(target, found.unwrap());
        (ratios[found.plan().unwrap()], found.shortfall(target))
    }

    #[test]
    fn every_way_to_end_is_said_for_what_it_is() {
        let (ratio, said) = told(0.6, |share| 0.1 + 0.9 * share);
        assert!((0.57..=0.6).contains(&ratio) && said.is_none(), "{ratio} {said:?}");
        for (low, high, words) in [
            (0.5, 0.61, "is missed by a little: the next faster widths"),
            (
                0.5,
                0.9,
                "falls between two steps of the engine's cost: this plan takes x0.50, 17 % less, the next larger",
            ),
            (0.7, 0.9, "cannot be reached: the fastest plan takes x0.70; what is left"),
        ] {
            let (_, said) = told(0.6, |share| if share > 0.5 { high } else { low });
            assert!(said.as_deref().is_some_and(|own| own.starts_with(words)), "{words}: {said:?}");
        }
        assert_eq!((Found::Nothing.plan(), Found::Nothing.shortfall(0.6)), (None, None));
    }
}
