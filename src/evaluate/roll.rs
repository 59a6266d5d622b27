//! Calibration images in their seeded order, those of them that this machine looks at, and what is known of each.

/// Images of a data set in their seeded order, and which of them are this machine's own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chosen {
    /// Their numbers in the data set.
    pub all: Vec<u32>,
    /// Places in `all`, ascending.
    pub own: Vec<u32>,
}

impl Chosen {
    /// All of them are this machine's own.
    pub fn whole(all: Vec<u32>) -> Self {
        let own = (0..u32::try_from(all.len()).unwrap_or(u32::MAX)).collect();
        Self { all, own }
    }

    /// Only those of its own that `held` says of their number in the data set.
    #[must_use]
    pub fn within(mut self, held: impl Fn(u32) -> bool) -> Self {
        let all = &self.all;
        self.own.retain(|&place| held(all[place as usize]));
        self
    }

    /// Numbers in the data set of its own images.
    pub fn items(&self) -> Vec<u32> {
        self.own.iter().map(|&place| self.all[place as usize]).collect()
    }

    /// Its own images: number in the data set, and place in the order of all.
    pub fn placed(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.own.iter().map(|&place| (self.all[place as usize], place))
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

/// The images that are looked at, in the order in which they are run: by class, within a class as they were drawn.
/// Statistics are cheapest where a batch holds few classes. There may be millions: an image takes 8 bytes, 12 where classes
/// join several labels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roll {
    /// Numbers in the data set.
    items: Vec<u32>,
    /// Places in the seeded order.
    places: Vec<u32>,
    labels: Labels,
    /// Images up to the end of each class.
    ends: Vec<usize>,
}

/// Labels of images.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Labels {
    /// Of all images of each class.
    OfClasses(Vec<u32>),
    /// Of each image.
    OfImages(Vec<u32>),
}

impl Default for Labels {
    fn default() -> Self {
        Self::OfClasses(Vec::new())
    }
}

impl Roll {
    /// From the number, place, class and label of every image.
    #[allow(clippy::cast_possible_truncation, reason = "numbers of classes")]
    pub fn new(images: impl Iterator<Item = (u32, u32, usize, usize)>) -> Self {
        let mut all: Vec<[u32; 4]> =
            images.map(|(item, place, class, label)| [class as u32, place, item, label as u32]).collect();
        all.sort_unstable();
        let classes = all.last().map_or(0, |own| own[0] + 1);
        let ends: Vec<usize> = (0..classes).map(|class| all.partition_point(|own| own[0] <= class)).collect();
        let alike = all.windows(2).all(|pair| pair[0][0] != pair[1][0] || pair[0][3] == pair[1][3]);
        let labels = if alike {
            // Of a class without images none is asked for.
            Labels::OfClasses(ends.iter().map(|&end| all[end.saturating_sub(1)][3]).collect())
        } else {
            Labels::OfImages(all.iter().map(|own| own[3]).collect())
        };
        let column = |at: usize| all.iter().map(|own| own[at]).collect();
        Self { items: column(2), places: column(1), labels, ends }
    }

    /// Numbers in the data set of all images, in the order in which they are run.
    pub fn items(&self) -> &[u32] {
        &self.items
    }

    /// What is known of images, asked for in about the order in which they are run.
    pub fn reader(&self) -> Reader<'_> {
        Reader { roll: self, at: 0 }
    }

    #[allow(clippy::cast_possible_truncation, reason = "numbers of classes")]
    fn entry(&self, at: usize) -> Entry {
        let class = self.ends.partition_point(|&end| end <= at);
        let label = match &self.labels {
            Labels::OfClasses(labels) => labels[class],
            Labels::OfImages(labels) => labels[at],
        };
        Entry { place: self.places[at], class: class as u32, label }
    }
}

/// Looks images up, from the one on that was asked for last.
#[derive(Debug)]
pub struct Reader<'a> {
    roll: &'a Roll,
    at: usize,
}

impl Reader<'_> {
    /// What is known of an image, by its number in the data set.
    pub fn entry(&mut self, item: usize) -> Option<Entry> {
        let item = u32::try_from(item).ok()?;
        let (before, behind) = self.roll.items.split_at(self.at);
        let behind = behind.iter().position(|&own| own == item).map(|found| found + self.at);
        let found = behind.or_else(|| before.iter().rposition(|&own| own == item))?;
        self.at = found;
        Some(self.roll.entry(found))
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
        assert_eq!(roll.items(), [3, 5, 7]);
        assert_eq!(roll.labels, Labels::OfClasses(vec![0, 0]));
        let mut reader = roll.reader();
        assert_eq!(reader.entry(7).map(Entry::key), Some(1 << 32));
        assert_eq!(reader.entry(5), Some(Entry { place: 3, class: 0, label: 0 }));
        assert_eq!((reader.entry(9), reader.entry(3)), (None, Some(Entry { place: 1, class: 0, label: 0 })));
    }
    #[test]
    fn labels_are_kept_where_classes_join_several() {
        let roll = Roll::new([(0, 0, 0, 4), (1, 1, 2, 5), (2, 2, 0, 6)].into_iter());
        let mut reader = roll.reader();
        let mut label = |item| reader.entry(item).map(|own| (own.class, own.label));
        assert_eq!([label(0), label(2), label(1)], [Some((0, 4)), Some((0, 6)), Some((2, 5))]);
        // No image of class 1.
        let roll = Roll::new([(0, 0, 0, 4), (1, 1, 2, 5), (2, 2, 0, 4)].into_iter());
        assert_eq!(roll.labels, Labels::OfClasses(vec![4, 4, 5]));
        assert_eq!(roll.reader().entry(1), Some(Entry { place: 1, class: 2, label: 5 }));
    }
}
