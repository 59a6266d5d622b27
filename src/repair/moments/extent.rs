//! How much is gathered of what a consumer reads, within a bound on memory (`docs/method.md` 1.10).

/// What is gathered of one consumer; narrowed until all consumers together fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::repair) struct Extent {
    /// Channels that it reads, and kernel positions of its weight.
    pub(in crate::repair) channels: usize,
    pub(in crate::repair) kernel_size: usize,
    /// Whether products of all columns (channel, kernel position) are gathered, not those of channels alone.
    pub(in crate::repair) windows: bool,
    /// Whether products are gathered at all.
    pub(in crate::repair) pairs: bool,
    /// Whether they are gathered a second time, weighted by class.
    pub(in crate::repair) weighted: bool,
    /// Classes whose contributions are gathered; 0: none.
    pub(in crate::repair) classes: usize,
}

impl Extent {
    /// Columns per channel.
    pub(in crate::repair) fn per_channel(&self) -> usize {
        if self.windows { self.kernel_size } else { 1 }
    }

    /// Bytes that the sums take.
    fn bytes(&self) -> u64 {
        if !self.pairs {
            return 0;
        }
        let channels = self.channels as u64;
        let columns = channels * self.per_channel() as u64;
        let products = 8 * columns * columns * (1 + u64::from(self.weighted));
        let each = 8 * (channels * (channels + 1) / 2 + columns);
        let contributions = self.classes as u64 * each + if self.classes > 0 { 4 * columns * columns } else { 0 };
        products + contributions
    }

    /// Gathers less; false where nothing is left to do without.
    fn narrow(&mut self) -> bool {
        if !self.pairs {
            return false;
        }
        if self.windows && self.kernel_size > 1 {
            self.windows = false;
        } else if self.classes > 0 {
            self.classes = 0;
        } else {
            self.pairs = false;
        }
        true
    }
}

/// Narrows the largest until all take at most `memory` bytes; how many were narrowed.
pub(in crate::repair) fn fit(extents: &mut [Extent], memory: u64) -> usize {
    let mut narrowed = std::collections::BTreeSet::new();
    let mut total: u64 = extents.iter().map(Extent::bytes).sum();
    while total > memory {
        let Some(at) = (0..extents.len()).max_by_key(|&at| (extents[at].bytes(), std::cmp::Reverse(at))) else { break };
        let before = extents[at].bytes();
        if !extents[at].narrow() {
            break;
        }
        narrowed.insert(at);
        total -= before - extents[at].bytes();
    }
    narrowed.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(channels: usize) -> Extent {
        Extent { channels, kernel_size: 9, windows: true, pairs: true, weighted: false, classes: 10 }
    }

    #[test]
    fn the_largest_give_way_first() {
        let mut all = [extent(16), extent(256)];
        let most = all.iter().map(Extent::bytes).sum::<u64>() - 1;
        assert_eq!(fit(&mut all, most), 1);
        assert_eq!(all[0], extent(16));
        assert_eq!(all[1], Extent { windows: false, ..extent(256) });
    }

    #[test]
    fn nothing_is_left_of_products_without_room() {
        let mut all = [extent(16), extent(256)];
        assert_eq!(fit(&mut all, 0), 2);
        assert!(all.iter().all(|own| !own.pairs && own.bytes() == 0));
    }

    #[test]
    fn what_fits_stays() {
        let mut all = [extent(64)];
        assert_eq!(fit(&mut all, u64::MAX), 0);
        assert_eq!(all[0], extent(64));
    }
}
