//! A topological order that is kept under edits.
//!
//! Every node has a label, and producers have smaller labels than readers. An edge against the order moves only the
//! nodes between its ends: Pearce and Kelly, "A dynamic topological sort algorithm for directed acyclic graphs",
//! ACM Journal of Experimental Algorithmics 11 (2006).

use std::collections::{BTreeMap, HashMap};

/// Distance of labels that are given anew.
const GAP: u128 = 1 << 64;

/// Edges of the graph, as the order needs them.
pub(super) trait Edges {
    /// Nodes that read what a node makes.
    fn successors(&self, node: usize) -> Vec<usize>;
    /// Nodes that make what a node reads.
    fn predecessors(&self, node: usize) -> Vec<usize>;
}

#[derive(Debug, Default)]
pub(super) struct Order {
    labels: Vec<Option<u128>>,
    at: BTreeMap<u128, usize>,
    /// Labels as they were before, for going back.
    log: Vec<(usize, Option<u128>)>,
    /// Labels set and nodes visited so far.
    pub(super) steps: usize,
}

impl Order {
    /// Nodes `0..count` in this order.
    pub(super) fn of(count: usize) -> Self {
        let mut order = Self::default();
        let mut label = 0;
        for node in 0..count {
            label += GAP;
            order.set(node, Some(label));
        }
        order.log.clear();
        order
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = usize> {
        self.at.values().copied()
    }

    pub(super) fn label(&self, node: usize) -> Option<u128> {
        self.labels.get(node).copied().flatten()
    }

    fn set(&mut self, node: usize, label: Option<u128>) {
        self.steps += 1;
        if self.labels.len() <= node {
            self.labels.resize(node + 1, None);
        }
        let old = std::mem::replace(&mut self.labels[node], label);
        self.log.push((node, old));
        if let Some(old) = old.filter(|old| self.at.get(old) == Some(&node)) {
            self.at.remove(&old);
        }
        self.at.extend(label.map(|label| (label, node)));
    }

    pub(super) fn remove(&mut self, node: usize) {
        self.set(node, None);
    }

    /// Places a node right behind another, or before all.
    pub(super) fn place_after(&mut self, node: usize, previous: Option<usize>) {
        let gap = |order: &Self| {
            let low = previous.and_then(|previous| order.label(previous)).unwrap_or(0);
            let high = order.at.range(low + 1..).next().map_or(low + 2 * GAP, |(&label, _)| label);
            (low, high)
        };
        let (mut low, mut high) = gap(self);
        if high - low < 2 {
            self.spread();
            (low, high) = gap(self);
        }
        self.set(node, Some(low + (high - low) / 2));
    }

    /// Gives all labels anew, with room between them.
    fn spread(&mut self) {
        let nodes: Vec<usize> = self.iter().collect();
        let mut label = 0;
        for &node in &nodes {
            self.set(node, None);
        }
        for node in nodes {
            label += GAP;
            self.set(node, Some(label));
        }
    }

    pub(super) fn mark(&self) -> usize {
        self.log.len()
    }

    pub(super) fn forget(&mut self) {
        self.log.clear();
    }

    pub(super) fn undo(&mut self, mark: usize) {
        for (node, label) in self.log.split_off(mark).into_iter().rev() {
            self.set(node, label);
        }
        self.log.truncate(mark);
    }

    /// Puts `first` before `then`.
    ///
    /// Only edges that already agree with the order are followed, so several new edges can be put in one by one.
    ///
    /// # Errors
    /// The nodes of a cycle, if `then` leads to `first`.
    pub(super) fn ensure(&mut self, first: usize, then: usize, edges: &dyn Edges) -> Result<(), Vec<usize>> {
        let (Some(upper), Some(lower)) = (self.label(first), self.label(then)) else { return Ok(()) };
        if upper < lower {
            return Ok(());
        }
        if first == then {
            return Err(vec![first]);
        }
        let mut came_from: HashMap<usize, usize> = HashMap::new();
        let forward = self.reach(then, |order, node| {
            let label = order.label(node);
            let within = |next: &usize| order.label(*next) > label && order.label(*next) <= Some(upper);
            let next: Vec<usize> = edges.successors(node).into_iter().filter(within).collect();
            for &reached in &next {
                came_from.entry(reached).or_insert(node);
            }
            next
        });
        if forward.contains(&first) {
            let mut cycle = vec![first];
            let mut node = first;
            while let Some(&previous) = came_from.get(&node).filter(|_| node != then) {
                cycle.push(previous);
                node = previous;
            }
            cycle.reverse();
            return Err(cycle);
        }
        let backward = self.reach(first, |order, node| {
            let label = order.label(node);
            let within = |next: &usize| order.label(*next) < label && order.label(*next) >= Some(lower);
            edges.predecessors(node).into_iter().filter(within).collect()
        });
        let moved: Vec<usize> = backward.into_iter().chain(forward).collect();
        let mut labels: Vec<Option<u128>> = moved.iter().map(|&node| self.label(node)).collect();
        labels.sort_unstable();
        for &node in &moved {
            self.set(node, None);
        }
        for (node, label) in moved.into_iter().zip(labels) {
            self.set(node, label);
        }
        Ok(())
    }

    /// Nodes that can be reached, in the present order.
    fn reach(&mut self, from: usize, mut next: impl FnMut(&Self, usize) -> Vec<usize>) -> Vec<usize> {
        let mut seen = std::collections::HashSet::from([from]);
        let mut open = vec![from];
        let mut reached = vec![from];
        while let Some(node) = open.pop() {
            let new: Vec<usize> = next(self, node).into_iter().filter(|&node| seen.insert(node)).collect();
            reached.extend(&new);
            open.extend(new);
        }
        self.steps += reached.len();
        reached.sort_by_key(|&node| self.label(node));
        reached
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Lists(Vec<Vec<usize>>);

    impl Edges for Lists {
        fn successors(&self, node: usize) -> Vec<usize> {
            self.0[node].clone()
        }
        fn predecessors(&self, node: usize) -> Vec<usize> {
            (0..self.0.len()).filter(|&other| self.0[other].contains(&node)).collect()
        }
    }

    #[test]
    fn edges_against_the_order_move_what_lies_between() {
        // 0 -> 1, 2 -> 3, then 3 -> 0.
        let mut order = Order::of(4);
        let edges = Lists(vec![vec![1], vec![], vec![3], vec![0]]);
        order.ensure(3, 0, &edges).unwrap();
        assert_eq!(order.iter().collect::<Vec<_>>(), [2, 3, 0, 1]);
        let closed = Lists(vec![vec![1], vec![2], vec![3], vec![0]]);
        assert_eq!(order.ensure(1, 2, &closed), Err(vec![2, 3, 0, 1]));
    }

    #[test]
    fn going_back_restores_labels_even_after_they_were_spread() {
        let mut order = Order::of(3);
        let mark = order.mark();
        for node in 3..203 {
            order.place_after(node, Some(0));
        }
        assert_eq!(order.iter().take(3).collect::<Vec<_>>(), [0, 202, 201]);
        order.undo(mark);
        assert_eq!(order.iter().collect::<Vec<_>>(), [0, 1, 2]);
        order.place_after(3, None);
        assert_eq!(order.iter().next(), Some(3));
    }
}
