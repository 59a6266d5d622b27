//! What a run may hold in memory: an estimate before the first pass, and how the room is shared out.

use std::collections::BTreeSet;

use super::{EvaluateError, Source};
use crate::channels::Channels;
use crate::model::Model;
use crate::number::bytes;

/// Bytes for which the shares are made where no bound is given.
const DEFAULT: u64 = 4 << 30;

/// Times the file: the model as read, the pruned copy, and what the engine makes of each.
const COPIES: u64 = 4;

/// The program and the engine without a model.
const BASE: u64 = 96 << 20;

/// The least with which images, moments and rows can be worked on.
const LEAST: u64 = 128 << 20;

/// Bytes of an image in the lists of a run: its number and place, and where it lies in a tar file with its label.
const LISTED: u64 = 16;

/// Values of a batch are held as the engine returns them and as they are looked at.
const HELD_TWICE: u64 = 2;

/// How many bytes each part of a run may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares {
    /// Calibration images that are kept for later passes.
    pub images: u64,
    /// Moments of what consumers read.
    pub moments: u64,
    /// Activations of both models during sequential reconstruction, or of the dense model during trials.
    pub activations: u64,
    /// Rows of one least-squares problem.
    pub rows: u64,
}

impl Shares {
    /// Shares out what `--memory` allows, `limit`, for a model whose file has `file` bytes.
    ///
    /// # Errors
    /// If that is less than a run needs.
    pub fn new(
        model: &Model,
        channels: &Channels,
        file: u64,
        source: &Source,
        limit: Option<u64>,
    ) -> Result<Self, EvaluateError> {
        Fixed::new(model, channels, file, source).shares(limit)
    }

    /// Inputs of `size` bytes that may be kept, of so many images. Their lists count towards the same share, up to half of
    /// it, so that millions of images take no more than few.
    pub fn kept(&self, images: usize, size: u64) -> usize {
        let lists = (LISTED * images as u64).min(self.images / 2);
        usize::try_from((self.images - lists) / size.max(1)).unwrap_or(usize::MAX).min(images)
    }

    fn of(free: u64) -> Self {
        Self { images: free / 4, moments: free / 4, activations: free / 4, rows: free / 8 }
    }
}

/// What does not depend on the number of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fixed {
    models: u64,
    /// One batch with what is looked at of it.
    batch: u64,
    /// Images of the batch.
    images: usize,
}

impl Fixed {
    fn new(model: &Model, channels: &Channels, file: u64, source: &Source) -> Self {
        let consumer_inputs =
            channels.groups.iter().flat_map(|group| &group.consumer_inputs).map(|input| input.value.as_str());
        let outputs = model.graph().output.iter().map(crate::proto::onnx::ValueInfoProto::name);
        let seen: BTreeSet<&str> = consumer_inputs.chain(outputs).collect();
        // Shapes of the analysis are those of a batch of one image.
        let volume = |name: &str| channels.shape(name).map_or(0, |shape| shape.iter().product::<usize>() as u64);
        let read: u64 = seen.into_iter().map(volume).sum();
        let image = source.volume() as u64;
        let batch = 4 * source.batch as u64 * (HELD_TWICE * read + image);
        Self { models: BASE + COPIES * file, batch, images: source.batch }
    }

    fn shares(self, limit: Option<u64>) -> Result<Shares, EvaluateError> {
        let fixed = self.models + self.batch;
        let least = fixed + LEAST;
        match limit {
            Some(limit) if limit < least => Err(EvaluateError::Usage {
                what: format!(
                    "the run needs at least {}: {} for the models and the engine, {} for a batch of {} images with \
                     what is read of it, {} to work in; `--memory` allows {}",
                    bytes(least as f64),
                    bytes(self.models as f64),
                    bytes(self.batch as f64),
                    self.images,
                    bytes(LEAST as f64),
                    bytes(limit as f64)
                ),
                help: "allow more, or choose by weights alone (`--criterion l2` without `--data`)".into(),
            }),
            Some(limit) => Ok(Shares::of(limit - fixed)),
            None => Ok(Shares::of(DEFAULT.saturating_sub(fixed).max(DEFAULT / 4))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIXED: Fixed = Fixed { models: 500 << 20, batch: 300 << 20, images: 8 };

    #[test]
    fn too_little_is_refused_with_numbers() {
        let error = FIXED.shares(Some(600 << 20)).unwrap_err().to_string();
        for number in ["973 MB", "524 MB", "315 MB", "629 MB", "8 images"] {
            assert!(error.contains(number), "{number}: {error}");
        }
    }

    #[test]
    fn lists_and_kept_inputs_of_any_number_of_images_stay_within_their_share() {
        let shares = Shares::of(160 << 20);
        assert_eq!(shares.kept(1000, 3136), 1000);
        for images in [20_000, 100_000, 1_000_000] {
            let held = LISTED * images as u64 + 3136 * shares.kept(images, 3136) as u64;
            assert!(held <= shares.images && held + 3136 > shares.images, "{images}: {held}");
        }
        assert_eq!(shares.kept(usize::MAX >> 8, 3136), 6687, "half of the share stays");
    }

    #[test]
    fn shares_stay_within_the_bound() {
        let Shares { images, moments, activations, rows } = FIXED.shares(Some(2 << 30)).unwrap();
        assert!(images + moments + activations + rows + FIXED.models + FIXED.batch <= 2 << 30);
    }
}
