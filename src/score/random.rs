//! Random scores: the baseline every criterion must beat.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::{Criterion, GroupInput, GroupScores, ScoreError};

/// Uniform scores in `[0, 1)`, a function of the seed and the group's name alone: neither other groups nor their order
/// change them. Needs no data.
#[derive(Debug, Clone, Copy, Default)]
pub struct Random;

impl Criterion for Random {
    fn name(&self) -> &'static str {
        "random"
    }

    fn score(&self, input: &GroupInput<'_>) -> Result<GroupScores, ScoreError> {
        let mut generator = ChaCha8Rng::seed_from_u64(input.seed ^ fnv1a(input.name.as_bytes()));
        let scores = (0..input.width).map(|_| (generator.next_u64() >> 11) as f64 / (1u64 << 53) as f64).collect();
        Ok(GroupScores { scores, unit: None, explanation: format!("random, seed {}", input.seed), path: None })
    }
}

/// 64-bit FNV-1a: stable over versions and platforms, which the standard hasher does not promise.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::tests::weights_only;

    #[test]
    fn depends_on_seed_and_name_only() {
        let one = GroupInput { name: "a", seed: 7, ..weights_only(16, &[]) };
        let scores = Random.score(&one).unwrap().scores;
        assert_eq!(scores, Random.score(&one.clone()).unwrap().scores);
        assert!(scores.iter().all(|score| (0.0..1.0).contains(score)));
        for other in [GroupInput { name: "b", ..one.clone() }, GroupInput { seed: 8, ..one.clone() }] {
            assert_ne!(scores, Random.score(&other).unwrap().scores);
        }
        let wider = GroupInput { width: 20, ..one };
        assert_eq!(scores[..], Random.score(&wider).unwrap().scores[..16]);
    }
}
