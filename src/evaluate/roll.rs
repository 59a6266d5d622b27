//! Calibration images in their seeded order, those of them that this machine looks at, and what is known of each.

/// Images of a data set in their seeded order, and which of them are this machine's own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chosen {
    /// Their numbers in the data set.
    pub all: Vec<usize>,
    /// Places in `all`, ascending.
    pub own: Vec<u32>,
}

impl Chosen {
    /// All of them are this machine's own.
    pub fn whole(all: Vec<usize>) -> Self {
        let own = (0..u32::try_from(all.len()).unwrap_or(u32::MAX)).collect();
        Self { all, own }
    }

    /// Only those of its own that `held` says of their number in the data set.
    #[must_use]
    pub fn within(mut self, held: impl Fn(usize) -> bool) -> Self {
        let all = &self.all;
        self.own.retain(|&place| held(all[place as usize]));
        self
    }

    /// Numbers in the data set of its own images.
    pub fn items(&self) -> Vec<usize> {
        self.own.iter().map(|&place| self.all[place as usize]).collect()
    }

    /// Its own images: number in the data set, and place in the order of all.
    pub fn placed(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.own.iter().map(|&place| (self.all[place as usize], place as usize))
    }
}

/// What is known of an image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the seeded order of all images.
    pub place: u32,
    /// Its class, as the class-wise criteria see it.
    pub class: u32,
    /// Its label, given or decided by the model.
    pub label: u32,
}

impl Entry {
    /// What orders images: by class, within a class as they were drawn.
    pub fn key(self) -> u64 {
        u64::from(self.class) << 32 | u64::from(self.place)
    }
}

/// Entries by the image's number in the data set: 16 bytes for each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roll(Vec<(u32, Entry)>);

impl Roll {
    /// From the number, place, class and label of every image.
    #[allow(clippy::cast_possible_truncation, reason = "numbers of images and classes")]
    pub fn new(images: impl Iterator<Item = (usize, usize, usize, usize)>) -> Self {
        let mut all: Vec<(u32, Entry)> = images
            .map(|(item, place, class, label)| {
                (item as u32, Entry { place: place as u32, class: class as u32, label: label as u32 })
            })
            .collect();
        all.sort_unstable_by_key(|own| own.0);
        all.shrink_to_fit();
        Self(all)
    }

    /// What is known of an image.
    pub fn entry(&self, item: usize) -> Option<&Entry> {
        let item = u32::try_from(item).ok()?;
        let at = self.0.binary_search_by_key(&item, |own| own.0).ok()?;
        Some(&self.0[at].1)
    }

    /// Numbers of all images by class, each class in the order in which they were drawn: statistics are cheapest where a batch
    /// holds few classes.
    pub fn sorted(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.0.len()).collect();
        order.sort_unstable_by_key(|&at| (self.0[at].1.key(), self.0[at].0));
        order.iter_mut().for_each(|own| *own = self.0[*own].0 as usize);
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_come_class_by_class_as_they_were_drawn() {
        let chosen = Chosen::whole(vec![7, 3, 9, 5]).within(|item| item != 9);
        assert_eq!((chosen.items(), chosen.own.clone()), (vec![7, 3, 5], vec![0, 1, 3]));
        let roll = Roll::new(chosen.placed().map(|(item, place)| (item, place, usize::from(item == 7), 0)));
        assert_eq!(roll.sorted(), [3, 5, 7]);
        assert_eq!(roll.entry(5), Some(&Entry { place: 3, class: 0, label: 0 }));
        assert_eq!((roll.entry(9), roll.entry(7).unwrap().key()), (None, 1 << 32));
    }
}
