//! Which blocks go: nested sets, each one block larger than the one before, by what the outputs lose for what is saved.

/// Prices that are measured anew for one more block, beside the first of each block.
const MOST_MEASURED: usize = 6;

/// Blocks of a set that are exchanged, rivals of each, and exchanges in all.
const EXCHANGED: usize = 3;
const RIVALS: usize = 2;
const MOST_EXCHANGES: usize = 5;

/// A network without some blocks.
#[derive(Debug, Clone, PartialEq)]
pub struct Removal<S> {
    /// The blocks, in the order in which they went.
    pub blocks: Vec<usize>,
    /// What the outputs lose.
    pub loss: f64,
    /// Share of the budget's measure that is saved.
    pub saved: f64,
    /// The network itself, as the caller holds it.
    pub state: S,
}

/// What a search of blocks found.
#[derive(Debug, Clone, PartialEq)]
pub struct Nested<S> {
    /// Sets of blocks, the first of them empty, each one block larger than the one before.
    pub sets: Vec<Removal<S>>,
    /// The loss that each block added when it was measured last.
    pub added: Vec<Option<f64>>,
}

/// Where a search of blocks ends.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    /// Number of blocks that there are.
    pub blocks: usize,
    /// Share that is to be saved.
    pub needed: f64,
    /// Blocks that go at most.
    pub most: usize,
    /// Loss beyond which a set is of no use.
    pub most_loss: f64,
}

/// Takes out one block after the other: that which loses least for what it saves, as it is measured without those that are
/// gone already. A price that was measured with fewer blocks gone is measured anew before it counts, the lowest first: what
/// a block costs mostly grows as others go. What saves more than is needed is worth no more than that.
///
/// `saved` tells what a set saves, `without` takes one block more out of a network and tells the loss. The first of the
/// result has no block gone; the sets end with the first that saves what is needed, or after which `goes_on` says no.
///
/// # Errors
/// The first error of `without` or `goes_on`.
pub fn nested<S, E>(
    limit: Limit,
    dense: S,
    saved: &dyn Fn(&[usize]) -> f64,
    mut without: impl FnMut(&S, usize) -> Result<(S, f64), E>,
    mut goes_on: impl FnMut(&Removal<S>) -> Result<bool, E>,
) -> Result<Nested<S>, E> {
    let mut steps = vec![Removal { blocks: Vec::new(), loss: 0.0, saved: 0.0, state: dense }];
    // The loss that each block added when it was measured, and with how many others gone.
    let mut known: Vec<Option<(f64, usize)>> = vec![None; limit.blocks];
    while let Some(last) = steps.last() {
        if last.saved >= limit.needed || last.blocks.len() >= limit.most {
            break;
        }
        let gain = |block: usize| {
            let with = [&last.blocks[..], &[block]].concat();
            saved(&with) - last.saved
        };
        let open: Vec<(usize, f64)> = (0..limit.blocks)
            .filter(|block| !last.blocks.contains(block))
            .map(|block| (block, gain(block).min(limit.needed - last.saved)))
            .filter(|(_, gain)| *gain > 0.0)
            .collect();
        let mut fresh: Option<(f64, usize, S, f64)> = None;
        let mut measured = 0;
        loop {
            let price = |&(block, gain): &(usize, f64)| known[block].map(|(loss, _)| loss.max(0.0) / gain);
            let stale = |(block, _): &&(usize, f64)| known[*block].is_none_or(|(_, at)| at < steps.len());
            let next = open.iter().filter(stale).min_by(|a, b| {
                let [a, b] = [a, b].map(|own| price(own).unwrap_or(f64::NEG_INFINITY));
                a.total_cmp(&b)
            });
            let Some(next) = next else { break };
            let first = price(next).is_none();
            let better = fresh.as_ref().is_none_or(|best| price(next).is_none_or(|own| own < best.0));
            if !better || !first && measured >= MOST_MEASURED {
                break;
            }
            measured += usize::from(!first);
            let (state, loss) = without(&last.state, next.0)?;
            known[next.0] = Some((loss - last.loss, steps.len()));
            let own = (loss - last.loss).max(0.0) / next.1;
            if fresh.as_ref().is_none_or(|best| own < best.0) {
                fresh = Some((own, next.0, state, loss));
            }
        }
        let Some((_, block, state, loss)) = fresh.filter(|own| own.3 <= limit.most_loss) else { break };
        let blocks = [&last.blocks[..], &[block]].concat();
        let step = Removal { saved: saved(&blocks), blocks, loss, state };
        let on = goes_on(&step)?;
        steps.push(step);
        if !on {
            break;
        }
    }
    let added = known.into_iter().map(|own| own.map(|(loss, _)| loss)).collect();
    Ok(Nested { sets: steps, added })
}

