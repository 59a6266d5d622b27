//! Steps that move channels about.

use super::{FeatureMap, Step, map};
use crate::support::Builder;

/// Steps that move channels about; `None` for the others.
pub(super) fn rewire(
    b: &mut Builder,
    step: &Step,
    FeatureMap { name: x, channels: c, side }: &FeatureMap,
    values: &[FeatureMap],
) -> Option<Vec<FeatureMap>> {
    let one = |name: String, channels: usize| Some(vec![map(name, channels, *side)]);
    let mate = || values.iter().rev().find(|own| own.channels == *c && own.side == *side && own.name != *x);
    match step {
        Step::Residual => {
            let y = &mate()?.name;
            one(b.node("Add", &[x, y], &[]), *c)
        }
        Step::Select => {
            let y = &mate()?.name;
            let zero = b.floats(&[0.0]);
            let positive = b.node("Greater", &[x, &zero], &[]);
            one(b.node("Where", &[&positive, x, y], &[]), *c)
        }
        Step::Concat => {
            let FeatureMap { name: y, channels: d, .. } = values.iter().find(|own| own.side == *side)?;
            one(b.node("Concat", &[x, y], &[("axis", vec![1])]), c + d)
        }
        Step::ConcatNegated if *c <= 10 => {
            let negative = b.node("Neg", &[x], &[]);
            one(b.node("Concat", &[x, &negative], &[("axis", vec![1])]), 2 * c)
        }
        Step::SplitHalves if c % 2 == 0 => {
            let names = b.pair();
            b.nodes("Split", &[x], &[("axis", vec![1])], names.clone());
            Some(names.into_iter().map(|name| map(name, c / 2, *side)).collect())
        }
        Step::SplitUneven if *c > 4 => {
            let (names, sizes) = (b.pair(), b.ints(&[3, *c as i64 - 3]));
            b.nodes("Split", &[x, &sizes], &[("axis", vec![1])], names.clone());
            Some(names.into_iter().zip([3, c - 3]).map(|(name, width)| map(name, width, *side)).collect())
        }
        Step::SliceFront if *c > 3 => {
            let (starts, ends, axes) = (b.ints(&[1]), b.ints(&[*c as i64 - 1]), b.ints(&[1]));
            one(b.node("Slice", &[x, &starts, &ends, &axes], &[]), c - 2)
        }
        Step::SliceStrided if *c > 3 => {
            let (starts, ends) = (b.ints(&[1]), b.ints(&[i64::MAX]));
            let (axes, steps) = (b.ints(&[1]), b.ints(&[2]));
            one(b.node("Slice", &[x, &starts, &ends, &axes, &steps], &[]), c / 2)
        }
        Step::Permute => {
            let order: Vec<i64> = (0..*c as i64).rev().collect();
            let order = b.ints(&order);
            one(b.node("Gather", &[x, &order], &[("axis", vec![1])]), *c)
        }
        Step::Repeat if *c > 3 => {
            let picked = b.ints(&[0, 2, 2, 1, -1]);
            one(b.node("Gather", &[x, &picked], &[("axis", vec![1])]), 5)
        }
        Step::Table if *c > 3 => {
            let (table, size) = (b.table(&[2, 2], &[0, 3, 2, 1]), *side as i64);
            let picked = b.node("Gather", &[x, &table], &[("axis", vec![1])]);
            let flat = b.ints(&[0, -1, size, size]);
            one(b.node("Reshape", &[&picked, &flat], &[]), 4)
        }
        Step::Single => {
            let index = b.scalar_int(1);
            let single = b.node("Gather", &[x, &index], &[("axis", vec![1])]);
            let axes = b.ints(&[1]);
            let map = b.node("Unsqueeze", &[&single, &axes], &[]);
            one(b.node("Mul", &[x, &map], &[]), *c)
        }
        Step::Shuffle if c % 2 == 0 => {
            let (h, half) = (*side as i64, *c as i64 / 2);
            let (apart, together) = (b.ints(&[0, 2, half, h, h]), b.ints(&[0, -1, h, h]));
            let apart = b.node("Reshape", &[x, &apart], &[]);
            let swapped = b.node("Transpose", &[&apart], &[("perm", vec![0, 2, 1, 3, 4])]);
            one(b.node("Reshape", &[&swapped, &together], &[]), *c)
        }
        Step::RunTimeShuffle if c % 2 == 0 => one(run_time_shuffle(b, x), *c),
        Step::PadChannels => {
            let pads = b.ints(&[0, 1, 0, 0, 0, 2, 0, 0]);
            one(b.node("Pad", &[x, &pads], &[]), c + 3)
        }
        Step::Widen => {
            // Zeros that widen a stream, met by a convolution.
            let (size, zero) = (*side as i64, b.number(0.0));
            let shape = b.ints(&[1, 3, size, size]);
            let zeros = b.node("Expand", &[&zero, &shape], &[]);
            let wide = b.node("Concat", &[x, &zeros], &[("axis", vec![1])]);
            let more = b.conv(x, *c, c + 3, 1);
            one(b.node("Add", &[&wide, &more], &[]), c + 3)
        }
        Step::Repeated => {
            // A map of the image, the same for every channel.
            let (size, axes) = (*side as i64, b.weight(&[1, 1, *side, *side]));
            let shape = b.ints(&[1, *c as i64, size, size]);
            let map = b.node("Expand", &[&axes, &shape], &[]);
            one(b.node("Mul", &[x, &map], &[]), *c)
        }
        Step::DepthToSpace if c % 4 == 0 && *side == 3 => {
            Some(vec![map(b.node("DepthToSpace", &[x], &[("blocksize", vec![2])]), c / 4, 6)])
        }
        Step::SpaceToDepth if *side == 6 && *c <= 4 => {
            Some(vec![map(b.node("SpaceToDepth", &[x], &[("blocksize", vec![2])]), c * 4, 3)])
        }
        Step::Tile if *c <= 8 => {
            let repeats = b.ints(&[1, 2, 1, 1]);
            one(b.node("Tile", &[x, &repeats], &[]), 2 * c)
        }
        _ => None,
    }
}

/// Target sizes come from the shape of the tensor itself.
fn run_time_shuffle(b: &mut Builder, x: &str) -> String {
    let shape = b.node("Shape", &[x], &[]);
    let (first, second, third) = (b.ints(&[0]), b.ints(&[1]), b.ints(&[2]));
    let n = b.node("Gather", &[&shape, &first], &[("axis", vec![0])]);
    let c = b.node("Gather", &[&shape, &second], &[("axis", vec![0])]);
    let h = b.node("Gather", &[&shape, &third], &[("axis", vec![0])]);
    let two = b.ints(&[2]);
    let half = b.node("Div", &[&c, &two], &[]);
    let apart = b.node("Concat", &[&n, &two, &half, &h, &h], &[("axis", vec![0])]);
    let together = b.node("Concat", &[&n, &c, &h, &h], &[("axis", vec![0])]);
    let apart = b.node("Reshape", &[x, &apart], &[]);
    let swapped = b.node("Transpose", &[&apart], &[("perm", vec![0, 2, 1, 3, 4])]);
    b.node("Reshape", &[&swapped, &together], &[])
}
