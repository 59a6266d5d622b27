//! Searches of a set by halving.

/// The fewest parts of `all` that must be left out for `works` to hold, found by halving; what works alone but not
/// together is blamed on the later half.
pub fn culprits(all: &[usize], works: &mut impl FnMut(&[usize]) -> bool) -> Vec<usize> {
    if works(all) {
        return Vec::new();
    }
    if all.len() < 2 {
        return all.to_vec();
    }
    let (front, back) = all.split_at(all.len() / 2);
    let mut found = culprits(front, works);
    found.extend(culprits(back, works));
    if found.is_empty() { back.to_vec() } else { found }
}

/// The suspects that can be given back together without costing time, found by halving.
///
/// # Errors
/// The first error of `costs_nothing`.
pub fn free<E>(
    suspects: &[usize],
    costs_nothing: &mut impl FnMut(&[usize]) -> Result<bool, E>,
) -> Result<Vec<usize>, E> {
    let mut found: Vec<usize> = Vec::new();
    let mut sets = vec![suspects];
    while let Some(set) = sets.pop().filter(|set| !set.is_empty()) {
        let trial = [&found[..], set].concat();
        if costs_nothing(&trial)? {
            found = trial;
        } else if set.len() > 1 {
            let (front, back) = set.split_at(set.len() / 2);
            sets.extend([back, front]);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_culprits_are_found_among_many() {
        let all: Vec<usize> = (0..40).collect();
        let mut runs = 0;
        let found = culprits(&all, &mut |some| {
            runs += 1;
            !some.contains(&3) && !some.contains(&29)
        });
        assert_eq!(found, [3, 29]);
        assert!(runs < 40, "{runs}");
    }

    #[test]
    fn what_only_breaks_together_is_parted() {
        assert_eq!(culprits(&[1, 2], &mut |some| some.len() < 2), [2]);
        assert_eq!(culprits(&[7], &mut |_| true), [0; 0]);
    }

    #[test]
    fn what_costs_time_is_parted_from_what_does_not() {
        let mut timings = 0;
        let mut costs_nothing = |groups: &[usize]| {
            timings += 1;
            Ok::<_, ()>(!groups.contains(&4))
        };
        assert_eq!(free(&[1, 2, 3, 4], &mut costs_nothing).unwrap(), [1, 2, 3]);
        assert_eq!(timings, 5);
        assert_eq!(free(&[], &mut |_| Ok::<_, ()>(true)).unwrap(), [0; 0]);
        // Each costs little, together they would cost time.
        assert_eq!(free(&[1, 2], &mut |groups| Ok::<_, ()>(groups.len() < 2)).unwrap(), [1]);
    }
}
