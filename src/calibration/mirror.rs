//! Mirror images.

use ndarray::{ArrayViewD, Axis};

/// The same images with left and right exchanged; `columns`: the axis of the columns, the last one of `[N, C, H, W]`.
pub(crate) fn mirrored(mut images: ArrayViewD<'_, f32>, columns: usize) -> ArrayViewD<'_, f32> {
    images.invert_axis(Axis(columns));
    images
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::ArrayD;

    #[test]
    fn columns_change_places_and_nothing_else() {
        let images =
            ArrayD::from_shape_fn(vec![2, 3, 2, 3], |at| (at[0] * 100 + at[1] * 10 + at[2] * 3 + at[3]) as f32);
        for columns in [3, 1] {
            let found = mirrored(images.view(), columns);
            for (at, value) in found.indexed_iter() {
                let mut from = [at[0], at[1], at[2], at[3]];
                from[columns] = 2 - from[columns];
                assert_eq!(value.to_bits(), images[from].to_bits());
            }
        }
    }
}
