//! A part of a data set for one of several machines.

use std::str::FromStr;

use sha2::{Digest as _, Sha256};

use super::Dataset;
use crate::number::hex;

/// Shard `index` of `count`, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// Which one.
    pub index: usize,
    /// Out of.
    pub count: usize,
}

/// The whole data set.
impl Default for Shard {
    fn default() -> Self {
        Self { index: 0, count: 1 }
    }
}

impl Shard {
    /// The shard of a job: `ONNX_PRUNE_SHARD` (`I/N`), a Slurm array (`SLURM_ARRAY_TASK_ID`, `_MIN`, `_COUNT`), or an indexed job
    /// of Kubernetes (`JOB_COMPLETION_INDEX`), which does not tell how many there are: `count`. `variable` gives a variable of
    /// the environment.
    ///
    /// # Errors
    /// What is missing, in words.
    pub fn of_job(variable: impl Fn(&str) -> Option<String>, count: Option<usize>) -> Result<Self, String> {
        let number = |name: &str| -> Result<Option<usize>, String> {
            let read = |text: String| text.parse().map_err(|_| format!("`{name}` is `{text}`, not a number"));
            variable(name).map(read).transpose()
        };
        if let Some(own) = variable("ONNX_PRUNE_SHARD") {
            return own.parse();
        }
        if let Some(id) = number("SLURM_ARRAY_TASK_ID")? {
            let all = count.or(number("SLURM_ARRAY_TASK_COUNT")?).ok_or("`SLURM_ARRAY_TASK_COUNT` is not set")?;
            let first = number("SLURM_ARRAY_TASK_MIN")?.unwrap_or(0);
            return Self::checked(id.checked_sub(first).ok_or("the array starts after this task")?, all);
        }
        match (number("JOB_COMPLETION_INDEX")?, count) {
            (Some(index), Some(count)) => Self::checked(index, count),
            (Some(_), None) => Err("`JOB_COMPLETION_INDEX` tells which, `--shards N` how many".into()),
            (None, _) => {
                Err("none of `ONNX_PRUNE_SHARD`, `SLURM_ARRAY_TASK_ID` and `JOB_COMPLETION_INDEX` is set".into())
            }
        }
    }

    fn checked(index: usize, count: usize) -> Result<Self, String> {
        if index < count {
            Ok(Self { index, count })
        } else {
            Err(format!("there is no shard {index} of {count}: they are counted from 0"))
        }
    }

    /// Whether an item of this name is in the shard: the first eight bytes of its SHA-256, little-endian, modulo the number of
    /// shards.
    pub fn holds(self, name: &str) -> bool {
        let digest = Sha256::digest(name);
        let number = digest.iter().take(8).rev().fold(0_u64, |sum, &byte| (sum << 8) | u64::from(byte));
        number % self.count.max(1) as u64 == self.index as u64
    }

    /// The shard's part of a data set, in one pass over the names: those of tar files are read.
    pub fn part(self, dataset: &Dataset) -> ShardPart {
        let (mut items, mut hash) = (Vec::new(), Sha256::new());
        dataset.each_name(&mut |item, name| {
            hash.update(name);
            hash.update([0]);
            hash.update(dataset.label(item).map_or(u64::MAX, |label| label as u64).to_le_bytes());
            if self.count <= 1 || self.holds(name) {
                items.extend(u32::try_from(item));
            }
        });
        ShardPart { items, digest: hex(&hash.finalize()) }
    }
}

/// A part of a data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardPart {
    /// Numbers of the images that are in it, ascending.
    pub items: Vec<u32>,
    /// What tells the whole list of items from another: SHA-256 of all names and labels, in hexadecimal.
    pub digest: String,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/').and_then(|(index, count)| Some((index.parse().ok()?, count.parse().ok()?)));
        let (index, count) = parts.ok_or("a shard is `I/N`, such as 0/8, or `auto`")?;
        Self::checked(index, count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_in_one_shard() {
        for count in [1, 2, 7] {
            let mut held = vec![0; count];
            for item in 0..2000 {
                let name = format!("class/{item}.png");
                let shards: Vec<usize> = (0..count).filter(|&index| Shard { index, count }.holds(&name)).collect();
                assert_eq!(shards.len(), 1);
                held[shards[0]] += 1;
            }
            assert!(held.iter().all(|&own| (f64::from(own) * count as f64 / 2000.0 - 1.0).abs() < 0.15), "{held:?}");
        }
        // What an item is in does not depend on the machine.
        assert!(Shard { index: 7, count: 8 }.holds("a.png"));
    }

    #[test]
    fn schedulers_tell_the_shard() {
        let told = |variables: &[(&str, &str)], count| {
            let find = |name: &str| variables.iter().find(|own| own.0 == name).map(|own| own.1.to_owned());
            Shard::of_job(find, count)
        };
        let slurm = [("SLURM_ARRAY_TASK_ID", "3"), ("SLURM_ARRAY_TASK_MIN", "1"), ("SLURM_ARRAY_TASK_COUNT", "8")];
        assert_eq!(told(&slurm, None), Ok(Shard { index: 2, count: 8 }));
        assert_eq!(told(&[("JOB_COMPLETION_INDEX", "3")], Some(4)), Ok(Shard { index: 3, count: 4 }));
        assert_eq!(told(&[("ONNX_PRUNE_SHARD", "1/2"), slurm[0]], None), Ok(Shard { index: 1, count: 2 }));
        assert!(told(&[("JOB_COMPLETION_INDEX", "3")], None).unwrap_err().contains("--shards"));
        assert!(told(&[("JOB_COMPLETION_INDEX", "4")], Some(4)).unwrap_err().contains("counted from 0"));
        assert!(told(&[], None).unwrap_err().contains("SLURM_ARRAY_TASK_ID"));
        for text in ["8/8", "1", "a/b", "-1/2"] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }
}
