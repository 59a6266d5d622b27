//! Adaptive average pooling of one channel's map, as lists of memory runs.

use std::ops::Range;

/// Elements of a bin: `len` values from `start` on, `stride` apart.
#[derive(Debug, Clone, Copy)]
struct Run {
    start: usize,
    len: usize,
    stride: usize,
}

/// The bins of an adaptive average pool over the position axes of a map (`docs/method.md` 1.2).
///
/// Bin `a` of `p` covers `floor(a h / p) .. ceil((a + 1) h / p)` of an axis of size `h`; `p` is lowered to the smallest
/// axis. The last axis runs fastest in the order of the bins.
#[derive(Debug, Clone)]
pub(super) struct Bins {
    runs: Vec<Vec<Run>>,
}

impl Bins {
    /// Bins for position axes of the given `(size, stride)`; no axis gives one bin of one element.
    pub(super) fn new(pool: usize, axes: &[(usize, usize)]) -> Self {
        let smallest = axes.iter().map(|axis| axis.0).min().unwrap_or(1);
        let pool = pool.clamp(1, smallest.max(1));
        let mut runs = vec![vec![Run { start: 0, len: 1, stride: 1 }]];
        for (depth, &(size, stride)) in axes.iter().enumerate() {
            let last = depth + 1 == axes.len();
            let mut next = Vec::new();
            for bin in &runs {
                for part in 0..pool {
                    let range = bin_range(part, pool, size);
                    next.push(bin.iter().flat_map(|run| extend(*run, range.clone(), stride, last)).collect());
                }
            }
            runs = next;
        }
        Self { runs }
    }

    /// Number of bins: `p` to the power of the number of axes.
    pub(super) fn len(&self) -> usize {
        self.runs.len()
    }

    /// Means over the bins of the map whose first element is `map[0]`.
    pub(super) fn means(&self, map: &[f32], out: &mut [f32]) {
        for (bin, out) in self.runs.iter().zip(out) {
            let (mut sum, mut count) = (0.0_f64, 0);
            for run in bin {
                sum += run_sum(map, *run);
                count += run.len;
            }
            #[allow(clippy::cast_possible_truncation, reason = "features are stored in single precision")]
            let mean = (sum / count as f64) as f32;
            *out = mean;
        }
    }
}

fn bin_range(part: usize, pool: usize, size: usize) -> Range<usize> {
    part * size / pool..((part + 1) * size).div_ceil(pool)
}

fn extend(run: Run, range: Range<usize>, stride: usize, last: bool) -> Vec<Run> {
    if last {
        return vec![Run { start: run.start + range.start * stride, len: range.len(), stride }];
    }
    range.map(|index| Run { start: run.start + index * stride, ..run }).collect()
}

fn run_sum(map: &[f32], run: Run) -> f64 {
    if run.stride == 1 {
        map[run.start..run.start + run.len].iter().map(|&value| f64::from(value)).sum()
    } else {
        (0..run.len).map(|index| f64::from(map[run.start + index * run.stride])).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pooled(pool: usize, axes: &[(usize, usize)], map: &[f32]) -> Vec<f32> {
        let bins = Bins::new(pool, axes);
        let mut out = vec![0.0; bins.len()];
        bins.means(map, &mut out);
        out
    }

    #[test]
    fn seven_to_two_overlaps_in_the_middle() {
        let map: Vec<f32> = (0..49u8).map(f32::from).collect();
        assert_eq!(pooled(2, &[(7, 7), (7, 1)], &map), [12.0, 15.0, 33.0, 36.0]);
    }

    #[test]
    fn pool_is_lowered_to_the_smallest_axis() {
        let map: Vec<f32> = (0..6u8).map(f32::from).collect();
        assert_eq!(pooled(4, &[(2, 3), (3, 1)], &map), [0.5, 1.5, 3.5, 4.5]);
        assert_eq!(pooled(4, &[(1, 3), (3, 1)], &map), [1.0]);
    }

    #[test]
    fn no_axis_is_the_value_and_strides_are_followed() {
        assert_eq!(pooled(4, &[], &[5.0]), [5.0]);
        assert_eq!(pooled(2, &[(4, 2)], &[1.0, 9.0, 3.0, 9.0, 5.0, 9.0, 7.0]), [2.0, 6.0]);
        assert_eq!(pooled(1, &[(2, 4), (2, 2), (2, 1)], &[0., 1., 2., 3., 4., 5., 6., 7.]), [3.5]);
    }
}