/// Exchanges of one block for another in the last set, where that loses less and saves as much as is needed: of the blocks
/// that went last each is tried for those that were found to lose least. `loss` measures a set from the dense network on.
///
/// # Errors
/// The first error of `loss`.
pub fn exchanged<S, E>(
    limit: Limit,
    found: &mut Nested<S>,
    saved: &dyn Fn(&[usize]) -> f64,
    mut loss: impl FnMut(&[usize]) -> Result<f64, E>,
) -> Result<(), E> {
    let Nested { sets, added } = found;
    let Some((last, before)) = sets.split_last_mut() else { return Ok(()) };
    let enough = last.saved.min(limit.needed);
    let known = |block: &usize| added[*block].unwrap_or(f64::INFINITY);
    let rivals = |blocks: &[usize]| -> Vec<usize> {
        let mut all: Vec<usize> = (0..limit.blocks).filter(|block| !blocks.contains(block)).collect();
        all.sort_by(|a, b| known(a).total_cmp(&known(b)).then(a.cmp(b)));
        all
    };
    let mut trials = 0;
    for at in (0..last.blocks.len()).rev().take(EXCHANGED) {
        for rival in rivals(&last.blocks).into_iter().take(RIVALS) {
            let mut blocks = last.blocks.clone();
            blocks[at] = rival;
            if trials == MOST_EXCHANGES || before.is_empty() || saved(&blocks) < enough {
                continue;
            }
            trials += 1;
            let own = loss(&blocks)?;
            if own < last.loss {
                (last.loss, last.saved) = (own, saved(&blocks));
                last.blocks = blocks;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn depth(blocks: usize, needed: f64) -> Limit {
        Limit { blocks, needed, most: usize::MAX, most_loss: f64::INFINITY }
    }

    /// Losses that add up, but for pairs that cost more together.
    fn search(own: &[f64], pairs: &[(usize, usize, f64)], limit: Limit) -> (Nested<Vec<usize>>, usize) {
        let mut runs = 0;
        let share = 1.0 / own.len() as f64;
        let without = |gone: &Vec<usize>, block| {
            runs += 1;
            let set = [&gone[..], &[block]].concat();
            let together = pairs.iter().filter(|(a, b, _)| set.contains(a) && set.contains(b)).map(|own| own.2);
            let loss = set.iter().map(|&block| own[block]).chain(together).sum();
            Ok::<_, ()>((set, loss))
        };
        let found = nested(limit, Vec::new(), &|set| share * set.len() as f64, without, |_| Ok(true));
        (found.unwrap(), runs)
    }

    #[test]
    fn the_cheapest_go_first_and_interactions_are_measured() {
        let (found, runs) = search(&[0.3, 0.1, 0.2, 0.15], &[(1, 3, 1.0)], depth(4, 0.75));
        let last = found.sets.last().unwrap();
        assert_eq!(last.blocks, [1, 2, 0]);
        assert!((last.loss - 0.6).abs() < 1e-12);
        // Each once, then those whose prices could be the lowest.
        assert!(runs < 4 + 3 + 2, "{runs}");
    }

    #[test]
    fn a_block_is_exchanged_where_the_set_loses_less() {
        let limit = depth(4, 0.5);
        let mut found = search(&[0.1, 0.2, 0.3, 0.25], &[(0, 1, 0.4), (0, 2, 0.4), (0, 3, 0.4)], limit).0;
        assert_eq!(found.sets.last().unwrap().blocks, [0, 1]);
        let own = [0.1, 0.2, 0.3, 0.25];
        let loss = |set: &[usize]| {
            let pair = if set.contains(&0) { 0.4 } else { 0.0 };
            Ok::<_, ()>(set.iter().map(|&block| own[block]).sum::<f64>() + pair)
        };
        exchanged(limit, &mut found, &|set| 0.25 * set.len() as f64, loss).unwrap();
        let last = found.sets.last().unwrap();
        assert!(!last.blocks.contains(&0) && last.loss < 0.6, "{last:?}");
    }

    #[test]
    fn it_ends_where_enough_is_saved_or_too_much_lost() {
        let sets = |own: &[f64], limit| search(own, &[], limit).0.sets.len();
        assert_eq!(sets(&[0.1; 4], depth(4, 0.4)), 3);
        assert_eq!(sets(&[0.1; 4], Limit { most: 1, ..depth(4, 0.9) }), 2);
        assert_eq!(sets(&[0.1; 4], Limit { most_loss: 0.25, ..depth(4, 0.9) }), 3);
        assert_eq!(sets(&[], depth(0, 0.9)), 1);
    }

    #[test]
    fn the_caller_ends_it() {
        let share = |set: &[usize]| 0.1 * set.len() as f64;
        let without = |&gone: &usize, _| Ok::<_, ()>((gone + 1, 0.1));
        let found = nested(depth(4, 0.9), 0, &share, without, |step| Ok(step.blocks.len() < 2)).unwrap();
        assert_eq!(found.sets.len(), 3);
        let failed = nested(depth(4, 0.9), 0, &share, |&gone, _| Ok((gone + 1, 0.1)), |_| Err("stopped"));
        assert_eq!(failed, Err("stopped"));
    }

    #[test]
    fn a_block_that_saves_nothing_more_stays() {
        // The second lies in the first.
        let saved = |set: &[usize]| if set.contains(&0) { 0.5 } else { 0.2 * set.len() as f64 };
        let loss = |&(): &(), block: usize| Ok::<_, ()>(((), [0.1, 0.3][block]));
        let found = nested(depth(2, 0.9), (), &saved, loss, |_| Ok(true));
        assert_eq!(found.unwrap().sets.last().unwrap().blocks, [0]);
    }
}
