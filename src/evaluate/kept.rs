//! The calibration images that are kept, as later passes take them.

use std::sync::Arc;

use ndarray::ArrayD;

use super::Observed;
use crate::calibration::mirrored;
use crate::engine::Tensor;

/// Mirror images are added while all images stay below this.
const MOST_MIRRORED: usize = 256 << 20;

impl Observed {
    /// Bytes of the kept images.
    fn kept_bytes(&self) -> usize {
        self.batches.iter().map(|batch| 4 * batch.shape().iter().product::<usize>()).sum()
    }

    /// Every so many of the kept batches, so that they take `most` bytes.
    pub fn thinned(&self, most: usize) -> Vec<ArrayD<f32>> {
        let every = self.kept_bytes().div_ceil(most).max(1);
        self.batches.iter().step_by(every).map(|batch| batch.to_f32()).collect()
    }

    /// The kept images and their mirror images (`docs/method.md` 9.8), where those are small; `nhwc`: channels come
    /// last.
    pub fn mirrored(&self, nhwc: bool) -> Vec<Arc<Tensor>> {
        let mut batches = self.batches.clone();
        if self.kept_bytes() <= MOST_MIRRORED {
            batches.extend(self.batches.iter().filter_map(|batch| mirror(batch, nhwc)).map(Arc::new));
        }
        batches
    }
}

/// Left and right exchanged, `[N, C, H, W]`, or `[N, H, W, C]`.
fn mirror(batch: &Tensor, nhwc: bool) -> Option<Tensor> {
    let Tensor::F32(images) = batch else { return None };
    let axis = images.ndim().checked_sub(if nhwc { 2 } else { 1 }).filter(|_| images.ndim() == 4)?;
    Some(Tensor::F32(mirrored(images.view(), axis).as_standard_layout().to_owned()))
}
